"""What ships of finished runs, and the checkpoints that are prepared from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("peft", reason="needs the train extra")

from safetensors.torch import load_file, save_file

import checkpoints_causal as checkpoints
from checkpoints_gguf import INNER, WIDTH, tiny_source
from cli_case import invoke, write
from recipes.embedded.export import check_head, ship, ship_head
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.embedded.gguf_checkpoint import EMBEDDING, State, add_product
from stepscore.embedded.prepare import EMBEDDED, EMBEDDED_HEAD, HEAD, prepare
from stepscore.embedded.sources import GgufSource
from stepscore.errors import CheckpointError, InvalidInput
from stepscore.scoring.open import open_scorer
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Reading, Solution

ROWS = [
    {"prompt": f"How much is {n} + 1?", "completions": [f"{n} + 1 = {n + wrong}"], "labels": [bool(wrong)]}
    for n in range(2, 8)
    for wrong in (0, 1)
]
READING = ("--output", "number_logprob", "--steps", 3, "--learning-rate", "1e-2")
CLASSES = ("--output", "qwen_math", "--steps", 10, "--learning-rate", "1e-2", "--bf16")
SOLUTIONS = [
    Solution("How much is 3 + 1?", ("3 + 1 = 4.", "The answer is 5.")),
    Solution("How much is 3 + 1?", ("3 + 1 = 3 <extra_0>.", "So it is 3.")),
]


def train(data: Path, base: Path, out: Path, *options: object) -> Path:
    ran = invoke("train", data, "--base", base, "--out", out, "--lora", "2", *map(str, options))
    assert ran.exit_code == 0, ran.output
    return out


def test_what_ships_is_the_adapter_and_the_constants_of_the_last_run(tmp_path: Path) -> None:
    base, data = checkpoints.causal(tmp_path / "base", "qwen2"), write(tmp_path / "rows.jsonl", ROWS)
    first = train(data, base, tmp_path / "number_logprob_1", *READING)
    last = train(data, first, tmp_path / "number_logprob_2", *READING)
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    ship([first, last], shipped)
    recipe = json.loads((shipped / "recipe.json").read_text())
    assert recipe["config"]["number_logprob"] == json.loads((last / "config.json").read_text())["number_logprob"]
    adapter = load_file(shipped / "adapter.safetensors")
    merged = load_file(base / "model.safetensors")
    for name in {key.rpartition(".lora_")[0] for key in adapter}:
        up, down = (adapter[f"{name}.lora_{part}.weight"].float().numpy() for part in "BA")
        weight = merged[f"{name}.weight"].numpy()
        merged[f"{name}.weight"] = torch.from_numpy(add_product(weight, up * recipe["scale"], down))
    for name, tensor in load_file(last / "model.safetensors").items():
        torch.testing.assert_close(merged[name], tensor, atol=2e-3, rtol=2e-2)  # what ships is rounded to bfloat16


@dataclass(frozen=True)
class Shipping:
    """source: of the base, which lies in the cache. shipped: the files that ship. run: of the head's training."""

    source: GgufSource
    cache: Path
    shipped: Path
    run: Path

    def copy(self, folder: Path) -> Shipping:
        """With files of its own that ship."""
        shutil.copytree(self.shipped, folder)
        return replace(self, shipped=folder)

    def prepare(self, name: str) -> Path:
        return prepare(name, self.cache, shipped=self.shipped, source=self.source)


def random_adapter(*names: str) -> State:
    state: State = {}
    for name in names:
        state[f"{name}.lora_A.weight"] = torch.randn(2, WIDTH).bfloat16()
        state[f"{name}.lora_B.weight"] = (0.1 * torch.randn(INNER, 2)).bfloat16()
    return state


@pytest.fixture(scope="module")
def shipping(tmp_path_factory: pytest.TempPathFactory) -> Shipping:
    """A base, a reading's adapter made of random numbers, and a head that was trained on both."""
    folder = tmp_path_factory.mktemp("shipping")
    shipped, cache = folder / "shipped", folder / "cache"
    shipped.mkdir()
    source = tiny_source(cache)
    torch.manual_seed(0)
    save_file(random_adapter("model.layers.1.mlp.up_proj"), shipped / "adapter.safetensors")
    recipe = {"scale": 0.5, "config": {"number_logprob": {"slope": 1.0}}}
    (shipped / "recipe.json").write_text(json.dumps(recipe))
    base = prepare(EMBEDDED, cache, shipped=shipped, source=source)
    run = train(write(folder / "rows.jsonl", ROWS), base, folder / "run", *CLASSES)
    ship_head(run, shipped)
    return Shipping(source, cache, shipped, run)


def test_the_prepared_head_is_the_checkpoint_that_was_trained(shipping: Shipping) -> None:
    """Equal but for one rounding: what ships is bfloat16."""
    trained = load_file(shipping.run / "model.safetensors")
    before = load_file(shipping.prepare(EMBEDDED) / "model.safetensors")
    found = load_file(shipping.prepare(EMBEDDED_HEAD) / "model.safetensors")
    assert found.keys() == trained.keys() == {*before, *(f"score.{n}.{k}" for n in (0, 2) for k in ("weight", "bias"))}
    assert torch.equal(found[EMBEDDING], trained[EMBEDDING])
    assert not torch.equal(found[EMBEDDING], before[EMBEDDING])
    for name in found:
        torch.testing.assert_close(found[name].float(), trained[name].float(), atol=1e-3, rtol=2**-7)
    assert distance(found, trained, before) < 0.05 * distance(before, trained, before)


def distance(one: State, other: State, names: Iterable[str]) -> float:
    return sum((one[name].float() - other[name].float()).norm().item() for name in names)


def test_the_prepared_head_gives_the_rewards_of_the_checkpoint_that_was_trained(shipping: Shipping) -> None:
    found, wanted = rewards(shipping.prepare(EMBEDDED_HEAD)), rewards(shipping.run)
    assert found == pytest.approx(wanted, rel=0, abs=3e-4)
    assert max(wanted) - min(wanted) > 0.01


def rewards(folder: Path) -> list[float]:
    with open_scorer(str(folder), options=EngineOptions(device="cpu", dtype="float32")) as scorer:
        assert scorer.info.family == "qwen_math"
        readings = scorer.score(SOLUTIONS)
    return [reward for reading in readings if isinstance(reading, Reading) for reward in reading.rewards]


def test_the_prepared_head_says_what_it_is_and_has_the_ids_of_the_training(shipping: Shipping) -> None:
    found, trained = shipping.prepare(EMBEDDED_HEAD), shipping.run
    facts = read_facts(found)
    assert facts.architectures == read_facts(trained).architectures == ("Qwen2ForProcessRewardModel",)
    assert facts.config["number_logprob"] == {"slope": 1.0}
    assert facts.config["default_aggregate"] == "last"
    text = "<|im_start|>user\n3 + 1 = 4<extra_0>So<extra_0><|im_end|>"
    ids = [StepTokenizer.open(str(folder)).inner(text)["input_ids"] for folder in (found, trained)]
    assert ids[0] == ids[1]
    assert ids[0].count(StepTokenizer.open(str(found)).token_id("<extra_0>")) == 2


def test_each_head_has_a_folder_of_its_own(shipping: Shipping, tmp_path: Path) -> None:
    other = shipping.copy(tmp_path / "shipped")
    state = load_file(other.shipped / HEAD.name)
    save_file(state | {"score.2.bias": state["score.2.bias"] + 1}, other.shipped / HEAD.name)
    assert other.prepare(EMBEDDED) == shipping.prepare(EMBEDDED)
    assert other.prepare(EMBEDDED_HEAD) != shipping.prepare(EMBEDDED_HEAD)


@pytest.mark.parametrize("file", ["head.safetensors", "head.json"])
def test_without_its_files_the_head_is_an_error_and_the_rest_works(
    file: str, shipping: Shipping, tmp_path: Path
) -> None:
    without = shipping.copy(tmp_path / "shipped")
    (without.shipped / file).unlink()
    with pytest.raises(CheckpointError, match=f"embedded-head is not in this installation, which lacks .*{file}"):
        without.prepare(EMBEDDED_HEAD)
    assert without.prepare(EMBEDDED) == shipping.prepare(EMBEDDED)


def test_a_head_that_was_trained_on_another_adapter_is_refused(shipping: Shipping, tmp_path: Path) -> None:
    assert check_head(shipping.run, shipping.prepare(EMBEDDED_HEAD)) < 0.1
    other = shipping.copy(tmp_path / "shipped")
    names = [f"model.layers.{number}.mlp.{kind}_proj" for number in (0, 1) for kind in ("up", "gate")]
    save_file(random_adapter(*names), other.shipped / "adapter.safetensors")
    with pytest.raises(InvalidInput, match="train the head on what ships"):
        check_head(shipping.run, other.prepare(EMBEDDED_HEAD))


def test_a_run_without_a_head_is_refused(shipping: Shipping, tmp_path: Path) -> None:
    config = json.loads((shipping.run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["Qwen2ForCausalLM"]}))
    with pytest.raises(InvalidInput, match="is Qwen2ForCausalLM; train it with --output qwen_math"):
        ship_head(tmp_path, tmp_path)
