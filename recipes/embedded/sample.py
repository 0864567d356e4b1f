"""Solutions that a policy samples to training problems, labelled by the worked solutions.

    python -m recipes.embedded.sample --data DATA --policy runs/embedded/policy --out sampled.jsonl

Several solutions of one writer to one problem, right and wrong ones, so that their style says nothing of their labels.
On a GPU this takes minutes, on two CPU cores hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import track
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from recipes.embedded.gsm8k import Worked
from recipes.embedded.held_out import training_problems
from recipes.embedded.judging import labels_of
from recipes.embedded.mixture import Group, write_rows
from recipes.embedded.rows import Row
from stepscore.generate.prompt import ChatPrompt
from stepscore.verify.numeric import NumericVerifier
from stepscore.verify.verifier import Truth

SEED, SAMPLES = 0, 4


@dataclass(frozen=True, slots=True)
class Sampling:
    """n solutions of a problem; `together` of them side by side."""

    n: int = SAMPLES
    temperature: float = 0.6
    tokens: int = 220
    together: int = 4096


class Policy:
    """A causal language model of transformers and its chat prompt. folder: of a finished run of `stepscore train`."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._tokenizer, self._prompts = tokenizer, ChatPrompt(tokenizer)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._model = model.eval().to(device)

    @torch.inference_mode()
    def solutions(self, problems: Sequence[str], sampling: Sampling) -> Iterator[list[str]]:
        """The ended ones among n solutions of each problem, in order."""
        size = max(1, sampling.together // sampling.n)
        parts = [problems[start : start + size] for start in range(0, len(problems), size)]
        for part in track(parts, description="sampling"):
            ids = [list(self._prompts.write(problem, "")) for problem in part]
            prompts = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._model.device)
            found = self._model.generate(
                **prompts,
                do_sample=True,
                temperature=sampling.temperature,
                top_k=0,
                top_p=1.0,
                repetition_penalty=1.0,
                max_new_tokens=sampling.tokens,
                num_return_sequences=sampling.n,
                pad_token_id=self._tokenizer.pad_token_id,
            )[:, prompts["input_ids"].shape[1] :].cpu()
            for start in range(0, len(found), sampling.n):
                yield [text for row in found[start : start + sampling.n] if (text := self._ended(row)) is not None]

    def _ended(self, row: torch.Tensor) -> str | None:
        """The text before the end of the turn; None if the solution did not come to it."""
        ends = (row == self._tokenizer.eos_token_id).nonzero()
        return self._tokenizer.decode(row[: int(ends[0])]) if len(ends) else None


def labelled(worked: Worked, texts: Sequence[str]) -> Group:
    """Rows of the solutions that state a number, each text once."""
    different = list(dict.fromkeys(texts))
    verdicts = NumericVerifier().verify(different, Truth(worked.answer))
    return [
        _row(worked, text, verdict.outcome == "right")
        for text, verdict in zip(different, verdicts, strict=True)
        if verdict.outcome != "unreadable" and text.strip()
    ]


def _row(worked: Worked, text: str, right: bool) -> Row:
    steps = [line for line in text.splitlines() if line.strip()]
    labels = labels_of(worked, steps, right)
    return {"prompt": worked.problem, "completions": steps, "labels": labels, "outcome": right}


def main(
    data: Annotated[Path, typer.Option(help="folder with gsm8k/ and steps/", exists=True)],
    policy: Annotated[Path, typer.Option(help="a policy's run", exists=True)],
    out: Annotated[Path, typer.Option(help="JSONL file")],
    problems: Annotated[int, typer.Option(min=0, help="only so many; 0 takes all")] = 0,
    n: Annotated[int, typer.Option(min=1, help="solutions of each problem")] = SAMPLES,
) -> None:
    """Write labelled samples."""
    set_seed(SEED)
    worked = training_problems(data)[: problems or None]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    texts = Policy(policy, device).solutions([each.problem for each in worked], Sampling(n=n))
    groups = [labelled(each, found) for each, found in zip(worked, texts, strict=True)]
    right = sum(row["outcome"] for group in groups for row in group)
    typer.echo(f"{out}: {write_rows(out, groups)} solutions of {len(groups)} problems, {right} right")


if __name__ == "__main__":
    typer.run(main)
