"""Formal statements in steps: proved, refuted, failed, and scripts that are not taken as proofs."""

from __future__ import annotations

import pytest

from stepscore.errors import ToolMissing
from stepscore.verify.coq_script import Refused, blocks, read_script, refutation
from stepscore.verify.formal import CoqChecker
from stepscore.verify.open import open_checker

HEADER = "Require Import ZArith Lia.\nOpen Scope Z_scope.\n"


@pytest.fixture(scope="module")
def coq(coqc: None, sandbox_available: None) -> CoqChecker:
    return CoqChecker()


def test_steps_are_proved_refuted_or_neither(coq: CoqChecker) -> None:
    steps = [
        "So 3 + 4 is 7. (* coq: Goal 3 + 4 = 7. Proof. reflexivity. Qed. *)",
        f"It never falls.\n```coq\n{HEADER}Lemma up (x : Z) : x > 2 -> x * 2 > 4.\nProof.\n  intros. lia.\nQed.\n```",
        "So 3 + 4 is 8. (* coq: Goal 3 + 4 = 8. Proof. reflexivity. Qed. *)",
        "All are even. (* coq: Goal forall n : nat, n = n + n. Proof. intro n. reflexivity. Qed. *)",
        "No formula here.",
    ]
    checked = coq.check("?", steps)
    assert [one.verdict for one in checked] == ["sound", "sound", "wrong", "unknown", "unknown"], checked
    assert checked[2].reason == "Coq proves the contrary of `3 + 4 = 8`"
    assert "Unable to unify" in checked[3].reason


def test_one_refuted_statement_makes_the_step_wrong_and_one_unclear_one_leaves_it_open(coq: CoqChecker) -> None:
    right, wrong = "(* coq: Goal 1 = 1. Proof. reflexivity. Qed. *)", "(* coq: Goal 1 = 2. Proof. reflexivity. Qed. *)"
    open_claim = "(* coq: Goal exists n, n = 1. Proof. lia. Qed. *)"
    verdicts = [one.verdict for one in coq.check("?", [right + open_claim, wrong + open_claim])]
    assert verdicts == ["unknown", "wrong"]


def test_a_missing_checker_says_what_to_install() -> None:
    with pytest.raises(ToolMissing, match="apt install coq"):
        CoqChecker(command="coqc-that-is-not-there")


@pytest.mark.parametrize(
    "script",
    [
        "Axiom a : 1 = 2. Goal 1 = 2. Proof. exact a. Qed.",
        "Goal 1 = 2. Proof. Admitted.",
        "Goal 1 = 2. Proof. Set Warnings all. Qed.",
        "Parameter a : False. Goal 1 = 2. Proof. destruct a. Qed.",
        "Notation two := 1. Goal 1 = two. Proof. reflexivity. Qed.",
        "Definition plus (a b : nat) := 5. Goal plus 1 1 = 5. Proof. reflexivity. Qed.",
        "Unset Guard Checking. Goal 1 = 1. Proof. reflexivity. Qed.",
        "#[bypass_check(guard)] Lemma a : False. Proof. Qed.",
        'Load "other". Goal 1 = 1. Proof. reflexivity. Qed.',
        'Declare ML Module "ltac_plugin". Goal 1 = 1. Proof. reflexivity. Qed.',
        "Require Import Coq.Compat.AdmitAxiom. Goal 1 = 2. Proof. admit. Qed.",
        "From Other Require Import Lia. Goal 1 = 1. Proof. reflexivity. Qed.",
        "(* a comment (* inside *) Axiom *) Axiom a : False. Goal False. Proof. exact a. Qed.",
        "Section S. Variable a : False. Goal False. Proof. exact a. Qed.",
        "Goal 1 = 1. Proof. reflexivity. Qed. Drop",
        "Require Import Lia.",
        "",
    ],
)
def test_a_script_that_could_prove_anything_is_refused(script: str) -> None:
    with pytest.raises(Refused):
        read_script(script)


def test_a_script_is_read_with_its_header_and_statements() -> None:
    script = read_script(
        f"{HEADER}Lemma a (x : Z) (y : Z) : x = x. Proof. - reflexivity. Qed. Goal 1 = 1. Proof. lia. Qed."
    )
    assert script.statements == ("forall (x : Z) (y : Z), x = x", "1 = 1")
    assert script.header == "Require Import ZArith Lia.\nOpen Scope Z_scope."
    assert "Goal ~ (1 = 1)." in refutation(script)


def test_statements_are_found_in_fences_and_comments() -> None:
    step = "Text\n```coq\nGoal 1 = 1.\n```\nand (* coq: Goal 2 = 2. *) but ```python\nx = 1\n```"
    assert blocks(step) == ["Goal 1 = 1.", "Goal 2 = 2."]


def test_checkers_open_by_name() -> None:
    assert open_checker("arithmetic").name == "arithmetic"
