"""What can be written is what families say of their training."""

from __future__ import annotations

import pytest

from stepscore.errors import InvalidInput
from stepscore.family.registry import families
from stepscore_service.jobs.modeling.outputs import POLICY, output_named


def test_every_family_that_says_how_it_is_trained_is_an_output() -> None:
    trained = [family for family in families() if family.training]
    assert {"qwen_math", "token_classification", "value_head", "pqm", "number_logprob", "implicit"} == {
        family.name for family in trained
    }
    for family in trained:
        assert output_named(family.name).training is family.training


def test_a_policy_has_no_family() -> None:
    assert output_named(POLICY).family is None


@pytest.mark.parametrize("name", ["skywork", "implicit_stage2", ""])
def test_others_are_refused_with_the_names_that_exist(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"there are implicit, number_logprob, pqm, .*, causal"):
        output_named(name)
