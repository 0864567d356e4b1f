"""A live service over a tiny checkpoint, on a free port of the loopback interface."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from stepscore.config import EngineOptions
from stepscore.engine.fake_engine import FakeEngine
from stepscore.registry import resolve
from stepscore.scorer import Scorer, _info, bind, checkpoint_facts, open_scorer
from stepscore_service.app import create_app
from stepscore_service.settings import Settings

CPU = EngineOptions(device="cpu", dtype="float32", kv_cache_bytes=1 << 20)


def torch_scorer(folder: Path, name: str) -> Scorer:
    return open_scorer(str(folder), name=name, options=CPU)


def fake_scorer(folder: Path, name: str = "fake", **options: Any) -> Scorer:
    """The checkpoint's true tokenizer and layout over an engine without weights."""
    facts = checkpoint_facts(str(folder))
    family = resolve(facts)
    engine = FakeEngine(2, **{"max_tokens": facts.max_tokens, **options})
    return Scorer(_info(name, family, facts, engine), bind(family, facts, {}), engine)


@contextmanager
def live(scorers: Mapping[str, Scorer], **settings: Any) -> Iterator[str]:
    """The base URL of a running service."""
    app = create_app(Settings(**settings), scorers)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60)
