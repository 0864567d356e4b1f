"""What `stepscore train` writes: a checkpoint that the service's own code opens, with the numbers of training."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import checkpoints_causal as checkpoints
from cli_case import invoke, write
from stepscore.config import EngineOptions
from stepscore.families.number_logprob import trained_reading
from stepscore.scoring.open import open_scorer
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Reading, Solution
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.modeling.batch import TrainBatch, collator
from stepscore_service.jobs.modeling.build import TrainSetup, build
from stepscore_service.jobs.modeling.plan import Learning, Lora, ObjectiveName, RowLayout, TrainPlan
from stepscore_service.jobs.modeling.saving import save

SOLUTIONS = [
    Labelled(Solution("2+3?", ("2 + 3 = 5", "So it is 5.")), (1.0, 1.0), True),
    Labelled(Solution("How much is 4 + 4?", ("4 + 4 = 9", "Twice that is 18.", "It is 18.")), (0.0, None, 0.0), False),
    Labelled(Solution("1+1?", ("1 + 1 = 2",)), (1.0,), True),
]
TEXTS = [each.solution for each in SOLUTIONS]
HEADS = ["qwen_math", "token_classification", "value_head", "pqm"]
KINDS = ["qwen2", "llama", "qwen3", "mistral"]


def rows() -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"How much is {n} + 1?",
            "completions": [f"{n} + 1 = {n + wrong}", "Done."],
            "labels": [not wrong, None],
        }
        for n in range(1, 7)
        for wrong in (0, 1)
    ]


def plan_of(base: Path, output: str, objective: ObjectiveName = "cross-entropy", **learning: Any) -> TrainPlan:
    return TrainPlan(base=str(base), output=output, objective=objective, learning=Learning(**learning), lora=Lora())


def batch_of(setup: TrainSetup, layout: RowLayout) -> TrainBatch:
    return collator(setup.objective, layout)([(each,) for each in setup.encoder.examples(SOLUTIONS)])


def numbers(setup: TrainSetup, layout: RowLayout) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = setup.model.eval()(batch_of(setup, layout))[0]
    return found


@pytest.mark.parametrize(
    ("output", "kind"), [*((output, "qwen2") for output in HEADS), *(("qwen_math", kind) for kind in KINDS[1:])]
)
@pytest.mark.parametrize("normalized", [False, True])
def test_a_saved_checkpoint_reads_as_it_was_trained(tmp_path: Path, output: str, kind: str, normalized: bool) -> None:
    objective: ObjectiveName = "pqm" if output == "pqm" else "mse" if output == "value_head" else "cross-entropy"
    setup = build(plan_of(checkpoints.causal(tmp_path / "base", kind), output, objective))
    plain = numbers(setup, "padded").numpy()
    if normalized:
        setup.model.normalize_head([batch_of(setup, "padded")])
    wanted = numbers(setup, "padded").numpy()
    assert np.allclose(plain, wanted, atol=1e-3) is not normalized
    out = tmp_path / ("pqm" if output == "pqm" else "out")  # the name tells it from other value heads
    save(setup, out)
    scorer = open_scorer(str(out), options=EngineOptions(device="cpu", dtype="float32"))
    assert scorer.info.family == output
    encoded = [scorer.encode(each.solution) for each in SOLUTIONS]
    engine = scorer._engine
    found = np.concatenate(engine.forward([one for each in encoded for one in each.sequences]))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_solutions_do_not_see_each_other(tmp_path: Path, kind: str) -> None:
    setup = build(plan_of(checkpoints.causal(tmp_path / "base", kind), "token_classification"))
    torch.testing.assert_close(numbers(setup, "packed"), numbers(setup, "padded"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("lora", [0, 2])
def test_training_from_the_command_line_is_served(tmp_path: Path, lora: int) -> None:
    base, out = checkpoints.causal(tmp_path / "base", "qwen2"), tmp_path / "out"
    data = write(tmp_path / "rows.jsonl", rows())
    ran = invoke("train", data, "--base", base, "--out", out, "--steps", 4, "--lora", lora, "--learning-rate", "1e-2")
    assert ran.exit_code == 0, ran.output
    manifest = json.loads((out / "training.json").read_text())
    assert manifest["run"]["plan"]["lora"]["rank"] == lora
    scorer = open_scorer(str(out), options=EngineOptions(device="cpu", dtype="float32"))
    assert scorer.info.family == "qwen_math"
    (answer,) = scorer.score([Solution("How much is 3 + 1?", ("3 + 1 = 4", "Done."))])
    assert isinstance(answer, Reading)


@pytest.mark.parametrize("options", [(), ("--normalize-head",)])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, options: tuple[str, ...]) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    command = ["train", data, "--base", base, "--steps", 6, "--batch", 4, "--save-steps", 3, "--learning-rate", "1e-3"]
    command += options
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for out in (whole, broken):
        ran = invoke(*command, "--out", out)
        assert ran.exit_code == 0, ran.output
    for file in [*broken.glob("*.safetensors"), broken / "config.json"]:
        file.unlink()
    (broken / "checkpoints" / "checkpoint-6" / "trainer_state.json").unlink()  # torn by a kill or a full disk
    again = invoke(*command, "--out", broken, "--resume")
    assert again.exit_code == 0, again.output
    one, other = (load_file(out / "model.safetensors") for out in (whole, broken))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_full_disk_ends_in_a_sentence_and_the_run_goes_on_from_it(tmp_path: Path) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    command = ["train", str(data), "--base", str(base), "--out", str(tmp_path / "out"), "--steps", "2"]
    shell = f"trap '' XFSZ; ulimit -f 40; exec {sys.executable} -m stepscore_service.commands.cli {shlex.join(command)}"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert ran.returncode == 3, ran.stderr
    assert "File too large" in ran.stderr
    again = invoke(*command, "--resume")
    assert again.exit_code == 0, again.output
    open_scorer(str(tmp_path / "out"), options=EngineOptions(device="cpu", dtype="float32"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "rows.jsonl"),
        ([{"problem": "p"}], "columns"),
        ([{"prompt": "p", "completions": ["a"], "labels": [True, False]}], "2 labels for 1 steps"),
        ([{"prompt": "p", "completions": ["a", "b"], "labels": [True, True]}] * 3, "both kinds"),
        ([{"prompt": "p", "completions": ["a"], "labels": [None]}], "label"),
        (["{"], "line 1"),
    ],
)
def test_data_that_teach_nothing_end_in_a_sentence(tmp_path: Path, lines: list[Any], said: str) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", lines)
    ran = invoke("train", data, "--base", base, "--out", tmp_path / "out", "--steps", 1, "--eval-share", 0)
    assert ran.exit_code == 2, ran.output
    assert "Traceback" not in ran.output
    assert said in ran.output.replace("\n", "")
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_folder_with_another_run_is_left_alone(tmp_path: Path) -> None:
    base, data, out = (
        checkpoints.causal(tmp_path / "base", "qwen2"),
        write(tmp_path / "rows.jsonl", rows()),
        tmp_path / "o",
    )
    command = ["train", data, "--base", base, "--out", out, "--steps", 1]
    assert invoke(*command).exit_code == 0
    kept = (out / "model.safetensors").read_bytes()
    assert invoke(*command).exit_code == 2
    assert invoke(*command, "--seed", 3, "--resume").exit_code == 2
    assert (out / "model.safetensors").read_bytes() == kept


@pytest.mark.parametrize("sharing", ["--share-prefixes", "--no-packing"])
def test_a_trained_reading_of_numbers_is_served_as_it_was_trained(tmp_path: Path, sharing: str) -> None:
    base, out = checkpoints.causal(tmp_path / "base", "qwen2"), tmp_path / "number_logprob"
    data = write(tmp_path / "rows.jsonl", rows())
    ran = invoke("train", data, "--base", base, "--out", out, "--output", "number_logprob", sharing, "--steps", 3)
    assert ran.exit_code == 0, ran.output
    scorer = open_scorer(str(out), options=EngineOptions(device="cpu", dtype="float32"))
    assert scorer.info.family == "number_logprob"
    setup = build(plan_of(out, "number_logprob"))
    config = json.loads((out / "config.json").read_text())
    setup.model.reading = trained_reading(StepTokenizer(setup.base.tokenizer, ()), config)
    for wanted, answer in zip(torch.split(numbers(setup, "padded"), [2, 3, 1]), scorer.score(TEXTS), strict=True):
        assert isinstance(answer, Reading)
        assert answer.rewards == pytest.approx(wanted[:, 0].sigmoid().tolist(), abs=1e-5)


def test_a_reading_of_numbers_is_learnt_from_steps_only(tmp_path: Path) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", rows())
    out = tmp_path / "number_logprob"
    ran = invoke("train", data, "--base", base, "--out", out, "--output", "number_logprob", "--objective", "pqm")
    assert ran.exit_code == 2
    assert "cross-entropy, soft, mse" in ran.output
