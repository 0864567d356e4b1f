"""What a program that means harm can do in sandbox: nothing, and not for long."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from cli_case import run_python
from stepscore.sandbox.sandbox import Ended, Limits, Sandbox, interpreter

T = TypeVar("T")
pytestmark = pytest.mark.usefixtures("sandbox_available")

PYTHON = [sys.executable, "-I", "-S", "main.py"]


@pytest.fixture(scope="module")
def sandbox(sandbox_available: None) -> Sandbox:
    return Sandbox(Limits(cpu_seconds=1, wall_seconds=20), interpreter())


def run(sandbox: Sandbox, program: str) -> Ended:
    return sandbox.run(PYTHON, {"main.py": program})


def test_an_honest_program_runs_in_a_folder_of_its_own(sandbox: Sandbox) -> None:
    ended = run(sandbox, "import os; open('x', 'w').write('hi'); print(sorted(os.listdir('.')), open('x').read())")
    assert (ended.end, ended.status, ended.out) == ("exited", 0, "['main.py', 'x'] hi\n")


@pytest.mark.parametrize("text", ["∀ é", "half a pair: \ud800"])
def test_files_and_standard_input_arrive_as_utf_8(sandbox: Sandbox, text: str) -> None:
    program = "import sys; print(open('text', 'rb').read() == sys.stdin.buffer.read(), open('text', 'rb').read())"
    ended = sandbox.run(PYTHON, {"main.py": program, "text": text}, text)
    assert ended.out == f"True {text.encode(errors='surrogatepass')!r}\n"


UNDER_ANY_LOCALE = """
from stepscore.sandbox.sandbox import Limits, Sandbox, interpreter
program = "print(ascii('\\u2200'))"
print(Sandbox(Limits(), interpreter()).run(COMMAND, {"main.py": program}).out)
"""


def test_the_locale_of_the_caller_changes_no_file(sandbox_available: None, tmp_path: Path) -> None:
    code = UNDER_ANY_LOCALE.replace("COMMAND", repr(PYTHON))
    done = run_python(tmp_path, "-c", code, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.stdout.strip(), done.stderr) == (r"'\u2200'", "")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import os\nwhile True: os.fork()", "PermissionError"),
        ("import subprocess; subprocess.run(['/bin/ls'])", "PermissionError"),
        ("import threading\nwhile True: threading.Thread(target=input).start()", "can't start new thread"),
        ("bytearray(10 << 30)", "MemoryError"),
        ("open('big', 'wb').write(bytes(1 << 28))", "File too large"),
        ("import socket; socket.create_connection(('127.0.0.1', 80))", "PermissionError"),
        ("import socket; socket.socket(socket.AF_UNIX)", "PermissionError"),
        ("import os; os.kill(os.getppid(), 9)", "PermissionError"),
        ("import os; os.kill(-1, 9)", "PermissionError"),
        ("import os; print(open(f'/proc/{os.getppid()}/environ').read())", "PermissionError"),
        ("print(open('/etc/passwd').read())", "PermissionError"),
        ("import os; os.chmod('/etc/passwd', 0o600)", "PermissionError"),
        ("import os; os.listdir('..')", "PermissionError"),
        ("import os; os.chroot('.')", "PermissionError"),
        ("import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", "ValueError"),
        ("import resource; resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))", "PermissionError"),
    ],
)
def test_harm_is_an_error_of_the_program(sandbox: Sandbox, program: str, says: str) -> None:
    ended = run(sandbox, program)
    assert (ended.end, ended.status, ended.out) == ("exited", 1, "")
    assert says in ended.error


def test_files_of_the_caller_are_out_of_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for attempt in (f"print(open({str(secret)!r}).read())", f"import os; os.remove({str(secret)!r})"):
        assert "PermissionError" in run(sandbox, attempt).error
    assert secret.read_text() == "secret"


def test_the_environment_is_not_inherited(sandbox: Sandbox) -> None:
    seen = run(sandbox, "import os; print(' '.join(os.environ))").out.split()
    assert set(os.environ) - set(seen)
    assert {"HOME", "LANG", "PATH", "TMPDIR"} <= set(seen)
    assert len(seen) < 10


def test_an_endless_loop_ends_by_its_processor_time(sandbox: Sandbox) -> None:
    assert run(sandbox, "while True: pass").end == "cpu"


def test_a_program_that_waits_ends_by_the_clock() -> None:
    sandbox = Sandbox(Limits(wall_seconds=3), interpreter())
    started = time.monotonic()
    assert run(sandbox, "import signal; signal.alarm(0)\nwhile True: signal.pause()").end == "wall"
    assert time.monotonic() - started < 10


def test_many_files_end_by_the_size_of_the_folder() -> None:
    sandbox = Sandbox(Limits(disk_bytes=8 << 20), interpreter())
    program = "for name in range(10**6):\n  open(str(name), 'wb').write(bytes(1 << 20))"
    assert run(sandbox, program).end == "disk"


def test_nothing_is_left_behind(sandbox: Sandbox) -> None:
    folder = Path(run(sandbox, "import os; print(os.getcwd())").out.strip())
    assert folder.name == "work"
    assert not folder.parent.exists()


WITHOUT_LANDLOCK = """
from stepscore.errors import SandboxUnavailable
from stepscore.sandbox.landlock import allow_only
from stepscore.sandbox.sandbox import Sandbox

for _ in range(16):
    allow_only((), ("/",))
try:
    Sandbox()
except SandboxUnavailable as error:
    print(error.code, error.detail["reason"])
print(Sandbox(weak=True))
"""


def test_a_kernel_that_cannot_sandbox_is_refused_unless_less_is_accepted() -> None:
    """The kernel refuses a 17th layer of Landlock, as one without Landlock refuses the first."""
    command = [sys.executable, "-c", WITHOUT_LANDLOCK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("no_sandbox Landlock: ")
    assert "only partly sandboxed (Landlock: " in done.stdout


def test_what_is_in_force_can_be_said(sandbox: Sandbox) -> None:
    assert str(sandbox) == "sandboxed by seccomp, Landlock and resource limits"


WAITING = """
import sys
from stepscore.sandbox.sandbox import Sandbox, interpreter

program = "import os, time; print(os.getpid(), flush=True); open('started', 'w').close(); time.sleep(600)"
Sandbox(readable=interpreter()).run([sys.executable, "-I", "-S", "main.py"], {"main.py": program})
"""


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", WAITING], env=environment)
    try:
        (started,) = eventually(lambda: list(tmp_path.rglob("started")))
        child = int((started.parents[1] / "channels" / "out").read_text())
    finally:
        parent.kill()
        parent.wait()
    eventually(lambda: not Path(f"/proc/{child}").exists())


def eventually(look: Callable[[], T]) -> T:
    """What `look` finds as soon as that is something."""
    until = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found
