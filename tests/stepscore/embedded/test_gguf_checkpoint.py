"""A tiny GGUF file of Qwen2 becomes a checkpoint with its weights and tokens, in the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import tokenizers_for_tests as tokenizers
from checkpoints_gguf import INNER, WIDTH, write_gguf
from cli_case import run_python
from stepscore.checkpoint import read_facts
from stepscore.embedded.gguf_checkpoint import EMBEDDING, ROWS, TrainedPart, add_product, write_checkpoint
from stepscore.errors import CheckpointError
from stepscore.families.number_logprob import digit_tokens
from stepscore.text.tokenizer import StepTokenizer

TEXT = "Janet sells 16 - 3 - 4 = 9 duck eggs a day.\n\nIt’s é 12."


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(found)
    return found


@pytest.fixture(scope="module")
def folder(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(file, found, [TrainedPart(config={"number_logprob": {"slope": 1.0}})])
    return found


def test_the_folder_is_a_plain_checkpoint_of_qwen2(folder: Path) -> None:
    facts = read_facts(folder)
    assert facts.architectures == ("Qwen2ForCausalLM",)
    assert facts.config["number_logprob"] == {"slope": 1.0}
    assert "quantization_config" not in facts.config
    assert "lm_head.weight" not in facts.shapes


def test_transformers_reads_every_weight(folder: Path) -> None:
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()


def test_weights_are_the_file_s_in_bfloat16(file: Path, folder: Path) -> None:
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    found = load_file(folder / "model.safetensors")
    for ours, theirs in (
        ("model.embed_tokens.weight", "output.weight"),
        ("model.layers.1.self_attn.k_proj.weight", "blk.1.attn_k.weight"),
        ("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"),
    ):
        wanted = torch.tensor(gguf.dequantize(tensors[theirs].data, tensors[theirs].tensor_type)).bfloat16()
        assert torch.equal(found[ours], wanted)


def test_transformers_own_reader_finds_the_same_weights_in_the_same_places(file: Path, folder: Path) -> None:
    """Its names and its order of the rows of q and k, which llama.cpp permutes for Llama and not for Qwen2. float32."""
    theirs = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).state_dict()
    ours = load_file(folder / "model.safetensors")
    theirs[EMBEDDING] = theirs.pop("lm_head.weight")  # the finer of the two, which is taken for both
    assert theirs.keys() == ours.keys()
    for name, weight in theirs.items():
        assert torch.equal(ours[name], weight.bfloat16()), name


def test_the_tokenizer_writes_the_same_ids_and_knows_no_filler(folder: Path) -> None:
    tokenizer = StepTokenizer.open(str(folder))
    assert tokenizer.ids(TEXT) == tokenizers.qwen()(TEXT, add_special_tokens=False)["input_ids"]
    assert not [token for token in tokenizer.inner.get_vocab() if token.startswith("[PAD")]
    assert len(digit_tokens(tokenizer)) == 10
    assert tokenizer.token_id("<|im_start|>") == tokenizers.qwen().convert_tokens_to_ids("<|im_start|>")


def test_the_same_file_gives_the_same_bytes(file: Path, folder: Path, tmp_path: Path) -> None:
    write_checkpoint(file, tmp_path, [TrainedPart(config={"number_logprob": {"slope": 1.0}})])
    for written in folder.iterdir():
        assert (tmp_path / written.name).read_bytes() == written.read_bytes()


def test_an_adapter_is_added_and_other_tensors_are_written_as_they_are(
    file: Path, folder: Path, tmp_path: Path
) -> None:
    name = "model.layers.0.mlp.up_proj"
    down, up = torch.randn(4, WIDTH), torch.randn(INNER, 4)
    adapter = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up, "score.0.bias": torch.ones(3)}
    write_checkpoint(file, tmp_path, [TrainedPart(adapter, 0.5)])
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    torch.testing.assert_close(
        after[f"{name}.weight"].float(), before[f"{name}.weight"].float() + 0.5 * up @ down, atol=3e-2, rtol=3e-2
    )
    assert torch.equal(after["score.0.bias"], torch.ones(3))
    assert torch.equal(after["model.norm.weight"], before["model.norm.weight"])


def test_a_second_part_is_added_to_the_checkpoint_of_the_first(file: Path, tmp_path: Path) -> None:
    """The very weights: it was trained on weights that had been rounded to bfloat16."""
    name = "model.layers.0.mlp.up_proj"
    torch.manual_seed(0)
    first, second = (
        TrainedPart(
            {f"{name}.lora_A.weight": torch.randn(2, WIDTH), f"{name}.lora_B.weight": 0.1 * torch.randn(INNER, 2)},
            config={"number_logprob": {"slope": number}, f"of_{number}": True},
        )
        for number in (1, 2)
    )
    for folder, parts in (("first", [first]), ("both", [first, second])):
        (tmp_path / folder).mkdir()
        write_checkpoint(file, tmp_path / folder, parts)
    begun, found = (load_file(tmp_path / folder / "model.safetensors") for folder in ("first", "both"))
    up, down = (second.state[f"{name}.lora_{part}.weight"].numpy() for part in "BA")
    wanted = torch.from_numpy(add_product(begun[f"{name}.weight"].float().numpy(), up, down)).bfloat16()
    assert torch.equal(found[f"{name}.weight"], wanted)
    config = read_facts(tmp_path / "both").config
    assert (config["number_logprob"], config["of_1"], config["of_2"]) == ({"slope": 2}, True, True)


def test_a_new_token_has_its_id_and_its_embedding(file: Path, folder: Path, tmp_path: Path) -> None:
    new = len(tokenizers.qwen())
    row = torch.randn(1, WIDTH).bfloat16()
    write_checkpoint(file, tmp_path, [TrainedPart({ROWS: row}, tokens={"<new>": new})])
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert torch.equal(after[EMBEDDING][new], row[0])
    others = [index for index in range(len(before[EMBEDDING])) if index != new]
    assert torch.equal(after[EMBEDDING][others], before[EMBEDDING][others])
    assert after.keys() == before.keys()
    assert StepTokenizer.open(str(tmp_path)).inner("a<new>", add_special_tokens=False)["input_ids"][-1] == new


def test_a_new_token_that_was_trained_under_another_id_is_refused(file: Path, tmp_path: Path) -> None:
    new = len(tokenizers.qwen())
    with pytest.raises(CheckpointError, match=f"<new> has the id {new} here, and was trained as {new + 1}"):
        write_checkpoint(file, tmp_path, [TrainedPart({ROWS: torch.ones(1, WIDTH)}, tokens={"<new>": new + 1})])


def test_a_product_is_a_sum_of_ranks_in_order() -> None:
    """The very bits, because a revision is a digest of them: ((w + u0 d0) + u1 d1) + u2 d2 in float32."""
    generator = np.random.default_rng(0)
    weight, up, down = (generator.normal(size=shape).astype(np.float32) for shape in ((5, 6), (5, 3), (3, 6)))
    found = add_product(weight, up, down)
    for row in range(5):
        for column in range(6):
            total = weight[row, column]
            for rank in range(3):
                total = np.float32(total + np.float32(up[row, rank] * down[rank, column]))
            assert found[row, column] == total


@pytest.mark.parametrize("missing", ["blk.1.attn_k.bias", "blk.0.ffn_gate.weight", "output_norm.weight"])
def test_a_file_that_lacks_a_weight_is_refused(tmp_path: Path, missing: str) -> None:
    write_gguf(tmp_path / "some.gguf", without=[missing])
    with pytest.raises(CheckpointError, match="lacks 1 weights of Qwen2, the first is model"):
        write_checkpoint(tmp_path / "some.gguf", tmp_path, [])


def test_a_file_that_holds_the_tied_matrix_once_is_read_too(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tied.gguf", without=["output.weight"])
    write_checkpoint(tmp_path / "tied.gguf", tmp_path, [])
    (tensor,) = (each for each in gguf.GGUFReader(tmp_path / "tied.gguf").tensors if each.name == "token_embd.weight")
    wanted = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type)).bfloat16()
    assert torch.equal(load_file(tmp_path / "model.safetensors")[EMBEDDING], wanted)


UP_PROJ = "model.layers.0.mlp.up_proj"


@pytest.mark.parametrize(
    "state",
    [
        {f"{UP_PROJ}.lora_A.weight": torch.ones(2, WIDTH)},
        {f"{UP_PROJ}.lora_A.weight": torch.ones(2, WIDTH), f"{UP_PROJ}.lora_B.weight": torch.ones(1, 2)},
        {f"{UP_PROJ}.lora_A.weight": torch.ones(2, 1), f"{UP_PROJ}.lora_B.weight": torch.ones(INNER, 2)},
        {"lm_head.lora_A.weight": torch.ones(2, WIDTH), "lm_head.lora_B.weight": torch.ones(9, 2)},
        {
            f"model.layers.9{name}": weight
            for name, weight in {".mlp.up_proj.lora_A.weight": torch.ones(2, WIDTH)}.items()
        },
        {"model.embed_tokens.lora_embedding_A.weight": torch.ones(2, 9)},
        {ROWS: torch.ones(1, WIDTH)},
    ],
    ids=[
        "half of it",
        "fewer rows",
        "fewer columns",
        "the tied head",
        "another layer",
        "of embeddings",
        "rows without tokens",
    ],
)
def test_a_part_that_would_be_left_out_or_does_not_fit_is_refused(
    file: Path, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(
        CheckpointError, match=r"is not an adapter of this base|1 embeddings are there for 0 new tokens"
    ):
        write_checkpoint(file, tmp_path, [TrainedPart(state)])
    assert not (tmp_path / "config.json").exists()


def test_one_embedding_is_not_given_to_two_tokens(file: Path, tmp_path: Path) -> None:
    new = len(tokenizers.qwen())
    with pytest.raises(CheckpointError, match="1 embeddings are there for 2 new tokens"):
        write_checkpoint(
            file, tmp_path, [TrainedPart({ROWS: torch.ones(1, WIDTH)}, tokens={"<a>": new, "<b>": new + 1})]
        )


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "other.gguf", "llama")
    with pytest.raises(CheckpointError, match="holds llama, not qwen2"):
        write_checkpoint(tmp_path / "other.gguf", tmp_path, [])


def test_the_conversion_of_a_gguf_file_shows_no_bar_of_its_own(tmp_path: Path) -> None:
    write_gguf(tmp_path / "base.gguf")
    code = (
        "from pathlib import Path\nfrom stepscore.embedded.gguf_checkpoint import write_checkpoint\n"
        "Path('made').mkdir()\nwrite_checkpoint(Path('base.gguf'), Path('made'), [])\n"
    )
    found = run_python(tmp_path, "-c", code)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
