"""Ways out of the sandbox that were found by trying: each is shut on every kernel, for root and for a normal user."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from stepscore.sandbox.folder import FolderLimits, is_full, remove, temporary_folder
from stepscore.sandbox.sandbox import LIBRARY as LIBRARY_FOLDER
from stepscore.sandbox.sandbox import Limits, Sandbox, interpreter
from stepscore.verify.code_verifier import CodeVerifier
from stepscore.verify.verifier import Truth

pytestmark = pytest.mark.usefixtures("sandbox_available")
PYTHON = [sys.executable, "-I", "-S", "main.py"]
LIBRARY = str(LIBRARY_FOLDER)
OLD_VERSIONS = [1, 2, 3, 5, 99]

SANDBOXED = """
import os, signal, sys
sys.path.insert(0, {library!r})
from stepscore.sandbox import landlock, syscalls
system = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache"]
landlock.allow_only([*system, *{readable!r}], ["/dev/null"], {version})
syscalls.deny()
{program}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that anybody may write, unlike pytest's."""
    made = Path(mkdtemp())
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def run_sandboxed(program: str, version: int, readable: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A program behind the two doors, with at most this version of Landlock. Its parent is a shell that it may kill."""
    script = SANDBOXED.format(library=LIBRARY, readable=[*interpreter(), *readable], version=version, program=program)
    shell = ["/bin/sh", "-c", '"$0" -I -S -c "$1"; echo survived', sys.executable, script]
    return subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("version", OLD_VERSIONS)
@pytest.mark.parametrize(
    "command",
    [
        "fcntl.fcntl(r, 8, os.getppid())",
        "fcntl.fcntl(r, 8, 0)",
        "fcntl.fcntl(r, 10, 9)",
        "fcntl.fcntl(r, 15, struct.pack('ii', 1, os.getppid()))",
        "fcntl.fcntl(r, 4, fcntl.fcntl(r, 3) | 0o20000)",
        "fcntl.ioctl(r, 0x5452, struct.pack('i', 1))",
        "fcntl.ioctl(r, 0x8901, struct.pack('i', os.getppid()))",
        "fcntl.ioctl(r, 0x8902, struct.pack('i', os.getppid()))",
    ],
)
def test_no_file_sends_a_signal_to_another_process(version: int, command: str) -> None:
    done = run_sandboxed(f"import fcntl, struct\nr, w = os.pipe()\n{command}\nprint('done')", version)
    assert "PermissionError" in done.stderr
    assert done.stdout == "survived\n"


def test_fcntl_and_ioctl_still_do_their_work() -> None:
    program = "import fcntl, array\nr, w = os.pipe()\nos.set_blocking(r, False)\nos.write(w, b'abc')\n"
    program += "a = array.array('i', [0]); fcntl.ioctl(r, 0x541B, a); print(a[0], os.get_blocking(r))"
    assert run_sandboxed(program, 99).stdout == "3 False\nsurvived\n"


def test_a_lock_may_be_described_at_any_address_and_a_pipe_have_any_size() -> None:
    """A set bit of such a number is no flag: an address with it is as likely as one without."""
    program = "import ctypes, fcntl\nr, w = os.pipe()\nbuffer = ctypes.create_string_buffer(1 << 15)\n"
    program += "start = ctypes.addressof(buffer)\nplaces = [at for at in range(start, start + 30000, 4096)]\n"
    program += "assert any(at & 0o20000 for at in places)\nlibc, file = ctypes.CDLL(None), os.open(sys.executable, 0)\n"
    program += "print({libc.fcntl(file, 6, ctypes.c_void_p(at)) for at in places}, fcntl.fcntl(r, 1031, 8192))"
    assert run_sandboxed(program, 99).stdout == "{0} 8192\nsurvived\n"


@pytest.mark.parametrize("version", OLD_VERSIONS)
@pytest.mark.parametrize(
    "attempt",
    [
        "os.truncate({0!r}, 0)",
        "os.open({0!r}, os.O_RDONLY | os.O_TRUNC)",
        "open({0!r}, 'w')",
        "os.open({0!r}, os.O_WRONLY)",
    ],
)
@pytest.mark.parametrize("readable", [True, False])
def test_no_file_outside_is_emptied(folder: Path, version: int, attempt: str, readable: bool) -> None:
    file = folder / "kept"
    file.write_text("kept")
    file.chmod(0o666)
    done = run_sandboxed(attempt.format(str(file)), version, (str(folder),) if readable else ())
    assert "PermissionError" in done.stderr
    assert file.read_text() == "kept"


def test_calls_newer_than_the_list_do_not_exist(folder: Path) -> None:
    file = folder / "kept"
    file.write_text("kept")
    program = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    program += "numbers = [437, *range(463, 600), 1 << 20]\n"
    program += "print({(libc.syscall(n, -100, path, 0, 0, 0, 0), ctypes.get_errno()) for n in numbers})"
    assert run_sandboxed(f"path = {os.fsencode(file)!r}\n{program}", 99).stdout == "{(-1, 38)}\nsurvived\n"


def test_setxattrat_changes_no_mode(folder: Path) -> None:
    """An ACL is an attribute: it gives the group of a file outside the right to write."""
    file = folder / "kept"
    file.touch(0o644)
    before = file.stat().st_mode
    program = (
        "import ctypes, struct\nacl = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', tag, mode, 0xFFFFFFFF) "
        "for tag, mode in ((1, 7), (4, 7), (32, 7)))\nvalue = ctypes.create_string_buffer(acl, len(acl))\n"
        "args = ctypes.create_string_buffer(struct.pack('<QII', ctypes.addressof(value), len(acl), 0))\n"
        f"print(ctypes.CDLL(None).syscall(463, -100, {os.fsencode(file)!r}, 0, b'system.posix_acl_access', args, 16))"
    )
    assert run_sandboxed(program, 99).stdout == "-1\nsurvived\n"
    assert file.stat().st_mode == before


NESTED = "import os\nfor _ in range({depth}):\n  os.mkdir('{name}'); os.chdir('{name}')\n{then}"


@pytest.mark.parametrize("name", ["d", "d" * 200])
def test_deep_folders_end_as_too_much_and_are_removed(name: str) -> None:
    sandbox = Sandbox(Limits(wall_seconds=20, disk_entries=1000), interpreter())
    for then in ("", "import time; time.sleep(60)"):
        program = "import os; print(os.getcwd(), flush=True)\n" + NESTED.format(depth=1500, name=name, then=then)
        ended = sandbox.run(PYTHON, {"main.py": program})
        assert ended.end in ("disk", "exited")
        assert not Path(ended.out.strip()).parent.exists()
    assert ended.end == "disk"


def test_a_solution_of_nested_folders_is_judged() -> None:
    solution = "```python\n" + NESTED.format(depth=1500, name="d", then="def f(): return 1") + "\n```"
    (verified,) = CodeVerifier().verify([solution], Truth(answer="", tests="assert f() == 1", entry_point=""))
    assert verified.outcome in ("right", "wrong")


@pytest.mark.parametrize(
    "program", ["for n in range(10_000): os.mkdir(str(n))", "for n in range(10_000): open(str(n), 'w').close()"]
)
def test_many_folders_or_files_end_as_too_much_in_time(program: str) -> None:
    sandbox = Sandbox(Limits(wall_seconds=4), interpreter())
    before = sum(os.times()[:4])
    ended = sandbox.run(PYTHON, {"main.py": f"import os, time\n{program}\ntime.sleep(60)"})
    assert ended.end == "disk"
    assert sum(os.times()[:4]) - before < 15, "processor time of the watch, the program and the clean-up"


HIDDEN = """
import os, time
os.mkdir('hidden', 0o300)
for n in range(40): open(f'hidden/{n}', 'wb').write(bytes(8 << 20))
time.sleep(60)
"""


def test_a_folder_that_cannot_be_listed_hides_nothing() -> None:
    sandbox = Sandbox(Limits(wall_seconds=30), interpreter())
    assert sandbox.run(PYTHON, {"main.py": HIDDEN}).end == "disk"


AS_NOBODY = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.path.insert(0, {library!r})
from stepscore.sandbox.sandbox import Sandbox, Limits, interpreter
sandbox = Sandbox(Limits(wall_seconds=30, disk_entries=1000), interpreter())
for program in ({hidden!r}, {nested!r}, {mode!r}):
    print(sandbox.run([sys.executable, "-I", "-S", "main.py"], {{"main.py": program}}).end)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_all_of_it_holds_for_a_normal_user(folder: Path) -> None:
    python = shutil.which("python3", path="/usr/bin")
    if python is None:
        pytest.skip("no interpreter that nobody may read")
    nested = NESTED.format(depth=1500, name="d", then="import time; time.sleep(60)")
    mode = "import os\nos.mkdir('a', 0o000); os.mkdir('b', 0o100); os.mkdir('c', 0o300); os.mkdir('c/d', 0o000)"
    script = AS_NOBODY.format(library=LIBRARY, hidden=HIDDEN, nested=nested, mode=mode)
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(
        [python, "-c", script], capture_output=True, text=True, timeout=200, env=environment, check=False
    )
    assert done.stdout.split() == ["disk", "disk", "exited"], done.stderr
    assert list(folder.iterdir()) == []


def test_a_link_in_the_place_of_a_folder_leads_the_watch_nowhere(folder: Path) -> None:
    outside = folder / "outside"
    outside.mkdir()
    outside.chmod(0o500)
    with temporary_folder("watched-") as watched:
        (watched / "link").symlink_to(outside)
        assert not is_full(watched, FolderLimits(1 << 20, 100), time.monotonic() + 10)
    assert outside.stat().st_mode & 0o777 == 0o500


def test_the_watch_stops_looking_when_its_time_is_over(folder: Path) -> None:
    (folder / "file").write_text("more than nothing")
    assert is_full(folder, FolderLimits(0, 0), time.monotonic() + 10)
    assert not is_full(folder, FolderLimits(0, 0), time.monotonic() - 1)


def test_removing_leaves_what_links_point_to(folder: Path) -> None:
    (folder / "kept").mkdir()
    (folder / "gone").mkdir()
    (folder / "gone" / "link").symlink_to(folder / "kept")
    remove(folder / "gone")
    assert [path.name for path in folder.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    "forgery",
    [
        "os.lseek(0, 0, 0); found = os.read(0, 1 << 20)",
        "sys.stdin.seek(0); found = sys.stdin.read().encode()",
        "sys.stdin.buffer.seek(0); found = sys.stdin.buffer.read()",
        "found = open('/dev/stdin', 'rb').read()",
        "found = open('/proc/self/fd/0', 'rb').read()",
        "found = os.pread(0, 1 << 20, 0)",
    ],
)
def test_a_pass_is_not_forged_by_rewinding_standard_input(forgery: str) -> None:
    program = (
        f"import json, os, sys\n{forgery}\nsecret = json.loads(found)['secret']\n"
        "for fd in range(64):\n  try: os.write(fd, secret.encode() + b'\\n')\n  except OSError: pass\nos._exit(0)"
    )
    (verified,) = CodeVerifier().verify(
        [f"```python\n{program}\n```"], Truth(answer="", tests="assert False", entry_point="")
    )
    assert verified.outcome == "wrong"


def test_a_socketpair_joins_a_program_only_to_itself() -> None:
    """asyncio needs one; no address can be bound, and none reached."""
    sandbox = Sandbox(Limits(), interpreter())
    program = "import asyncio\nasync def f(): return 7\nprint(asyncio.run(f()))"
    assert sandbox.run(PYTHON, {"main.py": program}).out == "7\n"
    program = "import socket\na, b = socket.socketpair()\n{}"
    for attempt in ("a.bind('x')", "a.connect('/run/x')", "a.sendto(b'x', '/run/x')"):
        assert sandbox.run(PYTHON, {"main.py": program.format(attempt)}).status == 1


def test_packages_that_programs_use_still_work() -> None:
    sandbox = Sandbox(Limits(wall_seconds=200, cpu_seconds=60), interpreter())
    program = "import numpy, sympy\nprint(numpy.linalg.inv([[2.0]])[0, 0], sympy.sqrt(8))"
    assert sandbox.run([sys.executable, "-I", "main.py"], {"main.py": program}).out == "0.5 2*sqrt(2)\n"
