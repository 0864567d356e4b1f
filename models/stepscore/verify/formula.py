r"""What of a formula algebra may read: LaTeX of which the parser knows every command, with exact decimals.

latex2sympy leaves out what it does not know in some places (`f'(x)` is `f(x)`, `1, \ldots, 10` is `1, 10`) and takes it
for a product of letters in others (`if x` is `f \cdot i \cdot x`). Such a formula is compared as a text.
"""

from __future__ import annotations

import re
from fractions import Fraction

_COMMAND = re.compile(r"\\([a-zA-Z]+|.)")
_KNOWN = frozenset([
    "frac", "sqrt", "binom", "cdot", "times", "div", "le", "ge", "ne", "cup", "cap", "setminus", "infty", "pi",
    "mod", "sin", "cos", "tan", "csc", "sec", "cot", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log",
    "ln", "exp", "gcd", "lcm", "max", "min", "lfloor", "rfloor", "lceil", "rceil", "int", "sum", "prod", "lim", "to",
    "begin", "end", "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta",
    "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi", "psi",
    "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega", "vec", "hat", "bar",
    "overline", "mathbb", "emptyset", "circ", "{", "}", "\\",
])  # fmt: skip
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\s*\{(?!(?:[pbvV]?matrix|array)\})")
_ARRAY = re.compile(r"\\begin\s*\{array\}\s*\{[^{}]*\}(.*?)\\end\s*\{array\}", re.DOTALL)
_SIGNS = re.compile(r"['\"?#@~;…`]|\.\.|:.*:|(?<![a-zA-Z_\d.{])[\d.]+\)?\s*_")
r"""Signs that the parser reads past; to digits with a base, `221_3`, it is blind too."""
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}(?![a-zA-Z])")
_STOP_WORDS = frozenset(["and", "any", "as", "below", "for", "if", "is", "no", "not", "now", "of", "on", "or", "to"])
_SET = re.compile(r"\\(?:mathbb|overline|bar|hat|vec)\s*\{[^{}]*\}")
_MATRIX = re.compile(r"\\(?:begin|end)\s*\{[a-zA-Z]+\}")
_REPEATING = re.compile(r"(?<![\d.])(\d{0,30})\.(\d{0,30})\\(?:overline|bar)\s*\{(\d{1,30})\}")
_DECIMAL = re.compile(r"(?<![\d.])(\d{0,30})\.(\d{1,30})(?![\d.])")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|csc|sec|cot)(?![a-z])")
_DEGREES = re.compile(r"((?:\d+(?:\.\d+)?|\\[a-z]+|[a-z])|\([^()]*\))\s*\^\s*\{?\s*\\circ\s*\}?")

_FUNCTION_TIMES = re.compile(
    r"(?P<function>\\(?:(?:arc)?(?:sin|cos|tan)h?|csc|sec|cot|ln|log(?:\s*_\s*(?:\{\w+\}|\w))?)"
    r"(?:\s*\^\s*(?:\{[^{}]*\}|\d))?)(?![a-zA-Z])\s*"
    r"(?P<argument>(?:(?!\\(?:cdot|times|sin|cos|tan|csc|sec|cot|ln|log)(?![a-z]))[^-+=,()\[\]<>|])+?)\s*(?=\\(?:cdot|times)(?![a-z]))"
)
"""`\\sin x \\cdot`: the parser would continue the argument after the sign."""


def as_algebra(text: str) -> str | None:
    """The formula as the parser is to read it; None if it would not read all of it. text: in one spelling (`spell`)."""
    if _ENVIRONMENT.search(text) or _SIGNS.search(text) or _holds_words(text):
        return None
    if any(command[1] not in _KNOWN for command in _COMMAND.finditer(text)):
        return None
    text = _FUNCTION_TIMES.sub(_with_argument_closed, text)
    text = _ARRAY.sub(r"\\begin{matrix}\1\\end{matrix}", text)
    if _TRIGONOMETRY.search(text):
        text = _DEGREES.sub(r"{(\1 \\cdot \\frac{\\pi}{180})}", text)
    return _DECIMAL.sub(_as_fraction, _REPEATING.sub(_as_period, text))


def _holds_words(text: str) -> bool:
    """Whether some letters are not a product of variables, which people write in alphabetical order (`3abc`)."""
    runs = [word[0] for word in _WORD.finditer(_MATRIX.sub(" ", _SET.sub(" ", text)))]
    return any(run in _STOP_WORDS or (len(run) > 2 and list(run) != sorted(set(run))) for run in runs)


def repeating_decimal(whole: str, fixed: str, period: str) -> Fraction:
    r"""The value of `whole.fixed\overline{period}`; digits that are missing are zeros."""
    shown = Fraction(int(whole + fixed or "0"))
    return (shown + Fraction(int(period), 10 ** len(period) - 1)) / Fraction(10 ** len(fixed))


def _with_argument_closed(match: re.Match[str]) -> str:
    argument = match["argument"]
    closed = argument.count("{") == argument.count("}") and "}" not in argument.partition("{")[0]
    return f"{match['function']}({argument})" if closed else match[0]


def _as_period(match: re.Match[str]) -> str:
    return _fraction(repeating_decimal(match[1], match[2], match[3]))


def _as_fraction(match: re.Match[str]) -> str:
    """A decimal written as a fraction: as a float, SymPy would compute with 15 digits of it."""
    return _fraction(Fraction(f"{match[1] or 0}.{match[2]}"))


def _fraction(value: Fraction) -> str:
    return rf"(\frac{{{value.numerator}}}{{{value.denominator}}})"
