"""Opening a checkpoint for scoring: from a name to a scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from stepscore.calibration import Calibration
from stepscore.checkpoint import checkpoint_facts
from stepscore.config import CheckpointFacts, EngineOptions, check_count
from stepscore.engine.open import open_engine
from stepscore.engine.process.open import open_process_engines
from stepscore.errors import UnsupportedByEngine
from stepscore.family.heads import VerdictHead
from stepscore.family.registry import Family, Parts, bind, family_named, resolve
from stepscore.scoring.judge_scorer import open_judge
from stepscore.scoring.protocol import Scoring, info_of
from stepscore.scoring.replicated import ReplicaScorer, ReplicatedScorer
from stepscore.scoring.scorer import Scorer

AnyScorer = TypeVar("AnyScorer", bound=Scorer)


def open_scorer(
    model: str,
    *,
    name: str | None = None,
    family: str | None = None,
    options: EngineOptions | None = None,
    family_options: Mapping[str, str] | None = None,
    engine: str = "torch",
    cache: Path | None = None,
    calibration: Calibration | None = None,
    data_parallel: int = 1,
) -> Scoring:
    """Open a checkpoint for scoring.

    model: "embedded", "embedded-head", a folder, or a Hub id. name: the name in requests; the model itself by default.
    family: overrides the resolution. cache: folder in which what ships is prepared; the user's cache folder by default.
    calibration: applied to every reward; refused if rewards are not probabilities.
    data_parallel: engines over this checkpoint, each in a process of its own; see `open_process_engines`.
    Raises CheckpointError (UnknownFamily, InvalidOption, ...), TypeError for a model or an engine that is not a text.
    """
    for what, given in (("model", model), ("engine", engine)):
        if not isinstance(given, str):
            raise TypeError(f"{what} is a text; this is a {type(given).__name__} (EngineOptions are given as options)")
    check_count("data_parallel", data_parallel, least=1)
    options = options or EngineOptions()
    facts = _facts_for(model, options, cache)
    chosen = family_named(family) if family else resolve(facts)
    if calibration is not None:
        calibration.check(chosen.reward_range, facts.revision)
    parts = bind(chosen, facts, family_options or {})
    scorer = _open(name or model, chosen, facts, parts, options, engine, data_parallel)
    scorer.info = replace(scorer.info, calibration=calibration)
    return scorer


def _open(
    name: str,
    family: Family,
    facts: CheckpointFacts,
    parts: Parts,
    options: EngineOptions,
    engine: str,
    data_parallel: int,
) -> Scoring:
    if isinstance(parts.head, VerdictHead):
        if data_parallel > 1:
            raise UnsupportedByEngine(f"{facts.name} is a judge: its generator runs once, not {data_parallel} times")
        return open_judge(name, family, facts, parts, options)
    if data_parallel > 1:
        engines = open_process_engines(facts, parts.head, options, engine, data_parallel)
        replicas = [ReplicaScorer(info_of(name, family, facts, each.info), parts, each) for each in engines]
        return ReplicatedScorer(_quantize(replicas, options))
    running = open_engine(facts, parts.head, options, engine=engine)
    (scorer,) = _quantize([Scorer(info_of(name, family, facts, running.info), parts, running)], options)
    return scorer


def _quantize(scorers: Sequence[AnyScorer], options: EngineOptions) -> Sequence[AnyScorer]:
    """The scorers, with 8-bit weights if the options want them. All are closed if one of them cannot have them."""
    try:
        for scorer in scorers if options.quantize != "none" else ():
            scorer.quantize(options.quantize, options.max_quantize_error)
    except BaseException:
        for scorer in scorers:
            scorer.close()
        raise
    return scorers


def family_of(model: str, options: EngineOptions | None = None, cache: Path | None = None) -> Family:
    """The family of a checkpoint, without loading a weight. Raises CheckpointError (UnknownFamily)."""
    return resolve(_facts_for(model, options or EngineOptions(), cache))


def _facts_for(model: str, options: EngineOptions, cache: Path | None) -> CheckpointFacts:
    """The weights must be there, unless another server holds them."""
    return checkpoint_facts(model, cache, weights=not options.generator.startswith("openai:"))
