"""Solutions that the authors' code and ours both read."""

from __future__ import annotations

import re

EGGS = "Janet's ducks lay 16 eggs per day. She eats three for breakfast. How many are left?"

CASES: list[tuple[str, list[str]]] = [
    (EGGS, ["She eats 3 of the 16 eggs.", "16 - 3 = 13 eggs are left.", "The answer is 13."]),
    ("What is 1 + 1?", ["2"]),
    (EGGS, ["Step 1: 16 - 3 = 13 eggs.", "Step 2: Still true.", "Step 3: The answer is \\boxed{13}."]),
    ("Count to twelve.", [f"Now comes {number}, after {number - 1}." for number in range(1, 13)]),
    ("Löse √2 ≤ x² 🦆?", ["Es gilt \\(\\frac{1}{3} + x\\) é.", "≤ 🦆 and \\[x = 3\\]", "∴ 答案是 3。"]),
    ("How many?\n\nThink.", ["First:\n3 + 4 = 7.", "Second line\nThird line: 8.", "So it is 8."]),
    ("How many? ", [" The answer, with a space before it", "7 ", "\tAnd a tab: 7."]),
    ("Solve $x + 2 = 5$.", ["We have $x + 2 = 5$", "so $x = 3$", "$$x = 3.0$$", "."]),
    ("Write f.", ["```python\ndef f(x):\n    return x - 1\n```", "It returns x - 1: + and - are signs."]),
    ("1234567 * 2 = ?", ["+", "-", "2469134"]),
]
"""The steps hold no blank line: several authors split a solution at them. BLANK has some."""

BLANK: list[tuple[str, list[str]]] = [
    ("How many?\n\n", ["First:\n\n3 + 4 = 7.\n\n", "\n\nSecond: 8.\n", " The answer\n\n\n is 8. \n\n"]),
]

SHORT = [case for case in CASES + BLANK if len(case[1]) <= 4]
"""For families that read a solution in several sequences."""

PLAIN = [case for case in CASES if not any(re.match(r"\s*(Step )?[0-9]+[.:]", step) for step in case[1])]
"""For authors who take a number off the beginning of a step."""
