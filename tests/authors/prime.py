"""PRIME's own functions over four solutions in groups of two. Prints what they gave as JSON.

    python tests/authors/prime.py CHECKOUT > tests/golden/authors/prime.json

CHECKOUT: PRIME-RL/PRIME@18ad596f08d487bb546d80d738d99ec697bd2e75. These run as they are, of `training/verl`:
`compute_ce_dpo_loss_rm` and `compute_rloo_returns` (trainer/ppo/core_algos.py), `masked_whiten`
(utils/torch_functional.py), and the `batch_norm` branch of workers/actor/dp_prime.py, line 239.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch

sys.path.insert(0, str(Path(__file__).parent))

from theirs.cut import branch, cut

ROWS = [[-0.4, 1.2, 0.3], [0.9, -2.1, 0.0, 0.7, 1.6], [-1.5, 0.2], [0.1, 0.8, -0.6, 2.2, -0.3, 0.5, 1.1]]
OUTCOMES = [1.0, 0.0, 0.0, 1.0]
BETA, SAMPLES = 0.05, 2


def main(checkout: Path) -> None:
    root = checkout / "training/verl"
    functions = root / "utils/torch_functional.py"
    whiten = cut(functions, "masked_mean", "masked_var", "masked_whiten", torch=torch)
    theirs = cut(root / "trainer/ppo/core_algos.py", "compute_ce_dpo_loss_rm", "compute_rloo_returns", torch=torch,
                 verl_F=whiten, verl=SimpleNamespace(DataProto=object))  # fmt: skip
    longest = max(map(len, ROWS))
    scores = torch.tensor([row + [0.0] * (longest - len(row)) for row in ROWS], dtype=torch.float64)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ROWS])
    outcomes = torch.tensor(OUTCOMES, dtype=torch.float64)
    config = SimpleNamespace(prime_norm="batch_norm")
    scaled = branch(root / "workers/actor/dp_prime.py", "prime_norm == 'batch_norm'", torch=torch,
                    self=SimpleNamespace(config=config), token_level_scores=scores).token_level_scores  # fmt: skip
    batch = {
        "responses": mask,
        "rm_scores": scaled,
        "gt_scores": outcomes[:, None].repeat(1, longest),
        "prompts": mask[:, :0],
        "attention_mask": mask,
    }
    gammas = SimpleNamespace(reward_model_gamma=1.0, verifier_gamma=1.0)
    algorithm = SimpleNamespace(algorithm=SimpleNamespace(adv_params=gammas))
    advantages, returns = theirs.compute_rloo_returns(SimpleNamespace(batch=batch), mask, SAMPLES, algorithm)
    loss = theirs.compute_ce_dpo_loss_rm(scores, outcomes, mask, BETA)
    found = {"scaled": scaled, "returns": returns, "advantages": advantages}
    lists = {
        key: [row[: len(own)].tolist() for row, own in zip(value, ROWS, strict=True)] for key, value in found.items()
    }
    given = {"rows": ROWS, "outcomes": OUTCOMES, "beta": BETA, "samples": SAMPLES}
    json.dump(given | {"loss": loss.item()} | lists, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
