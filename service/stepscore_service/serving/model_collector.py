"""The metrics of a model that is served, over all the weights that come to bear its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stepscore.engine.protocol import TokenCounts
from stepscore.scoring import ModelInfo, Scoring
from stepscore_service.batching.batcher import Batcher


class ModelCollector(Collector):
    """Numbers of the models of one name, read from where they live at the moment of asking.

    The latest is the one that serves; tokens are those of all, since a counter never falls.
    """

    def __init__(self) -> None:
        self._open: dict[Batcher, Scoring] = {}
        self._past = TokenCounts(asked=0, computed=0)

    def watch(self, scorer: Scoring, batcher: Batcher) -> None:
        self._open[batcher] = scorer

    def retire(self, batcher: Batcher) -> None:
        self._past = _sum([self._past, self._open.pop(batcher).counts()])

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that several models can share the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        batcher, scorer = list(self._open.items())[-1]
        counts = _sum([self._past, *(each.counts() for each in self._open.values())])
        name = scorer.info.id
        yield _gauge("queue_requests", "Requests that wait for a forward.", name, batcher.waiting_calls)
        yield _gauge("queue_tokens", "Tokens that wait for a forward.", name, batcher.waiting_tokens)
        yield _counter("tokens_asked", "Tokens of all scored sequences.", name, counts.asked)
        yield _counter("tokens_computed", "Tokens that went through the model's layers.", name, counts.computed)
        yield _facts(scorer.info)


def _sum(counts: Sequence[TokenCounts]) -> TokenCounts:
    return TokenCounts(sum(each.asked for each in counts), sum(each.computed for each in counts))


def _facts(info: ModelInfo) -> Metric:
    facts = {
        "model": info.id,
        "family": info.family,
        "revision": info.revision,
        "engine": info.engine,
        "device": info.device,
        "dtype": info.dtype,
        "mode": info.mode,
    }
    family = GaugeMetricFamily("stepscore_model_info", "What is served; always 1.", labels=list(facts))
    family.add_metric(list(facts.values()), 1)
    return family


def _gauge(name: str, meaning: str, model: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"stepscore_{name}", meaning, labels=["model"])
    family.add_metric([model], value)
    return family


def _counter(name: str, meaning: str, model: str, value: float) -> Metric:
    family = CounterMetricFamily(f"stepscore_{name}", meaning, labels=["model"])
    family.add_metric([model], value)
    return family
