"""Opening an engine by name."""

from __future__ import annotations

import re
from typing import Literal, get_args

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.fake import FakeEngine
from stepscore.engine.protocol import Engine
from stepscore.errors import CheckpointError, InvalidOption, UnsupportedByEngine
from stepscore.family.heads import Head, VerdictHead
from stepscore.placement import check_quantize, check_tensor_parallel

EngineName = Literal["torch", "vllm", "fake"]

ADDRESS = re.compile(r"https?://[^/\s]+")


def open_engine(facts: CheckpointFacts, head: Head, options: EngineOptions, engine: str = "torch") -> Engine:
    """The engine of that name over a checkpoint. Raises CheckpointError, or UnsupportedByEngine for the pair.

    engine: "torch"; "vllm" (in this process) or "vllm:ADDRESS" (a server that serves the same checkpoint); "fake".
    """
    if isinstance(head, VerdictHead):
        raise UnsupportedByEngine(f"{facts.name} is a judge: it generates, and no forward engine does", engine=engine)
    name, _, address = engine.partition(":")
    _check_address(engine, name, address)
    check_tensor_parallel(options.tensor_parallel_size, engine)
    check_quantize(options.quantize, name, options.mode, options.device, options.compile)
    _check_own_forwards(name, options)
    match name:
        case "fake":
            return FakeEngine(head.outputs, max_tokens=options.max_tokens or facts.max_tokens)
        case "torch":
            return _open_torch(facts, head, options)
        case "vllm":
            from stepscore.engine.vllm.engine import open_vllm_engine  # the transports bring what they need

            return open_vllm_engine(facts, head, options, address)
    raise CheckpointError(f"no engine is called {engine}; there are {', '.join(get_args(EngineName))}", engine=engine)


def _check_address(engine: str, name: str, address: str) -> None:
    """Raises InvalidOption for an address that is none, or where an engine has none."""
    if name in ("torch", "fake") and engine != name:
        raise InvalidOption(
            f"the engine {name} has no address; write {name} instead of {engine} (the device is an option of its own)",
            option="engine",
            known=[name],
        )
    if name == "vllm" and engine != name and not ADDRESS.match(address):
        raise InvalidOption(
            f"{address!r} is not the address of a vLLM server; write vllm:http://HOST:PORT", option="engine", known=[]
        )


def _check_own_forwards(name: str, options: EngineOptions) -> None:
    """Raises UnsupportedByEngine for a promise or a speed-up of our own forwards, where others run them."""
    if name == "vllm" and options.mode != "fast":
        raise UnsupportedByEngine(
            f"mode={options.mode} is refused: vLLM batches and shares prefixes in its own way; choose engine torch",
            engine=name,
        )
    foreign = "vLLM" if name == "vllm" else "plain transformers" if options.mode == "reference" else ""
    for option in ("compile", "cuda_graphs"):
        if foreign and getattr(options, option) == "on":
            raise UnsupportedByEngine(
                f"{option}=on is refused: {foreign} runs the forwards; leave {option} at auto", engine=name
            )


def _open_torch(facts: CheckpointFacts, head: Head, options: EngineOptions) -> Engine:
    from stepscore.engine.reference import open_reference_engine  # torch and transformers only when needed
    from stepscore.engine.torch.engine import open_torch_engine

    if options.mode == "reference":
        return open_reference_engine(facts, head, options)
    return open_torch_engine(facts, head, options)
