"""A pre-norm decoder over packed tokens, with the checkpoint's own weights in fused buffers.

Shapes: T rows of the forward (rounded up to whole tiles in invariant mode), D width, H query heads, G key heads,
E head width, R rows that are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from stepscore.engine.torch.architecture import Architecture
from stepscore.engine.torch.attention import Attention, attention_for
from stepscore.engine.torch.gathering import KeysValues
from stepscore.engine.torch.kv_pool import KVPool
from stepscore.engine.torch.linear import Projection
from stepscore.engine.torch.packing import Packed

SERIAL_NUMBERS = 32_767
"""Up to here PyTorch computes elementwise functions on one thread. Above, it cuts the numbers into as many parts as
threads, and what lies at a cut goes through another exp than the rest: a last bit that depends on the row's company."""

ROTATIONS = 4096
"""Positions by which the table of rotations grows."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer. query_norm and key_norm are (E,) if the architecture has them."""

    input_norm: torch.Tensor
    query_key_value: Projection
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    attention_out: Projection
    mlp_norm: torch.Tensor
    gate_up: Projection
    down: Projection
    window: int | None


@dataclass(frozen=True, slots=True)
class RotaryEmbedding:
    """Cosine and sine (T, 1, E) of every row's position, in the model's dtype."""

    cosine: torch.Tensor
    sine: torch.Tensor

    def apply(self, rows_TXE: torch.Tensor) -> torch.Tensor:
        half = rows_TXE.shape[-1] // 2
        first, second = rows_TXE[..., :half], rows_TXE[..., half:]
        turned = rows_TXE * self.cosine
        turned[..., :half].addcmul_(second, self.sine[..., :half], value=-1)
        turned[..., half:].addcmul_(first, self.sine[..., half:])
        return turned


class RotaryTable:
    """Rotations by position, computed once for each position, so that they are the same in every forward."""

    def __init__(self, architecture: Architecture, device: torch.device, dtype: torch.dtype) -> None:
        self._frequencies = architecture.inverse_frequencies
        self._scale = architecture.rope_scale
        self._device, self._dtype = device, dtype
        self._table = self._compute(0)

    def at(self, positions: torch.Tensor) -> RotaryEmbedding:
        longest = int(positions.max()) + 1
        if longest > len(self._table.cosine):
            self._table = self._compute(ROTATIONS * -(-longest // ROTATIONS))
        table = self._table
        return RotaryEmbedding(table.cosine.index_select(0, positions), table.sine.index_select(0, positions))

    def _compute(self, count: int) -> RotaryEmbedding:
        angles_PE = torch.arange(count).unsqueeze(1).float() * self._frequencies
        angles_P1E = torch.cat((angles_PE, angles_PE), dim=-1).unsqueeze(1)
        cosine, sine = angles_P1E.cos() * self._scale, angles_P1E.sin() * self._scale
        return RotaryEmbedding(*(table.to(self._device, self._dtype) for table in (cosine, sine)))


@dataclass(frozen=True, slots=True)
class Pass:
    """What every layer of one forward shares."""

    rotation: RotaryEmbedding
    attention: Attention
    pool: KVPool | None
    keep_rows: torch.Tensor
    keep_slots: torch.Tensor


class Decoder:
    """embedding -> layers -> hidden states after the final norm, at the read rows only."""

    def __init__(
        self, architecture: Architecture, embedding: torch.Tensor, layers: tuple[Layer, ...], final_norm: torch.Tensor
    ) -> None:
        self.architecture = architecture
        self.embedding = embedding
        self.layers = layers
        self._final_norm = final_norm
        self._rotation = RotaryTable(architecture, embedding.device, final_norm.dtype)
        tiled = bool(layers[0].down.tile) and embedding.device.type == "cpu"
        self._serial_rows = max(1, SERIAL_NUMBERS // architecture.inner) if tiled else 0

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self._final_norm.dtype

    def forward(self, packed: Packed, pool: KVPool | None) -> torch.Tensor:
        """(P, D) hidden states at the packed pairs' rows."""
        rows = self.layers[0].down.padded_rows(len(packed.ids))
        reads = self.layers[0].down.padded_rows(len(packed.pair_rows))
        read_rows = _padded(packed.pair_rows, reads, self.device)
        current = self._pass(packed, pool, rows)
        hidden_TD = functional.embedding(_padded(packed.ids, rows, self.device), self.embedding).to(self.dtype)
        for number, layer in enumerate(self.layers):
            last = number == len(self.layers) - 1
            hidden_TD = self._layer(layer, number, hidden_TD, current, read_rows if last else None)
        return self._norm(hidden_TD, self._final_norm)[: len(packed.pair_rows)]

    def _pass(self, packed: Packed, pool: KVPool | None, rows: int) -> Pass:
        rotation = self._rotation.at(_padded(packed.positions(), rows, self.device))
        return Pass(
            rotation,
            attention_for(packed.segments, self.device, self.dtype),
            pool,
            torch.from_numpy(packed.keep_rows).to(self.device),
            torch.from_numpy(packed.keep_slots).to(self.device),
        )

    def _layer(
        self, layer: Layer, number: int, hidden_TD: torch.Tensor, current: Pass, read_rows: torch.Tensor | None
    ) -> torch.Tensor:
        """The next layer's input; only the read rows of it if `read_rows` is given."""
        attended_TD = self._attend(layer, number, hidden_TD, current)
        if read_rows is not None:
            attended_TD, hidden_TD = (rows.index_select(0, read_rows) for rows in (attended_TD, hidden_TD))
        hidden_TD = layer.attention_out(attended_TD).add_(hidden_TD)
        gate_up = layer.gate_up(self._norm(hidden_TD, layer.mlp_norm))
        return layer.down(self._gated(gate_up)).add_(hidden_TD)

    def _gated(self, gate_up: torch.Tensor) -> torch.Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        if not self._serial_rows:
            return functional.silu(gate).mul_(up)
        out = torch.empty_like(gate, memory_format=torch.contiguous_format)
        for start in range(0, len(out), self._serial_rows):
            part = slice(start, start + self._serial_rows)
            torch.mul(functional.silu(gate[part]), up[part], out=out[part])
        return out

    def _attend(self, layer: Layer, number: int, hidden_TD: torch.Tensor, current: Pass) -> torch.Tensor:
        architecture = self.architecture
        mixed = layer.query_key_value(self._norm(hidden_TD, layer.input_norm))
        mixed_TXE = mixed.view(len(mixed), architecture.heads + 2 * architecture.key_heads, architecture.head_width)
        turning, value_TGE = torch.split(
            mixed_TXE, [architecture.heads + architecture.key_heads, architecture.key_heads], dim=1
        )
        if layer.query_norm is not None and layer.key_norm is not None:
            query_THE, key_TGE = torch.split(turning, [architecture.heads, architecture.key_heads], dim=1)
            turning = torch.cat((self._norm(query_THE, layer.query_norm), self._norm(key_TGE, layer.key_norm)), dim=1)
        query_THE, key_TGE = torch.split(
            current.rotation.apply(turning), [architecture.heads, architecture.key_heads], dim=1
        )
        past = self._keep(number, key_TGE, value_TGE, current)
        attended_THE = current.attention(query_THE, (key_TGE, value_TGE), past, layer.window)
        return attended_THE.flatten(1)

    def _keep(self, number: int, key_TGE: torch.Tensor, value_TGE: torch.Tensor, current: Pass) -> KeysValues | None:
        """Write the rows that are to be kept, and give the layer's pool."""
        if current.pool is None:
            return None
        keys, values = current.pool.layer(number)
        if len(current.keep_rows):
            keys.index_copy_(0, current.keep_slots, key_TGE.index_select(0, current.keep_rows))
            values.index_copy_(0, current.keep_slots, value_TGE.index_select(0, current.keep_rows))
        return keys, values

    def _norm(self, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """RMS norm over the last dimension, computed in fp32 as the published models do."""
        rows_fp32 = rows.float()
        scale = torch.rsqrt(rows_fp32.pow(2).mean(-1, keepdim=True) + self.architecture.epsilon)
        return (rows_fp32 * scale).to(rows.dtype) * weight


def _padded(values: object, rows: int, device: torch.device) -> torch.Tensor:
    """(rows,): the values, then zeros."""
    tensor = torch.as_tensor(values)
    return functional.pad(tensor, (0, rows - len(tensor))).to(device)
