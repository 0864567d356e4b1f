"""transformers' own model over a decoder's weights, in the same memory: what a model's card runs."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen2Config, Qwen2Model

from stepscore.engine.torch.decoder import Decoder


def backbone(decoder: Decoder) -> Any:
    """A Qwen2Model whose weights are parts of the decoder's."""
    shape = decoder.architecture
    config = Qwen2Config(
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        vocab_size=shape.vocabulary,
        rms_norm_eps=shape.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        max_position_embeddings=32_768,
    )
    with torch.device("meta"):
        model: Any = Qwen2Model(config)
    state = {"embed_tokens.weight": decoder.embedding, "norm.weight": decoder.final_norm}
    for number, layer in enumerate(decoder.layers):
        state |= {f"layers.{number}.{name}": part for name, part in _parts(layer, shape.heads, shape.key_heads).items()}
    model.load_state_dict(state, assign=True)
    model.rotary_emb = type(model.rotary_emb)(config)
    return model.to(decoder.device).eval()


def _parts(layer: Any, heads: int, key_heads: int) -> dict[str, torch.Tensor]:
    fused = layer.query_key_value
    width = len(fused.weight) // (heads + 2 * key_heads)
    sizes = [heads * width, key_heads * width, key_heads * width]
    found = {
        f"self_attn.{name}_proj.{kind}": part
        for kind in ("weight", "bias")
        for name, part in zip("qkv", getattr(fused, kind).split(sizes), strict=True)
    }
    gate, up = layer.gate_up.weight.chunk(2)
    return found | {
        "self_attn.o_proj.weight": layer.attention_out.weight,
        "mlp.gate_proj.weight": gate,
        "mlp.up_proj.weight": up,
        "mlp.down_proj.weight": layer.down.weight,
        "input_layernorm.weight": layer.input_norm,
        "post_attention_layernorm.weight": layer.mlp_norm,
    }
