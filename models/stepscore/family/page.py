"""The page about families, made from the register: `python -m stepscore.family.page [FILE]`."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from stepscore.family.registry import Evidence, Family, families
from stepscore.types import RewardRange

COMMAND = "python -m stepscore.family.page docs/families.md"
INTRODUCTION = f"""\
# Families

<!-- Made by `{COMMAND}`; edit the families, not this page. -->

A family is one line of published checkpoints: how a problem and its steps are laid out as text, where the model is
read, and what the numbers mean. Each is one file in `models/stepscore/families/`. A checkpoint finds its family by
`architectures` in its config.json, then by the names of its tensors, then by its repository's or folder's name;
`stepscore families --explain PATH` says why, and `--family NAME` overrules it. Your own family joins the list by an
entry point: [adding-a-family.md](adding-a-family.md). A checkpoint can name its own default aggregate, which replaces
the family's: `"default_aggregate": "last"` in its config.json.

In the prompts, braces hold what is filled in, and `↵` stands for a line break (the page adds one of its own after it).
Every family names the outside code that it was run beside, at which commit; `make test-authors AUTHORS=FOLDER` runs it
again over checkouts (`FOLDER/owner/name`), and `make test` compares the numbers that it gave (`tests/golden/authors/`).
Judges are families whose rewards are read from generated text; each step then has a rationale. They generate with
their own checkpoint in this process, or with a server that holds it (`--generator openai:http://host:8000/v1`).

| family | checkpoints | reward | range | aggregate | threshold |
|---|---|---|---|---|---|
"""


def page(shown: Sequence[Family]) -> str:
    """The whole page, as Markdown."""
    rows = "".join(map(_row, shown))
    return INTRODUCTION + rows + "".join("\n" + "\n".join(_section(family)) + "\n" for family in shown)


def _row(family: Family) -> str:
    checkpoints = "<br>".join(f"`{name}`" for name in family.checkpoints) or "any; name the family"
    cells = (
        f"[{family.name}](#{family.name})",
        checkpoints,
        _code(family.formula),
        _range(family.reward_range),
        f"`{family.aggregate}`",
        f"{family.threshold:g}",
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _section(family: Family) -> Iterator[str]:
    yield f"## {family.name}"
    yield f"\n**{family.title}**{' (judge)' if family.judge else ''}\n"
    yield from (f"- Source: <{source}>" for source in family.source)
    yield f"- Checkpoints: {', '.join(f'`{name}`' for name in family.checkpoints) or 'any that fits'}"
    yield f"- Licence of the weights: {family.licence}"
    yield f"- Recognised by: {_evidence(family.evidence)}"
    yield f"- Marker: {family.marker if '`' in family.marker else _code(family.marker)}"
    yield f"- Reward: {_code(family.formula)}, {_range(family.reward_range)}"
    yield f"- Default aggregate: `{family.aggregate}`; a step below {family.threshold:g} counts as wrong"
    yield "\nPrompt:\n"
    yield from _fence(family.prompt.replace("\n", "↵\n").removesuffix("\n"))
    yield from _options(family)
    yield from _comparisons(family)
    yield f"\n{inspect.cleandoc(sys.modules[family.build.__module__].__doc__ or '')}"


def _options(family: Family) -> Iterator[str]:
    if not family.options:
        return
    yield "\n| option | default | meaning |"
    yield "|---|---|---|"
    for key, option in family.options.items():
        choices = f" ({', '.join(f'`{choice}`' for choice in option.choices)})" if option.choices else ""
        cells = (f"`{key}`", _code(repr(option.default)), f"{option.meaning}{choices}")
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _comparisons(family: Family) -> Iterator[str]:
    if not family.compared:
        yield "\nCompared with: no outside code that gives these rewards is known."
        return
    yield "\n| compared with | commit | entry | remark |"
    yield "|---|---|---|---|"
    for other in family.compared:
        link = f"[{other.repository}](https://github.com/{other.repository}/tree/{other.commit})"
        yield f"| {link} | `{other.commit}` | {other.entry} | {other.remark or 'equal'} |"


def _evidence(evidence: Evidence) -> str:
    parts = (("architecture", evidence.architectures), ("tensors", evidence.tensors), ("name", evidence.repositories))
    shown = [f"{label} {', '.join(map(_code, patterns))}" for label, patterns in parts if patterns]
    return "; ".join(shown) or "nothing; name it with `--family`"


def _range(rewards: RewardRange) -> str:
    kind = rewards.kind.replace("_", " ")
    return f"{kind} in [{rewards.low:g}, {rewards.high:g}]" if math.isfinite(rewards.low) else f"{kind}, unbounded"


def _code(text: str) -> str:
    fence = "`" * (1 + _longest_run(text))
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`"


def _fence(text: str) -> Iterator[str]:
    fence = "`" * max(3, 1 + _longest_run(text))
    yield f"{fence}text"
    yield text
    yield fence


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def main(arguments: Sequence[str]) -> None:
    """Write the page to the file named, or to standard output."""
    text = page([family for family in families() if family.build.__module__.startswith("stepscore.families.")])
    if arguments:
        Path(arguments[0]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
