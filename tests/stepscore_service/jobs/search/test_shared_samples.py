"""Equal seeded requests are sampled once, and answered alike."""

from __future__ import annotations

from search_case import DicePolicy, FormulaPrm, oracle, problems, searcher
from stepscore_service.jobs.search.compare import SampleMemory


def test_methods_that_sample_alike_share_their_samples():
    policy = DicePolicy(0.7, 3)
    memory = SampleMemory(policy)
    first = list(searcher(memory, FormulaPrm(oracle), "majority", n=4).run(problems(3)))
    calls = policy.calls
    second = list(searcher(memory, FormulaPrm(oracle), "best_of_n", n=4).run(problems(3)))
    assert policy.calls == calls
    texts = [{r.problem.key: [c.text for c in r.candidates] for r in results} for results in (first, second)]
    assert texts[0] == texts[1]
