r"""Steps checked by calculation: every `a op b = c` in them, in plain text or LaTeX.

A step is wrong if a calculation in it is, sound if it has one and all are right, else unknown. A result is
right if it is the exact value, or that value rounded or cut to the digits shown (`10 / 3 = 3.33`), or 100 times it
if percent or cents are mentioned (`5 / 20 * 100 = 25%`, `50 cents * 4 = $2`).

In a chain all sides are equal: `10 - 3 = 7 + 5 = 12` is wrong, though each of its two calculations is right.

What is read is narrow on purpose, since a false alarm costs more than a missed error: what is close to being right in
a way that people mean otherwise (`50 + 10% = 55`, `10 - 3 = 7 + 5`, `0.67 * 300 = 200`, `2 dimes + 1 dollar = …`) is
unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from stepscore.verify.checker import Checked
from stepscore.verify.equations import Link, Side, links
from stepscore.verify.expression import Unreadable, evaluate

HUNDREDTHS = (Fraction(1), Fraction(100), Fraction(1, 100))
ROUNDED_OPERAND = Fraction(1, 100)
"""How far off, relatively, a result may be that a decimal on the left would explain, being rounded itself."""


class ArithmeticChecker:
    """Judges the calculations that steps write out, each step separately. Safe from any thread."""

    name = "arithmetic"

    def check(self, problem: str, steps: Sequence[str]) -> list[Checked]:
        """The problem is not looked at."""
        return [check_step(step) for step in steps]


def check_step(step: str) -> Checked:
    judged = list(links(step))
    verdicts = [(link, holds(link)) for link in judged]
    wrong = next((link for link, right in verdicts if right is False), None) or _continuation(verdicts)
    if wrong:
        return Checked("wrong", f"{wrong.shown} does not hold")
    if any(right is None and differs(link) for link, right in verdicts):
        return Checked("unknown", "it writes out a calculation that holds only if it is meant otherwise")
    if any(right for _, right in verdicts):
        return Checked("sound")
    return Checked("unknown", "it writes out no calculation that can be checked")


def _continuation(verdicts: Sequence[tuple[Link, bool | None]]) -> Link | None:
    """The first link whose result is calculated with before the chain's next sign: `10 - 3 = 7 + 5` of `… = 12`."""
    for (link, _), (following, right) in pairwise(verdicts):
        if right and _signs(link.left) and link.right == following.left and _runs_on(link):
            return link
    return None


def holds(link: Link) -> bool | None:
    """Whether the two sides are equal; None if that is unknown."""
    if _is_scale(link):
        return None
    if not any(token.kind == "operator" for token in (*link.left[1:], *link.right[1:])):
        return _repeats(link)
    try:
        left, right = evaluate(link.left), evaluate(link.right)
    except Unreadable:
        return None
    factors = HUNDREDTHS if link.hundredths else HUNDREDTHS[:1]
    if any(_same(left * factor, right, link) for factor in factors):
        return True
    return None if _means_something_else(link, left, right) else False


def differs(link: Link) -> bool:
    """Whether both sides have a value, and two different ones."""
    try:
        left, right = evaluate(link.left), evaluate(link.right)
    except Unreadable:
        return False
    return not link.units and not any(_is_rounded(left * factor, right, link) for factor in HUNDREDTHS)


def _repeats(link: Link) -> bool | None:
    """A chain that continues with a number (`3 + 4 = 7 = 7`): it may be rounded or change its unit, nothing else."""
    if link.units or link.hundredths:
        return None
    try:
        left, right = evaluate(link.left), evaluate(link.right)
    except Unreadable:
        return None
    if left == right:
        return None
    return None if _decimals(link.left) > _decimals(link.right) and _is_rounded(left, right, link) else False


def _is_rounded(left: Fraction, right: Fraction, link: Link) -> bool:
    """Whether the right side is the left one, rounded or cut to the digits that it shows."""
    unit = Fraction(1, 10 ** _decimals(link.right)) / (100 if link.right[-1].kind == "percent" else 1)
    return abs(left - right) <= unit / 2 or (abs(left - right) < unit and abs(right) < abs(left))


def _is_scale(link: Link) -> bool:
    """`1/2 inch = 20 miles` relates two units; nothing is calculated."""
    return bool(link.units) and len(_numbers(link.left)) <= 2 and not _signs(link.left) - {"/"}


def _same(left: Fraction, right: Fraction, link: Link) -> bool:
    """Equal, or equal when rounded or cut to the digits that the right side shows."""
    if left == right:
        return True
    if len(_numbers(link.right)) != 1 or not _inexact(link.left):
        return False
    return _is_rounded(left, right, link)


def _inexact(side: Side) -> bool:
    """Whether rounding its value is to be expected: sums of whole numbers and of money are written out in full."""
    return any(token.text in "/*^%" for token in side if token.kind in ("operator", "percent"))


def _means_something_else(link: Link, left: Fraction, right: Fraction) -> bool:
    percents = sum(token.kind == "percent" for token in link.left)
    sums = (_signs(link.left) | _signs(link.right)) & {"+", "-"}
    if sums and (len(link.units) > 1 or 0 < percents < len(_numbers(link.left))):
        return True
    if _decimals(link.left) > _decimals(link.right) and abs(left - right) <= ROUNDED_OPERAND * abs(left):
        return True
    if sum(token.text == "/" for token in link.left) > 1:
        return True
    return _runs_on(link) or link.left[0].text in "+-"


def _runs_on(link: Link) -> bool:
    """Whether the right side begins with the left one's value and calculates with it, to another value."""
    if link.right[0].kind != "number" or len(_numbers(link.right)) < 2:
        return False
    try:
        left, right = evaluate(link.left), evaluate(link.right)
    except Unreadable:
        return False
    return evaluate(link.right[:1]) == left != right


def _signs(side: Side) -> set[str]:
    return {token.text for token in side if token.kind == "operator"}


def _numbers(side: Side) -> list[str]:
    return [token.text for token in side if token.kind == "number"]


def _decimals(side: Side) -> int:
    """The most digits after the decimal point in a number of this side."""
    return max((len(number.partition(".")[2]) for number in _numbers(side)), default=0)
