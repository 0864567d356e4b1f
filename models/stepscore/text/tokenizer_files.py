"""A checkpoint's tokenizer files, opened as they are.

`tokenizer.json` is what the checkpoint was trained with. transformers 5 does not always load it: its AutoTokenizer
rebuilds the tokenizer in the class that tokenizer_config.json names, and `LlamaTokenizerFast` over a byte-level file
then drops white space and most text that is not ASCII (huggingface/transformers #45488, #45920, #48206). So the file
is read by the tokenizers library; tokenizer_config.json adds the special tokens and the chat template, and decides
about a BOS where its class did so in transformers 4.

A sentencepiece model without tokenizer.json is converted as transformers 4 converted it. Before a tokenizer is used, a
probe text must come back from it, and its ids must be those of the file.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from stepscore.errors import CheckpointError, DamagedTokenizer

FILE, SENTENCEPIECE, CONFIG = "tokenizer.json", "tokenizer.model", "tokenizer_config.json"
VOCABULARIES = (FILE, "vocab.json", SENTENCEPIECE)
BESIDE = (CONFIG, "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "config.json")
PROBES = ("Step 1: 16 - 3  =\n\n\t13 é ≤ 你好 🦆.\n \n\n\n\nSo x", " She", "\nSo\n")
"""Texts that lose something in a tokenizer that was built wrongly; the second begins with a space, the third breaks."""
OTHERS = {" ": "\t", "\n": " ", "\t": " ", "é": "ö", "≤": "≥", "好": "吗", "🦆": "🐔"}
"""Characters of the first probe, each with one that means something else."""
WORD_START = "▁"
# In transformers 4 these classes alone wrote the BOS themselves, whatever post-processor the file held.
LLAMA_CLASSES = frozenset({"LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer", "CodeLlamaTokenizerFast"})
LLAMA_TYPES = frozenset({"llama", "mistral"})
LLAMA_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def open_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder.

    Raises CheckpointError if there is none or it is damaged, DamagedTokenizer if it loses text.
    """
    if not any((folder / name).is_file() for name in VOCABULARIES):
        # transformers would make an empty one up, which encodes every text to nothing.
        raise CheckpointError(f"{folder} has no tokenizer ({', '.join(VOCABULARIES)})", path=str(folder))
    try:
        inner = _open(folder)
    except CheckpointError:
        raise
    except Exception as error:  # the tokenizers package raises bare Exceptions for a damaged file
        raise CheckpointError(f"the tokenizer of {folder}, or its config.json, is damaged: {error}") from error
    if not isinstance(inner, PreTrainedTokenizerFast):
        raise CheckpointError(f"{folder} has no fast tokenizer ({FILE})", path=str(folder))
    _check_text_survives(inner.backend_tokenizer, folder)
    return inner


def _open(folder: Path) -> Any:
    if (folder / FILE).is_file():
        return _from_file(folder)
    if _is_sentencepiece(folder / SENTENCEPIECE):
        return _from_sentencepiece(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def _from_file(folder: Path) -> PreTrainedTokenizerFast:
    """tokenizer.json itself, with the special tokens and the chat template of tokenizer_config.json."""
    own = Tokenizer.from_file(str(folder / FILE))
    config = _json(folder / CONFIG)
    llama = _class_name(folder, config) in LLAMA_CLASSES
    named = config | _json(folder / "special_tokens_map.json")
    defaults = {name: token for name, token in LLAMA_TOKENS.items() if own.token_to_id(token) is not None}
    added: dict[str, Any] = {name: token for name, token in defaults.items() if llama and name not in named}
    inner: Any = PreTrainedTokenizerFast.from_pretrained(folder, **added)
    if llama:
        inner.add_bos_token = config.get("add_bos_token", True) and inner.bos_token is not None
    elif own.post_processor is not None:
        inner.backend_tokenizer.post_processor = own.post_processor
    _check_ids(inner.backend_tokenizer, own, folder)
    return cast(PreTrainedTokenizerFast, inner)


def _class_name(folder: Path, config: dict[str, Any]) -> str:
    model = _json(folder / "config.json")
    named = config.get("tokenizer_class") or model.get("tokenizer_class")
    return str(named or ("LlamaTokenizer" if model.get("model_type") in LLAMA_TYPES else ""))


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _check_ids(inner: Tokenizer, own: Tokenizer, folder: Path) -> None:
    named = {str(token) for token in inner.get_added_tokens_decoder().values() if not token.special}
    foreign = sorted(named - {str(token) for token in own.get_added_tokens_decoder().values()})
    if foreign:
        raise DamagedTokenizer(
            f"files beside {FILE} of {folder} add tokens that it lacks: {', '.join(foreign)}",
            path=str(folder),
            added=foreign,
        )
    for probe in PROBES:
        ids, expected = (each.encode(probe, add_special_tokens=False).ids for each in (inner, own))
        if ids != expected:
            raise DamagedTokenizer(
                f"the tokenizer of {folder} does not give the ids of its own {FILE}; {CONFIG} contradicts it",
                path=str(folder),
                text=probe,
                ids=ids,
                expected=expected,
            )


def _check_text_survives(inner: Tokenizer, folder: Path) -> None:
    """What the file's own normaliser leaves of a text must come back; without a decoder, each character must count."""
    if inner.decoder is None:
        _check_characters_count(inner, folder)
        return
    for probe in PROBES:
        written = inner.normalizer.normalize_str(probe) if inner.normalizer else probe
        found = inner.decode(inner.encode(probe, add_special_tokens=False).ids, skip_special_tokens=False)
        if _without_word_start(found) != _without_word_start(written):
            raise DamagedTokenizer(
                f"the tokenizer of {folder} loses text: {probe!r} comes back as {found!r}. Fetch {FILE} again from "
                "where the checkpoint was published",
                path=str(folder),
                text=probe,
                found=found,
            )


def _check_characters_count(inner: Tokenizer, folder: Path) -> None:
    """A text without one of its characters, or with another in its place, has other ids."""
    for character, other in OTHERS.items():
        texts = [PROBES[0], PROBES[0].replace(character, ""), PROBES[0].replace(character, other)]
        ids = [tuple(inner.encode(text, add_special_tokens=False).ids) for text in texts]
        if len(set(ids)) < len(texts):
            raise DamagedTokenizer(
                f"the tokenizer of {folder} loses text: {character!r} makes no difference to its ids. Fetch {FILE} "
                "again from where the checkpoint was published",
                path=str(folder),
                text=texts[0],
                found=character,
            )


def _without_word_start(text: str) -> str:
    """Sentencepiece writes one more space in front of a text, which some decoders take away again."""
    return text.replace(WORD_START, " ").lstrip(" ")


def _is_sentencepiece(file: Path) -> bool:
    """Llama 3 published a tiktoken vocabulary under that name; a sentencepiece model begins with its first field."""
    return file.is_file() and file.read_bytes()[:1] == b"\n"


def _from_sentencepiece(folder: Path) -> PreTrainedTokenizerFast:
    """The model as the tokenizer.json that transformers 4 wrote for it, opened like any other."""
    if importlib.util.find_spec("sentencepiece") is None:
        raise CheckpointError(f"{folder} has no {FILE}; its {SENTENCEPIECE} needs: pip install sentencepiece")
    with tempfile.TemporaryDirectory() as written:
        _convert(folder).save(str(Path(written, FILE)))
        for name in BESIDE:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, Path(written, name))
        return _from_file(Path(written))


def _convert(folder: Path) -> Tokenizer:
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(folder / SENTENCEPIECE))
    names = [pieces.id_to_piece(n) for n in range(pieces.get_piece_size())]
    tokenizer = Tokenizer(_bpe(pieces, {name: n for n, name in enumerate(names)}))
    legacy = bool(_json(folder / CONFIG).get("legacy", True))
    if legacy:
        steps = [normalizers.Prepend(WORD_START), normalizers.Replace(" ", WORD_START)]
        tokenizer.normalizer = normalizers.Sequence(steps)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(WORD_START, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = [name for n, name in enumerate(names) if pieces.is_control(n) or pieces.is_unknown(n)]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in special])
    _check_ids_of_pieces(tokenizer, pieces, PROBES if legacy else PROBES[:1], folder)
    return tokenizer


def _bpe(pieces: Any, vocabulary: dict[str, int]) -> models.BPE:
    """Every pair of pieces that makes a piece is a merge; the pieces with the best scores are made first."""
    pairs = [
        (pieces.get_score(n), piece[:at], piece[at:])
        for piece, n in vocabulary.items()
        for at in range(1, len(piece))
        if piece[:at] in vocabulary and piece[at:] in vocabulary
    ]
    pairs.sort(key=lambda pair: (-pair[0], -len(pair[1]), -len(pair[2])))
    merges = [(left, right) for _, left, right in pairs]
    unknown = pieces.id_to_piece(pieces.unk_id())
    return models.BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)


def _check_ids_of_pieces(tokenizer: Tokenizer, pieces: Any, probes: tuple[str, ...], folder: Path) -> None:
    for probe in probes:
        ids, expected = tokenizer.encode(probe).ids, pieces.encode(probe)
        if ids != expected:
            raise DamagedTokenizer(
                f"{SENTENCEPIECE} of {folder} is not a model of the Llama kind, and there is no {FILE} beside it",
                path=str(folder),
                text=probe,
                ids=ids,
                expected=expected,
            )
