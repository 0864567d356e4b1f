r"""Reading the words in which an answer is stated: where it ends, what of it is explanation, which letter was chosen.

`5 because 3 is odd` says 5, `3 + 4 = 7` says 7, `(B) 12` says B, `Paris, which has 2 million people` says Paris.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 2000
"""Characters after the start of a statement that are looked at."""

LINE = re.compile(r"[^\n]{1,200}")


@dataclass(frozen=True, slots=True)
class Said:
    """text: the answer; of a multiple-choice answer the letter. option: what is written beside the letter."""

    text: str
    option: str = ""


_NUMBER = (
    r"(?:(?:(?<![\w)\]}])|(?<=\bis))[-−–+])?[$€£¥₹]?"
    r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?![\d/.])|\d+)(?:\.\d+)?"
    r"(?:\s?/\s?\d+|\s\d+/\d+|\s?[×x*]\s?10\^?\{?[-−]?\d+\}?)?(?:\s?\\?%)?|(?<!\d)\.\d+"
)
NUMBER = re.compile(_NUMBER)
MATHS = re.compile(
    r"\$\$(?P<display>[^$]+?)\$\$|\\\[(?P<bracket>.+?)\\\]|\\\((?P<round>.+?)\\\)"
    r"|(?<!\\)\$(?P<dollar>(?:[^$\n]|(?<=\\)\$)+?)(?<!\\)\$(?!\d)",
    re.DOTALL,
)
_PROSE = re.compile(r"(?<![\\{a-zA-Z])[a-zA-Z]{3,}[ ,]+[a-zA-Z]{2,}")
_BOLD = re.compile(r"\*\*|__|(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])|`")

_END = re.compile(r"[.!?](?=\s|$|[\"”')\]*]+(?:\s|$))|[。！？\n]")
_ABBREVIATED = re.compile(r"(?:\b[ap]\.m|\b[A-Za-z]\.[A-Za-z]|\b(?:Dr|Mr|Mrs|Ms|St|vs|approx|No|ft|in|sq|Rs))$")
_TITLE = re.compile(r"\b(?:Dr|Mr|Mrs|Ms)$")
_CONJUNCTIONS = (
    "because|since|which|where|whereas|given|assuming|due to|so that|provided|rounded|i\\.e\\.|that is|meaning"
    "|denn|weil|porque|ya que|parce que|perché|потому|так как|因为|因為|なぜなら"
)
_AFTER_COMMA = (
    f"{_CONJUNCTIONS}|da|car|as|so|when|while|if|but|who|with|making|giving|not|for|after|rather|then|thus|therefore|hence"
    "|we|it|he|she|they|this|these|there|I|and (?:the|this|that|it|we|he|she|they|there|so|not)"
)
_TAIL = re.compile(
    rf"\s*[,;，；–—]\s*(?:{_AFTER_COMMA})(?!\w).*|\s+\(?(?:{_CONJUNCTIONS})(?!\w).*"
    r"|\s+(?:if|when|so|as)\s+(?:the|there|it|we|he|she|they|you|I|this|that|a|an|each|all|every|both|\$|\\\().*"
    r"|[，；]\s*(?![\d\\$-]).*|\s+(?:and|but) not\b.*|\s+(?:rather than|instead of|as opposed to)\b.*",
    re.DOTALL,
)
_DESCRIBED = re.compile(
    r"(?:(?:the|that) (?:\S+ ){2,40}?"
    r"|[^\n,]{0,80}\b(?:plus|minus|times|divided by|multiplied by|more than|less than|percent of)\b[^\n,]{0,80}, )"
    r"(?:which|so that) (?:is|equals|comes to|gives) (?P<value>[-$\\\d(].*)",
    re.DOTALL,
)
_REMARK = re.compile(
    r"\s*\((?:estimated?|round(?:ed|ing)|approx|or |not |i\.e\.)[^()]*\)"
    r"|(?<=\d)\s*\((?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen|[a-z]+ty(?:-[a-z]+)?)\)",
    re.IGNORECASE,
)
_TRIMMINGS = re.compile(r"(?:[\s\ufe0f\u2600-\u27bf\u2b50\U0001f000-\U0001faff]|です|である|입니다|이다)+\Z")
"""At the end of an answer: pictures, and what closes a sentence."""
_QUOTED = re.compile(r"[\"“«「](?P<said>[^\"“”«»「」]+)[\"”»」]")
_CHINESE_SENTENCE = re.compile(r"[^\d\\$]*[一-鿿][^\d\\$]*?(?P<number>-?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?)[一-鿿]*")
_FILLER = re.compile(
    r"(?:approximately|approx\.?|about|roughly|around|nearly|exactly|simply|just|only|therefore|thus|then|also|indeed|"
    r"equal to|given by|either|both|clearly|actually|likely|probably|now|still|option|choice|letter|alternative|hence|"
    r"(?:la |a |l')?(?:opción|opcion|opção|letra|alternativa|lettera|lettre|buchstabe|вариант)(?=\s)|"
    r"donc|entonces|portanto|quindi|"
    r"(?:I|we)\s+(?:(?:now|still|finally)\s+)?"
    r"(?:think|believe|guess|say|get|got|obtain|found|find|have|conclude)"
    r"(?:\s+(?:that|it'?s?|this|the answer|is|equals|to be)\b)*(?=\s)|"
    r"(?:it|that|this)(?:'s|\s+(?:is|equals|would be|should be))(?=\s)|"
    r"maybe(?=\s)|perhaps(?=\s)|"
    r"from(?=\s+\S+\s+to\s)|≈|约|約|大约|:|：|=|\\boldsymbol(?=\{)|\\mathbf(?=\{))\s*",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"(?:\\(?:text|textbf|mathbf|mathrm|textrm|rm|bf|mbox)\s*\{)?\s*(?:(?i:option|choice|answer)\s+)?(?:"
    r"[(（\[]\s*(?:\\(?:text|textbf|mathbf|mathrm)\s*\{)?\s*(?P<round>[A-Ja-j])\s*\}?\s*[)）\]]"
    r"|(?P<bare>[A-J])(?=\s*[.):：、}\]]*\s*$|\s*[.):：、]\s|\s*[):：]\S|\}\s*[.):]"
    r"|\s*\\q?quad|\s+[-–—]\s+(?:[A-Za-z]{2}|\d+\s+[A-Za-z]{2})|,\s+(?![(\[]?[A-J]\b).*[a-z]{3})(?:\s*[.):：、]|,|\s+[-–—]\s)?"
    r")\s*\}?\s*[.):：]?(?(round),?)\s*(?:\\[ ,;:!]|\\q?quad|~|\s)*(?P<option>.*)",
    re.DOTALL,
)
OPTIONS = re.compile(r"\(?[A-J]\)?(?:\s*(?:,|;|\\?&|\band\b)\s*(?:and\s+)?\(?[A-J]\)?)+")
"""Several options of a multiple-choice question."""
_DOLLAR = re.compile(r"^\$(?=[A-J]\W{0,3}$)")
"""Copied from a prompt that asks for `Answer: $LETTER`."""
_LONG_OPTION = 300
_ARITHMETIC = re.compile(
    r"[\d\s.,+\-−–*/×÷·⋅^(){}$€£%²³!|_π°√]"
    r"|\\(?:times|cdot|div|d?frac|tfrac|sqrt|left|right|[dt]?binom|log|ln|sin|cos|tan|b?mod|gcd|lcm|pi|circ|[lr]floor|[lr]ceil)"
    r"(?![a-z])|\\[,;! %$]|(?<=\d)\s?x\s?(?=\d)|\b[CP](?=\(\d)|\b(?:mod|gcd|lcm|log|ln|sin|cos|tan|sqrt|min|max)\b"
)
_EQUALS = re.compile(r"(?<![<>!:≤≥\\])=(?!=)|(?<=\s)(?:≈|\\approx)(?=[\s\d\\])")
_APPROXIMATELY = re.compile(r"\s*(?:≈|\\approx(?![a-z]))\s*")
_EXPRESSION = re.compile(r"[-−–+]?\s*[$€£¥₹\\]?[\d.(\[{\\√∞π½⅓¼¾±]")
_FORMULA = re.compile(
    r"(?:[^a-zA-Z\\]|\\[a-zA-Z]+|\\.|(?<![a-zA-Z])(?:[a-zA-Z]{1,2}|sin|cos|tan|log|exp|sqrt|and)(?![a-zA-Z]))*+"
)
"""Letters only as variables and functions: no word of a sentence."""
_BOUNDED = re.compile(
    r"(?:all (?:real|positive|negative|non|integer|odd|even|values)\S*"
    r"|between|at (?:least|most)|(?:less|more|greater|fewer) than|no (?:less|more) than)\s",
    re.IGNORECASE,
)
_GATHERED = re.compile(r"(?:[a-z]+\s+){1,5}(?P<group>\(.+,.+\)|\[.+,.+[\])]|\(.+,.+\]|\\?\{.+,.+\})", re.IGNORECASE)
"""`the point (3, -2)`."""
_LOUD = re.compile(r"!{2,}(?=\s*$|\s+[A-Z])")
_FACTORIAL = re.compile(r"\s*(?:[=+*/^×·,)−-]|\\(?:times|cdot|approx|div))")
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit)\s*\{(.*)\}", re.DOTALL)
_PLACEHOLDER = re.compile(
    r"(?:[\s._…?*$~\\\[\]]|-{2,}|\\(?:[lc]?dots|dots[bcmio]|square|quad)|\\boxed\s*\{[\s.?]*\})*"
    r"(?:(?:(?:the|your|my|insert|put|final|correct|numerical?|numeric|single|option|exact|here|is|goes)[\s_-]+)*"
    r"(?:answer|answers|result|solution|response|here|letter|expression|content|option|choice|and|or|tags?)"
    r"(?:[\s_-]+(?:here|goes here|letter|choice))?)?[\s._…?*$~\\!\[\]]*",
    re.IGNORECASE,
)
r"""What stands for an answer in an instruction: nothing, dots, `your answer here`. It is not one."""
_UNIT_WORDS = 4
_PROSE_WORDS = 3


def is_placeholder(text: str) -> bool:
    wrapped = _WRAPPED.fullmatch(text.strip(" $"))
    return bool(_PLACEHOLDER.fullmatch(wrapped[1] if wrapped else text))


def said_in(words: str) -> Said:
    """The answer in a sentence or phrase that states it."""
    words = _LOUD.sub("", _BOLD.sub("", words[:LONGEST]).strip())
    display = MATHS.match(words)
    sentence = words[: display.end()] + first_sentence(words[display.end() :]) if display else first_sentence(words)
    sentence = _value_of_description(sentence)
    sentence = _TAIL.sub("", sentence, count=1)
    sentence = _TRIMMINGS.sub("", _REMARK.sub("", sentence)).strip()
    quoted = _QUOTED.fullmatch(sentence)
    sentence = quoted["said"] if quoted else sentence.lstrip('"“') if sentence.count('"') == 1 else sentence
    sentence = without_fillers(sentence).strip(" \t\n,;:")
    endless = re.fullmatch(r"(.*\d\.\d+\.{3})\.?", sentence, re.DOTALL)
    sentence = endless[1] if endless else sentence.rstrip("。.")
    chosen = take_option(sentence)
    return chosen if re.fullmatch("[A-J]", chosen.text) else take_option(_answer_of(sentence))


def without_fillers(sentence: str) -> str:
    """Without what goes before a value and says nothing: `approximately`, `therefore`, `I think it is`."""
    while filler := _FILLER.match(sentence):
        sentence = sentence[filler.end() :]
    return sentence


def _value_of_description(sentence: str) -> str:
    """Of "the least common multiple of 6 and 9, which is 18" what the words come to."""
    described = _DESCRIBED.match(sentence)
    return described["value"] if described else sentence


def first_sentence(words: str) -> str:
    """What goes before the first full stop, question mark or line break outside brackets and maths."""
    depth_from = 0
    depth = 0
    inside = {at for match in MATHS.finditer(words) for at in (match.start(), match.end())}
    spans = sorted(inside)
    for end in _END.finditer(words):
        within = sum(at <= end.start() for at in spans) % 2 == 1
        depth += sum(words.count(c, depth_from, end.start()) for c in "([{")
        depth -= sum(words.count(c, depth_from, end.start()) for c in ")]}")
        depth_from = end.start()
        last = end.end() == len(words.rstrip())
        if (
            end[0] == "."
            and words[end.start() - 2 : end.start()] == ".."
            and not words[end.end() :].lstrip()[:1].isupper()
        ):
            continue
        if (
            within
            or (depth > 0 and end[0] not in "\n。")
            or (end[0] == "." and not last and _is_abbreviation(words, end))
        ):
            continue
        if end[0] == "!" and _FACTORIAL.match(words, end.end()):
            continue
        return words[: end.start()]
    return words


def _is_abbreviation(words: str, end: re.Match[str]) -> bool:
    if _TITLE.search(words[max(0, end.start() - 4) : end.start()]):
        return True
    following = words[end.end() :].lstrip()[:1]
    return bool(_ABBREVIATED.search(words[max(0, end.start() - 8) : end.start()])) and not following.isupper()


def _answer_of(said: str) -> str:
    """Without the sentence around it: maths if there is any, the last number of a longer sentence, else all of it."""
    chinese = _CHINESE_SENTENCE.fullmatch(said)
    if chinese:
        return chinese["number"]
    maths = list(MATHS.finditer(said))
    if maths and not _is_money(said, maths[0]):
        outside = MATHS.sub(" ", said)
        if len(outside.split()) > _UNIT_WORDS or (maths[0].start() > 0 and len(said[: maths[0].start()].split()) > 1):
            after = NUMBER.search(said, maths[-1].end())
            formula = maths_text(maths[-1])
            if after and _OPERAND.search(said, maths[-1].end(), after.start()):
                return said
            return after[0].strip() if after and not re.search(r"\d", formula) else take_result(formula)
        said = MATHS.sub(maths_text, said)
    if _EXPRESSION.match(said):
        return take_result(_with_unit(said))
    if (len(maths) == 1 and said == maths_text(maths[0])) or _BOUNDED.match(said) or _FORMULA.fullmatch(said):
        return take_result(said)
    gathered = _GATHERED.fullmatch(said)
    if gathered:
        return gathered["group"]
    if len(said.split()) > _PROSE_WORDS and not said.lower().startswith(("yes", "no ")) and "=" not in said:
        numbers = list(NUMBER.finditer(said))
        dated = _DATE.search(said) or _WEEKDAY.search(said)
        part = dated or not numbers or _OPERAND.search(said, 0, numbers[-1].start())
        return said if part else numbers[-1][0].strip()
    return take_result(said)


_DATE = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d{1,2}\b|\b\d{1,2}(?:st|nd|rd|th)?\s+"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    re.IGNORECASE,
)

_WEEKDAY = re.compile(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b", re.IGNORECASE)
_OPERAND = re.compile(
    r"\b(?:(?:root|square|cube|half|third|quarter|multiples?|factors?|divisors?|powers?|percent|logarithm|factorial"
    r"|inverse|reciprocal|digits?) of|plus|minus|times|divided by|multiplied by|(?:greater|less|more|fewer|larger"
    r"|smaller) than)"
    r"\s+(?:the\s+)?[$\\(]*\Z",
    re.IGNORECASE,
)
"""Before a number that is a part of what words describe: "approximating the square root of 5"."""


def maths_text(match: re.Match[str]) -> str:
    return (match["display"] or match["bracket"] or match["round"] or match["dollar"]).strip(" \t\n.,")


def _is_money(said: str, match: re.Match[str]) -> bool:
    """Whether two dollar signs are two prices, not the ends of a formula."""
    return match["dollar"] is not None and bool(_PROSE.search(match["dollar"])) and "\\text" not in match["dollar"]


def _with_unit(said: str) -> str:
    """An expression and at most a few words after it; anything longer is a sentence that continues."""
    plain = re.search(r"\s(?=[A-Za-z]{2,}(?:\s+[A-Za-z']+){4,}\s*$)", said)
    if plain and not re.search(r"\b(?:and|or|base)\b", said[plain.end() :]):
        return said[: plain.start()]
    return said


def take_result(said: str) -> str:
    """What goes after the last equals sign of a calculation or chain; other equations are kept whole."""
    said = _exact_part(said.strip())
    if "=" not in said and "≈" not in said and "\\approx" not in said:
        return said
    parts = _sides(said)
    if len(parts) < 2 or not parts[-1].strip() or "\\begin" in said:
        return said
    left, right = parts[:-1], parts[-1].strip()
    listed = re.search(r"[,;]\s*(?:\\q?quad\s*)?\S+\s*=|\band\b|\bor\b|[或和且、]", said)
    if not _ARITHMETIC.sub("", "".join(left)).strip() and any(part.strip() for part in left):
        return right
    if len(left) > 1 and not listed:
        return right
    return said


def _exact_part(said: str) -> str:
    """`1/3 ≈ 0.33` is 1/3; `P ≈ 0.33` is kept."""
    exact = _APPROXIMATELY.split(said, maxsplit=1)
    return exact[0].strip() if len(exact) > 1 and re.search(r"\d", exact[0]) else said


def _sides(said: str) -> list[str]:
    """The sides of the equals signs outside braces (`\\sum_{k=0}` has none)."""
    parts, start = [], 0
    for sign in _EQUALS.finditer(said):
        if said.count("{", 0, sign.start()) == said.count("}", 0, sign.start()):
            parts.append(said[start : sign.start()])
            start = sign.end()
    return [*parts, said[start:]]


def take_option(said: str) -> Said:
    """A multiple-choice answer as its letter, with what is written beside it; anything else as it is."""
    said = _DOLLAR.sub("", take_result(said))
    several = OPTIONS.fullmatch(said) is not None
    chosen = _OPTION.fullmatch(said) if len(said) < _LONG_OPTION and not several else None
    if not chosen:
        return Said(said)
    option = chosen["option"].strip()
    if option.count("{") < option.count("}"):
        option = option.rstrip("}").strip()
    small = (chosen["round"] or "").islower()
    if option and (
        re.match(
            r"[-+*/^=<>)\]_,'|&]|(?:and|or)\s+[(\[]?[A-J]\b|[和及、或]|\\(?:cup|cap|to|in|cdot|times|le|ge)\b", option
        )
        or (small and re.search(r"\([b-j]\)", option))
    ):
        return Said(said)
    return Said((chosen["round"] or chosen["bare"]).upper(), option.strip("$ ").rstrip("."))
