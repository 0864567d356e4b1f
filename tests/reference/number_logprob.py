"""The language-model reading, written out with transformers: the least likely event of each step's numbers.

Nobody else's code: the reading is this project's own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def step_rewards(path: Path, problem: str, steps: list[str]) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    constants = json.loads((path / "config.json").read_text())["number_logprob"]
    prompt = f"<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n"
    encoding = tokenizer(prompt + "".join(f"{step}\n" for step in steps), return_offsets_mapping=True)
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
    digit_ids = tokenizer.convert_tokens_to_ids(list("0123456789"))
    operations = []

    def single(texts: Iterable[str]) -> set[int]:
        written = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        return {ids[0] for ids in written if len(ids) == 1}

    for signs in ("+", "-−", "*x×", "/÷"):
        operations.append(single(sp + sign for sign in signs for sp in ("", " ")))
    results = single(sp + word for word in ("=", "==", "≈", "is", ":") for sp in ("", " "))
    minuses, pluses = single(("-", " -", "−", " −", "-$", " -$")), single((" ", "$", " $"))
    commas = single((",", "_", "'"))
    end = len(prompt)
    token = next(index for index, (_, stop) in enumerate(offsets) if stop > end)
    rewards = []
    for step in steps:
        end += len(step) + 1
        inside = []
        while token < len(ids) and offsets[token][1] <= end:
            inside.append(token)
            token += 1
        inside_ids = [ids[t] for t in inside]
        numbers = []
        for place, t in enumerate(inside):
            surprise = number_surprise(logprobs[t - 1], ids, t, digit_ids, operations)
            grouped = "".join("d" if each in digit_ids else "," if each in commas else " " for each in inside_ids) + " "
            group = re.search(r"(?<!d)d{1,3},$", grouped[: place + 1])
            thousands = group and re.match(r"ddd[^d]", grouped[place + 1 :])
            if surprise is not None and not thousands:
                numbers.append(surprise)
            digits_follow = any(each in digit_ids for each in inside_ids[place + 1 : place + 3])
            if ids[t - 1] in results and (ids[t] in digit_ids or (digits_follow and ids[t] in minuses | pluses)):
                numbers.append(sign_surprise(logprobs[t - 1], ids[t] in minuses, minuses, pluses | set(digit_ids)))
            elif ids[t - 1] not in digit_ids and digits_follow and ids[t] in set().union(*operations):
                [own] = [operation for operation in operations if ids[t] in operation]
                others = set().union(*operations) - own
                near = inside_ids[max(0, place - 4) : max(0, place - 1)]
                numbers += [sign_surprise(logprobs[t - 1], True, own, others)] * any(each in digit_ids for each in near)
        kind = "" if numbers else "wordy_"
        lowest = min(numbers or [logprobs[t - 1, ids[t]].item() for t in inside])
        x = constants[f"{kind}slope"] * lowest + constants[f"{kind}offset"]
        rewards.append(1 / (1 + math.exp(-x)))
    return rewards


def sign_surprise(logprobs: torch.Tensor, first: bool, ones: set[int], others: set[int]) -> float:
    """The log-odds of one kind of tokens against the other, or 0 if it is the likelier one."""
    one, other = (sum(logprobs[each].exp().item() for each in tokens) for tokens in (ones, others))
    return min(0.0, math.log(one / other) if first else math.log(other / one))


def number_surprise(
    logprobs: torch.Tensor, ids: list[int], token: int, digit_ids: list[int], operations: list[set[int]]
) -> float | None:
    """The log-probability of what token number `token` does to a number; None where it has to do with none."""
    probabilities = logprobs.exp()
    digit = sum(probabilities[each].item() for each in digit_ids)
    here, before = ids[token] in digit_ids, ids[token - 1] in digit_ids
    if here and before:
        return logprobs[ids[token]].item()
    if here:
        return math.log(probabilities[ids[token]].item() / digit)
    if not before:
        return None
    end = math.log(max(1.0 - digit, 1e-3))
    for operation in operations:
        if ids[token] in operation:
            sign = sum(probabilities[each].item() for each in set().union(*operations))
            return min(end, math.log(sum(probabilities[each].item() for each in operation) / sign))
    return end
