"""Bad steps made from good ones: each function returns a wrong version of a step, or None where it has none.

The kinds are the mistakes that small models make: a wrong result, a wrong operand or operation with its result
worked out from it, another number of the problem in a number's place, a step that is left out, a step said twice, a
wrong final answer.
"""

from __future__ import annotations

import ast
import operator
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from recipes.embedded.gsm8k import Equation, Step, Worked
from stepscore.types import Solution

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class Corrupted:
    """A solution up to its wrong step. kind: which mistake; the last step is the bad one."""

    solution: Solution
    kind: str


def corruptions(worked: Worked, rng: random.Random) -> Iterator[Corrupted]:
    """At most one mistake of each kind for every step, in the order of the steps.

    The step keeps its prefix: with another number there, `Step 9: ` after `Step 1: ` would give the mistake away.
    """
    plain = replace(worked, steps=tuple(step.unprefixed() for step in worked.steps))
    for index, step in enumerate(worked.steps):
        before = tuple(each.text for each in worked.steps[:index])
        for kind, wrong in _wrong_texts(plain, index, rng):
            if wrong is not None and wrong != plain.steps[index].text:
                yield Corrupted(Solution(worked.problem, (*before, step.prefix + wrong)), kind)


def _wrong_texts(worked: Worked, index: int, rng: random.Random) -> Iterator[tuple[str, str | None]]:
    step = worked.steps[index]
    if not step.equations:
        yield "answer", _other_number(step, rng)
        return
    equation = rng.choice(step.equations)
    yield "result", _wrong_result(step, equation, rng)
    yield "operand", _wrong_operand(step, equation, lambda number: altered(number, rng), rng)
    yield "swap", _wrong_operand(step, equation, lambda number: _another(worked.problem, number, rng), rng)
    yield "operation", _wrong_operation(step, equation, rng)
    yield "skip", _skipping(worked, index)
    yield "repeat", worked.steps[index - 1].text if index else None


def altered(number: str, rng: random.Random) -> str:
    """Another number that looks like this one: near it, a multiple, or with one digit changed."""
    value = float(number.replace(",", ""))
    near = value + rng.choice([-10, -5, -3, -2, -1, 1, 2, 3, 5, 10, 20])
    scaled = value * rng.choice([0.5, 2, 3, 10])
    place = rng.randrange(len(number))
    digit = number[:place] + rng.choice("0123456789") + number[place + 1 :] if number[place].isdigit() else number
    found = rng.choice([near, scaled, float(digit.replace(",", ""))])
    if "." not in number:
        found = float(round(found))
    return written(found if found > 0 and found != value else value + 1, number)


def written(value: float, like: str = "") -> str:
    """A number as GSM8K writes it; thousands are grouped where `like` groups them."""
    if abs(value - round(value)) < 1e-9:
        return f"{round(value):,}" if "," in like else str(round(value))
    return f"{value:.2f}".rstrip("0")


def value_of(expression: str) -> float | None:
    """The value of an arithmetic expression, or None where it is none or has none that a step would write."""
    try:
        value = _evaluate(ast.parse(expression.replace(",", "").replace("x", "*").strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None
    return value if 0 <= value <= _LARGEST else None


def _evaluate(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    raise ValueError(ast.dump(node))


def _other_number(step: Step, rng: random.Random) -> str | None:
    numbers = list(NUMBER.finditer(step.text))
    if not numbers:
        return None
    last = numbers[-1]
    return step.text[: last.start()] + altered(last[0], rng) + step.text[last.end() :]


def _wrong_result(step: Step, equation: Equation, rng: random.Random) -> str | None:
    result = NUMBER.match(step.text, equation.place)
    if result is None:
        return None
    return step.text[: result.start()] + altered(result[0], rng) + step.text[result.end() :]


def _wrong_operand(
    step: Step, equation: Equation, other: Callable[[str], str | None], rng: random.Random
) -> str | None:
    """Another operand, in the text and in the expression, and the result that follows from it.

    Of a number that is written twice before the result, the second one is the operand.
    """
    plain = equation.expression.replace(",", "")
    last = {match[0].replace(",", ""): match for match in NUMBER.finditer(step.text, 0, equation.place)}
    used = [match for value, match in last.items() if _whole(value).search(plain)]
    if not used:
        return None
    operand = rng.choice(used)
    number = other(operand[0])
    if number is None:
        return None
    *_, place = _whole(operand[0].replace(",", "")).finditer(plain)
    expression = plain[: place.start()] + number.replace(",", "") + plain[place.end() :]
    head = step.text[: operand.start()] + number + step.text[operand.end() : equation.place]
    return _with_result(head, step.text, equation, expression)


def _whole(number: str) -> re.Pattern[str]:
    """The number, not as a part of a longer one."""
    return re.compile(rf"(?<![\d.]){re.escape(number)}(?!\.?\d)")


def _wrong_operation(step: Step, equation: Equation, rng: random.Random) -> str | None:
    signs = [place for place, sign in enumerate(equation.expression) if sign in "+-*/" and place]
    if not signs:
        return None
    place = rng.choice(signs)
    sign = equation.expression[place]
    other = rng.choice([each for each in "+-*/" if each != sign])
    written_at = equation.place
    for _ in range(equation.expression.count(sign, place)):
        written_at = step.text.rfind(sign, 0, max(written_at, 0))
    if written_at < 0:
        return None
    expression = equation.expression[:place] + other + equation.expression[place + 1 :]
    head = step.text[:written_at] + other + step.text[written_at + 1 : equation.place]
    return _with_result(head, step.text, equation, expression)


def _with_result(head: str, text: str, equation: Equation, expression: str) -> str | None:
    value = value_of(expression)
    result = NUMBER.match(text, equation.place)
    if value is None or result is None or abs(value - float(result[0].replace(",", ""))) < 1e-6:
        return None
    return head + written(value, result[0]) + text[result.end() :]


def _another(problem: str, number: str, rng: random.Random) -> str | None:
    """A different number of the problem."""
    others = [other for other in NUMBER.findall(problem) if other.replace(",", "") != number.replace(",", "")]
    return rng.choice(others) if others else None


def _skipping(worked: Worked, index: int) -> str | None:
    """The next step in this one's place, where it uses this one's result and nothing else tells that result."""
    step = worked.steps[index]
    if index + 1 >= len(worked.steps):
        return None
    result = step.equations[-1].result
    following = worked.steps[index + 1].text
    earlier = worked.problem + " ".join(each.text for each in worked.steps[:index])
    return following if result in following and result not in earlier else None
