"""Finding a checkpoint and reading what it says about itself, without loading a weight."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open

from stepscore.config import CheckpointFacts
from stepscore.embedded.download import HUB_ERRORS
from stepscore.embedded.prepare import SHIPPED, prepare, prepare_base
from stepscore.embedded.sources import SMOLLM2, SOURCES
from stepscore.errors import CheckpointError

Shapes = dict[str, tuple[int, ...]]

_PAPERS = ["*.json", "*.model", "*.jinja", "*.txt"]
_WEIGHTS = ["*.safetensors", "pytorch_model*.bin", "value_head.bin"]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OF_THE_WRITER = frozenset({"_name_or_path", "transformers_version"})
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16


def checkpoint_facts(model: str, cache: Path | None = None, *, weights: bool = True) -> CheckpointFacts:
    """The facts of a checkpoint that ships (`SHIPPED`), a base of it (`SOURCES`), "smollm2", a folder or a Hub id.

    weights: whether they must be there.
    """
    if model in SHIPPED:
        return replace(read_facts(prepare(model, cache)), name=model)
    if model in SOURCES:
        return replace(read_facts(prepare_base(model, cache)), name=model)
    if model == SMOLLM2:
        from stepscore.embedded.smollm2 import prepare_smollm2  # imports transformers' models

        return replace(read_facts(prepare_smollm2(cache)), name=model)
    folder = locate(model, weights=weights)
    return read_facts(folder, name=folder_name(folder) if Path(model).is_dir() else model, weights=weights)


def locate(model: str, revision: str | None = None, *, weights: bool = True) -> Path:
    """A local folder, or the local copy of a Hub repository (downloaded if it is not cached yet).

    weights: without them only config and tokenizer are downloaded. Raises CheckpointError if neither exists.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        said = f"{model} is not a folder; give a checkpoint's folder, a Hub id (owner/name) or {' or '.join(SHIPPED)}"
        several = "; name several models one by one, without commas" if "," in model else ""
        raise CheckpointError(said + several, path=model)
    wanted = [*_PAPERS, *(_WEIGHTS if weights else ())]
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=wanted))
    except HUB_ERRORS as error:
        raise CheckpointError(f"{model} is not a folder, and the Hub does not give it: {error}", path=model) from error


def folder_name(folder: Path) -> str:
    """What a folder says about its origin: its own name, or owner/name if it is a snapshot in the Hub's cache.

    The folders above it say nothing: a checkpoint under `/models/pure/` need not be a PURE model.
    """
    folder = folder.resolve()
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
    return folder.name


def read_facts(path: Path, name: str | None = None, *, weights: bool = True) -> CheckpointFacts:
    """Config, tensor shapes and revision of the checkpoint in a folder.

    weights: whether they must be there; a judge that asks a server needs none. Raises CheckpointError.
    """
    config = _read_json(path / "config.json")
    shapes = _shapes(path) if weights or weight_files(path) else {}
    if weights and not shapes:
        raise CheckpointError(f"{path} holds no weights (*.safetensors or pytorch_model*.bin)", path=str(path))
    return CheckpointFacts(path, name or path.name, config, shapes, _revision(path))


def weight_files(path: Path) -> list[Path]:
    """The files that hold the weights: safetensors if there are any, else PyTorch's, in a fixed order."""
    return sorted(path.glob("*.safetensors")) or sorted(path.glob("pytorch_model*.bin"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent} is not a checkpoint: config.json is missing", path=str(path)) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON: {error}", path=str(path)) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is not a JSON object", path=str(path))
    return found


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Raises CheckpointError if two files hold one tensor: which of them is the model's cannot be known."""
    _check_shards(path)
    shapes: dict[str, tuple[int, ...]] = {}
    holders: dict[str, str] = {}
    for file in weight_files(path):
        for key, shape in _safetensors_shapes(file) if file.suffix == ".safetensors" else _torch_shapes(file):
            if key in shapes:
                raise CheckpointError(
                    f"{path} holds {key} twice, in {holders[key]} and in {file.name}; remove the file that is not the "
                    "model's",
                    path=str(path),
                    key=key,
                    files=[holders[key], file.name],
                )
            shapes[key], holders[key] = shape, file.name
    return shapes


def _check_shards(path: Path) -> None:
    """Every shard that the index names must be there."""
    for index in (*path.glob("*.safetensors.index.json"), *path.glob("pytorch_model*.index.json")):
        named = set(_read_json(index).get("weight_map", {}).values())
        missing = sorted(shard for shard in named if not (path / shard).is_file())
        if missing:
            raise CheckpointError(f"{path} lacks the shards {', '.join(missing)}", path=str(path), missing=missing)


def _safetensors_shapes(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    try:
        with safe_open(file, framework="np") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - safe_open is not a mapping
                yield key, tuple(tensors.get_slice(key).get_shape())
    except SafetensorError as error:
        said = f"{file} is damaged: {error}. If it was downloaded or prepared, remove its folder and try again"
        raise CheckpointError(said, path=str(file)) from error


def _torch_shapes(file: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        yield from [(key, tuple(tensor.shape)) for key, tensor in state.items()]
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError) as error:
        reason = str(error).split("\n")[0]
        raise CheckpointError(f"{file} is damaged, or holds more than tensors: {reason}", path=str(file)) from error


def _revision(path: Path) -> str:
    """The Hub commit if the folder is a Hub snapshot, else a digest of config and sampled weights.

    Where and with which version of transformers a config was written does not count. Sampled: 64 stretches of 64 KiB
    spread over each file, head and tail included; a retrained checkpoint differs in them, and a 140 GB one is still
    digested in a moment.
    """
    if _COMMIT.fullmatch(path.name) and path.parent.name == "snapshots":
        return path.name
    config = {key: value for key, value in _read_json(path / "config.json").items() if key not in _OF_THE_WRITER}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for file in weight_files(path):
        _digest_samples(digest, file)
    return digest.hexdigest()[:16]


def _digest_samples(digest: hashlib._Hash, file: Path) -> None:
    size = file.stat().st_size
    digest.update(f"{file.name} {size}".encode())
    with file.open("rb") as stream:
        for sample in range(_SAMPLES):
            stream.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE_BYTES))
