"""The checkpoints that ship, for the tests that speak of them, if their base is in the cache.

Those that go through a service share one, in float32: the fixture `embedded_url`.
"""

from __future__ import annotations

import pytest

from stepscore.config import EngineOptions, cache_folder
from stepscore.embedded.prepare import EMBEDDED_HEAD, GGUF, HEAD, prepare
from stepscore.embedded.sources import CODER_05B
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring

OPTIONS = EngineOptions(device="cpu", dtype="float32", kv_cache_bytes=1 << 26)


def missing() -> str:
    """What the cache lacks; empty if the checkpoint can be opened without a download."""
    file = cache_folder() / GGUF / CODER_05B.file
    return "" if file.is_file() else f"{file} is not there: python -m stepscore.embedded.prepare"


def head_missing() -> str:
    """What the cache or the package lacks of the class head."""
    return missing() or ("" if HEAD.is_file() else f"{HEAD} is not there")


needed = pytest.mark.skipif(bool(missing()), reason=missing())
head_needed = pytest.mark.skipif(bool(head_missing()), reason=head_missing())


def scorer() -> Scoring:
    """The checkpoint in float32, with a small prefix cache."""
    prepare()
    return open_scorer("embedded", options=OPTIONS)


def head_scorer() -> Scoring:
    """The class head on top of it, likewise."""
    prepare(EMBEDDED_HEAD)
    return open_scorer(EMBEDDED_HEAD, options=OPTIONS)
