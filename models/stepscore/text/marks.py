"""Marks that open a step at the start of a line: `Step 1:` in several languages, and the items of numbered lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import regex

_WORDS = {
    word: number
    for words in (
        "one two three four five six seven eight nine ten eleven twelve",
        "i ii iii iv v vi vii viii ix x xi xii",
        "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
        "un deux trois quatre cinq six sept huit neuf dix onze douze",
        "uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
        "один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать",
        "一 二 三 四 五 六 七 八 九 十 十一 十二",
    )
    for number, word in enumerate(words.split(), 1)
}
_CIRCLED = "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳"
_ANY_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_NUMBER = rf"(?: \p{{Nd}}{{1,4}} | (?:{_ANY_WORD})(?![\p{{Latin}}\p{{Cyrillic}}\p{{M}}]) )"
_NAMES = (
    "step|étape|etape|schritt|paso|passo|passaggio|шаг|крок|krok|stap|steg|trin|vaihe|pas|adım|langkah|bước|βήμα"
    "|चरण|الخطوة|ステップ|手順|步骤|步驟|단계"
)
_MARK = regex.compile(
    rf"""^[ \t]*+(?P<at>) (?:>[ \t]?+)?+ (?P<heading>\#{{1,6}}[ \t]*+)?+ [*_]{{0,3}}+
    (?: (?P<bracket>[\[(（【<])?+
        (?: (?:{_NAMES}) [ \t]*+(?:[-_#(№]|no\.)?+[ \t]*+ (?P<step>{_NUMBER})
          | 第[ \t]*+(?P<step>{_NUMBER})[ \t]*+(?:步骤|步驟|步|ステップ) | (?P<step>\p{{Nd}}{{1,3}})[ \t]*+단계 )
        [ \t]*+(?: (?:/|of|von|de|sur|di|из|van)[ \t]*+{_NUMBER} )?+
        (?: [ \t]*+(?: [\])）】>:：.,，、–—*_-] | $ ) | (?(heading)(?<=[ \t])|(?!)) )
      | (?: (?P<item>\p{{Nd}}{{1,3}}) (?: [.)][*_]{{0,3}}+(?=\s|$) | [）．、] | (?(heading)[:：]|(?!)) )
          | [(（](?P<item>\p{{Nd}}{{1,3}})[)）][*_]{{0,3}}+(?=\s|$|\p{{Han}}) | (?P<item>[{_CIRCLED}]) ) )""",
    regex.VERBOSE | regex.MULTILINE | regex.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a step begins, how far its line is indented, and its number. named: `Step 1:` rather than `1.`."""

    at: int
    indent: int
    number: int
    named: bool


def find_marks(text: str) -> list[Mark]:
    """Every mark of either kind, ascending."""
    return [_mark(match) for match in _MARK.finditer(text)]


def _mark(match: regex.Match[str]) -> Mark:
    at = match.start("at")
    return Mark(at, at - match.start(), _number(match["step"] or match["item"]), match["step"] is not None)


def _number(word: str) -> int:
    if word in _CIRCLED:
        return _CIRCLED.index(word) + 1
    return int(word) if word.isdecimal() else _WORDS[word.lower()]


def named_lists(marks: Iterable[Mark]) -> list[list[Mark]]:
    """The `Step k:` marks; numbering that starts again begins a new list."""
    lists: list[list[Mark]] = []
    for mark in marks:
        if mark.named:
            if not lists or mark.number < lists[-1][-1].number:
                lists.append([])
            lists[-1].append(mark)
    return lists


def item_lists(marks: Iterable[Mark]) -> list[list[Mark]]:
    """Numbered lists: they begin with 0 or 1, run in sequence, and are indented no further than their first item.

    Numbers inside another list that are indented further belong to its items, and so does a number out of sequence.
    """
    lists: list[list[Mark]] = []
    for mark in marks:
        if mark.named or (lists and mark.indent > lists[-1][0].indent):
            continue
        if lists and mark.number == lists[-1][-1].number + 1:
            lists[-1].append(mark)
        elif mark.number <= 1:
            lists.append([mark])
    return lists


def mark_end(text: str) -> int:
    """Where the mark at the start of the text ends; 0 without one."""
    match = _MARK.match(text)
    return match.end() if match else 0
