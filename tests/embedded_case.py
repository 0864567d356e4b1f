"""The checkpoint that ships, for the tests that speak of it, if its base is in the cache.

Those that go through a service share one, in float32: the fixture `embedded_url`.
"""

from __future__ import annotations

import pytest

from stepscore.config import EngineOptions, cache_folder
from stepscore.embedded.prepare import GGUF, prepare
from stepscore.embedded.sources import CODER_05B
from stepscore.scoring.open import open_scorer
from stepscore.scoring.protocol import Scoring


def missing() -> str:
    """What the cache lacks; empty if the checkpoint can be opened without a download."""
    file = cache_folder() / GGUF / CODER_05B.file
    return "" if file.is_file() else f"{file} is not there: python -m stepscore.embedded.prepare"


needed = pytest.mark.skipif(bool(missing()), reason=missing())


def scorer() -> Scoring:
    """The checkpoint in float32, with a small prefix cache."""
    prepare()
    return open_scorer("embedded", options=EngineOptions(device="cpu", dtype="float32", kv_cache_bytes=1 << 26))
