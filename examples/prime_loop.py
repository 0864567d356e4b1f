"""A PRIME loop against a running service: rollouts, outcomes, an update of the implicit PRM, new weights under load.

    stepscore serve --model prm=SFT --family implicit --reference-model SFT --allow-reload
    python -m examples.prime_loop problems.jsonl --policy SFT --model SFT --out runs/prime

A line of problems.jsonl is {"problem": ..., "answer": ...}. Each round: the policy samples solutions, a verifier judges
the final answers, the service scores them, the PRM learns from the outcomes (`jobs.online`), and its new weights go
into the service while other threads keep asking it. Source: PRIME, arXiv 2502.01456.

The policy's own update is the trainer's: round-NNNNNN/rewards.jsonl has the returns and advantages of each token.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from stepscore.errors import NoSteps
from stepscore.generate.policy import open_policy, policy_at
from stepscore.generate.prompt import PromptWriter
from stepscore.generate.protocol import Generator, Sampling
from stepscore.rollout.sampler import RolloutRequest, RolloutSampler
from stepscore.text.segment import split
from stepscore.verify.math_verifier import MathVerifier
from stepscore.verify.verifier import Truth
from stepscore_service.client import StepscoreClient
from stepscore_service.jobs.data.labelled import Labelled, of_row
from stepscore_service.jobs.online.rounds import Rounds
from stepscore_service.jobs.online.settings import UpdateSettings
from stepscore_service.jobs.online.update import update
from stepscore_service.schemas.score import FailedItem

Report = Callable[[str], None]
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Problem:
    problem: str
    answer: str


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """url: of the service. model: the implicit PRM that the first round starts from. reference: frozen.

    samples: rollouts of each problem. rate: of the PRM's update.
    """

    url: str
    model: str
    reference: str
    out: Path
    rounds: int = 3
    samples: int = 4
    rate: float = 1e-6
    max_tokens: int = 512
    seed: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Rated:
    """Mean scores of right and of wrong rollouts under one revision of the PRM."""

    revision: str
    right: float
    wrong: float


@dataclass(slots=True)
class Load:
    """What the threads met that ask during the push: answers by revision, and failures."""

    answers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RoundReport:
    number: int
    rollouts: int
    right: int
    before: Rated
    after: Rated
    load: Load


def run_loop(
    plan: LoopPlan, problems: Sequence[Problem], policy: Generator, prompts: PromptWriter, report: Report = print
) -> list[RoundReport]:
    """All rounds. Raises ServiceError, StepscoreError, and ValueError if a round has no problem to learn from."""
    settings = UpdateSettings(plan.model, plan.reference, samples=plan.samples, rate=plan.rate)
    rounds = Rounds(plan.out)
    made = []
    with StepscoreClient(plan.url, api_key=plan.token) as client:
        name = client.models()[0].id
        for number in range(1, plan.rounds + 1):
            rollouts = sample_rollouts(plan, number, problems, policy, prompts)
            version = f"round-{number}"
            before = rate(client, rollouts, version)
            folder = update(settings, rollouts, digest(rollouts), rounds, report).folder
            with load(client, rollouts) as met:
                client.reload(name, str(folder.resolve()), token=plan.token)
                after = rate(client, rollouts, version)
            right = sum(bool(each.outcome) for each in rollouts)
            made.append(RoundReport(number, len(rollouts), right, before, after, met))
            report(summary(made[-1]))
    (plan.out / "loop.json").write_text(json.dumps([asdict(each) for each in made], indent=1) + "\n", encoding="utf-8")
    return made


def sample_rollouts(
    plan: LoopPlan, number: int, problems: Sequence[Problem], policy: Generator, prompts: PromptWriter
) -> list[Labelled]:
    """`samples` rollouts of each problem that has right and wrong ones, as PRIME filters; the others teach nothing.

    A rollout without an answer that can be read is wrong, as in PRIME; a problem with one that holds no step is left
    out. Raises ValueError if no problem is left.
    """
    sampling = Sampling(max_tokens=plan.max_tokens, temperature=1.0)
    sampler = RolloutSampler(policy, MathVerifier(), prompts, sampling, seed=plan.seed + number)
    requests = [RolloutRequest(each.problem, Truth(each.answer), "", plan.samples) for each in problems]
    kept = []
    for request, found in zip(requests, sampler.sample(requests), strict=True):
        outcomes = [rollout.ending == "right" for rollout in found]
        try:
            steps = [[step.text for step in split(rollout.text)] for rollout in found]
        except NoSteps:
            continue
        if len(set(outcomes)) == 2:
            kept += [label_rollout(request.problem, *each) for each in zip(steps, outcomes, strict=True)]
    if not kept:
        raise ValueError(f"round {number}: every problem was solved always or never; take others, or more --samples")
    return kept


def label_rollout(problem: str, steps: list[str], outcome: bool) -> Labelled:
    return of_row({"prompt": problem, "completions": steps, "labels": [None] * len(steps), "outcome": outcome})


def rate(client: StepscoreClient, rollouts: Sequence[Labelled], version: str) -> Rated:
    """Raises RuntimeError for a rollout that the service cannot score."""
    items = [{"problem": each.solution.problem, "steps": list(each.solution.steps)} for each in rollouts]
    found = client.reward(items, policy_version=version)
    scores: dict[bool, list[float]] = {True: [], False: []}
    for rollout, result in zip(rollouts, found.results, strict=True):
        if isinstance(result, FailedItem):
            raise RuntimeError(f"{result.error.code}: {result.error.message}")
        scores[bool(rollout.outcome)].append(result.score)
    return Rated(found.revision, fmean(scores[True]), fmean(scores[False]))


@contextmanager
def load(client: StepscoreClient, rollouts: Sequence[Labelled]) -> Iterator[Load]:
    """Threads that ask without a pause while the block runs; no question may be lost by the exchange."""
    met, stop, lock = Load(), threading.Event(), threading.Lock()

    def ask() -> None:
        while not stop.is_set():
            for each in rollouts[: 8 * WORKERS]:
                try:
                    revision = client.score(each.solution.problem, list(each.solution.steps)).revision
                except Exception as error:  # counted, never hidden
                    with lock:
                        met.failures.append(repr(error))
                    continue
                with lock:
                    met.answers[revision] = met.answers.get(revision, 0) + 1

    threads = [threading.Thread(target=ask) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    try:
        yield met
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def digest(rollouts: Sequence[Labelled]) -> str:
    """Names the round's rollouts, so that a round that is run again is not learnt twice."""
    rows = [[each.solution.problem, *each.solution.steps, each.outcome] for each in rollouts]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def summary(made: RoundReport) -> str:
    before, after = made.before.right - made.before.wrong, made.after.right - made.after.wrong
    return (
        f"round {made.number}: {made.right} of {made.rollouts} right; right less wrong {before:+.4f} -> {after:+.4f}; "
        f"{sum(made.load.answers.values())} answers during the push by {len(made.load.answers)} revisions, "
        f"{len(made.load.failures)} failures"
    )


def read_problems(path: Path) -> list[Problem]:
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return [Problem(str(row["problem"]), str(row["answer"])) for row in rows]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Rounds of PRIME against a running service.")
    parser.add_argument("problems", type=Path, help='JSONL: {"problem": ..., "answer": ...}')
    parser.add_argument("--policy", required=True, help="who writes: a folder, a Hub id, vllm:MODEL, or URL[#NAME]")
    parser.add_argument("--model", required=True, help="the implicit PRM that the first round starts from")
    parser.add_argument("--reference", default="", help="frozen; by default the model itself")
    parser.add_argument("--out", required=True, type=Path, help="folder for the rounds")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the service")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=4, help="rollouts of each problem")
    parser.add_argument("--rate", type=float, default=1e-6, help="learning rate of the PRM")
    parser.add_argument("--max-tokens", type=int, default=512, help="of one rollout")
    parser.add_argument("--token", default="", help="admin token of the service, if it has one")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"), help="of the policy")
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    problems, policy = read_problems(given.pop("problems")), policy_at(given.pop("policy"), dtype=given.pop("dtype"))
    given["reference"] = given["reference"] or given["model"]
    generator, prompts = open_policy(policy)
    try:
        run_loop(LoopPlan(**given), problems, generator, prompts)
    finally:
        generator.close()


if __name__ == "__main__":
    main()
