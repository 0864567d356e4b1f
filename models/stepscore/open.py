"""Opening a checkpoint for scoring: from a name to a scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stepscore.calibration import Calibration
from stepscore.checkpoint import folder_name, locate, read_facts
from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.embedded.prepare import prepare, prepare_base
from stepscore.embedded.sources import SOURCES
from stepscore.engine.open import open_engine
from stepscore.family.heads import VerdictHead
from stepscore.family.layout import LayoutContext
from stepscore.family.registry import Family, Parts, family_named, resolve
from stepscore.judge_scorer import open_judge
from stepscore.scorer import Scorer
from stepscore.scoring import Scoring, info_of
from stepscore.text.tokenizer import StepTokenizer

EMBEDDED = "embedded"


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
) -> Scoring:
    """Open a checkpoint for scoring.

    model: "embedded", a folder, or a Hub id. name: the name in requests; the model itself by default.
    family: overrides the resolution. cache: folder in which "embedded" is prepared; the user's cache folder by default.
    calibration: applied to every reward; refused if rewards are not probabilities.
    Raises CheckpointError (UnknownFamily, InvalidOption, ...).
    """
    options = options or EngineOptions()
    facts = _facts_for(model, options, cache)
    chosen = family_named(family) if family else resolve(facts)
    if calibration is not None:
        calibration.check(chosen.reward_range, facts.revision)
    parts = bind(chosen, facts, family_options or {})
    scorer = _open(name or model, chosen, facts, parts, options, engine)
    scorer.info = replace(scorer.info, calibration=calibration)
    return scorer


def _open(
    name: str, family: Family, facts: CheckpointFacts, parts: Parts, options: EngineOptions, engine: str
) -> Scoring:
    if isinstance(parts.head, VerdictHead):
        return open_judge(name, family, facts, parts, options)
    running = open_engine(facts, parts.head, options, engine=engine)
    scorer = Scorer(info_of(name, family, facts, running.info), parts, running)
    if options.quantize != "none":
        scorer.quantize(options.quantize, options.max_quantize_error)
    return scorer


def family_of(model: str, options: EngineOptions, cache: Path | None = None) -> Family:
    """The family of a checkpoint, without loading a weight. Raises CheckpointError (UnknownFamily)."""
    return resolve(_facts_for(model, options, cache))


def checkpoint_facts(model: str, cache: Path | None = None, *, weights: bool = True) -> CheckpointFacts:
    """The facts of "embedded", a base of it (`SOURCES`), a folder or a Hub id. weights: whether they must be there."""
    if model == EMBEDDED:
        return replace(read_facts(prepare(cache)), name=EMBEDDED)
    if model in SOURCES:
        return replace(read_facts(prepare_base(model, cache)), name=model)
    folder = locate(model, weights=weights)
    return read_facts(folder, name=folder_name(folder) if Path(model).is_dir() else model, weights=weights)


def bind(family: Family, facts: CheckpointFacts, options: Mapping[str, str]) -> Parts:
    """The family's layout, head and reader for this checkpoint."""
    tokenizer = StepTokenizer.open(str(facts.path), family.markers)
    return family.build(LayoutContext(tokenizer, facts.config, family.settle(options), frozenset(facts.shapes)))


def _facts_for(model: str, options: EngineOptions, cache: Path | None) -> CheckpointFacts:
    """The weights must be there, unless another server holds them."""
    return checkpoint_facts(model, cache, weights=not options.generator.startswith("openai:"))
