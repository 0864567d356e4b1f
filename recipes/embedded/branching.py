"""Sampling short continuations of many prefixes of the same texts, of a Llama-like model in fp32.

A worked solution is forwarded once; every branch leaves it at a prefix and attends to the keys of that trunk and to its
own: keys are neither repeated for each branch nor for each prefix, which is where a general sampler spends most of its
time on a small model. Shapes: P trunks, R branches of each, n branches that still run, H key-value heads, G query heads
to each, D width of a head, T tokens of a trunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

Keys = tuple[torch.Tensor, torch.Tensor]
Branch = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Trunk:
    """A text, and after how many of its tokens its branches begin (one branch for each number)."""

    ids: tuple[int, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class How:
    """end: the token that ends a branch. most: its tokens. patience: the share of branches that is not waited for."""

    end: int
    temperature: float = 0.7
    most: int = 64
    patience: float = 0.06


@dataclass(frozen=True, slots=True, eq=False)
class _Trunks:
    """Trunks side by side. keys: of each layer, (P, H, T, D). hidden: last states where branches begin, (P, R, width).

    lengths: (P, R) tokens before each branch. unseen: (P, R, T), true behind them.
    """

    keys: list[Keys]
    hidden: torch.Tensor
    lengths: torch.Tensor
    unseen: torch.Tensor


class Brancher:
    """model: a LlamaForCausalLM on the CPU."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._heads = model.config.num_key_value_heads
        self._groups = model.config.num_attention_heads // self._heads
        self._width = model.config.hidden_size // model.config.num_attention_heads

    @torch.inference_mode()
    def sample(self, trunks: Sequence[Trunk], how: How, seed: int) -> list[list[Branch]]:
        """The tokens of every branch without its end, None for one that had not ended. A seed fixes them."""
        chance = torch.Generator().manual_seed(seed)
        at = self._read(trunks)
        states = at.hidden.flatten(0, 1)
        own = self._room(len(states), how.most)
        tokens = torch.full((len(states), how.most), -1)
        alive = torch.tensor([row for row, real in enumerate(_real(trunks, at.lengths.shape[1])) if real])
        enough, states = len(alive) * how.patience, states[alive]
        for written in range(how.most):
            chances = (self._model.lm_head(states) / how.temperature).softmax(-1)
            new = torch.multinomial(chances, 1, generator=chance)[:, 0]
            tokens[alive, written] = new
            alive, new = alive[new != how.end], new[new != how.end]
            if len(alive) <= enough or written + 1 == how.most:
                break
            states = self._step(new, alive, at, own, written)
        return _split([_ended(row, how.end) for row in tokens.tolist()], trunks, at.lengths.shape[1])

    def _read(self, trunks: Sequence[Trunk]) -> _Trunks:
        most = max(len(trunk.starts) for trunk in trunks)
        longest = max(len(trunk.ids) for trunk in trunks)
        lengths = torch.tensor([[*trunk.starts, *[trunk.starts[-1]] * (most - len(trunk.starts))] for trunk in trunks])
        caches, hidden = [], []
        for trunk, starts in zip(trunks, lengths, strict=True):
            answer = self._model.model(input_ids=torch.tensor([trunk.ids]), use_cache=True)
            caches.append([(layer.keys[0], layer.values[0]) for layer in answer.past_key_values.layers])
            hidden.append(answer.last_hidden_state[0, starts - 1])
        keys = [
            (_stacked([pair[0] for pair in layer], longest), _stacked([pair[1] for pair in layer], longest))
            for layer in zip(*caches, strict=True)
        ]
        return _Trunks(keys, torch.stack(hidden), lengths, torch.arange(longest) >= lengths[..., None])

    def _room(self, branches: int, most: int) -> list[Keys]:
        shape = (branches, self._heads, most, self._width)
        return [(torch.empty(shape), torch.empty(shape)) for _ in self._model.model.layers]

    def _step(
        self, tokens: torch.Tensor, alive: torch.Tensor, at: _Trunks, own: list[Keys], written: int
    ) -> torch.Tensor:
        """The last states after one more token of the branches that still run; its keys are written to `own`."""
        body = self._model.model
        states = body.embed_tokens(tokens)[:, None]
        turns = body.rotary_emb(states, at.lengths.flatten()[alive, None] + written)
        for layer, trunk, room in zip(body.layers, at.keys, own, strict=True):
            attention = layer.self_attn
            normed = layer.input_layernorm(states)
            query, key, value = (
                projected(normed).unflatten(-1, (-1, self._width)).transpose(1, 2)
                for projected in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            query, key = apply_rotary_pos_emb(query, key, *turns)
            for kept, new in zip(room, (key, value), strict=True):
                kept[alive, :, written] = new[:, :, 0]
            branch = room[0][alive, :, : written + 1], room[1][alive, :, : written + 1]
            states = states + attention.o_proj(self._attend(query[:, :, 0], alive, at, trunk, branch)[:, None])
            states = states + layer.mlp(layer.post_attention_layernorm(states))
        last: torch.Tensor = body.norm(states)[:, 0]
        return last

    def _attend(self, query: torch.Tensor, alive: torch.Tensor, at: _Trunks, trunk: Keys, own: Keys) -> torch.Tensor:
        """Attention over the trunk up to the branch's start and over the branch, in one softmax: (n, H * G * D)."""
        query = query.view(-1, self._heads, self._groups, self._width) * self._width**-0.5
        far = self._by_trunk(query, alive, at, trunk[0].transpose(-1, -2))
        far = far.masked_fill(at.unseen.flatten(0, 1)[alive][:, None, None], -torch.inf)
        near = query @ own[0].transpose(-1, -2)
        weights = torch.cat([far, near], -1).softmax(-1)
        length = far.shape[-1]
        mixed = self._by_trunk(weights[..., :length], alive, at, trunk[1]) + weights[..., length:] @ own[1]
        return mixed.flatten(1)

    def _by_trunk(self, rows: torch.Tensor, alive: torch.Tensor, at: _Trunks, other: torch.Tensor) -> torch.Tensor:
        """rows (n, H, G, X) @ other (P, H, X, Y) of each row's trunk: (n, H, G, Y)."""
        (count, branches), (_, heads, groups, inner) = at.lengths.shape, rows.shape
        spread = rows.new_zeros((count * branches, heads, groups, inner))
        spread[alive] = rows
        by_head = spread.view(count, branches, heads, groups, inner).transpose(1, 2)
        product = by_head.reshape(count, heads, branches * groups, inner) @ other
        by_branch = product.view(count, heads, branches, groups, -1).transpose(1, 2)
        return by_branch.reshape(count * branches, heads, groups, -1)[alive]


def _stacked(states: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    return torch.stack([functional.pad(each, (0, 0, 0, length - each.shape[-2])) for each in states])


def _real(trunks: Sequence[Trunk], most: int) -> list[bool]:
    return [place < len(trunk.starts) for trunk in trunks for place in range(most)]


def _ended(tokens: list[int], end: int) -> Branch:
    return tuple(tokens[: tokens.index(end)]) if end in tokens else None


def _split(rows: list[Branch], trunks: Sequence[Trunk], most: int) -> list[list[Branch]]:
    return [rows[number * most :][: len(trunk.starts)] for number, trunk in enumerate(trunks)]
