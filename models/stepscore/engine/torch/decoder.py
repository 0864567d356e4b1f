"""A pre-norm decoder over packed tokens, with the checkpoint's own weights in fused buffers.

Shapes: T rows of the forward (rounded up to whole tiles in invariant mode), D width, E head width, P rows that are
read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from stepscore.engine.torch.architecture import Architecture
from stepscore.engine.torch.attention import Attention, attention_for
from stepscore.engine.torch.compiling import MANY_ROWS, compiled, compiled_for_many_rows
from stepscore.engine.torch.inputs import ForwardInputs, load_inputs
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.layer import (
    LINEARS,
    Elementwise,
    Layer,
    LayerSizes,
    connect,
    finish,
    project,
    rms_norm,
    rotate,
)
from stepscore.engine.torch.linear import GatedProjection, Linear, Projection
from stepscore.engine.torch.packing import Packed

ROTATIONS = 4096
"""Positions by which the table of rotations grows."""

FEWEST_COMPILED_ROWS = 2
"""A graph is compiled for any number of rows, but not for one."""


@dataclass(frozen=True, slots=True)
class RotaryEmbedding:
    """Cosine and sine (T, 1, E) of every row's position, or of every position, in the model's dtype."""

    cosine: torch.Tensor
    sine: torch.Tensor

    def at(self, positions: torch.Tensor) -> RotaryEmbedding:
        return RotaryEmbedding(self.cosine.index_select(0, positions), self.sine.index_select(0, positions))


@dataclass(frozen=True, slots=True, eq=False)
class Buffers:
    """What a forward reads and writes beside its indices, and what may be replaced between two forwards."""

    layers: tuple[Layer, ...]
    rotations: RotaryEmbedding
    pool: tuple[torch.Tensor, ...]

    def same(self, other: Buffers) -> bool:
        """Whether all of it lies where the other's does."""
        return self.layers is other.layers and self.rotations is other.rotations and self.pool is other.pool


class RotaryTable:
    """Rotations by position, computed once for each position, so that they are the same in every forward."""

    def __init__(self, architecture: Architecture, device: torch.device, dtype: torch.dtype) -> None:
        self._frequencies = architecture.inverse_frequencies
        self._scale = architecture.rope_scale
        self._device, self._dtype = device, dtype
        self._table = self._compute(0)

    def up_to(self, last: int) -> RotaryEmbedding:
        """By position, the last one included: the host knows it, so that the device is not asked."""
        if last >= len(self._table.cosine):
            self._table = self._compute(ROTATIONS * (1 + last // ROTATIONS))
        return self._table

    def _compute(self, count: int) -> RotaryEmbedding:
        angles_PE = torch.arange(count).unsqueeze(1).float() * self._frequencies
        angles_P1E = torch.cat((angles_PE, angles_PE), dim=-1).unsqueeze(1)
        cosine, sine = angles_P1E.cos() * self._scale, angles_P1E.sin() * self._scale
        return RotaryEmbedding(*(table.to(self._device, self._dtype) for table in (cosine, sine)))


class Decoder:
    """embedding -> layers -> hidden states after the final norm, at the read rows only."""

    def __init__(
        self, architecture: Architecture, embedding: torch.Tensor, layers: tuple[Layer, ...], final_norm: torch.Tensor
    ) -> None:
        self.architecture = architecture
        self.embedding = embedding
        self.layers = layers
        self.final_norm = final_norm
        self._rotation = RotaryTable(architecture, embedding.device, final_norm.dtype)
        self._sizes = LayerSizes(
            architecture.heads, architecture.key_heads, architecture.head_width, architecture.epsilon
        )
        self.attention_for: Callable[[ForwardInputs, KVPool, torch.dtype], Attention] = attention_for
        self._connect = connect
        self._fewest = 0

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.final_norm.dtype

    def replace_linears(
        self, make: Callable[[Linear], Projection], make_gate: Callable[[Linear], GatedProjection] | None = None
    ) -> None:
        """Replace the large weights layer by layer, so that old and new ones are never both held.

        make_gate: for gate and up; default `make`.
        """
        layers, self.layers = list(self.layers), ()
        for number, layer in enumerate(layers):
            makers = dict.fromkeys(LINEARS, make) | {"gate_up": make_gate or make}
            made: dict[str, Any] = {name: each(getattr(layer, name)) for name, each in makers.items()}
            layers[number] = replace(layer, **made)
        self.layers = tuple(layers)

    def compile(self) -> None:
        """Fuse the elementwise functions between one attention and the next; the first forward then takes seconds.

        What comes before the first attention and after the last stays as written: one layer's part of the work, and a
        few rows, for which two more graphs would have to be compiled.
        Not for tiled products: a compiled function's last bits may depend on the number of rows.
        """
        self._connect = compiled(connect)
        self._fewest = FEWEST_COMPILED_ROWS

    @torch.inference_mode()
    def compile_elementwise(self) -> None:
        """Compile what lies between two products, and nothing else: for products that a compiler cannot see into.

        Unlike `compile` it compiles at once.
        """
        functions = Elementwise(compiled_for_many_rows(rms_norm), compiled_for_many_rows(rotate))
        self._connect = partial(connect, functions=functions)
        rows, a = 2 * MANY_ROWS, self.architecture
        rotation = self._rotation.up_to(rows).at(torch.arange(rows, device=self.device))
        hidden_TD, attended_TD = (
            torch.zeros((rows, width), device=self.device, dtype=self.dtype)
            for width in (a.width, a.heads * a.head_width)
        )
        layers = self.layers[0], self.layers[-1]
        self._connect(*layers, self._sizes, attended_TD, hidden_TD, rotation.cosine, rotation.sine)

    def load(self, packed: Packed, scratch: int) -> ForwardInputs:
        """The forward's indices on the device, filled up to whole tiles. scratch: first scratch slot of the pools."""
        rows, reads = (
            self.layers[0].down.padded_rows(max(len(each), self._fewest)) for each in (packed.ids, packed.pair_rows)
        )
        return load_inputs(packed, self.device, rows=rows, reads=reads, scratch=scratch)

    def forward(self, inputs: ForwardInputs, pool: KVPool) -> torch.Tensor:
        """(P, D) hidden states at the packed pairs' rows."""
        attention = self.attention_for(inputs, pool, self.dtype)
        return self.run(inputs, attention, self.buffers(pool, inputs.last_position))

    def buffers(self, pool: KVPool, last_position: int) -> Buffers:
        return Buffers(self.layers, self._rotation.up_to(last_position), pool.layers)

    def run(self, inputs: ForwardInputs, attention: Attention, buffers: Buffers) -> torch.Tensor:
        """`forward`, as a function of tensors: it asks neither the host nor the device for anything else."""
        rotation = buffers.rotations.at(inputs.positions)
        hidden_TD = functional.embedding(inputs.ids, self.embedding).to(self.dtype)
        layers, turned = buffers.layers, (rotation.cosine, rotation.sine)
        query_THE, key_TGE, value_TGE = project(layers[0], self._sizes, hidden_TD, *turned)
        for layer, following, pool_S2GE in zip(layers, layers[1:], buffers.pool, strict=False):
            attended_TD = attention(query_THE, key_TGE, value_TGE, pool_S2GE, layer.window).flatten(1)
            hidden_TD, query_THE, key_TGE, value_TGE = self._connect(
                layer, following, self._sizes, attended_TD, hidden_TD, *turned
            )
        attended_TD = attention(query_THE, key_TGE, value_TGE, buffers.pool[-1], layers[-1].window).flatten(1)
        attended_TD, hidden_TD = (rows.index_select(0, inputs.read_rows) for rows in (attended_TD, hidden_TD))
        hidden_TD = finish(layers[-1], self._sizes, attended_TD, hidden_TD)
        return rms_norm(hidden_TD, self.final_norm, self._sizes.epsilon)[: len(inputs.targets)]
