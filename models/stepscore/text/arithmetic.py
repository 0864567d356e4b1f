"""One spelling of calculations: the digits and signs that people write, as the ones that a model reads best.

`12 \\times 4`, `12 · 4`, `12 X 4` and `１２ × ４` all say the same. A reading of numbers must not depend on it.
"""

from __future__ import annotations

import re
import unicodedata

_ALIKE = str.maketrans(
    {
        **dict.fromkeys("＋﹢➕", "+"),
        **dict.fromkeys("－﹣➖", "-"),
        **dict.fromkeys("＊∗✕✖⨯⨉⋅", "×"),
        **dict.fromkeys("／∕⁄➗", "/"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
        "＝": "=",
        "％": "%",
        "＄": "$",
    }
)
"""Characters that mean the same wherever they stand."""

_DIGITS = re.compile(r"[^\W\D0-9]")
_MARKS = {"\u066b": ".", "．": ".", "\u066c": ",", "，": ","}
_OPERAND_ENDS, _OPERAND_BEGINS = r"(?<=[\w)\]}%€£])", r"(?=\s*[\d(\[{\\$€£])"
_CONTEXTS = (
    (re.compile(f"(?<=[0-9])([{''.join(_MARKS)}])(?=[0-9])"), lambda found: _MARKS[found[1]]),
    (re.compile(r"(?<=[0-9])\{,\}(?=[0-9])"), ","),
    (re.compile(rf"(?<=[0-9)%])(\s*)\\(?:times|cdot|ast)(?![A-Za-z]){_OPERAND_BEGINS}"), r"\1×"),
    (re.compile(rf"(?<=[0-9)%])(\s*)\\div(?![A-Za-z]){_OPERAND_BEGINS}"), r"\1÷"),
    (re.compile(rf"{_OPERAND_ENDS}(\s*)[·∙•・]{_OPERAND_BEGINS}"), r"\1×"),
    (re.compile(r"(?<=[0-9])(\s*)X(?=\s*[0-9])"), r"\1x"),
    (re.compile(r"(?<=[0-9)%])(\s+)[‐‑‒–](?=\s+[0-9($€£])"), r"\1-"),
    (re.compile(r"([=≈(]\s*)[‐‑‒–](?=[0-9$€£.])"), r"\1-"),
)
"""What means the same only between the operands of a calculation, or at the beginning of a number."""

_ASCII_FORMS = ("X", "\\", "{,}")
"""One of these is in every ASCII text that one of the forms is in."""


def plain_arithmetic(text: str) -> str:
    """The text with ASCII digits and the signs `+ - × ÷ / x =`; all else is kept, and ASCII prose is kept whole.

    A dash without spaces (`3–5`) stays: it is a range.
    """
    if text.isascii() and not any(form in text for form in _ASCII_FORMS):
        return text
    plain = _DIGITS.sub(lambda digit: str(unicodedata.decimal(digit[0])), text.translate(_ALIKE))
    for form, sign in _CONTEXTS:
        plain = form.sub(sign, plain)
    return plain
