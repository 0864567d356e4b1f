"""A step judged by the worked solution of its problem, through the value that it works out.

It is sound where the worked solution still has to find that value, wrong where it never does or where the step's own
arithmetic does not hold, and not judged where neither is sure. A sound detour that the worked solution does not take is
called wrong.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from recipes.embedded.corrupt import NUMBER, value_of
from recipes.embedded.gsm8k import Worked

_RESULT = re.compile(r"= *[$€£]? *(?=(\d[\d,]*(?:\.\d+)?))")
_EXPRESSION = re.compile(r"[\d.,+*/x×() $€£%-]+$")
_FOLLOWING = re.compile(r"\d[\d,.]*(?: *[-+*/x×] *[$€£]? *\d[\d,.]*)+(?<![.,])")
_COMMA = re.compile(r"^[.,] +")
_LOOSE = re.compile(r"^\s*[-+*/x×]|\d[.,)]*\s+[($€£]*\d|/[^-+*x×()]+/|[+-].*%|%.*[+-]")
_ANSWER = re.compile(r"answer is|^A:|####|\\boxed", re.IGNORECASE)


def judged(worked: Worked, before: int, text: str) -> bool | None:
    """Whether a step behind the first `before` steps is sound; None where the worked solution does not tell."""
    results = list(_RESULT.finditer(text))
    if results:
        if miscalculates(text):
            return False
        scales = (1, 100, 0.01) if "%" in text else (1,)
        return _is_due(worked, before, _behind(text, results[-1]), scales)
    numbers = NUMBER.findall(text)
    if not numbers or not _ANSWER.search(text):
        return None
    if _number(numbers[-1]) != _number(worked.answer):
        return False
    return True if not any(step.equations for step in worked.steps[before:]) else None


def miscalculates(text: str) -> bool:
    """Whether an expression in the step surely does not have the value behind it."""
    return any(_holds(text, found) is False for found in _RESULT.finditer(text))


def labels_of(worked: Worked, steps: Sequence[str], right: bool) -> list[bool | None]:
    """A label for each step of a whole solution.

    Of one whose answer is right all are sound, but those that miscalculate, which have no label: the error was mended
    or is one of notation. A wrong one has two wrong steps or one: the first that is judged wrong, and the last, which
    states a wrong answer. Between them, and where nothing is known, there is no label.
    """
    if right:
        return [None if miscalculates(step) else True for step in steps]
    verdicts = [judged(worked, 0, step) for step in steps[:-1]]
    first = verdicts.index(False) if False in verdicts else len(verdicts)
    return [*verdicts[: first + 1], *[None] * (len(verdicts) - first - 1), False]


def _is_due(worked: Worked, before: int, value: float, scales: Sequence[float]) -> bool | None:
    known = {_number(found) for found in NUMBER.findall(worked.problem)}
    known |= {_number(each.result) for step in worked.steps[:before] for each in step.equations}
    due = set(_values(worked, before))
    if any(_same(value, each) for each in known):
        return None
    return any(_same(value * scale, each) for each in due for scale in scales)


def _values(worked: Worked, before: int) -> Iterator[float]:
    """What the later steps work out, on the way to their results too."""
    for step in worked.steps[before:]:
        for equation in step.equations:
            yield _number(equation.result)
            yield from _parts_of(equation.expression)


def _parts_of(expression: str) -> Iterator[float]:
    try:
        tree = ast.parse(expression.replace(",", "").strip(), mode="eval")
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and (value := value_of(ast.unparse(node))) is not None:
            yield value


def _holds(text: str, found: re.Match[str]) -> bool | None:
    """Whether the expression before = has the value behind it, rounded or cut off; None where that is not sure.

    An expression behind = may be meant as a whole, or by its first number (`5*3 = 15+2 = 17`).
    """
    value = _before(text[: found.start()].rstrip())
    if value is None or re.match(r" \d{3}\b", text[found.end(1) :]):  # 18 000
        return None
    first, behind = _number(found[1]), _behind(text, found)
    if "%" in text and _same(value * 100, first):
        return True
    places = len(found[1].partition(".")[2])
    return _same(value, behind) or _same(value, first) or abs(value - first) < (1 - 1e-6) * 10.0**-places


def _before(text: str) -> float | None:
    """The value of the expression at the end of a text, None if there is none or more may belong to it.

    Not sure are a word, a time or a power before it, numbers side by side (`1. 16 - 3`, `2 1/2 * 4`), one division
    after another, and a percentage that is added or taken away.
    """
    written = _EXPRESSION.search(text)
    if written is None or not any(sign in written[0] for sign in "+-*/x×"):
        return None
    run = _COMMA.sub(" ", written[0])
    is_glued = text[: written.start()][-1:] not in ("", "=", ";", '"') and not run[0].isspace()
    return None if is_glued or _LOOSE.search(run) else _value(run)


def _behind(text: str, found: re.Match[str]) -> float:
    """The value of the expression behind =, or the number there."""
    written = _FOLLOWING.match(text, found.end())
    value = None if written is None else _value(written[0])
    return _number(found[1]) if value is None else value


def _value(expression: str) -> float | None:
    plain = re.sub(r"[$€£ ]", "", expression).replace("×", "*")
    return value_of(re.sub(r"(\d[\d,.]*)%", r"(\1/100)", plain))


def _number(text: str) -> float:
    return float(text.replace(",", "").rstrip("."))


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * max(1.0, abs(one))
