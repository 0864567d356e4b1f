"""Prompts that are kept: the longest known beginning is found, and no shared token is read twice."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from stepscore.generate.key_values import ReadPrompt
from stepscore.generate.prefixes import PrefixCache, common, waves
from stepscore.types import Ids

PROMPTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple), min_size=1, max_size=12)


def read(ids: Ids, *, whole: bool = True) -> ReadPrompt:
    keys = torch.tensor(ids, dtype=torch.float32)[None, None, :, None]
    return ReadPrompt(ids, ((keys, keys),), torch.zeros(1) if whole else None)


@given(PROMPTS, st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple))
def test_the_longest_known_beginning_is_found(known: list[Ids], ids: Ids) -> None:
    cache = PrefixCache(10**6)
    for each in known:
        cache.add(read(each))
    expected = min(max(common(ids, each) for each in known), len(ids) - 1)
    found = cache.longest(ids)
    assert (found.ids if found else ()) == ids[:expected]
    assert found is None or found.layers[0][0].flatten().tolist() == list(ids[:expected])
    assert (cache.get(ids) is not None) == (ids in known)


@given(PROMPTS)
def test_waves_read_each_shared_token_once(prompts: list[Ids]) -> None:
    """As many tokens as the tree of the prompts has edges, and every prompt is read to its end."""
    cache = PrefixCache(10**6)
    tokens = 0
    for wave in waves(prompts):
        new = [(ids, cache.longest(ids)) for ids in wave]
        for ids, before in new:
            tokens += len(ids) - (len(before.ids) if before else 0)
            cache.add(read(ids))
    assert tokens == len({ids[:end] for ids in prompts for end in range(1, len(ids) + 1)})
    assert all(cache.get(ids) for ids in prompts)


@given(PROMPTS, st.integers(0, 200))
def test_what_was_used_longest_ago_goes_first(prompts: list[Ids], limit: int) -> None:
    cache = PrefixCache(limit)
    for ids in prompts:
        cache.add(read(ids))
    cache.trim()
    latest = list(dict.fromkeys(reversed(prompts)))
    kept = [ids for ids in latest if cache.get(ids)]
    assert kept == latest[: len(kept)]
    assert sum(read(ids).bytes for ids in kept) <= limit
    assert kept == latest or sum(read(ids).bytes for ids in latest[: len(kept) + 1]) > limit


def test_a_beginning_without_logits_is_no_whole_prompt() -> None:
    cache = PrefixCache(10**6)
    cache.add(read((1, 2, 3), whole=False))
    assert cache.get((1, 2, 3)) is None
    found = cache.longest((1, 2, 3))
    assert found is not None
    assert found.ids == (1, 2)
