"""Fine-tune the policy behind the embedded checkpoint: language modelling on GSM8K's training solutions.

    python -m recipes.embedded.train --gsm8k train.jsonl --out FOLDER --tokens 900000

LoRA on the upper layers of SmolLM2-135M-Instruct; the loss is the cross-entropy of the solution's tokens, digits
weighing three times as much, because digits are what the reading reads. Training state is saved every few minutes,
and the same command continues after a kill. The learning rate falls to zero at the planned end, which is counted in
tokens, so that the same command gives the same run on a slow machine and on a fast one.
Needs the `train` and `embedded` extras.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from peft import LoraConfig, PeftModel, get_peft_model
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional

from recipes.embedded.gsm8k import Worked, styled
from recipes.embedded.rows import Part, problems_of
from stepscore.embedded.base import load_base
from stepscore.families.number_logprob import digit_tokens, write
from stepscore.text.tokenizer import StepTokenizer

SAVE_SECONDS = 240.0
DIGIT_WEIGHT = 3.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """tokens: of the whole run. batch: problems of one step, of like length out of a `block` of batches.

    layers: trained, counted from the top.
    """

    tokens: int
    batch: int = 8
    block: int = 12
    learning_rate: float = 5e-4
    rank: int = 32
    layers: int = 24
    warmup_steps: int = 10
    seed: int = 0


@dataclass(slots=True)
class Progressed:
    """What a run has behind it; written beside the adapter."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0


def add_adapter(model: Any, recipe: Recipe) -> PeftModel:
    layers = model.config.num_hidden_layers
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=2 * recipe.rank,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        layers_to_transform=list(range(layers - recipe.layers, layers)),
        layers_pattern="layers",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def batches(problems: list[Worked], recipe: Recipe, start: int) -> Iterator[list[Worked]]:
    """Endless batches of problems in styles of their own; batch number `start` is the same in every run.

    A block of batches is sorted by length before it is cut, so that little is padded; its batches come in random order.
    """
    for block in itertools.count(start // recipe.block):
        rng = random.Random(f"{recipe.seed}/{block}")
        size = recipe.block * recipe.batch
        chosen = [styled(problems[(block * size + offset) % len(problems)], rng) for offset in range(size)]
        chosen.sort(key=lambda worked: len(worked.problem) + sum(len(step.text) for step in worked.steps))
        order = rng.sample(range(recipe.block), recipe.block)
        for number in order[max(0, start - block * recipe.block) :]:
            yield chosen[number * recipe.batch :][: recipe.batch]


def loss_of(
    model: Any, tokenizer: StepTokenizer, digits: torch.Tensor, batch: list[Worked]
) -> tuple[torch.Tensor, int]:
    """Mean weighted cross-entropy over the batch's solution tokens, and how many tokens went through the model.

    Rows are padded on the right, where causal attention never looks.
    """
    encoded = [write(tokenizer, worked.solution) for worked in batch]
    longest = max(len(each.ids) for each in encoded)
    ids = torch.tensor([[*each.ids, *[0] * (longest - len(each.ids))] for each in encoded])
    hidden = model.get_base_model().model(input_ids=ids, use_cache=False).last_hidden_state
    rows: list[int] = []
    columns: list[int] = []
    for row, each in enumerate(encoded):
        columns += range(each.reads[0], each.reads[-1])
        rows += [row] * (each.reads[-1] - each.reads[0])
    targets = ids[rows, [column + 1 for column in columns]]
    logits = model.get_base_model().lm_head(hidden[rows, columns])
    weights = 1.0 + (DIGIT_WEIGHT - 1.0) * torch.isin(targets, digits)
    losses = functional.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum() / weights.sum(), sum(len(each.ids) for each in encoded)


def rate(recipe: Recipe, done: Progressed) -> float:
    """Learning rate after `done`: linear warm-up, then a cosine to zero at the planned end."""
    part = min(1.0, done.tokens / recipe.tokens)
    return recipe.learning_rate * min(1.0, (done.step + 1) / recipe.warmup_steps) * 0.5 * (1 + math.cos(math.pi * part))


def run(gsm8k: Path, out: Path, recipe: Recipe) -> Progressed:
    torch.manual_seed(recipe.seed)
    base, tokenizer = load_base()
    model = add_adapter(base, recipe)
    optimizer = torch.optim.AdamW(
        [each for each in model.parameters() if each.requires_grad], lr=recipe.learning_rate, weight_decay=0.0
    )
    done = restore(out, model, optimizer)
    problems = problems_of(gsm8k, Part.TRAIN)
    random.Random(recipe.seed).shuffle(problems)
    digits = torch.tensor(digit_tokens(tokenizer))
    with Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()) as progress:
        bar = progress.add_task("training", total=recipe.tokens)
        progress.update(bar, completed=done.tokens)
        saved = done.seconds
        for batch in batches(problems, recipe, done.step):
            if done.tokens >= recipe.tokens:
                break
            train_step(model, optimizer, tokenizer, digits, batch, recipe, done)
            progress.update(bar, completed=done.tokens, description=f"step {done.step}, loss {done.loss:.3f}")
            if done.seconds - saved > SAVE_SECONDS:
                save(out, model, optimizer, done)
                saved = done.seconds
    save(out, model, optimizer, done)
    return done


def train_step(
    model: Any,
    optimizer: torch.optim.Optimizer,
    tokenizer: StepTokenizer,
    digits: torch.Tensor,
    batch: list[Worked],
    recipe: Recipe,
    done: Progressed,
) -> None:
    started = time.monotonic()
    for group in optimizer.param_groups:
        group["lr"] = rate(recipe, done)
    loss, tokens = loss_of(model, tokenizer, digits, batch)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    done.step += 1
    done.tokens += tokens
    done.loss = 0.95 * done.loss + 0.05 * loss.item() if done.loss else loss.item()
    done.seconds += time.monotonic() - started


def save(out: Path, model: PeftModel, optimizer: torch.optim.Optimizer, done: Progressed) -> None:
    """Adapter, optimiser and progress; the progress file, written last, makes them valid."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(out), save_embedding_layers=False)
    torch.save(optimizer.state_dict(), out / "optimizer.pt")
    written = {name: getattr(done, name) for name in Progressed.__slots__}
    (out / "progress.json").write_text(json.dumps(written) + "\n", encoding="utf-8")


def restore(out: Path, model: PeftModel, optimizer: torch.optim.Optimizer) -> Progressed:
    if not (out / "progress.json").is_file():
        return Progressed()
    model.load_adapter(str(out), "default", is_trainable=True)
    optimizer.load_state_dict(torch.load(out / "optimizer.pt", weights_only=True))
    return Progressed(**json.loads((out / "progress.json").read_text(encoding="utf-8")))


def main(
    gsm8k: Annotated[Path, typer.Option(help="GSM8K's train.jsonl", exists=True)],
    out: Annotated[Path, typer.Option(help="folder for the adapter; the same folder continues a run")],
    tokens: Annotated[int, typer.Option(help="tokens of the run, those of the problems included")] = 900_000,
) -> None:
    """Fine-tune the policy behind the embedded checkpoint."""
    done = run(gsm8k, out, Recipe(tokens))
    typer.echo(f"{done.step} steps, {done.tokens} tokens, loss {done.loss:.3f}, {done.seconds / 60:.1f} min: {out}")


if __name__ == "__main__":
    typer.run(main)
