r"""Explicit statements of an answer: "the answer is …", "Answer: …", "option B is correct", in several languages.

The last statement of a text counts. What is stated may follow on the next line or in a display. A statement that is
denied ("the answer is not 5"), a question, and a heading over a worked solution state nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stepscore.verify.wording import LONGEST, MATHS, Said, first_sentence, is_placeholder, said_in, without_fillers

MOST = 100
"""Statements that are looked at, from the end of the text."""

_LINE = r"(?:^|(?<=[\n。.!]))[#>*_\-•\t ]{0,20}"
_COLON = r"(?:\*\*|__|\s)*[:：]"
_ENGLISH = (
    r"\banswers?\b(?![ -]*(?:choices|options|key|sheet)\b)"
    r"(?P<of>(?:[^.\n:=?!]|(?<=[a-z])\s?=\s?\d+(?=\s+is\b)){0,100}?)"
    r"(?:\b(?:is|are|was|would be|will be|should be|must be|comes? (?:out )?to|becomes|equals?)(?!\w)"
    r"|:|=(?!\s?\d+\s+is\b))",
    r"\b(?:correct|right|best|true|final)[ ]+(?:option|choice|alternative|statement|letter|solution|result)s?\b"
    r"(?P<of2>[^.\n:=?!]{0,40}?)(?:\b(?:is|are)\b|:)",
    r"\b(?:option|choice)(?:[ ]+is|[ ]*:)(?=\s*[\[(*]*[A-J]\b)",
)
_OTHERS = (
    r"(?:最终|最后|正确|所以|因此|故)*(?:答案选项|答案|選項|选项)(?:应该|應該|应|就)?(?:是|为|為|選|选|[:：])",
    r"(?:故|应|應|所以|因此|则|正确|可)[，,]?(?:本题|此题|该题)?(?:应该?)?选(?:择)?(?:项(?=是|为|[:：]))?(?:是|为|[:：])?(?!项)",
    r"(?:故|應|所以|因此)選(?:擇)?[:：]?",
    r"(?<![不未可能])[选選](?:择|擇)?[:：]?(?=\s*[(（\[]?[A-J][)）\]]?\s*(?:[。.，,；;\n]|$))",
    r"(?:正确|正確|对|成立|符合题意)的(?:选项|说法|一项|答案)?(?:是|为|為)[:：]?(?=\s*[(（]?[A-J])",
    r"(?:答え|答|正解|解答)(?:は|[:：])",
    r"(?:정답|답|해답)(?:은|는|[:：])",
    r"\b(?:die|endgültige|richtige|korrekte)?[ ]*antwort(?:[^.\n:=]{0,40}?\b(?:ist|lautet|beträgt)\b|[ ]*:)",
    r"\b(?:das ergebnis|die lösung)[ ]+(?:ist|lautet|beträgt)\b",
    r"\b(?:la|le|l')?[ ]*réponse(?:[^.\n:=]{0,40}?\best\b|(?:[ ]\w+){0,2}[ ]*:)",
    r"\b(?:la|su)?[ ]*respuesta(?:[^.\n:=]{0,40}?\bes\b|(?:[ ]\w+){0,2}[ ]*:)",
    r"\b(?:a)?[ ]*resposta(?:[^.\n:=]{0,40}?(?<!\w)[ée]\b|(?:[ ]\w+){0,2}[ ]*:)",
    r"\b(?:la)?[ ]*risposta(?:[^.\n:=]{0,40}?(?<!\w)(?:è|e'|é)|(?:[ ]\w+){0,2}[ ]*:)",
    r"\bhet[ ]+antwoord(?:[^.\n:=]{0,40}?\bis\b|[ ]*:)|\bantwoord[ ]*:",
    r"\bsvaret[ ]+(?:är|er)\b|\bsvar[ ]*:",
    r"\bodpowied[źz](?:[^.\n:=]{0,30}?\b(?:to|brzmi|wynosi)\b|[ ]*:)|\bodpověď(?:[ ]+je\b|[ ]*:)",
    r"\bответ(?:[^.\n:=]{0,30}?(?:равен|это|будет|[—–-])|[ ]*:)|\bвідповідь[ ]*[:—–-]",
    r"\bcevap[ ]*:|\bcevabı?[ ]*:?|\byanıt[ ]*:",
    r"\b(?:đáp án|đáp số|câu trả lời)(?:[^.\n:=]{0,30}?\blà\b|[ ]*:)",
    r"\bjawaban(?:nya)?(?:[^.\n:=]{0,30}?\badalah\b|[ ]*:)",
    r"(?:الإجابة|الجواب)(?:[^.\n:=]{0,20}?(?:هي|هو)|[ ]*:)",
    r"(?:उत्तर)(?:[ ]+है|[ ]*[:：])",
)
_STATEMENT = re.compile(
    "|".join(
        (
            *_ENGLISH,
            *_OTHERS,
            _LINE + rf"(?:(?:the|my)[ ]+)?(?:final[ ]+answer|answer|ans\.?|solution|result){_COLON}",
            _LINE + r"(?:(?:the|my)[ ]+)?(?:final[ ]+)?answer(?:\*\*|__)?[ ]*[–—-][ ]+",
            _LINE + r"A[ ]*:",
            _LINE + r"(?:the[ ]+)?(?:final[ ]+)?answer(?:\*\*|__)?[^\S\n]*(?=\n|$)" + r"|\banswer[ ]+(?=\\\[|\\\(|\$)",
        )
    ),
    re.IGNORECASE | re.MULTILINE,
)
_CHOSEN = re.compile(
    r"(?:\b(?:option|choice|answer|alternative|statement)[ ]+)?[(\[*]{0,4}"
    r"(?<![a-zA-Z\d])(?P<letter>[A-J])(?![a-zA-Z\d])[)\]*]{0,4}[ ]?"
    r"(?:[:：.)][^.\n]{0,60}?)?[ ]?(?:is|must be|is therefore|是|为|が|は|(?=正确|正確|正しい))[ ]*"
    r"(?:therefore[ ]+|thus[ ]+|indeed[ ]+)?"
    r"(?:the[ ]+)?(?:correct|right|best|true|正确|正確|正しい|正解|对的)",
)
_PICKED = re.compile(
    r"\b(?:choose|chose|pick|select|go(?:es)? with|mark|opt for)\s+"
    r"(?:(?:the|option|choice|answer|letter|alternative)\s+)*"
    r"[(\[*]{0,4}(?P<letter>[A-J])\b(?P<end>[)\]*.]{0,4})(?=\s*(?:$|[\n.,;!]|because\b|since\b|as\b))",
    re.MULTILINE,
)
_UNCLOSED = re.compile(
    r"[\s*_:`]*(?:\$(?=[^$\n]*\\)(?:[^$\n\\]|\\.)*|\\\((?:[^\n\\]|\\[^)])*|\\\[(?:[^\\]|\\[^\]])*"
    r"|-?[\d.]*[(\[{][^()\[\]{}\n]*[,+\-*/=(]\s*)(?<!\d\.)"
)
"""A formula or list that the text breaks off: `$\\frac{1}{`, `(3,`."""
_OPTION_LINE = re.compile(r"^[^\S\n]*\(?B[^\S\n]*[:.)]", re.MULTILINE)
_DENIED = re.compile(r"\s*(?:not|never|n't|unknown to|neither)\b", re.IGNORECASE)
_SUPPOSED = re.compile(
    r"\b(?:if|unless|suppos(?:e|ing)|assum(?:e|ing)|whether"
    r"|(?:check|verify|ensure|confirm|make sure|say)(?: that| if)?)\s+"
    r"(?:that\s+)?(?:(?:the|our|my|this)\s+)?(?:(?:final|correct)\s+)?\Z",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:correct|right|wrong|incorrect|reasonable|valid|clear|obvious|simple"
    r"|(?:in (?:the )?(?:form|terms)|of the form)\b.*"
    r"|an? (?:positive |negative |whole |single |exact )*(?:integer|fraction|decimal|digit|whole number))[\s.!]*",
    re.IGNORECASE,
)
"""What is said of an answer, and is not it."""
_VALUE = re.compile(
    r"[\[({$€£]*[-−–+.]?[$€£\\]?\d|\\|\$|[\[(]*[A-J](?![\w'])|(?i:yes|no|true|false)\b|[a-zA-Z](?:_\w)?\s*="
)
"""The beginning of an answer that is not a sentence."""
_LEAD = re.compile(
    r"(?:[\s*_`]|(?:as follows|(?:shown |given |stated )?below|the following)(?=\s*[:：.\n])[.]?|[:：=](?!=)|>(?=\s)"
    r"|(?<=\n)[^\S\n]*[-•#]+(?=\s))*"
)
_SENTENCE_LIKE = re.compile(r"[A-Z]?[a-z']+(?:[,;]?\s+\S+){5,}")
_VERB = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|will|would|gets?|gives?|needs?|takes?|makes?"
    r"|do|does|did|let|we|first|to find)\b",
    re.IGNORECASE,
)


def read_statement(text: str, directly: bool = False) -> Said | None:
    """The last stated answer; None if none is. directly: only one that is named at once, by a value or a letter."""
    both = (_statements(text, directly), _choices(text))
    last = [next(((at, said) for at, said in each if said.text), None) for each in both]
    found = [one for one in last if one is not None]
    return max(found, key=lambda one: one[0])[1] if found else None


def ends_open(text: str) -> bool:
    """Whether the text ends with the announcement of an answer that does not follow."""
    tail = text.rstrip()[-120:]
    found = None
    for found in _STATEMENT.finditer(tail):  # noqa: B007
        pass
    if found is not None and _UNCLOSED.fullmatch(tail, found.end()):
        return True
    return found is not None and not tail[found.end() :].strip(" \t\n*_:`$\\([") and not (found["of"] or "").strip()


def _statements(text: str, directly: bool) -> Iterator[tuple[int, Said]]:
    """From the last to the first."""
    for match in list(_STATEMENT.finditer(text))[: -MOST - 1 : -1]:
        if match[0].strip(" *_#").startswith(("A", "a")) and _is_option_list(text, match):
            continue
        if _SUPPOSED.search(text, max(0, match.start() - 60), match.start()):
            continue
        words = _following(text, match.end())
        if directly and not _VALUE.match(without_fillers(words.lstrip(" *_`"))):
            continue
        if words and not _DENIED.match(words) and not _says_nothing(words):
            yield match.start(), said_in(words)


def _says_nothing(words: str) -> bool:
    """Whether this is a remark on the answer, a question, or what stands for an answer."""
    sentence = first_sentence(words + " ").rstrip()
    return bool(_ABOUT.fullmatch(sentence)) or sentence.endswith("?") or is_placeholder(said_in(words).text)


def _choices(text: str) -> Iterator[tuple[int, Said]]:
    matches = sorted([*_CHOSEN.finditer(text), *_PICKED.finditer(text)], key=lambda match: match.start())
    for match in matches[: -MOST - 1 : -1]:
        if not text[match.end() - 12 : match.end()].lower().endswith("not"):
            yield match.start(), Said(match["letter"])


def _is_option_list(text: str, match: re.Match[str]) -> bool:
    """Whether `A:` begins the list of options, because a line with B follows it."""
    short = match[0].strip(" *_#\n").rstrip(": ").upper() == "A"
    return short and bool(_OPTION_LINE.search(text, match.end(), match.end() + 200))


def _following(text: str, end: int) -> str:
    """What is stated: the rest of the line or, if nothing is on it, the next line that is not blank.

    Nothing, if a question or a worked solution follows under a heading.
    """
    lead = _LEAD.match(text, end)
    start = lead.end() if lead else end
    words = text[start : start + LONGEST]
    display = MATHS.match(words)
    if display:
        return words[: display.end()] + words[display.end() :].partition("\n")[0]
    line = words.partition("\n")[0]
    if re.fullmatch(r"\|.*\|\s*", line) and line.count("|") > 2:
        return ""
    sentence = first_sentence(line + " ").strip()
    more = line[len(sentence) + 1 :].strip()
    question = line[len(sentence) : len(sentence) + 1] == "?"
    colon = "\n" in text[end:start] or ":" in text[max(0, end - 3) : start] or "：" in text[max(0, end - 3) : start]
    prose = bool(_SENTENCE_LIKE.match(sentence)) and bool(_VERB.search(sentence))
    if question or (colon and prose and (more or "\n" in text[end:start])):
        return ""
    return line
