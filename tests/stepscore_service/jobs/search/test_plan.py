"""A method as a person writes it."""

from __future__ import annotations

import pytest

from stepscore.errors import InvalidOption
from stepscore_service.jobs.search.plan import method_label, parse_method


@pytest.mark.parametrize(
    ("text", "given", "label"),
    [
        ("mcts:n=2", {}, "mcts:simulations=2"),
        ("mcts", {"n": 2}, "mcts:simulations=2"),
        ("mcts:n=2,simulations=2", {"n": 2}, "mcts:simulations=2"),
        ("rebase:n=4", {}, "rebase:width=4"),
        ("rebase", {"n": 4, "width": 4}, "rebase:width=4"),
        ("beam:n=8,width=2", {"n": 8}, "beam:n=8,width=2"),
        (" beam : n = 8 , width = 2 ", {}, "beam:n=8,width=2"),
        ("mcts:rule=uct,exploration=0.5", {}, "mcts:rule=uct,exploration=0.5"),
    ],
)
def test_n_is_the_size_of_every_method_and_may_be_repeated(text: str, given: dict[str, int], label: str) -> None:
    method = parse_method(text, **given)
    assert method_label(method) == label
    assert parse_method(label) == method


@pytest.mark.parametrize(
    ("text", "given"),
    [("mcts:n=2", {"n": 3}), ("mcts:simulations=2", {"n": 3}), ("rebase:width=2", {"n": 3}), ("rebase:n=2,n=3", {})],
)
def test_two_values_of_one_option_are_refused(text: str, given: dict[str, int]) -> None:
    with pytest.raises(InvalidOption, match="give it once"):
        parse_method(text, **given)
