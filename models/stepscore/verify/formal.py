"""Steps checked by proof: an external proof checker runs on the formal statements that they carry.

A step whose scripts all compile is sound. One with a statement whose negation Coq's automatic tactics (lia, lra,
computation) prove is wrong. Everything else is unknown, with the checker's reason: a proof that fails shows that this
proof fails and nothing about its claim. Whether the formal statement says what the step says is for people to judge.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from stepscore.errors import ToolMissing
from stepscore.sandbox.sandbox import Ended, Limits, Sandbox
from stepscore.verify.checker import Checked
from stepscore.verify.coq_script import Refused, blocks, read_script, refutation

LIMITS = Limits(cpu_seconds=20, wall_seconds=60.0, memory_bytes=2 << 30)


class CoqChecker:
    """Judges steps with coqc, in sandbox; seconds for each statement. Safe from any thread."""

    name = "coq"

    def __init__(self, limits: Limits = LIMITS, weak: bool = False, command: str = "coqc") -> None:
        """Raises ToolMissing without coqc, and SandboxUnavailable as `Sandbox` does."""
        found = shutil.which(command)
        if found is None:
            raise ToolMissing(f"{command} is not on this machine; install Coq (Debian: apt install coq)", tool=command)
        self._coqc = str(Path(found).absolute())
        self.sandbox = Sandbox(limits, _library(self._coqc), weak)

    def check(self, problem: str, steps: Sequence[str]) -> list[Checked]:
        """Each script is checked separately; it does not see those of earlier steps."""
        return [self._check(step) for step in steps]

    def _check(self, step: str) -> Checked:
        verdicts = [self._judge(block) for block in blocks(step)]
        if not verdicts:
            return Checked("unknown", "it carries no formal statement")
        order = ("wrong", "unknown", "sound")
        return min(verdicts, key=lambda checked: order.index(checked.verdict))

    def _judge(self, block: str) -> Checked:
        try:
            script = read_script(block)
        except Refused as refused:
            return Checked("unknown", str(refused))
        compiled = self._compile(script.text)
        if _has_passed(compiled):
            return Checked("sound")
        if _has_passed(self._compile(refutation(script))):
            return Checked("wrong", f"Coq proves the contrary of `{script.statements[-1][:100]}`")
        return Checked("unknown", _reason(compiled))

    def _compile(self, script: str) -> Ended:
        return self.sandbox.run([self._coqc, "-q", "step.v"], {"step.v": script + "\n"})


def _library(coqc: str) -> tuple[str, ...]:
    where = subprocess.run([coqc, "-where"], capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    return (where, str(Path(where).parent), str(Path(coqc).resolve().parents[1]), "/etc/ocamlfind.conf")


def _has_passed(ended: Ended) -> bool:
    return ended.end == "exited" and ended.status == 0


def _reason(ended: Ended) -> str:
    if ended.end != "exited":
        return "the proof checker took more time or memory than it is given"
    said = [line for line in ended.error.splitlines() if line.strip() and not line.startswith("File ")]
    return " ".join(said)[:300] or "the proof checker refuses it"
