"""The numbers that authors printed for their checkpoints. Each runs where the checkpoint lies in the Hub's cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from stepscore.config import EngineOptions
from stepscore.scoring.open import open_scorer
from stepscore.types import Reading, Solution

pytestmark = pytest.mark.weights

DUCKS = (
    "Janet’s ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends "
    "every day with four. She sells the remainder at the farmers' market daily for $2 per fresh duck egg. How much in "
    "dollars does she make every day at the farmers' market?"
)
DUCK_STEPS = (
    "Step 1: Janet's ducks lay 16 eggs per day.",
    "Step 2: She eats three for breakfast every morning, so she has 16 - 3 = 13 eggs left.",
    "Step 3: She bakes muffins for her friends every day with four eggs, so she has 13 - 4 = 9 eggs left.",
    "Step 4: She sells the remainder at the farmers' market daily for $2 per fresh duck egg, so she makes 9 * $2 = "
    "${answer} every day at the farmers' market. The answer is: {answer}",
)
FLAMINGOS = Solution(
    "Sue lives in a fun neighborhood.  One weekend, the neighbors decided to play a prank on Sue.  On Friday morning, "
    "the neighbors placed 18 pink plastic flamingos out on Sue's front yard.  On Saturday morning, the neighbors took "
    "back one third of the flamingos, painted them white, and put these newly painted white flamingos back out on "
    "Sue's front yard.  Then, on Sunday morning, they added another 18 pink plastic flamingos to the collection. At "
    "noon on Sunday, how many more pink plastic flamingos were out than white plastic flamingos?",
    (
        "To find out how many more pink plastic flamingos were out than white plastic flamingos at noon on Sunday, we "
        "can break down the problem into steps. First, on Friday, the neighbors start with 18 pink plastic flamingos.",
        "On Saturday, they take back one third of the flamingos. Since there were 18 flamingos, (1/3 \\times 18 = 6) "
        "flamingos are taken back. So, they have (18 - 6 = 12) flamingos left in their possession. Then, they paint "
        "these 6 flamingos white and put them back out on Sue's front yard. Now, Sue has the original 12 pink "
        "flamingos plus the 6 new white ones. Thus, by the end of Saturday, Sue has (12 + 6 = 18) pink flamingos and "
        "6 white flamingos.",
        "On Sunday, the neighbors add another 18 pink plastic flamingos to Sue's front yard. By the end of Sunday "
        "morning, Sue has (18 + 18 = 36) pink flamingos and still 6 white flamingos.",
        "To find the difference, subtract the number of white flamingos from the number of pink flamingos: "
        "(36 - 6 = 30). Therefore, at noon on Sunday, there were 30 more pink plastic flamingos out than white "
        "plastic flamingos. The answer is (\\boxed{30}).",
    ),
)
POSITIVE_REALS = Solution(
    "Let $x,$ $y,$ and $z$ be positive real numbers such that $xyz(x + y + z) = 1.$  Find the minimum value of\n"
    "\\[(x + y)(y + z).\\]",
    (
        "1. The problem asks us to find the minimum value of $(x + y)(y + z)$ given that $x,$ $y,$ and $z$ are "
        "positive real numbers and $xyz(x + y + z) = 1$.",
        "2. By the AM-GM inequality, we have $x + y + z \\geq 3\\sqrt[3]{xyz}$.",
        "3. By the given condition $xyz(x + y + z) = 1$, we can substitute $x + y + z$ with $\\sqrt[3]{xyz}$ in the "
        "inequality from step 2 to get $3\\sqrt[3]{xyz} \\geq 3$.",
        "4. Simplifying the inequality from step 3 gives $\\sqrt[3]{xyz} \\geq 1$.",
        "5. By raising both sides of the inequality from step 4 to the power of 3, we have $xyz \\geq 1$.",
        "6. By the AM-GM inequality, we have $(x + y)(y + z) \\geq 2\\sqrt{(x + y)(y + z)}$.",
        "7. By the given condition $xyz(x + y + z) = 1$, we can substitute $(x + y)(y + z)$ with $\\frac{1}{xyz}$ in "
        "the inequality from step 6 to get $2\\sqrt{(x + y)(y + z)} \\geq 2\\sqrt{\\frac{1}{xyz}}$.",
        "8. Simplifying the inequality from step 7 gives $(x + y)(y + z) \\geq \\frac{2}{\\sqrt{xyz}}$.",
        "9. By the condition $xyz \\geq 1$ from step 5, we have $\\frac{2}{\\sqrt{xyz}} \\geq "
        "\\frac{2}{\\sqrt{1}} = 2$.",
        "10. Therefore, the minimum value of $(x + y)(y + z)$ is $\\boxed{2}$.",
    ),
)


def ducks(answer: int) -> Solution:
    return Solution(DUCKS, (*DUCK_STEPS[:-1], DUCK_STEPS[-1].format(answer=answer)))


@dataclass(frozen=True)
class Published:
    """Family and checkpoint, what was scored, what was printed; dtype and tolerance are those of the printed run."""

    id: str
    family: str
    checkpoint: str
    solution: Solution
    rewards: tuple[float, ...]
    dtype: Literal["float32", "bfloat16"] = "float32"
    tolerance: float = 5e-4


PUBLISHED = [
    Published(
        "math-shepherd-18",
        "math_shepherd",
        "peiyi9979/math-shepherd-mistral-7b-prm",
        ducks(18),
        (0.9955, 0.9958, 0.9983, 0.9957),
    ),
    Published(
        "math-shepherd-17",
        "math_shepherd",
        "peiyi9979/math-shepherd-mistral-7b-prm",
        ducks(17),
        (0.9955, 0.9958, 0.9983, 0.0240),
    ),
    Published(
        "act-prm",
        "act_prm",
        "ActPRM/ActPRM",
        FLAMINGOS,
        (0.999369, 0.231684, 0.731172, 0.831447),
        "bfloat16",
        tolerance=2e-2,
    ),
    Published(
        "fover-qwen",
        "fover",
        "ryokamoi/Qwen-2.5-7B-FoVer-PRM",
        Solution("Calculate (1+1)*(1+2)", ("1+1=2", "1+2=3", "2*3=8")),
        (0.909947, 0.999785, 0.012338),
        tolerance=1e-3,
    ),
    Published(
        "reason-eval-7b",
        "reason_eval",
        "GAIR/ReasonEval-7B",
        POSITIVE_REALS,
        (0.9492, 0.7863, 0.2520, 0.7860, 0.9125, 0.5916, 0.4494, 0.8189, 0.8240, 0.2671),
        tolerance=1e-3,
    ),
    Published(
        "reason-eval-34b",
        "reason_eval",
        "GAIR/ReasonEval-34B",
        POSITIVE_REALS,
        (0.9360, 0.6813, 0.0720, 0.2811, 0.4531, 0.1122, 0.1328, 0.2026, 0.2265, 0.1163),
        tolerance=1e-3,
    ),
]


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case.id)
def test_the_printed_rewards_come_out(case: Published) -> None:
    try:
        folder = snapshot_download(case.checkpoint, local_files_only=True)
    except LocalEntryNotFoundError:
        pytest.skip(f"{case.checkpoint} is not in the Hub's cache on this machine")
    scorer = open_scorer(folder, family=case.family, options=EngineOptions(dtype=case.dtype), name=case.id)
    (reading,) = scorer.score([case.solution])
    scorer.close()
    assert isinstance(reading, Reading), reading
    assert reading.rewards == pytest.approx(case.rewards, abs=case.tolerance)
