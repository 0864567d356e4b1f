"""Next steps that the policy itself writes behind every prefix of a worked solution, judged by that solution.

    python -m recipes.embedded.sampled --gsm8k train.jsonl --policy FOLDER --out next.jsonl

The mistakes of a program are not those of a model: a model takes a plausible wrong turn. A policy too weak to finish a
problem cannot label steps by Monte Carlo rollouts, since hardly any rollout ends right; but its single steps are right
often enough, and the worked solution tells which (`judging`).

The file holds a line for each problem, in order; a killed run continues. Needs the `train` extra.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import track
from transformers import AutoModelForCausalLM

from recipes.embedded.branching import Brancher, How, Trunk
from recipes.embedded.gsm8k import Worked, styled
from recipes.embedded.judging import judged
from recipes.embedded.rows import Part, Row, problems_of
from stepscore.families.number_logprob import write
from stepscore.open import checkpoint_facts
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Solution
from stepscore_service.jobs.runs.journal import open_journal

AT_ONCE = 16
"""Problems whose steps are sampled side by side."""

Numbered = tuple[int, Worked]
"""A problem with its number among those of training."""


@dataclass(frozen=True, slots=True)
class Next:
    """A sampled step. before: how many of the worked solution's steps stand before it."""

    before: int
    text: str
    sound: bool


def trunk_of(tokenizer: StepTokenizer, worked: Worked, samples: int) -> Trunk:
    """The worked solution but for its last step; branches leave behind the problem and behind every step."""
    encoded = write(tokenizer, Solution(worked.problem, worked.solution.steps[:-1]))
    starts = tuple(read + 1 for read in encoded.reads for _ in range(samples))
    return Trunk(encoded.ids, starts)


def kept(worked: Worked, texts: Sequence[str | None], samples: int) -> Iterator[Next]:
    """Every judged step once; those of the worked solution are left out. texts: `samples` behind each prefix."""
    for before, step in enumerate(worked.steps):
        some = dict.fromkeys(text.strip() for text in texts[before * samples :][:samples] if text is not None)
        for text in some:
            sound = judged(worked, before, text) if text else None
            if sound is not None and text != step.text:
                yield Next(before, text, sound)


def next_steps(
    brancher: Brancher, tokenizer: StepTokenizer, problems: Sequence[Numbered], samples: int
) -> Iterator[Row]:
    """For each problem, in the style that its number draws, a row with its sampled steps."""
    end = tokenizer.inner.encode("\n", add_special_tokens=False)[0]
    for start in range(0, len(problems), AT_ONCE):
        some = problems[start : start + AT_ONCE]
        styles = [styled(worked, random.Random(number)) for number, worked in some]
        trunks = [trunk_of(tokenizer, worked, samples) for worked in styles]
        branches = brancher.sample(trunks, How(end), seed=some[0][0])
        for (number, _), worked, each in zip(some, styles, branches, strict=True):
            texts = [None if ids is None else str(tokenizer.inner.decode(list(ids))) for ids in each]
            yield {"number": number, "next": [asdict(step) for step in kept(worked, texts, samples)]}


def main(
    gsm8k: Annotated[Path, typer.Option(help="GSM8K's train.jsonl", exists=True)],
    policy: Annotated[Path, typer.Option(help="folder of the policy, as `export policy` writes it", exists=True)],
    out: Annotated[Path, typer.Option(help="JSONL file; the same one continues a run")],
    problems: Annotated[int, typer.Option(help="only those before this one")] = 400,
    first: Annotated[int, typer.Option(help="the number of the first one")] = 0,
    samples: Annotated[int, typer.Option(help="steps sampled behind each prefix")] = 3,
) -> None:
    """Sample next steps behind worked prefixes and judge them."""
    chosen = list(enumerate(problems_of(gsm8k, Part.TRAIN)))[first:problems]
    revision = checkpoint_facts(str(policy)).revision
    journal = open_journal(out, {"policy": revision, "first": first, "problems": problems, "samples": samples})
    model: Any = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32, local_files_only=True)
    begin = journal.done // AT_ONCE * AT_ONCE  # what is sampled together decides over its random numbers
    found = next_steps(Brancher(model.eval()), StepTokenizer.open(str(policy)), chosen[begin:], samples)
    rows = islice(found, journal.done - begin, None)
    for row in track(rows, description="sampling", total=len(chosen) - journal.done):
        journal.append([row])
    journal.close()


if __name__ == "__main__":
    typer.run(main)
