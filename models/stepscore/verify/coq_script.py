"""The formal statements that a step carries, and which Coq scripts are taken as proofs.

A statement is in a block fenced as ```coq, or in a comment `(* coq: … *)`. A script may load modules of Coq's own
library, open scopes, and state and prove; nothing else, so that what it proves follows from Coq alone: no axiom, no
admitted proof, no notation or definition that gives a statement another meaning, no plugin, no other file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCKS = re.compile(r"^[ \t]*```[ \t]*coq[ \t]*\n(.*?)^[ \t]*```|\(\*[ \t]*coq:(.*?)\*\)", re.MULTILINE | re.DOTALL)
_COMMENT_ENDS = re.compile(r"\(\*|\*\)")
_SENTENCE = re.compile(r"(.+?)\.(?=\s|$)", re.DOTALL)
_BULLETS = re.compile(r"^[-+*{}\s]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODULES = _words(
    "Arith Bool Field Lia List Lqa Lra Nat NArith Nsatz PeanoNat Psatz QArith Qfield Reals Ring Zify ZArith Znumtheory"
    " Wf_nat Zdiv Rbase Compare_dec"
)
_LOAD = re.compile(r"(?:From\s+Coq\s+)?Require\s+(?:Import|Export)\s+(?P<modules>[\w.\s]+)")
_SCOPE = re.compile(r"(?:Local\s+)?(?:Open\s+Scope\s+\w+|Import\s+ListNotations)")
_STATEMENT = re.compile(
    r"(?:Goal\s+(?P<goal>.+)|(?:Theorem|Lemma|Example|Fact|Corollary|Remark|Proposition)\s+[\w']+\s*(?P<rest>.+))",
    re.DOTALL,
)
_PROOF_ENDS = ("Qed", "Defined")


@dataclass(frozen=True, slots=True)
class Script:
    """text: the script unchanged. header: its loads and scopes. statements: what it states, quantifiers included."""

    text: str
    header: str
    statements: tuple[str, ...]


class Refused(Exception):
    """The script holds what is not taken as a proof; the message says what."""


def blocks(step: str) -> list[str]:
    return [(match[1] or match[2] or "").strip() for match in _BLOCKS.finditer(step)]


def read_script(text: str) -> Script:
    """Raises Refused."""
    header: list[str] = []
    statements: list[str] = []
    proving = False
    for sentence in _sentences(text):
        stated = _STATEMENT.fullmatch(sentence)
        if proving:
            proving = sentence not in _PROOF_ENDS
            if proving and sentence[0].isupper() and not re.fullmatch(r"Proof(\s+using\b.*)?", sentence):
                raise Refused(f"`{sentence[:60]}` is not a step of a proof")
        elif stated:
            statements.append(_close_statement(stated))
            proving = True
        elif _loads_the_library(sentence) or _SCOPE.fullmatch(sentence):
            header.append(f"{sentence}.")
        else:
            raise Refused(f"`{sentence[:60]}` is not allowed: only loads of Coq's library, scopes, statements, proofs")
    if not statements:
        raise Refused("it states nothing")
    return Script(text, "\n".join(header), tuple(statements))


def refutation(script: Script) -> str:
    """A script that proves the negation of the last statement by automatic tactics, if they can."""
    reals = " Lra" if "Reals" in script.header or "Lra" in script.header else ""
    tactics = [
        "lia",
        *(["lra"] if reals else []),
        "(intro H; discriminate H)",
        "(intro H; vm_compute in H; discriminate H)",
    ]
    return (
        f"Require Import Lia{reals}.\n{script.header}\nGoal ~ ({script.statements[-1]}).\n"
        f"Proof. first [ {' | '.join(tactics)} ]. Qed.\n"
    )


def _close_statement(stated: re.Match[str]) -> str:
    """`(x : Z) : P` of a named statement as `forall (x : Z), P`."""
    if stated["goal"]:
        return stated["goal"].strip()
    depth = 0
    for at, sign in enumerate(stated["rest"]):
        depth += (sign == "(") - (sign == ")")
        if sign == ":" and depth == 0:
            binders, claim = stated["rest"][:at].strip(), stated["rest"][at + 1 :].strip()
            return f"forall {binders}, {claim}" if binders else claim
    raise Refused(f"`{stated[0][:60]}` states nothing")


def _loads_the_library(sentence: str) -> bool:
    loaded = _LOAD.fullmatch(sentence)
    names = loaded["modules"].split() if loaded else []
    return bool(names) and all(name.removeprefix("Coq.").split(".")[-1] in MODULES for name in names)


def _sentences(text: str) -> Iterator[str]:
    """Sentences without comments and bullets. Raises Refused if there is anything after the last full stop."""
    plain = _without_comments(text)
    end = 0
    for match in _SENTENCE.finditer(plain):
        end = match.end()
        sentence = " ".join(_BULLETS.sub("", match[1]).split())
        if sentence:
            yield sentence
    if _BULLETS.sub("", plain[end:]).strip():
        raise Refused(f"`{plain[end:].strip()[:60]}` does not end with a full stop")


def _without_comments(text: str) -> str:
    """Comments nest. A string could hide a comment's end and is refused."""
    if '"' in text:
        raise Refused("strings are not allowed")
    kept, depth, at = [], 0, 0
    for match in _COMMENT_ENDS.finditer(text):
        if depth == 0:
            kept.append(text[at : match.start()])
        depth = max(0, depth + (1 if match[0] == "(*" else -1))
        at = match.end()
    return " ".join([*kept, text[at:] if depth == 0 else ""])
