"""Memory of large tensors goes back to the system when they are freed, as glibc's own report shows."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, torch
from stepscore_service.jobs.modeling.allocator import map_large_blocks

class Report(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Report

def mapped(mebibytes):
    before = mallinfo().hblkhd
    block = torch.empty(mebibytes << 18)
    return mallinfo().hblkhd - before >= mebibytes << 20

if {called}:
    map_large_blocks()
torch.empty(24 << 18)
print(mapped(8))
"""  # noqa: E501


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33 or newer")
@pytest.mark.parametrize("called", [True, False])
def test_a_large_block_is_mapped_on_its_own_even_after_a_larger_one_was_freed(called: bool) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{called}", str(called))], check=True, capture_output=True, text=True
    )
    assert ran.stdout.strip() == str(called), "without the call, glibc takes it from its heap"
