"""Several methods and budgets on the same problems: a table, and accuracy against tokens as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepscore.generate.protocol import Completion, Generator, GeneratorInfo, Request
from stepscore_service.jobs.metrics.interval import share_with_interval
from stepscore_service.jobs.runs.atomic import write_bytes, write_text
from stepscore_service.jobs.search.rows import SearchTally

HEADER = "| method | problems | accuracy | 95% interval | pass@N | policy tokens a problem | seconds a problem |"
TABLE = "comparison.md"
PLOT = "comparison.svg"


@dataclass(frozen=True, slots=True)
class MethodResult:
    """accuracy, low, high: shares of the judged problems; None if no answer is known."""

    label: str
    problems: int
    accuracy: float | None
    low: float | None
    high: float | None
    solved: float | None
    tokens: float
    seconds: float


def result_of(label: str, tally: SearchTally) -> MethodResult:
    rows = max(1, tally.rows)
    if not tally.judged:
        return MethodResult(label, tally.rows, None, None, None, None, tally.policy_tokens / rows, tally.seconds / rows)
    estimate = share_with_interval(tally.correct, tally.judged)
    return MethodResult(
        label,
        tally.rows,
        estimate.value,
        estimate.low,
        estimate.high,
        tally.solved / tally.judged,
        tally.policy_tokens / rows,
        tally.seconds / rows,
    )


class SampleMemory:
    """A generator that answers a seeded request of before from memory, since its answer would be the same.

    For the samples of whole solutions; steps of a search are rarely asked for twice.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._known: dict[Request, tuple[Completion, ...]] = {}

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    @property
    def tokens(self) -> int:
        return self._generator.tokens

    def generate(self, requests: Sequence[Request]) -> list[tuple[Completion, ...]]:
        new = [each for each in dict.fromkeys(requests) if each not in self._known]
        if new:
            answers = self._generator.generate(new)
            self._known.update(zip(new, answers, strict=True))
        return [self._known[request] for request in requests]

    def continuations(self, prompt: tuple[int, ...], choices: Sequence[tuple[int, ...]]) -> list[tuple[float, ...]]:
        return self._generator.continuations(prompt, choices)

    def close(self) -> None:
        self._generator.close()


def write_comparison(out: Path, results: Sequence[MethodResult], about: Mapping[str, object]) -> None:
    """The table, and the plot if accuracy is known. Raises ModuleNotFoundError if that needs the extra `evaluate`."""
    write_text(out / TABLE, comparison_table(results, about))
    if any(each.accuracy is not None for each in results):
        write_bytes(out / PLOT, comparison_plot(results))


def comparison_table(results: Sequence[MethodResult], about: Mapping[str, object]) -> str:
    facts = "\n".join(f"- {name}: {value}" for name, value in about.items())
    rows = "\n".join(_row(each) for each in results)
    return f"# Search methods compared\n\n{facts}\n\n{HEADER}\n|{'---|' * 7}\n{rows}\n"


def _row(each: MethodResult) -> str:
    between = "–" if each.low is None or each.high is None else f"{each.low:.1%} to {each.high:.1%}"
    accuracy, solved = (("–" if value is None else f"{value:.1%}") for value in (each.accuracy, each.solved))
    cells = (each.label, each.problems, accuracy, between, solved, f"{each.tokens:,.0f}", f"{each.seconds:.1f}")
    return f"| {' | '.join(map(str, cells))} |"


def comparison_plot(results: Sequence[MethodResult]) -> bytes:
    """Accuracy with its interval against policy tokens, one colour for each method, as SVG."""
    import matplotlib as mpl  # the extra `evaluate` brings it
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stepscore", "font.size": 11}):
        figure = Figure(figsize=(7.5, 4.5), layout="constrained")
        axes = figure.subplots()
        for method in dict.fromkeys(each.label.partition(":")[0] for each in results):
            points = [r for r in results if r.label.partition(":")[0] == method and r.accuracy is not None]
            points.sort(key=lambda each: each.tokens)
            values = [each.accuracy or 0.0 for each in points]
            below = [value - (each.low or 0.0) for value, each in zip(values, points, strict=True)]
            above = [(each.high or 0.0) - value for value, each in zip(values, points, strict=True)]
            tokens = [each.tokens for each in points]
            axes.errorbar(tokens, values, yerr=(below, above), marker="o", capsize=3, label=method)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("policy tokens a problem")
        axes.set_ylabel("accuracy")
        axes.grid(visible=True, linewidth=0.5)
        axes.legend(frameon=False)
        return _svg(figure)


def _svg(figure: object) -> bytes:
    import io

    held = io.BytesIO()
    figure.savefig(held, format="svg", metadata={"Date": None})  # type: ignore[attr-defined]
    return held.getvalue()
