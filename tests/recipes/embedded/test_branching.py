"""Branches of a trunk: the same tokens as transformers writes behind the same prefix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from recipes.embedded.branching import Brancher, How, Trunk

END = 3
TRUNKS = [Trunk((5, 9, 11, 30, 8, 12, 40), (2, 2, 5, 7)), Trunk((7, 21, 33), (1, 3))]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=48,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        initializer_range=0.4,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).eval()


def written(model: Any, prefix: tuple[int, ...]) -> list[int]:
    """What transformers writes greedily behind a prefix."""
    ids = torch.tensor([prefix])
    with torch.inference_mode():
        found = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
    new: list[int] = found[0, len(prefix) :].tolist()
    return new


def test_the_likeliest_branches_are_those_of_transformers(model: Any) -> None:
    wanted = [[written(model, trunk.ids[:start]) for start in trunk.starts] for trunk in TRUNKS]
    end = wanted[0][2][7]
    found = Brancher(model).sample(TRUNKS, How(end, temperature=1e-6, most=24, patience=0.0), seed=1)
    assert found == [[tuple(ids[: ids.index(end)]) if end in ids else None for ids in branches] for branches in wanted]
    assert found[0][2]


def test_a_seed_fixes_the_branches_and_those_of_one_prefix_differ(model: Any) -> None:
    how = How(END, temperature=1.0, most=12, patience=0.0)
    trunks = [Trunk(TRUNKS[0].ids, (7,) * 12)]
    (first,), (again,), (other,) = (Brancher(model).sample(trunks, how, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) > 1


def test_branches_that_had_not_ended_are_none(model: Any) -> None:
    (branches,) = Brancher(model).sample([TRUNKS[0]], How(END, temperature=1e-6, most=1), seed=0)
    assert all(branch in (None, ()) for branch in branches)
    assert None in branches
