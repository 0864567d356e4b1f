"""The fenced blocks of the README and of docs/, as things that can be run or checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli_case import invoke

ROOT = Path(__file__).parents[1]
ADDRESS = "127.0.0.1:8000"
ONLY_CHECKED = ("git", "cd", "pip", "export", "source", "apt", "docker", "kubectl", "docker-compose")
SUBCOMMANDS = ("compare", "select", "export", "import", "list", "get")
VARYING = frozenset({"id", "request_id", "created", "revision"})
"""Fields that differ from call to call; only their kind is compared."""

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"^([a-z][a-z0-9-]*)\s*:(?!=)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. line: where its text begins. answer: the JSON block that follows directly, if one does."""

    language: str
    text: str
    line: int
    answer: str | None

    @property
    def commands(self) -> list[str]:
        """The shell commands, one each: joined at backslashes, without prompts, comments and printed output."""
        lines = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        if self.language == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def blocks(markdown: str) -> Iterator[Block]:
    found = list(_FENCE.finditer(markdown))
    for match, after in zip(found, [*found[1:], None], strict=True):
        adjoining = after is not None and after[1] == "json" and len(markdown[match.end() : after.start()]) < 200
        answer = after[2] if after is not None and adjoining else None
        yield Block(match[1], match[2], markdown.count("\n", 0, match.start()) + 2, answer)


def whole_commands(block: Block) -> list[str]:
    """Commands of a shell block, where one that spans lines inside quotes stays one (a curl with a JSON body)."""
    commands: list[str] = []
    for line in block.commands:
        if commands and _open_quote(commands[-1]):
            commands[-1] += "\n" + line
        else:
            commands.append(line)
    return commands


def check_stepscore(words: list[str]) -> None:
    """Run what needs nothing but the embedded checkpoint or the register; of the rest, the flags must exist."""
    if words[0] in ("families", "version"):
        assert invoke(*words).exit_code == 0, words
        return
    command = words[:2] if words[1:2] and words[1] in SUBCOMMANDS else words[:1]
    command = ["search", "run"] if command == ["search"] else command
    known = invoke(*command, "--help", env={"COLUMNS": "300"})
    assert known.exit_code == 0, words
    for word in words[1:]:
        assert not word.startswith("--") or word.partition("=")[0] in known.output, f"{word} is no flag of {words[0]}"


def check_files(words: list[str]) -> None:
    """Paths of the repository that a command names must exist."""
    for word in words[1:]:
        if word.startswith(("deploy/", "docs/", "benchmarks/", "./deploy")):
            assert (ROOT / word).exists(), f"{' '.join(words)}: there is no {word}"


def make_targets() -> set[str]:
    return set(_TARGET.findall((ROOT / "Makefile").read_text()))


def differences(said: Any, real: Any, numbers: bool, at: str = "$") -> Iterator[str]:
    """Where an answer differs from what is printed: keys, kinds, lengths, texts and, with `numbers`, values (1e-3)."""
    if isinstance(said, dict) and isinstance(real, dict):
        if said.keys() != real.keys():
            yield f"{at}: keys {sorted(said)} are printed, {sorted(real)} are answered"
        for key in said.keys() & real.keys():
            yield from differences(said[key], real[key], numbers and key not in VARYING, f"{at}.{key}")
    elif isinstance(said, list) and isinstance(real, list):
        if len(said) != len(real):
            yield f"{at}: {len(said)} entries are printed, {len(real)} are answered"
        for index, (one, other) in enumerate(zip(said, real, strict=False)):
            yield from differences(one, other, numbers, f"{at}[{index}]")
    elif _is_number(said) and _is_number(real):
        if numbers and not math.isclose(said, real, abs_tol=1e-3):
            yield f"{at}: {said} is printed, {real} is answered"
    elif (numbers and said != real) or (type(said) is not type(real) and None not in (said, real)):
        yield f"{at}: {said!r} is printed, {real!r} is answered"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _open_quote(command: str) -> bool:
    return command.count("'") % 2 == 1
