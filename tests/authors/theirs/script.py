"""What the judges of the comparisons write: the same text after the same prompt, on both sides, and no model needed."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Sequence

Writer = Callable[[str, int], str]
"""(prompt, choice) -> the raw text, as if nothing had stopped it."""

VERDICT = "<output>\n**Judgement**: $\\boxed"


def choice(ids: Sequence[int], sample: int = 0) -> int:
    """A number that depends on the prompt and on which sample of it is written."""
    return zlib.crc32(repr([*ids, sample]).encode())


def critique(prompt: str, chosen: int) -> str:
    steps = prompt.count("</paragraph_")
    text = f"Paragraph by paragraph, note {chosen % 100}."
    return text if chosen % 7 == 3 else f"{text} The earliest error: \\boxed{{ {chosen % (steps + 1) - 1} }}."


def analysis(prompt: str, chosen: int) -> str:
    asked = "Verification: Is the step correct (Yes/No)? Yes\nThat is all."
    return [
        f" **Calculation Analysis**: {chosen % 100} holds.\n  {asked}",
        f"Note {chosen % 100}: x \\neq y.  \n\n {asked}\\n",
        f"Nothing to ask about {chosen % 100}.",
    ][chosen % 3]


def verification(prompt: str, chosen: int) -> str:
    text = f"\nStep 1: Note {chosen % 100}. The step is \\boxed{{correct}}."
    return text + ["\n</think>\nyes", "\nIs the solution correct? yes", " So far, so good.\nStep 40: none"][chosen % 3]


def stages(prompt: str, chosen: int) -> str:
    verdict = f"{{{'Yes' if chosen % 2 else 'No'}}}$\n</output>\n"
    if prompt.endswith("step by step: "):
        return f"Note {chosen % 100}.\n</analyze>\nMore."
    if prompt.endswith(VERDICT):
        return verdict
    code = f"print({chosen % 100})\n" if prompt.endswith("```python\n") else f"{chosen % 100}\n"
    return f"{code}```\n" + ("" if chosen % 3 == 0 else f"</verify>\n{VERDICT}{verdict}And so on.")


WRITERS: dict[str, Writer] = {
    "critic": critique, "gen_prm": stages, "r_prm": analysis, "think_prm": verification,
}  # fmt: skip


def stopped(text: str, stops: Sequence[str], *, keep: bool) -> str:
    """The text up to the first stop text, which is left at its end if keep."""
    found = [(text.find(stop), stop) for stop in stops if stop in text]
    if not found:
        return text
    at, stop = min(found)
    return text[: at + len(stop) if keep else at]


def words(text: str) -> list[tuple[str, dict[str, float]]]:
    """The tokens of a text, each with the log-probabilities of the likeliest at its place: Yes and No are one each."""
    return [(word, _top(word, text) if word in ("Yes", "No") else {word: 0.0}) for word in _tokens(text)]


def _tokens(text: str) -> list[str]:
    return re.findall(r"Yes|No|.", text, re.DOTALL)


def _top(word: str, text: str) -> dict[str, float]:
    chosen = zlib.crc32(text.encode())
    said = (chosen % 80 + 10) / 100
    top = {word: math.log(said), "x": math.log(0.05 * (1 - said)), "y": math.log(0.02 * (1 - said))}
    return top if chosen % 5 == 0 else top | {"No" if word == "Yes" else "Yes": math.log(0.9 * (1 - said))}
