"""A checkpoint's tokenizer is its own file: no class named beside it changes the ids, and none may lose text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import checkpoints_value_heads
import tokenizers_for_tests as made
from stepscore.errors import CheckpointError, DamagedTokenizer
from stepscore.text.tokenizer import StepTokenizer

TEXTS = ("Step 1: 16 - 3 = 13 eggs.\nStill true.", "Step 2: é ≤ 你好", " She\n\n\n\tsells", "a", "\n\n")
CLASSES = ("LlamaTokenizerFast", "LlamaTokenizer", "Qwen2TokenizerFast", "PreTrainedTokenizerFast")
TYPES = ("llama", "qwen3", "qwen2", "mistral")
VOCABULARIES: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte-level": made.qwen,
    "byte-level with a BOS": made.llama3,
    "sentencepiece": made.mistral,
    "legacy sentencepiece": checkpoints_value_heads.legacy_mistral,
}


def rewrite(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None takes one out."""
    found = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


def folder_of(tokenizer: PreTrainedTokenizerFast, path: Path, kind: str, **config: Any) -> Path:
    tokenizer.save_pretrained(path)
    (path / "config.json").write_text(json.dumps({"model_type": kind}))
    rewrite(path / "tokenizer_config.json", extra_special_tokens=None, **config)
    return path


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_ids_are_those_of_the_file(tmp_path: Path, vocabulary: str, name: str, kind: str) -> None:
    folder = folder_of(VOCABULARIES[vocabulary](), tmp_path / "model", kind, tokenizer_class=name)
    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    opened = StepTokenizer.open(str(folder))
    for text in TEXTS:
        expected = own.encode(text, add_special_tokens=False).ids
        assert opened.inner.encode(text, add_special_tokens=False) == expected
        assert opened.ids(text) == expected


@pytest.mark.parametrize(
    ("name", "add", "written"),
    [
        ("LlamaTokenizerFast", None, True),
        ("LlamaTokenizerFast", True, True),
        ("LlamaTokenizerFast", False, False),
        ("Qwen2TokenizerFast", None, False),
        ("Qwen2TokenizerFast", True, False),
        ("PreTrainedTokenizerFast", True, False),
    ],
)
def test_a_bos_is_written_where_transformers_4_wrote_it(
    tmp_path: Path, name: str, add: bool | None, written: bool
) -> None:
    """Only the Llama classes looked at `add_bos_token`; the file here writes none."""
    tokenizer = checkpoints_value_heads.changed(made.qwen(), bos_token="<|endoftext|>")
    opened = StepTokenizer.open(
        str(folder_of(tokenizer, tmp_path / "model", "llama", tokenizer_class=name, add_bos_token=add))
    )
    assert opened.bos == ((opened.token_id("<|endoftext|>"),) if written else ())


def test_a_bos_of_the_file_stays(tmp_path: Path) -> None:
    changes = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False}
    opened = StepTokenizer.open(str(folder_of(made.llama3(), tmp_path / "model", "llama", **changes)))
    assert opened.bos == (opened.token_id("<|begin_of_text|>"),)


def test_special_tokens_and_chat_template_come_along(tmp_path: Path) -> None:
    folder = folder_of(made.qwen("<extra_0>"), tmp_path / "model", "qwen3", tokenizer_class="LlamaTokenizerFast")
    opened = StepTokenizer.open(str(folder))
    assert opened.inner.eos_token == "<|im_end|>"
    assert opened.token_id("<extra_0>") == made.qwen("<extra_0>").convert_tokens_to_ids("<extra_0>")
    rendered = opened.inner.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert "<|im_start|>user\na<|im_end|>" in rendered


def test_a_file_that_drops_white_space_is_refused(tmp_path: Path) -> None:
    """What transformers 5 saves of a byte-level tokenizer that it took for Llama's."""
    folder = folder_of(made.qwen(), tmp_path / "model", "qwen2")
    broken = Tokenizer.from_file(str(folder / "tokenizer.json"))
    broken.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    broken.save(str(folder / "tokenizer.json"))
    with pytest.raises(DamagedTokenizer, match="loses text") as caught:
        StepTokenizer.open(str(folder))
    assert caught.value.code == "damaged_tokenizer"


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        ({"pre_tokenizer": {"type": "WhitespaceSplit"}}, " "),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "[^\\x00-\\x7f]"}, "content": "?"}}, "é"),
        ({"normalizer": {"type": "Replace", "pattern": {"String": "\t"}, "content": " "}}, " "),
    ],
)
def test_without_a_decoder_each_character_must_make_a_difference(
    tmp_path: Path, damage: dict[str, Any], lost: str
) -> None:
    folder = folder_of(made.qwen(), tmp_path / "model", "qwen2")
    rewrite(folder / "tokenizer.json", decoder=None)
    assert StepTokenizer.open(str(folder)).ids("a b") == made.qwen().encode("a b")
    rewrite(folder / "tokenizer.json", **damage)
    with pytest.raises(DamagedTokenizer, match="makes no difference") as caught:
        StepTokenizer.open(str(folder))
    assert caught.value.detail["found"] == lost


def added_token(content: str) -> dict[str, Any]:
    return {"content": content} | dict.fromkeys(("lstrip", "rstrip", "normalized", "single_word", "special"), False)


@pytest.mark.parametrize(
    ("file", "written", "says"),
    [
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"5": added_token(" She") | {"special": True}}},
            "contradicts it",
        ),
        ("tokenizer_config.json", {"added_tokens_decoder": {"900": added_token("eggs")}}, "that it lacks: eggs"),
        ("added_tokens.json", {"eggs": 900}, "that it lacks: eggs"),
    ],
)
def test_files_beside_it_that_change_the_ids_are_refused(
    tmp_path: Path, file: str, written: dict[str, Any], says: str
) -> None:
    folder = folder_of(made.qwen(), tmp_path / "model", "qwen2")
    if not (folder / file).exists():
        (folder / file).write_text("{}")
    rewrite(folder / file, **written)
    with pytest.raises(DamagedTokenizer, match=says):
        StepTokenizer.open(str(folder))


# Sentencepiece models without tokenizer.json


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BPE model of the Llama kind, trained on a few lines."""
    from sentencepiece import SentencePieceTrainer

    folder = tmp_path_factory.mktemp("pieces")
    (folder / "corpus.txt").write_text("\n".join(made.CORPUS))
    SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=420,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return folder / "tokenizer.model"


def sentencepiece_folder(path: Path, model: Path, **config: Any) -> Path:
    path.mkdir()
    (path / "tokenizer.model").write_bytes(model.read_bytes())
    (path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"} | config))
    return path


def test_a_sentencepiece_model_gives_its_own_ids(tmp_path: Path, model: Path) -> None:
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(model))
    opened = StepTokenizer.open(str(sentencepiece_folder(tmp_path / "model", model)))
    for text in TEXTS:
        assert opened.ids(text) == pieces.encode(text)
    assert opened.bos == (pieces.bos_id(),)
    assert opened.inner.eos_token == "</s>"


def test_a_sentencepiece_model_that_is_not_legacy_writes_the_sign_once(tmp_path: Path, model: Path) -> None:
    opened = StepTokenizer.open(str(sentencepiece_folder(tmp_path / "model", model, legacy=False)))
    assert opened.inner.convert_ids_to_tokens(opened.ids("a"))[0].startswith("▁")
    assert not opened.inner.convert_ids_to_tokens(opened.ids("a", first=False))[0].startswith("▁")


def test_a_sentencepiece_model_of_another_kind_is_refused(tmp_path: Path, model: Path) -> None:
    from sentencepiece import SentencePieceTrainer

    SentencePieceTrainer.train(
        input=str(model.parent / "corpus.txt"),
        model_prefix=str(tmp_path / "other"),
        model_type="unigram",
        vocab_size=120,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    with pytest.raises(DamagedTokenizer, match="not a model of the Llama kind"):
        StepTokenizer.open(str(sentencepiece_folder(tmp_path / "model", tmp_path / "other.model")))


def test_an_empty_folder_has_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        StepTokenizer.open(str(tmp_path))
