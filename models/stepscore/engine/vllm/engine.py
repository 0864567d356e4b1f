"""The engine over vLLM, in this process or at a server's address, for the heads that vLLM reads itself.

Class heads (Qwen's process reward models, token classification) come from token-wise pooling, without its activation;
vocabulary pairs from the log-probabilities of the next token after each prefix; log-probabilities of a sequence's own
tokens from its prompt's. Tensor parallelism is vLLM's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stepscore.config import CheckpointFacts, EngineOptions
from stepscore.engine.protocol import EngineInfo, SequenceLimits, TokenCounts
from stepscore.engine.torch.planning import needed_ids
from stepscore.errors import EngineError, UnsupportedByEngine
from stepscore.family.heads import Head, LinearHead, TokenLogProbHead, VocabularyHead
from stepscore.types import Encoded, Ids, Values

PROCESS_REWARD = "Qwen2ForProcessRewardModel"
TOKEN_CLASSIFICATION = "ForTokenClassification"
MAX_BATCH_TOKENS = 8192


class Transport(Protocol):
    """How vLLM is reached. Raises EngineError if it cannot be."""

    @property
    def max_tokens(self) -> int:
        """Longest sequence that vLLM holds, tokens that it generates included."""
        ...

    @property
    def dtype(self) -> str: ...

    def pool(self, sequences: Sequence[Ids]) -> list[Values]:
        """Raw class logits: (T, C) for each sequence, or only the rows of the server's step tag."""
        ...

    def next_token(self, prefixes: Sequence[Ids], candidates: Ids) -> list[Values]:
        """(len(candidates),) log-probabilities of each candidate as the token after each prefix."""
        ...

    def prompt_logprobs(self, sequences: Sequence[Ids]) -> list[Values]:
        """(T - 1,) for each sequence of T: the log-probability of each token but the first, given those before it."""
        ...

    def close(self) -> None: ...


class VllmEngine:
    """The engine protocol over a transport. vLLM caches prefixes for generation only, so all asked is computed."""

    def __init__(self, transport: Transport, info: EngineInfo, limits: SequenceLimits) -> None:
        self.info = info
        self._transport = transport
        self._limits = limits
        self._asked = self._computed = 0

    def counts(self) -> TokenCounts:
        return TokenCounts(self._asked, self._computed)

    def cost(self, encoded: Encoded) -> int:
        return len(needed_ids(encoded))

    def forward(self, batch: Sequence[Encoded]) -> list[Values]:
        self._limits.check(batch)
        match self._limits.head:
            case VocabularyHead(candidates):
                found = self._vocabulary(batch, candidates)
            case TokenLogProbHead(beside=()):
                found = self._own_tokens(batch)
            case TokenLogProbHead(beside=candidates):
                pairs = zip(self._own_tokens(batch), self._vocabulary(batch, candidates), strict=True)
                found = [np.concatenate(pair, axis=1) for pair in pairs]
            case _:
                found = self._classes(batch)
        self._asked += sum(len(encoded.ids) for encoded in batch)
        return found

    def purge(self) -> None:
        """Nothing of ours is kept; vLLM's own cache is of no use to pooling."""

    def close(self) -> None:
        self._transport.close()

    def _classes(self, batch: Sequence[Encoded]) -> list[Values]:
        unique = list({needed_ids(encoded): None for encoded in batch if encoded.reads})
        rows = dict(zip(unique, self._transport.pool(unique) if unique else [], strict=True))
        self._computed += sum(len(ids) for ids in unique)
        return [
            self._read(rows[needed_ids(encoded)], encoded) if encoded.reads else _none(self._limits.head.outputs)
            for encoded in batch
        ]

    def _read(self, rows: Values, encoded: Encoded) -> Values:
        """The rows at the reads. vLLM answers a wrong step tag with too few rows, or none, and without an error."""
        if len(rows) == len(needed_ids(encoded)):
            rows = rows[list(encoded.reads)]
        if rows.shape != (len(encoded.reads), self._limits.head.outputs):
            raise EngineError(
                f"vLLM gave {rows.shape} numbers for {len(encoded.reads)} read positions: its pooler must be of type "
                "ALL, or of type STEP with the family's marker as step_tag_id",
                shape=rows.shape,
                reads=len(encoded.reads),
            )
        return rows

    def _vocabulary(self, batch: Sequence[Encoded], candidates: Ids) -> list[Values]:
        prefixes = list({encoded.ids[: read + 1]: None for encoded in batch for read in encoded.reads})
        rows = dict(zip(prefixes, self._transport.next_token(prefixes, candidates) if prefixes else [], strict=True))
        self._computed += sum(len(needed_ids(encoded)) for encoded in batch)
        return [
            np.stack([rows[encoded.ids[: read + 1]] for read in encoded.reads])
            if encoded.reads
            else _none(len(candidates))
            for encoded in batch
        ]

    def _own_tokens(self, batch: Sequence[Encoded]) -> list[Values]:
        """Targets that follow in the sequence are read from it; another target takes a sequence that ends in it."""
        asked = [_prompts(encoded) for encoded in batch]
        unique = list({ids: None for prompts in asked for ids in prompts})
        rows = dict(zip(unique, self._transport.prompt_logprobs(unique) if unique else [], strict=True))
        self._computed += sum(len(ids) for ids in unique)
        return [
            np.array([[rows[ids][read]] for ids, read in zip(prompts, encoded.reads, strict=True)], np.float32)
            if encoded.reads
            else _none(1)
            for encoded, prompts in zip(batch, asked, strict=True)
        ]


def _none(outputs: int) -> Values:
    return np.empty((0, outputs), dtype=np.float32)


def _prompts(encoded: Encoded) -> list[Ids]:
    """For each read a sequence in which its target follows it."""
    aims = list(zip(encoded.reads, encoded.targets, strict=True))
    follows = [read for read, target in aims if encoded.ids[read + 1 : read + 2] == (target,)]
    own = encoded.ids[: follows[-1] + 2] if follows else ()
    return [own if read in follows else (*encoded.ids[: read + 1], target) for read, target in aims]


def open_vllm_engine(facts: CheckpointFacts, head: Head, options: EngineOptions, server: str = "") -> VllmEngine:
    """vLLM over a checkpoint: in this process, or at the address of a server that serves it.

    Raises UnsupportedByEngine for a head or architecture that vLLM does not read, EngineError if it does not start.
    """
    check_supported(facts, head)
    transport = _open(facts, head, options, server)
    max_tokens = min(options.max_tokens or facts.max_tokens, transport.max_tokens - room(head))
    info = EngineInfo(
        name="vllm",
        device=server or "vllm",
        dtype=transport.dtype,
        mode="fast",
        max_tokens=max_tokens,
        max_batch_tokens=options.max_batch_tokens or MAX_BATCH_TOKENS,
    )
    return VllmEngine(transport, info, SequenceLimits(max_tokens, int(facts.config["vocab_size"]), head))


def check_supported(facts: CheckpointFacts, head: Head) -> None:
    """Raise UnsupportedByEngine unless vLLM has a class that reads this head from this checkpoint."""
    match head:
        case LinearHead(layers=("score.0", "score.2")) if PROCESS_REWARD in facts.architectures:
            return
        case LinearHead(layers=("score",)) if any(name.endswith(TOKEN_CLASSIFICATION) for name in facts.architectures):
            return
        case VocabularyHead() | TokenLogProbHead(reference=False):
            return
    named = ", ".join(facts.architectures) or "a checkpoint without architectures"
    raise UnsupportedByEngine(
        f"vLLM has no class that reads a {type(head).__name__} from {named}; use the torch engine",
        engine="vllm",
        head=type(head).__name__,
    )


def room(head: Head) -> int:
    """Tokens that vLLM holds beside a sequence: the one it must generate, and before it a target of ours."""
    match head:
        case VocabularyHead():
            return 1
        case TokenLogProbHead():
            return 2
    return 0


def _open(facts: CheckpointFacts, head: Head, options: EngineOptions, server: str) -> Transport:
    if server:
        from stepscore.engine.vllm.server import VllmServer  # each transport brings its own dependency

        return VllmServer(server)
    from stepscore.engine.vllm.process import VllmProcess

    longest = min(facts.max_tokens, (options.max_tokens or facts.max_tokens) + room(head))
    return VllmProcess(facts, head, options, longest)
