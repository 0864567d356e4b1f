"""search-and-learn's own reward-model class over the same weights and the same tokens.

Its code is not part of this repository: `--search-and-learn PATH` names a checkout of huggingface/search-and-learn.
What runs is its class `Qwen_2_5_Math`: its batches (all answers of a question in one, padded, without a mask) and its
reading. The model is transformers' backbone with our head's tensors, as that class would load it; in the place of the
tokenizer stands one that gives the workload's ids, so that every way computes the same tokens.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engine.peers import right_padded
from stepscore.engine.reference import ReferenceModel
from stepscore.types import Encoded, Values

SEPARATOR = "<extra_0>"


class SearchAndLearnPeer:
    """Calls as questions with their answers. Gives (S, 2) log-probabilities of the classes.

    one_problem: whether a call is one question with many answers, or as many questions with one answer each.
    computed: tokens that went through the layers so far, padding included.
    """

    def __init__(self, checkout: Path, model: ReferenceModel, marker: int, one_problem: bool) -> None:
        self._one_problem = one_problem
        ids = _WorkloadIds(marker)
        self._ids = ids
        self._scores = their_scorer(checkout, TheirModel(model), ids)

    @property
    def computed(self) -> int:
        return self._ids.computed

    def __call__(self, call: Sequence[Encoded]) -> list[Values]:
        self._ids.call = call
        numbers = [str(number) for number in range(len(call))]
        answers = [numbers] if self._one_problem else [[number] for number in numbers]
        rewards = self._scores.score(["a question"] * len(answers), answers)
        return [_both_classes(of_one) for of_question in rewards for of_one in of_question]

    def purge(self) -> None:
        """Nothing is kept."""


def refusal(checkout: Path | None) -> str:
    """Why its class cannot be run; empty where it can."""
    if checkout is None:
        return "--search-and-learn names no checkout"
    if not (checkout / "src/sal/models/reward_models.py").is_file():
        return f"{checkout} is no checkout of search-and-learn"
    return ""


def their_scorer(checkout: Path, model: TheirModel, tokenizer: Any) -> Any:
    """Its class with a model and a tokenizer in hand, where it would load them from the Hub."""
    if str(checkout / "src") not in sys.path:
        sys.path.insert(0, str(checkout / "src"))
    theirs = importlib.import_module("sal.models.reward_models")

    class Opened(theirs.Qwen_2_5_Math):  # type: ignore[misc, name-defined]
        def load_model_and_tokenizer(self, **unused: Any) -> tuple[Any, Any]:
            return model, tokenizer

    return Opened(None)


class TheirModel:
    """What its class takes for the model: input_ids (B, T) to a tuple of logits (B, T, 2)."""

    def __init__(self, model: ReferenceModel) -> None:
        self._model = model
        self.device = model.backbone.device

    def __call__(self, input_ids: torch.Tensor) -> tuple[torch.Tensor]:
        hidden = self._model.backbone(input_ids=input_ids, use_cache=False).last_hidden_state
        none = torch.zeros(hidden.shape[:2].numel(), dtype=torch.long, device=self.device)
        return (self._model.readout(hidden.flatten(0, 1), none).view(*hidden.shape[:2], 2),)


class _WorkloadIds:
    """What its class takes for the tokenizer. An answer's text is the number of its sequence in the running call."""

    def __init__(self, marker: int) -> None:
        self._marker = marker
        self.call: Sequence[Encoded] = ()
        self.computed = 0

    def apply_chat_template(self, messages: Sequence[dict[str, str]], **unused: Any) -> str:
        return messages[-1]["content"]

    def encode(self, text: str) -> list[int]:
        return [self._marker]

    def __call__(self, texts: Sequence[str], **unused: Any) -> dict[str, torch.Tensor]:
        ids = right_padded([self.call[int(text.removesuffix(SEPARATOR))] for text in texts])
        self.computed += ids.numel()
        return {"input_ids": ids}


def _both_classes(rewards: Sequence[float]) -> Values:
    positive = np.asarray(rewards, dtype=np.float64)
    with np.errstate(divide="ignore"):  # a reward of exactly 1 leaves the other class nothing
        return np.log(np.stack([1.0 - positive, positive], axis=1)).astype(np.float32)
