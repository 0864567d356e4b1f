"""The policy: SmolLM2-135M-Instruct, warmed up on worked solutions, and its accuracy on held-out problems."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.grpo.problems import Problem, answer_in, held_out_problems, warm_up_problems
from benchmarks.grpo.sizes import ACCURACY
from stepscore.embedded.smollm2 import HUB_ID, load_smollm2, smollm2_file

IGNORED = -100
WARM_UP_RATE = 2e-4
WARM_UP_BATCH = 16
AT_ONCE = 32
"""Problems whose solutions are written side by side; each costs memory for its cache."""
CHATML = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""The base's own template without its system turn, whose tokens would cost a third of every step here."""


def load_policy(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A saved policy in its own number format."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    return _with_contiguous_head(model), AutoTokenizer.from_pretrained(folder)


def _with_contiguous_head(model: PreTrainedModel) -> PreTrainedModel:
    """PyTorch multiplies a sliced batch (`logits_to_keep`) by a copy of the head's weights for each of its rows."""
    head: torch.nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    head.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
    return model


def warm_up(problems: Sequence[Problem], steps: int, folder: Path) -> list[float]:
    """Train all weights of the base on worked solutions, and save it in bfloat16. The loss of each step."""
    model, _ = load_smollm2()
    quantizer: Any = getattr(model, "hf_quantizer", None)
    if quantizer is not None:  # of the GGUF file; the weights here are whole, and may be saved as such
        quantizer.remove_quantization_config(model)
    tokenizer, model = _base_tokenizer(), _with_contiguous_head(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=WARM_UP_RATE, weight_decay=0.0)
    losses = []
    for step in range(steps):
        with torch.autocast("cpu", torch.bfloat16):
            loss = _loss(model, random.Random(step).sample(list(problems), WARM_UP_BATCH), tokenizer)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        print(f"warm-up step {step + 1}: loss {losses[-1]:.3f}", flush=True)
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return losses


def _base_tokenizer() -> PreTrainedTokenizerBase:
    file = smollm2_file()
    folder, name = (str(file.parent), file.name) if file else (HUB_ID, None)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.chat_template = CHATML
    return tokenizer


def _loss(model: PreTrainedModel, problems: Sequence[Problem], tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    """Cross-entropy of the solutions. Prompts are padded at the left: the head is computed for solutions only."""
    prompts = tokenizer(_prompts(problems, tokenizer), add_special_tokens=False)["input_ids"]
    solutions = [tokenizer.encode(f"{each.solution}{tokenizer.eos_token}") for each in problems]
    left, left_mask = _padded(prompts, "left")
    right, right_mask = _padded(solutions, "right")
    mask = torch.cat([left_mask, right_mask], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    output = model(
        input_ids=torch.cat([left, right], dim=1),
        attention_mask=mask,
        position_ids=positions,
        logits_to_keep=right.shape[1] + 1,
    )
    targets = right.masked_fill(right_mask == 0, IGNORED)
    return cross_entropy(output.logits[:, :-1].float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def _padded(rows: Sequence[Sequence[int]], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, rows x longest."""
    tensors = [torch.tensor(row) for row in rows]
    ids = pad_sequence(tensors, batch_first=True, padding_side=side)
    return ids, pad_sequence([torch.ones_like(row) for row in tensors], batch_first=True, padding_side=side)


def _prompts(problems: Sequence[Problem], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    texts = [tokenizer.apply_chat_template(p.prompt, tokenize=False, add_generation_prompt=True) for p in problems]
    return [str(text) for text in texts]


def accuracy(model: Any, tokenizer: PreTrainedTokenizerBase, problems: Sequence[Problem], max_tokens: int) -> float:
    """The share that greedy decoding answers right."""
    training = model.training
    model.eval()
    right = 0
    for first in range(0, len(problems), AT_ONCE):
        some = problems[first : first + AT_ONCE]
        written = _write(model, tokenizer, some, max_tokens)
        right += sum(answer_in(text) == problem.answer for text, problem in zip(written, some, strict=True))
    model.train(training)
    return right / len(problems)


@torch.no_grad()
def _write(model: Any, tokenizer: PreTrainedTokenizerBase, problems: Sequence[Problem], max_tokens: int) -> list[str]:
    prompts = tokenizer(
        _prompts(problems, tokenizer), return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
    )
    ids = model.generate(**prompts, do_sample=False, max_new_tokens=max_tokens, pad_token_id=tokenizer.pad_token_id)
    return [
        str(text) for text in tokenizer.batch_decode(ids[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Warm up the policy.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--held-out", type=int, required=True, help="problems that measure what it learned")
    parser.add_argument("--max-tokens", type=int, required=True)
    options = parser.parse_args()
    losses = warm_up(warm_up_problems(), options.steps, options.out)
    model, tokenizer = load_policy(options.out)
    share = accuracy(model, tokenizer, held_out_problems(options.held_out), options.max_tokens)
    (options.out / "warm-up.json").write_text(json.dumps({"losses": losses, ACCURACY: share}))


if __name__ == "__main__":
    main()
