"""The table, and the lines above it that say what was measured where."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import torch
import transformers

from benchmarks.engine.in_vllm import WAY as VLLM
from benchmarks.engine.rows import Row
from benchmarks.engine.ways import LOOP, PADDED, SORTED, THEIRS
from stepscore.placement import cpu_has_bfloat16

PEERS = {LOOP: "the loop", PADDED: "padded 16", SORTED: "sorted", THEIRS: "search-and-learn", VLLM: "vLLM"}
FOLDERS = {"--data": "DATA", "--search-and-learn": "SEARCH_AND_LEARN", "--vllm-python": "PYTHON", "--out": "FILE"}
NO_UNITS = "fp32, because this processor has no bfloat16 units."


def table(rows: Iterable[Row], seconds: str = "CPU s") -> str:
    """Markdown. tokens/s are prompt tokens a second; `over` a peer is its seconds divided by this way's."""
    columns = ["workload", "way", "prompt tokens", "computed", seconds, "tokens/s", "% of GEMM peak"]
    columns += [f"over {peer}" for peer in PEERS.values()] + ["max difference"]
    lines = [_line(columns), _line(["---"] * len(columns))]
    by_workload: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_workload.setdefault(row.workload, {})[row.way] = row
    for ways in by_workload.values():
        lines += [_line(_cells(row, [ways.get(peer) for peer in PEERS])) for row in ways.values()]
    return "\n".join(lines)


def _cells(row: Row, peers: Sequence[Row | None]) -> list[str]:
    """A peer that was not run on this workload has no ratio."""
    ratios = ["-" if peer is None else f"{peer.seconds / row.seconds:.2f}" for peer in peers]
    rate = [f"{row.asked / row.seconds:,.0f}", f"{100 * row.peak_share:.0f}"]
    numbers = [f"{row.asked:,}", f"{row.computed:,}", f"{row.seconds:.1f}", *rate]
    return [row.workload, row.way, *numbers, *ratios, f"{row.difference:.1e}"]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def heading(shape: str, dtype: str, device: str, peak: float, vllm: str) -> str:
    """When, where, with which versions and by which command."""
    number = f"{dtype}. {NO_UNITS}" if device == "cpu" and not cpu_has_bfloat16() else f"{dtype}."
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, vLLM {vllm or 'not measured'}"
    per = "processor second" if device == "cpu" else "second"
    where = f"{processor()}, {torch.get_num_threads()} thread(s)" if device == "cpu" else torch.cuda.get_device_name()
    return (
        f"## {shape}, {dtype}, {device}\n\n"
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {where}; {versions}\n"
        f"- {number} Measured matmul peak: {peak / 1e9:,.0f} GFLOP per {per}; load average {os.getloadavg()[0]:.1f}\n"
        f"- command: `python -m benchmarks.engine {command(sys.argv[1:])}`\n"
    )


def command(arguments: Sequence[str]) -> str:
    """The arguments, with names for the folders of this machine."""
    shown = [FOLDERS.get(before, word) for before, word in pairwise(["", *arguments])]
    return shlex.join(shown)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    return f"{os.cpu_count()} x {name}"
