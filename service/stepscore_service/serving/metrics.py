"""Every Prometheus metric of the service: names, labels, buckets. `docs/metrics.md` lists them; a test compares."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from stepscore.errors import StepscoreError
from stepscore.scoring import Scoring
from stepscore_service.batching.batcher import Batcher
from stepscore_service.batching.protocols import Outcome
from stepscore_service.serving.model_collector import ModelCollector

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
POWERS_OF_TWO = tuple(float(1 << power) for power in range(13))
TOKENS = tuple(float(16 << power) for power in range(13))
REWARDS = (
    *(-20.0, -10.0, -5.0, -2.0, -1.0, -0.5, -0.2, -0.1),
    *(step / 20 for step in range(21)),
    *(2.0, 5.0, 10.0, 20.0),
)
"""Twenty steps over [0, 1], where probabilities lie, and coarse ones beyond for log-ratios."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second time series for every counter and histogram, which nobody asks for


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = self.registry
        self.requests = Counter("stepscore_requests", "Answered requests.", ("route", "code"), registry=of)
        self.request_seconds = Histogram(
            "stepscore_request_seconds", "Seconds from request to answer.", ("route",), buckets=SECONDS, registry=of
        )
        self.running = Gauge("stepscore_requests_running", "Requests that are being answered.", registry=of)
        self.errors = Counter(
            "stepscore_errors", "Errors told to callers, those of single items included.", ("code",), registry=of
        )
        self.skipped = Counter(
            "stepscore_skipped_solutions",
            "Solutions that cost no forward: the caller hung up or gave up (departed), the deadline passed (expired).",
            ("model", "reason"),
            registry=of,
        )
        self.reloads = Counter(
            "stepscore_reloads",
            "Exchanges of a model's weights: done, or refused with the old weights still serving.",
            ("model", "outcome"),
            registry=of,
        )
        self._watched: dict[str, ModelCollector] = {}
        self.tokenise_seconds = self._histogram("tokenise_seconds", "Seconds to check and tokenise a request.", SECONDS)
        self.queue_seconds = self._histogram("queue_seconds", "Seconds from arrival to the forward.", SECONDS)
        self.forward_seconds = self._histogram("forward_seconds", "Seconds of one forward.", SECONDS)
        self.batch_solutions = self._histogram("batch_solutions", "Solutions of one forward.", POWERS_OF_TWO)
        self.batch_tokens = self._histogram("batch_tokens", "Tokens asked of one forward.", TOKENS)
        self.solution_steps = self._histogram("solution_steps", "Steps of one scored solution.", POWERS_OF_TWO)
        self.step_reward = self._histogram("step_reward", "Rewards given to steps.", REWARDS)

    def text(self) -> bytes:
        """The exposition format that Prometheus reads."""
        return generate_latest(self.registry)

    def watch(self, scorer: Scoring, batcher: Batcher) -> None:
        """Read a model's facts, queue and token counts whenever the metrics are asked for.

        Of two models of one name the later is the one that is told; the tokens of both are counted.
        """
        name = scorer.info.id
        if name not in self._watched:
            self._watched[name] = ModelCollector()
            self.registry.register(self._watched[name])
        self._watched[name].watch(scorer, batcher)

    def retire(self, name: str, batcher: Batcher) -> None:
        """A model that is closed, beside a later one of its name: its tokens stay counted, and nothing else of it."""
        self._watched[name].retire(batcher)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"stepscore_{name}", meaning, ("model",), buckets=buckets, registry=self.registry)


class ModelMeter:
    """The batcher's measurements of one model."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._skipped = metrics.skipped
        self._model = model
        self._tokenise = metrics.tokenise_seconds.labels(model)
        self._queue = metrics.queue_seconds.labels(model)
        self._forward = metrics.forward_seconds.labels(model)
        self._solutions = metrics.batch_solutions.labels(model)
        self._tokens = metrics.batch_tokens.labels(model)
        self._steps = metrics.solution_steps.labels(model)
        self._reward = metrics.step_reward.labels(model)

    def tokenised(self, seconds: float) -> None:
        self._tokenise.observe(seconds)

    def queued(self, seconds: float) -> None:
        self._queue.observe(seconds)

    def forwarded(self, solutions: int, tokens: int, seconds: float) -> None:
        self._forward.observe(seconds)
        self._solutions.observe(solutions)
        self._tokens.observe(tokens)

    def skipped(self, reason: str, solutions: int) -> None:
        self._skipped.labels(self._model, reason).inc(solutions)

    def answered(self, outcome: Outcome) -> None:
        if isinstance(outcome, StepscoreError):
            return
        self._steps.observe(len(outcome.reading.rewards))
        for reward in outcome.reading.rewards:
            self._reward.observe(reward)
