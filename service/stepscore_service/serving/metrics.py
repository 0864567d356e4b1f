"""Every Prometheus metric of the service: names, labels, buckets. `docs/metrics.md` lists them; a test compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from weakref import WeakSet

import torch
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stepscore.engine.protocol import TokenCounts
from stepscore.errors import StepscoreError
from stepscore.scoring.protocol import ModelInfo, Scoring
from stepscore_service.batching.protocols import RequestContext
from stepscore_service.batching.replicas import AnyBatcher
from stepscore_service.serving.drift import TenantDrift
from stepscore_service.serving.rewarding import RewardedResult
from stepscore_service.serving.scoring import ScoreResult

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
POWERS_OF_TWO = tuple(float(1 << power) for power in range(13))
TOKENS = tuple(float(16 << power) for power in range(13))
REWARDS = (
    *(-20.0, -10.0, -5.0, -2.0, -1.0, -0.5, -0.2, -0.1),
    *(step / 20 for step in range(21)),
    *(2.0, 5.0, 10.0, 20.0),
)
"""Twenty steps over [0, 1], the range of probabilities, and coarse ones beyond for log-ratios."""

GAPS = tuple(step / 10 for step in range(-10, 11))
"""Score, mapped to [0, 1], less outcome."""

SHOWN_FACTS = ("family", "revision", "engine", "device", "dtype", "mode")
"""Labels of `stepscore_model_info` beside the model's name."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second time series for every counter and histogram, which has no use here


class Metrics:
    """The metrics of one application, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(GpuCollector())
        self._collectors: dict[str, ModelCollector] = {}
        self._counted: WeakSet[StepscoreError] = WeakSet()
        self._add_requests()
        self._add_forwards()
        self._add_rewards()

    def _add_requests(self) -> None:
        self.requests = self._counter("requests", "Answered requests.", "route", "code")
        self.request_seconds = self._histogram(
            "request_seconds", "Seconds from request to answer.", SECONDS, label="route"
        )
        self.running = self._gauge("requests_running", "Requests in flight, without probes and scrapes.")
        self.errors = self._counter("errors", "Errors of requests and of single solutions.", "code")
        self.reloads = self._counter(
            "reloads",
            "Exchanges of a model's weights: done, or refused with the old weights still serving.",
            *("model", "outcome"),
        )

    def _add_forwards(self) -> None:
        self.skipped = self._counter(
            "skipped_solutions",
            "Solutions that cost no forward: the caller hung up or gave up (departed), the deadline passed (expired).",
            *("model", "reason"),
        )
        self.failures = self._counter(
            "forward_failures",
            "Forwards that failed, by the code of the error; most are run again in smaller parts.",
            *("model", "code"),
        )
        self.tokenise_seconds = self._histogram("tokenise_seconds", "Seconds to check and tokenise a request.", SECONDS)
        self.queue_seconds = self._histogram("queue_seconds", "Seconds from arrival to the forward.", SECONDS)
        self.forward_seconds = self._histogram("forward_seconds", "Seconds of one forward.", SECONDS)
        self.batch_solutions = self._histogram("batch_solutions", "Solutions of one forward.", POWERS_OF_TWO)
        self.batch_tokens = self._histogram("batch_tokens", "Prompt tokens of one forward.", TOKENS)

    def _add_rewards(self) -> None:
        self.solution_steps = self._histogram("solution_steps", "Steps of one scored solution.", POWERS_OF_TWO)
        self.step_reward = self._histogram("step_reward", "Rewards given to steps.", REWARDS)
        self.outcomes = self._counter(
            "outcomes", "Final answers that /reward has verified: right, wrong, unreadable.", "model", "outcome"
        )
        self.outcome_gap = self._histogram("outcome_gap", "Score, mapped to [0, 1], less outcome.", GAPS)
        self.signs = self._counter(
            "hacking_signs", "Solutions of /reward that show a sign of reward hacking.", "model", "sign"
        )
        self.length_correlation = self._gauge(
            "reward_length_correlation",
            "Of rewards with characters, in the last /reward request that had three or more solutions.",
            "model",
        )

    def text(self) -> bytes:
        """The exposition format that Prometheus reads."""
        return generate_latest(self.registry)

    def count_error(self, error: StepscoreError) -> None:
        """Count an error by its code; one that is a solution's result and then its request's answer counts once."""
        if error not in self._counted:
            self._counted.add(error)
            self.errors.labels(error.code).inc()

    def watch(self, scorer: Scoring, batcher: AnyBatcher, drift: TenantDrift) -> None:
        """Read a model's facts, queue, token counts and drift whenever the metrics are read.

        Of two models of one name the later one is shown; the tokens of both are counted.
        """
        name = scorer.info.id
        if name not in self._collectors:
            self._collectors[name] = ModelCollector()
            self.registry.register(self._collectors[name])
        self._collectors[name].watch(scorer, batcher, drift)

    def retire(self, name: str, batcher: AnyBatcher) -> None:
        """A model of that name is closed and a later one serves: only its tokens stay counted."""
        self._collectors[name].retire(batcher)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"stepscore_{name}", meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"stepscore_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], label: str = "model") -> Histogram:
        return Histogram(f"stepscore_{name}", meaning, (label,), buckets=buckets, registry=self.registry)


class ModelMetrics:
    """The measurements of one model: what its batcher does, and the results that it gives."""

    def __init__(self, metrics: Metrics, info: ModelInfo, drift_solutions: int) -> None:
        model = info.id
        self.drift = TenantDrift(drift_solutions)
        self._metrics = metrics
        self._model = model
        self._aggregate = info.aggregate
        self._tokenise = metrics.tokenise_seconds.labels(model)
        self._queue = metrics.queue_seconds.labels(model)
        self._forward = metrics.forward_seconds.labels(model)
        self._solutions = metrics.batch_solutions.labels(model)
        self._tokens = metrics.batch_tokens.labels(model)
        self._steps = metrics.solution_steps.labels(model)
        self._reward = metrics.step_reward.labels(model)
        self._gap = metrics.outcome_gap.labels(model)

    def observe_tokenising(self, seconds: float) -> None:
        self._tokenise.observe(seconds)

    def observe_wait(self, seconds: float) -> None:
        self._queue.observe(seconds)

    def count_forward(self, solutions: int, tokens: int, seconds: float) -> None:
        self._forward.observe(seconds)
        self._solutions.observe(solutions)
        self._tokens.observe(tokens)

    def count_failure(self, code: str) -> None:
        self._metrics.failures.labels(self._model, code).inc()

    def count_skipped(self, reason: str, solutions: int) -> None:
        self._metrics.skipped.labels(self._model, reason).inc(solutions)

    def count_result(self, result: ScoreResult, context: RequestContext) -> None:
        """Count an answer's steps, rewards and drift, or an error by its code."""
        if isinstance(result, StepscoreError):
            self._metrics.count_error(result)
            return
        self._steps.observe(len(result.rewards))
        for reward in result.rewards:
            self._reward.observe(reward)
        if context.policy_version:
            self.drift.of(context.tenant).add(context.policy_version, result.aggregates[self._aggregate])

    def count_reward(self, result: RewardedResult) -> None:
        """Count an outcome and the signs of reward hacking, or an error by its code."""
        if isinstance(result, StepscoreError):
            self._metrics.count_error(result)
            return
        if result.verified is not None:
            self._metrics.outcomes.labels(self._model, result.verified.outcome).inc()
        if result.signs.gap is not None:
            self._gap.observe(result.signs.gap)
        for sign in ("repeated_steps", "steps_without_content", "marker_text"):
            if getattr(result.signs, sign):
                self._metrics.signs.labels(self._model, sign).inc()

    def set_length_correlation(self, value: float) -> None:
        """Of one request's rewards with lengths in characters."""
        self._metrics.length_correlation.labels(self._model).set(value)


class ModelCollector(Collector):
    """The metrics of the models of one name, read from where they are kept when the metrics are read.

    The latest model is the one that serves; tokens are those of all, because a counter never falls.
    """

    def __init__(self) -> None:
        self._open: dict[AnyBatcher, tuple[Scoring, TenantDrift]] = {}
        self._past = TokenCounts(prompt=0, computed=0)

    def watch(self, scorer: Scoring, batcher: AnyBatcher, drift: TenantDrift) -> None:
        self._open[batcher] = scorer, drift

    def retire(self, batcher: AnyBatcher) -> None:
        self._past = _sum([self._past, self._open.pop(batcher)[0].counts()])

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that several models can share the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        batcher, (scorer, drift) = list(self._open.items())[-1]
        counts = _sum([self._past, *(each.counts() for each, _ in self._open.values())])
        name = scorer.info.id
        yield _gauge("queue_requests", "Requests that wait for a forward.", name, batcher.waiting_requests)
        yield _gauge("queue_tokens", "Tokens that wait for a forward.", name, batcher.waiting_tokens)
        total, working = batcher.engines
        yield _gauge("engines", "Engines over the model.", name, total)
        yield _gauge("engines_working", "Engines over the model that can still run a forward.", name, working)
        yield _counter("prompt_tokens", "Prompt tokens of all scored sequences.", name, counts.prompt)
        yield _counter("tokens_computed", "Tokens that went through the model's layers.", name, counts.computed)
        yield _counter("kv_evicted_tokens", "Tokens given up for others in the KV cache.", name, counts.evicted)
        yield _gauge("kv_tokens", "Tokens whose keys and values are kept.", name, counts.kept)
        yield _gauge("kv_capacity_tokens", "Tokens whose keys and values can be kept.", name, counts.capacity)
        yield _gauge(
            "kv_fill_ratio",
            "Of the KV cache that holds something, 0 to 1; 0 without a cache.",
            name,
            counts.kept / counts.capacity if counts.capacity else 0.0,
        )
        yield _facts(scorer.info)
        yield from _drift(name, drift)


def gpu_memory() -> dict[int, tuple[int, int]]:
    """By index, (used, total) bytes of each GPU that this process uses, by all processes on it.

    Empty before the first use, and after a GPU has failed for good. Asking an unused GPU would take some of its memory.
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    ours = [index for index in range(torch.cuda.device_count()) if torch.cuda.memory_reserved(index)]
    try:
        sizes = {index: torch.cuda.mem_get_info(index) for index in ours}
    except RuntimeError:  # the other metrics say what is wrong
        return {}
    return {index: (total - free, total) for index, (free, total) in sizes.items()}


class GpuCollector(Collector):
    """The memory of the GPUs that this process uses, read when the metrics are read; nothing without a GPU.

    read: by index, (used, total) bytes of a device, by all processes on it.
    """

    def __init__(self, read: Callable[[], Mapping[int, tuple[int, int]]] = gpu_memory) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering it touches no GPU."""
        return ()

    def collect(self) -> Iterable[Metric]:
        used = GaugeMetricFamily(
            "stepscore_gpu_memory_used_bytes", "Memory of a GPU that is taken, by all processes.", labels=["device"]
        )
        total = GaugeMetricFamily("stepscore_gpu_memory_total_bytes", "Memory of a GPU.", labels=["device"])
        for index, (taken, all_) in self._read().items():
            used.add_metric([f"cuda:{index}"], taken)
            total.add_metric([f"cuda:{index}"], all_)
        return [used, total]


def _sum(counts: Sequence[TokenCounts]) -> TokenCounts:
    """Counters add up; of the cache, what the latest has."""
    return TokenCounts(
        prompt=sum(each.prompt for each in counts),
        computed=sum(each.computed for each in counts),
        kept=counts[-1].kept,
        capacity=counts[-1].capacity,
        evicted=sum(each.evicted for each in counts),
    )


def _facts(info: ModelInfo) -> Metric:
    facts = info.as_dict()
    family = GaugeMetricFamily("stepscore_model_info", "What is served; always 1.", labels=["model", *SHOWN_FACTS])
    family.add_metric([info.id, *(facts[name] for name in SHOWN_FACTS)], 1)
    return family


def _drift(model: str, drift: TenantDrift) -> Iterable[Metric]:
    """Of the latest policy version, once it can be compared. Versions are not a label: there is no end of them."""
    numbers = drift.largest()
    for name, meaning in (
        ("psi", "Population stability index of the latest policy version's scores against the reference."),
        ("ks", "Kolmogorov-Smirnov distance of the latest policy version's scores from the reference."),
    ):
        family = GaugeMetricFamily(f"stepscore_score_drift_{name}", meaning, labels=["model"])
        if numbers is not None:
            family.add_metric([model], getattr(numbers, name))
        yield family


def _gauge(name: str, meaning: str, model: str, value: float) -> Metric:
    family = GaugeMetricFamily(f"stepscore_{name}", meaning, labels=["model"])
    family.add_metric([model], value)
    return family


def _counter(name: str, meaning: str, model: str, value: float) -> Metric:
    family = CounterMetricFamily(f"stepscore_{name}", meaning, labels=["model"])
    family.add_metric([model], value)
    return family
