"""Checkpoints whose config says no more than that they are a language model are told apart by their names."""

from __future__ import annotations

import re

import pytest

from stepscore.family.registry import Family, families


def claims(family: Family, name: str) -> bool:
    return any(re.search(pattern, name, re.IGNORECASE) for pattern in family.evidence.repositories)


@pytest.mark.parametrize(
    ("family", "name"),
    [(family, name) for family in families() if family.evidence.repositories for name in family.checkpoints],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_published_name_is_claimed_by_its_family_alone(family: Family, name: str) -> None:
    claiming = [other.name for other in families() if claims(other, name)]
    assert claiming == [family.name]


@pytest.mark.parametrize("name", ["RLHFlow/Llama3.1-8B-ORM-Mistral-Data", "meta-llama/Llama-3.1-8B-Instruct"])
def test_a_model_that_no_family_reads_is_claimed_by_none(name: str) -> None:
    assert not [family.name for family in families() if claims(family, name)]
