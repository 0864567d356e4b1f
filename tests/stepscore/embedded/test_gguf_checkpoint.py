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
from cli_case import run_python
from stepscore.checkpoint import read_facts
from stepscore.embedded.gguf_checkpoint import add_product, write_checkpoint
from stepscore.errors import CheckpointError
from stepscore.families.number_logprob import digit_tokens
from stepscore.text.tokenizer import StepTokenizer

WIDTH, INNER, LAYERS, HEADS, KEY_HEADS = 64, 96, 2, 4, 2
TEXT = "Janet sells 16 - 3 - 4 = 9 duck eggs a day.\n\nIt’s é 12."


def write_gguf(file: Path, architecture: str = "qwen2") -> None:
    """Random weights in two precisions, and the tests' own vocabulary with three fillers behind it."""
    inner = tokenizers.qwen()
    vocabulary = sorted(inner.get_vocab(), key=inner.get_vocab().__getitem__)
    tokens = [*vocabulary, *(f"[PAD{len(vocabulary) + number}]" for number in range(3))]
    special = set(inner.all_special_tokens) | set(inner.get_added_vocab())
    kinds = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in vocabulary]
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_token_list(tokens)
    writer.add_token_types([*kinds, *[gguf.TokenType.UNUSED] * 3])
    writer.add_token_merges(merges_of(inner))
    writer.add_eos_token_id(inner.eos_token_id)
    writer.add_pad_token_id(inner.pad_token_id)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    for name, shape in shapes(len(tokens)).items():
        weight = np.random.default_rng(sum(name.encode())).normal(0, 0.1, shape).astype(np.float32)
        quantised = gguf.quants.quantize(weight, gguf.GGMLQuantizationType.Q8_0) if len(shape) == 2 else weight
        writer.add_tensor(name, quantised, raw_dtype=gguf.GGMLQuantizationType.Q8_0 if len(shape) == 2 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def merges_of(inner: object) -> list[str]:
    import json

    merges = json.loads(inner.backend_tokenizer.to_str())["model"]["merges"]  # type: ignore[attr-defined]
    return [" ".join(pair) for pair in merges]


def shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    keys = WIDTH // HEADS * KEY_HEADS
    layer = {
        "attn_norm.weight": (WIDTH,),
        "attn_q.weight": (WIDTH, WIDTH),
        "attn_q.bias": (WIDTH,),
        "attn_k.weight": (keys, WIDTH),
        "attn_k.bias": (keys,),
        "attn_v.weight": (keys, WIDTH),
        "attn_v.bias": (keys,),
        "attn_output.weight": (WIDTH, WIDTH),
        "ffn_norm.weight": (WIDTH,),
        "ffn_gate.weight": (INNER, WIDTH),
        "ffn_up.weight": (INNER, WIDTH),
        "ffn_down.weight": (WIDTH, INNER),
    }
    root = {
        "output.weight": (vocabulary, WIDTH),
        "token_embd.weight": (vocabulary, WIDTH),
        "output_norm.weight": (WIDTH,),
    }
    return root | {f"blk.{number}.{name}": shape for number in range(LAYERS) for name, shape in layer.items()}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(found)
    return found


@pytest.fixture(scope="module")
def folder(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(file, found, {}, 1.0, {"number_logprob": {"slope": 1.0}})
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


def test_the_tokenizer_writes_the_same_ids_and_knows_no_filler(folder: Path) -> None:
    tokenizer = StepTokenizer.open(str(folder))
    assert tokenizer.ids(TEXT) == tokenizers.qwen()(TEXT, add_special_tokens=False)["input_ids"]
    assert not [token for token in tokenizer.inner.get_vocab() if token.startswith("[PAD")]
    assert len(digit_tokens(tokenizer)) == 10
    assert tokenizer.token_id("<|im_start|>") == tokenizers.qwen().convert_tokens_to_ids("<|im_start|>")


def test_the_same_file_gives_the_same_bytes(file: Path, folder: Path, tmp_path: Path) -> None:
    write_checkpoint(file, tmp_path, {}, 1.0, {"number_logprob": {"slope": 1.0}})
    for written in folder.iterdir():
        assert (tmp_path / written.name).read_bytes() == written.read_bytes()


def test_an_adapter_is_added_and_other_tensors_are_written_as_they_are(
    file: Path, folder: Path, tmp_path: Path
) -> None:
    name = "model.layers.0.mlp.up_proj"
    down, up = torch.randn(4, WIDTH), torch.randn(INNER, 4)
    adapter = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up, "score.0.bias": torch.ones(3)}
    write_checkpoint(file, tmp_path, adapter, 0.5, {})
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    torch.testing.assert_close(
        after[f"{name}.weight"].float(), before[f"{name}.weight"].float() + 0.5 * up @ down, atol=3e-2, rtol=3e-2
    )
    assert torch.equal(after["score.0.bias"], torch.ones(3))
    assert torch.equal(after["model.norm.weight"], before["model.norm.weight"])


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


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "other.gguf", "llama")
    with pytest.raises(CheckpointError, match="holds llama, not qwen2"):
        write_checkpoint(tmp_path / "other.gguf", tmp_path, {}, 1.0, {})


def test_the_conversion_of_a_gguf_file_shows_no_bar_of_its_own(tmp_path: Path) -> None:
    write_gguf(tmp_path / "base.gguf")
    code = (
        "from pathlib import Path\nfrom stepscore.embedded.gguf_checkpoint import write_checkpoint\n"
        "Path('made').mkdir()\nwrite_checkpoint(Path('base.gguf'), Path('made'), {}, 1.0, {})\n"
    )
    found = run_python(tmp_path, "-c", code)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
