"""Opening an engine by name."""

from __future__ import annotations

from typing import Literal, get_args

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.fake import FakeEngine
from stepscore.engine.protocol import Engine
from stepscore.errors import CheckpointError, UnsupportedByEngine
from stepscore.family.heads import Head, VerdictHead
from stepscore.placement import check_quantize, check_tensor_parallel

EngineName = Literal["torch", "vllm", "fake"]


def open_engine(facts: CheckpointFacts, head: Head, options: EngineOptions, engine: str = "torch") -> Engine:
    """The engine of that name over a checkpoint. Raises CheckpointError, or UnsupportedByEngine for the pair.

    engine: "torch"; "vllm" (in this process) or "vllm:ADDRESS" (a server that serves the same checkpoint); "fake".
    """
    if isinstance(head, VerdictHead):
        raise UnsupportedByEngine(f"{facts.name} is a judge: it generates, and no forward engine does", engine=engine)
    name, _, address = engine.partition(":")
    check_tensor_parallel(options.tensor_parallel_size, engine)
    check_quantize(options.quantize, name, options.mode, options.device, options.compile)
    match name:
        case "fake":
            return FakeEngine(head.outputs, max_tokens=options.max_tokens or facts.max_tokens)
        case "torch":
            return _open_torch(facts, head, options)
        case "vllm":
            from stepscore.engine.vllm.engine import open_vllm_engine  # the transports bring what they need

            return open_vllm_engine(facts, head, options, address)
    raise CheckpointError(f"no engine is called {engine}; there are {', '.join(get_args(EngineName))}", engine=engine)


def _open_torch(facts: CheckpointFacts, head: Head, options: EngineOptions) -> Engine:
    from stepscore.engine.reference import open_reference_engine  # torch and transformers only when needed
    from stepscore.engine.torch.engine import open_torch_engine

    if options.mode == "reference":
        return open_reference_engine(facts, head, options)
    return open_torch_engine(facts, head, options)
