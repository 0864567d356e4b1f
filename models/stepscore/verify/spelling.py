r"""One spelling for the many ways in which an answer can be typed: Unicode, plain text and LaTeX become one LaTeX.

`√2/2`, `½`, `3.2×10⁵`, `∞`, `–3`, `pi/4` and `2**10` are `\sqrt{2}/2`, `1/2`, `3.2\times 10^{5}`, `\infty`, `-3`,
`\pi/4` and `2^10`. Styles, spacing and outer delimiters go.
"""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SIGNS = {
    **dict.fromkeys("−–—‐‑‒﹣－", "-"),
    **dict.fromkeys("\u00a0\u2009\u202f\u2002\u2003\u2005\u2006\u2007\u3000\u200a", " "),
    **dict.fromkeys("\u200b\u2061\u2062\ufeff\u200e\u200f", ""),
    **dict.fromkeys("‘’´`′", "'"),
    **dict.fromkeys("“”„«»", '"'),
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "÷": "/",
    "∕": "/",
    "⁄": "/",
    "∞": r"\infty ",
    "π": r"\pi ",
    "θ": r"\theta ",
    "≈": r"\approx ",
    "≡": r"\equiv ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "⩽": r"\le ",
    "⩾": r"\ge ",
    "≠": r"\ne ",
    "±": r"\pm ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "°": r"^\circ ",
    "º": r"^\circ ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "℃": r"^\circ C",
    "℉": r"^\circ F",
    "△": r"\triangle ",
    "∠": r"\angle ",
}
_TABLE = str.maketrans(_SIGNS)
_OVERLINED = re.compile("(?:\\d[\u0304\u0305])+")
_VULGAR = re.compile("(\\d)?\\s?([¼-¾⅐-⅞])")
_ROOT = re.compile(r"([√∛∜])\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\d+(?:\.\d+)?|[a-zA-Z]))")
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}

_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|textnormal|mathrm|mathbf|mathsf|mathit|mathcal|mathscr|operatorname|mbox|boxed|fbox|bold|"
    r"boldsymbol|bm|emph|underline|displaystyle|ensuremath|rm|bf)\s*\{((?:[^{}]++|\{(?:[^{}]++|\{[^{}]*+\})*+\})*+)\}"
)
_FUNCTIONS = (
    r"(?:sinh?|cosh?|tanh?|csc|cot|arcsin|arccos|arctan|log|ln)(?=\s*[\d(^_\\{]|\s+[a-z]{1,2}(?![a-z]))"
    r"|(?:sec|exp|gcd|lcm|max|min)(?=\s*[({])|sqrt(?=\s*[\d({\\])"
)
"""Names of functions, if an argument follows: `5 min` and `10 sec` are times."""
_STYLES = (
    (
        re.compile(
            r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|scriptstyle|large|Large|LARGE|huge|Huge|small|tiny|normalsize|limits|nolimits|bf|rm|it)(?![a-zA-Z])\.?"
        ),
        "",
    ),
    (re.compile(r"\\!\s*|\{,\}(?=\d\d\d)"), lambda match: "," if match[0] == "{,}" else ""),
    (re.compile(r"(?<=\d)\{[,.]\}(?=\d)"), "."),
    (re.compile(r"(?<=\d)\\[,;: ](?=\d\d\d(?!\d))"), ","),
    (re.compile(r"(?<!\\)\\[,;: ]|~|\\q?quad|\\(?:hspace|phantom|vspace)\s*\{[^{}]*\}"), " "),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\{?\s*(\w+)\s*\\choose\s+(\w+)\s*\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"\bC\((\d+),\s*(\d+)\)"), r"\\binom{\1}{\2}"),
    (re.compile(r"^(?:all (?:the )?real(?:s| numbers)|ℝ)$", re.IGNORECASE), r"\\mathbb{R}"),
    (re.compile(r"\\(?:leq|leqslant)(?![a-zA-Z])"), r"\\le "),
    (re.compile(r"\\(?:geq|geqslant)(?![a-zA-Z])"), r"\\ge "),
    (re.compile(r"\\neq(?![a-zA-Z])"), r"\\ne "),
    (re.compile(r"\\(?:lt)(?![a-zA-Z])"), "<"),
    (re.compile(r"\\(?:gt)(?![a-zA-Z])"), ">"),
    (re.compile(r"\\(?:ast)(?![a-zA-Z])"), r"\\cdot "),
    (re.compile(r"\\(?:lbrace)(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace)(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\(?:lvert|rvert|vert)(?![a-zA-Z])"), "|"),
    (re.compile(r"\\(?:cdot|times|pi|infty)(?=\d)"), r"\g<0> "),
    (re.compile(r"\\(?:degree|textdegree)s?(?![a-zA-Z])|\^\s*\{\s*\\circ\s*\}"), r"^\\circ "),
    (re.compile(r"\\(?:[lc]?dots|dots[cbmio])(?![a-zA-Z])|…|\.\.\.+"), r"\\ldots "),
    (re.compile(r"^([^.,]*\w)\s*\\ldots\s*$"), r"\1"),
    (re.compile(r"\\[dt]?binom(?![a-zA-Z])"), r"\\binom"),
    (re.compile(r"\\pmod\s*(?:\{([^{}]*)\}|(\d))"), lambda match: rf" (\mod {match[1] or match[2]})"),
    (re.compile(r"\\bmod(?![a-zA-Z])"), r"\\mod "),
    (re.compile(r"(?<!\\)\bsqrt\s*(\d+)"), r"\\sqrt{\1}"),
    (re.compile(r"\\varnothing(?![a-zA-Z])"), r"\\emptyset"),
    (re.compile(r"\\overrightarrow(?![a-zA-Z])"), r"\\vec"),
    (re.compile(r"^\\(?:overline|bar)\s*\{?\s*([A-Z]{2})\s*\}?$"), r"\1"),
    (re.compile(r"^(-?\d[\d.,/]*)\s*=\s*([a-zA-Z])$"), r"\2 = \1"),
    (re.compile(r"^(\d+/\d+|\d[\d.]*%) of (?:the|a|an|her|his|their|its) [a-z ]+$"), r"\1"),
    (re.compile(rf"(?<![\\a-zA-Z])(?:{_FUNCTIONS})"), r"\\\g<0>"),
    (re.compile(r"(?<!\\)(?<![A-Za-z])pi(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"^(?:negative|minus)\s+(?=[\d\\]|infinity)", re.IGNORECASE), "-"),
    (re.compile(r"^(?:positive|plus)\s+(?=\\infty|infinity)", re.IGNORECASE), ""),
    (re.compile(r"(?<!\\)\b(?:infinity|infty|oo|inf)\b"), r"\\infty "),
    (re.compile(r"(?<![\w.])(?:USD|US\s?\$)\s*(?=\d)"), "$"),
    (re.compile(r"(?<![\w.])(?:Rs\.?|INR)\s*(?=\d)"), "₹"),
    (re.compile(r"(?<![\w.])EUR\s*(?=\d)"), "€"),
    (re.compile(r"(?<![\w.])GBP\s*(?=\d)"), "£"),
    (re.compile(r"(?<![\w.])\d{1,3}(?:_\d{3})+(?![\w{])"), lambda match: match[0].replace("_", "")),
    (re.compile(r"\*\*(?=\s*[-\d(a-z{])(?<=[\w)}]\*\*)"), "^"),
    (re.compile(r"(?<=[\w)}])\s*\*\s*(?=[\w(\\])"), r"\\cdot "),
    (re.compile(r"(?<![a-zA-Z])\\?lg(?=\s*[\d({\\])"), r"\\log_{10}"),
    (re.compile(r"<="), r"\\le "),
    (re.compile(r">="), r"\\ge "),
    (re.compile(r"!="), r"\\ne "),
    (re.compile(r"\\%|\s?\b(?:per ?cent(?:age)?|pct)\b"), "%"),
    (re.compile(r"\\\$"), "$"),
    (re.compile(r"\\(?:pounds|textsterling)(?![a-zA-Z])"), "£"),
    (re.compile(r"\\(?:euro|texteuro)(?![a-zA-Z])"), "€"),
)
_DECIMAL_COMMAS = (
    (re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.])"), lambda match: match[0].replace(".", "")),
    (re.compile(r"^(-?\d+),(?=\d+\s*(?:\\times|\\cdot|x|\*)\s*10\s*\^)"), r"\1."),
    (re.compile(r"(?<![\d.,])(\d{1,3}(?:[. ]\d{3})+),(\d+)(?![\d,])"), lambda match: f"{_digits(match[1])}.{match[2]}"),
    (
        re.compile(
            r"(€\s?\d+),(?=\d\d(?!\d))|^(\d+),(?=\d\d?\s?(?:€|[ckd]?m\b|mm\b|[km]?g\b|[mcd]?l\b|h\b|%|\\%|euros?\b"
            r"|(?:kilo|centi|milli|deci)?(?:met(?:er|re)|lit(?:er|re)|gram(?:me)?)s?\b|kilos?\b|hours?\b|tonn?es?\b|°))"
        ),
        r"\1\2.",
    ),
)
"""`1.234.567`, `1.234,5`, `1 234,5`, `€12,50` and `3,5 km`. `3,5` alone is a list."""
_ROWS = re.compile(r"\\begin")
_ESCAPED = re.compile(r"(?<!\\)\\{2,}+(?=[a-zA-Z(){}\[\]])")
r"""What is left of `\frac` if a program escapes it twice; in a matrix two backslashes end a row."""
_INNER_MATHS = re.compile(r"(?<!\\)\$(?=\S)([^$]*[^$\s\\])\$(?!\d)")
_TAKES = {r"\frac": 2, r"\binom": 2, r"\sqrt": 1}
_COMMAND = re.compile(r"\\(?:frac|binom|sqrt)(?![a-zA-Z])(?:\s*\[[^\[\]]*\])?")
_TOKEN = re.compile(r"\s*(\\[a-zA-Z]+|[^\s{}])")
_PAIRS = {"{": "}", "(": ")"}
_MOST_COMMANDS = 100
_DEEPEST = 20
_DELIMITERS = (
    re.compile(r"^\$\$(.*)\$\$$", re.DOTALL),
    re.compile(r"^\$([^$]*)\$$", re.DOTALL),
    re.compile(r"^\\\[(.*)\\\]$", re.DOTALL),
    re.compile(r"^\\\((.*)\\\)$", re.DOTALL),
    re.compile(r"^(?:\*\*|__)(.*)(?:\*\*|__)$", re.DOTALL),
    re.compile(r'^"([^"]*)"$'),
    re.compile(r"^'([^']*)'$"),
)


def spell(answer: str) -> str:
    """The answer in its one spelling; never fails."""
    text = _characters(answer.strip())
    if not _ROWS.search(text):
        text = _ESCAPED.sub(r"\\", text)
    text = _INNER_MATHS.sub(r"\1", text)
    text = _peel(text)
    for _ in range(4):
        inside = _TEXT.sub(lambda match: f" {match[1].strip()} " if match[1].strip() else " ", text)
        if inside == text:
            break
        text = inside
    for pattern, replacement in (*_DECIMAL_COMMAS, *_STYLES):
        text = pattern.sub(replacement, text)
    text = brace_arguments(text)
    return _peel(" ".join(text.split()).strip(" ,;:").rstrip(".").rstrip())


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def brace_arguments(text: str, depth: int = 0) -> str:
    r"""With braces around the arguments of `\frac`, `\binom` and `\sqrt`: `\frac12`, `\sqrt(2)`, `\sqrt\frac{1}{2}`.

    As in LaTeX an argument without braces is one character or command; a command takes its own arguments along, and
    round brackets after a root are its argument. Deeper than _DEEPEST nothing changes.
    """
    if depth > _DEEPEST:
        return text
    done, at = [], 0
    for _ in range(_MOST_COMMANDS):
        command = _COMMAND.search(text, at)
        if not command:
            break
        written, end = _with_arguments(text, command, depth)
        done += [text[at : command.start()], written]
        at = end
    return "".join(done) + text[at:]


def _with_arguments(text: str, command: re.Match[str], depth: int) -> tuple[str, int]:
    """The command with its arguments in braces, and where they end."""
    name = command[0].split("[")[0].strip()
    written, at = command[0], command.end()
    for _ in range(_TAKES[name]):
        inside, at = _argument(text, at, name, depth)
        written += f"{{{inside}}}"
    return written, at


def _argument(text: str, at: int, name: str, depth: int) -> tuple[str, int]:
    token = _TOKEN.match(text, at)
    start = re.compile(r"\s*").match(text, at)
    begin = start.end() if start else at
    sign = text[begin : begin + 1]
    if sign == "{" or (sign == "(" and name == r"\sqrt"):
        end = _closing(text, begin)
        return brace_arguments(text[begin + 1 : end], depth + 1), end + 1
    inner = _COMMAND.match(text, begin)
    if inner and depth < _DEEPEST:
        return _with_arguments(text, inner, depth + 1)
    return (token[1], token.end()) if token else ("", at)


def _closing(text: str, at: int) -> int:
    """Where the bracket at this place is closed; the end of the text if it is not."""
    opened, depth = text[at], 0
    for place in range(at, len(text)):
        depth += (text[place] == opened) - (text[place] == _PAIRS[opened])
        if depth == 0:
            return place
    return len(text)


def _characters(text: str) -> str:
    text = "".join(unicodedata.normalize("NFKC", c) if "！" <= c <= "～" else c for c in text)
    text = _VULGAR.sub(_vulgar, text)
    text = _OVERLINED.sub(lambda match: r"\overline{" + _digits(match[0]) + "}", text)
    text = re.sub("[⁰¹²³⁴-⁹⁺⁻ⁿ]+", lambda match: "^{" + match[0].translate(_SUPERSCRIPTS) + "}", text)
    text = re.sub("[₀-₉]+", lambda match: "_{" + match[0].translate(_SUBSCRIPTS) + "}", text)
    text = _ROOT.sub(lambda match: f"{_ROOTS[match[1]]}{{{match[2] or match[3] or match[4]}}}", text)
    return text.translate(_TABLE)


def _vulgar(match: re.Match[str]) -> str:
    fraction = unicodedata.normalize("NFKC", match[2]).replace("⁄", "/")
    return f"{match[1]} {fraction}" if match[1] else fraction


def _peel(text: str) -> str:
    for _ in range(4):
        inside = text.strip()
        for delimiters in _DELIMITERS:
            inside = delimiters.sub(r"\1", inside).strip()
        if inside == text:
            return inside
        text = inside
    return text
