r"""What of a text is layout and says nothing: rules, tags on lines of their own, and headings of general words.

`---`, `***`, `___`, `===`, `\hline`; `<think>`, `</think>`, `<answer>`; `### Solution`, `**Final Answer**`,
`## Step-by-step solution:`, and a line `Solution:` without a mark. No model should be asked to judge them, and no score
should depend on them: they belong to a step's span but not to the text that is scored. A heading with words of its own
(`### Case 2: x < 0`) is content.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import regex

from stepscore.text.blocks import blocks
from stepscore.text.marks import mark_end
from stepscore.types import Span

_TAGS = (
    "think|thinking|thought|thoughts|reason|reasoning|reflection|scratchpad|analysis|explanation|answer|final_answer"
    "|final|solution|response|output|result|step|steps|proof|verification|conclusion|summary|hr|br|p"
)
_TITLE = (
    r"(?:(?:the|my|our|final|full|detailed|complete|brief|short|worked|step[ -]by[ -]step)[ ]++)*+"
    r"(?:solution|answer|explanation|proof|reasoning|analysis|conclusion|response|approach|calculations?|working"
    r"|verification|summary|result|output|derivation|overview|thought[ ]process"
    r"|solución|respuesta|réponse|lösung|antwort|soluzione|risposta|solução|resposta|решение|ответ"
    r"|解|解答|答案|最终答案|解题过程|解析|分析|结论|证明|풀이|정답)"
)
"""A line that is a title without being marked as one."""
_UNDERLINED = regex.compile(
    r"(?:\A|(?<=\n[ \t]*+\n))[ \t]*+(?P<title>\S[^\n]{0,78}+)(?<![\s.!?:;,。！？：])\n[ \t]*+={3,}+[ \t]*+$",
    regex.MULTILINE,
)
_LAYOUT = regex.compile(
    rf"""^[ \t]*+ (?:
        (?P<closes> (?P<rule>[-*_=—–─━═])(?:[ \t]*+(?P=rule)){{2,}}+ | </(?:{_TAGS})> | <(?:hr|br)[ ]?/?> | \[/THINK\]
          | <\|end_of_(?:thought|solution)\|>
          | \\(?:hrule|hline|toprule|midrule|bottomrule|newpage|bigskip|medskip|smallskip) )
        | <(?:{_TAGS})> | \[THINK\] | <\|begin_of_(?:thought|solution)\|>
        | (?P<hashes>\#{{1,6}})[ \t]*+(?P<words>[^\n]*+)
        | (?P<bold>\*{{2,3}}|__)(?P<words>[^\n*_]++)(?P=bold)[ \t]*+[:：]?
        | (?P<words>{_TITLE})[ \t]*+[:：]?
        | \\(?:textbf|(?:sub)*section\*?|paragraph\*?)\{{(?P<words>[^\n{{}}]++)\}}[:：]?
      ) [ \t]*+ $""",
    regex.VERBOSE | regex.MULTILINE | regex.IGNORECASE,
)
_WORD = regex.compile(r"[\p{L}\p{M}'’]++")
_NO_CLAIM = regex.compile(r"""[\p{L}\p{M}'’\s\-–—:：.!,&/()*_#"“”\p{So}\uFE0F]*+""")
_JOINING_WORDS = """
    a an and at by for from in into is it it's its let let's lets of on or our my your so that the then there these this
    those to us using via we what's what we'll will with how here now all everything together put putting up out back
    do does know need want can
    la le el die der das par à pour et und y e de des du del por für
"""
_GENERAL_WORDS = """
    solution solutions answer answers final explanation explanations conclusion conclusions result results summary
    overview introduction background approach approaches method methods strategy plan planning outline analysis analyse
    analyze analyzing reasoning rationale thought thoughts think thinking process procedure step steps detail details
    detailed full complete brief short quick work working workings worked calculation calculations calculate calculating
    computation computations compute computing derivation derive deriving proof prove proving verification verify
    verifying check checking checks validation evaluation evaluate evaluating simplification simplify simplifying
    substitution substitute substituting setup set setting define defining definitions notation variables variable
    equation equations formula formulas formulae expression expressions given knowns known unknowns unknown information
    data facts fact problem question task statement breakdown break breaking down understand understanding restate
    identify identifying find finding determine determining solve solving response output key idea ideas insight
    observation observations note notes remark remarks main part discussion interpretation recap review preliminary
    preliminaries answering walkthrough guide interpret
    solución solucion respuesta explicación explicacion conclusión paso pasos réponse reponse étape étapes explication
    démonstration preuve vérification lösung antwort erklärung schritt schritte rechnung ergebnis fazit beweis soluzione
    risposta spiegazione conclusione solução resposta explicação conclusão résultat final finale endergebnis
    решение ответ объяснение вывод доказательство проверка итог
    解 解答 答案 最终答案 解题过程 解析 分析 结论 证明 步骤 解法 思路 验证 总结 思考 推理过程 解題過程 最終答案
    結論 說明 说明 풀이 정답 답 설명 결론
"""
_JOINING, _GENERAL = frozenset(_JOINING_WORDS.split()), frozenset(_GENERAL_WORDS.split())
_HEADING = regex.compile(r"[ \t]*+(?:\#{1,6}[ \t]*+\S[^\n]*+|(\*{2,3}|__)[^\n*_]++\1[ \t]*+[:：]?)")
_BLANK = regex.compile(r"\n[^\S\n]*+\n")
_END_OF_PARAGRAPH = regex.compile(
    r"[^\S\n]*+(?:\n[^\S\n]*+(?:\n|(?:[-*_=]{3,}|</?\w{1,20}>)[^\S\n]*+$)|\Z)", regex.MULTILINE
)
_CLAIMS = regex.compile(r"[\p{Nd}=<>$\\+≤≥]|[:：].*\w")


@dataclass(frozen=True, slots=True)
class LayoutLine:
    """A span of layout. closes: it ends what precedes it (a rule, a closing tag), else it opens what follows."""

    start: int
    end: int
    closes: bool


class Reduced:
    """A text without some of its characters, and where the others were."""

    def __init__(self, text: str, removed: Iterable[Span]) -> None:
        """removed: spans of `text`, ascending and disjoint."""
        kept, at, gone = [], 0, 0
        self._seams: list[int] = []
        self._shifts = [0]
        for start, end in removed:
            kept.append(text[at:start])
            self._seams.append(start - gone)
            gone, at = gone + end - start, end
            self._shifts.append(gone)
        self.text = "".join([*kept, text[at:]])

    def position(self, at: int) -> int:
        """Where the character that is now `at` stood."""
        return at + self._shifts[bisect_right(self._seams, at)]


def unify_breaks(text: str) -> Reduced:
    r"""The text with `\n` for `\r\n` and `\r`."""
    unified = regex.sub(r"\r(?!\n)", "\n", text)
    return Reduced(unified, ((match.start(), match.start() + 1) for match in regex.finditer(r"\r(?=\n)", unified)))


def leave_out(text: str, layout: Iterable[LayoutLine]) -> Reduced:
    """The text without its layout. Where that stood between two blank lines, or at one, a single one remains."""
    return Reduced(text, _removed_spans(text, layout))


def _removed_spans(text: str, layout: Iterable[LayoutLine]) -> Iterator[Span]:
    """Each run of layout, with the break before it or the one after it, whichever is the shorter."""
    run: Span | None = None
    for line in layout:
        if run and text[run[1] : line.start].isspace():
            run = (run[0], line.end)
            continue
        if run:
            yield _with_break(text, *run)
        run = (line.start, line.end)
    if run:
        yield _with_break(text, *run)


def _with_break(text: str, start: int, end: int) -> Span:
    before = start
    while before and text[before - 1].isspace():
        before -= 1
    after = _next_line(text, end)
    more = text.count("\n", before, start) > text.count("\n", end, after)
    return (start, after) if more or before == 0 else (before, end) if after > end else (before, after)


def _next_line(text: str, end: int) -> int:
    """The start of the first line after `end` that holds something, else the end of the text."""
    at = end
    while at < len(text) and text[at].isspace():
        at += 1
    return at if at == len(text) else text.rfind("\n", end, at) + 1


def find_layout(text: str) -> list[LayoutLine]:
    r"""The layout of a text whose only line break is `\n`; none within code, maths or tables. Linear in the text."""
    whole = blocks(text)
    in_paragraphs = _BLANK.search(text.strip()) is not None
    found = [_layout_line(text, match, in_paragraphs) for match in _LAYOUT.finditer(text)]
    lines = [line for line in found if line and not whole.covers(line.start)]
    next_starts = [*(line.start for line in lines[1:]), len(text)]
    # A title that a rule underlines is a part of that rule's line.
    return [line for line, following in zip(lines, next_starts, strict=False) if line.start < following]


def _layout_line(text: str, match: regex.Match[str], in_paragraphs: bool) -> LayoutLine | None:
    if match["words"] is not None and not _is_layout(text, match, in_paragraphs):
        return None
    start = match.start()
    if match["rule"] in ("=", "-") and start:
        above = text.rfind("\n", 0, start - 1) + 1
        if text[:above].endswith("\n\n") or above == 0:
            start = above if start - above < 80 and is_general(text[above:start]) else start
    return LayoutLine(start, match.end(), closes=match["closes"] is not None and start == match.start())


def _is_layout(text: str, heading: regex.Match[str], in_paragraphs: bool) -> bool:
    """A heading on top of a paragraph is part of it; alone, or in a text of single lines, it is layout."""
    alone = not in_paragraphs or _END_OF_PARAGRAPH.match(text, heading.end())
    return bool(alone) and is_general(heading["words"])


def title_ends(text: str) -> set[int]:
    """Where the titles end that are underlined by `=====` and have words of their own, but make no claim."""
    whole = blocks(text)
    titles = (match for match in _UNDERLINED.finditer(text) if not whole.covers(match.start("title")))
    return {match.end("title") for match in titles if not _CLAIMS.search(match["title"])}


def is_general(words: str) -> bool:
    """Whether a heading says nothing but `Solution`, `Final answer`, `Step-by-step explanation` and the like."""
    if not _NO_CLAIM.fullmatch(words):
        return False
    found = [word.lower() for word in _WORD.findall(words)]
    return any(word in _GENERAL for word in found) and all(word in _GENERAL or word in _JOINING for word in found)


def is_heading(step: str, following: str) -> bool:
    """Whether a step is one line that only announces the following: a heading without numbers or maths, or a mark."""
    if "\n" in step:
        return False
    marked = mark_end(step)
    if marked and not step[marked:].strip(" \t*_:：.)]"):
        return True
    if not _HEADING.fullmatch(step):
        return False
    return not mark_end(following) if marked else not _CLAIMS.search(step)
