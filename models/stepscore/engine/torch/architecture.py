"""What a checkpoint's config.json says of its decoder, in the few numbers that a forward needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from stepscore.config import CheckpointFacts
from stepscore.errors import CheckpointError, UnsupportedByEngine

CONFIGS: dict[str, type[Any]] = {
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
}
ACTIVATIONS = ("silu", "swish")
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A pre-norm decoder with rotary positions, grouped-query attention and a gated MLP.

    windows: per layer, how many positions a token sees back (itself included), None for all.
    inverse_frequencies: (head_width / 2,) fp32; rope_scale multiplies cosine and sine.
    qkv_bias, out_bias, mlp_bias: whether those linear layers have biases. query_key_norm: RMS norm over each head.
    """

    kind: str
    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    head_width: int
    vocabulary: int
    epsilon: float
    tied: bool
    qkv_bias: bool
    out_bias: bool
    mlp_bias: bool
    query_key_norm: bool
    windows: tuple[int | None, ...]
    inverse_frequencies: torch.Tensor
    rope_scale: float


def read_config(facts: CheckpointFacts) -> Any:
    """transformers' own config object. Raises UnsupportedByEngine, or CheckpointError if a value is wrong."""
    kind = facts.config.get("model_type")
    if kind not in CONFIGS:
        raise UnsupportedByEngine(
            f"the torch engine runs {', '.join(CONFIGS)}; {facts.name} is {kind}", engine="torch", model_type=kind
        )
    try:
        return CONFIGS[kind].from_dict(dict(facts.config))
    except (StrictDataclassError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"config.json of {facts.name} is wrong: {error}", path=str(facts.path)) from error


def read_architecture(facts: CheckpointFacts, max_tokens: int) -> Architecture:
    """The decoder of a checkpoint that is to read sequences of up to `max_tokens`."""
    config = read_config(facts)
    kind: str = facts.config["model_type"]
    if config.hidden_act not in ACTIVATIONS:
        raise UnsupportedByEngine(f"the torch engine does not have the activation {config.hidden_act}", engine="torch")
    bias = bool(getattr(config, "attention_bias", False))
    frequencies, scale = _rope(config, max_tokens)
    return Architecture(
        kind=kind,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        inner=config.intermediate_size,
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads,
        head_width=_head_width(config),
        vocabulary=config.vocab_size,
        epsilon=config.rms_norm_eps,
        tied=bool(config.tie_word_embeddings),
        qkv_bias=kind == "qwen2" or bias,
        out_bias=bias,
        mlp_bias=bool(getattr(config, "mlp_bias", False)),
        query_key_norm=kind == "qwen3",
        windows=_windows(config),
        inverse_frequencies=frequencies,
        rope_scale=scale,
    )


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _windows(config: Any) -> tuple[int | None, ...]:
    """Mistral slides in every layer, Qwen in those that `layer_types` names, Llama in none."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _rope(config: Any, max_tokens: int) -> tuple[torch.Tensor, float]:
    parameters = config.rope_parameters
    kind = parameters["rope_type"]
    original = parameters.get("original_max_position_embeddings") or config.max_position_embeddings
    if kind == "default" or (kind == "dynamic" and max_tokens <= original):
        exponents = torch.arange(0, _head_width(config), 2, dtype=torch.float32) / _head_width(config)
        return 1.0 / parameters["rope_theta"] ** exponents, 1.0
    if kind in LENGTH_DEPENDENT_ROPE or kind not in ROPE_INIT_FUNCTIONS:
        raise UnsupportedByEngine(
            f"rope type {kind} lets positions depend on the longest sequence of a batch", engine="torch", rope_type=kind
        )
    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
    return frequencies, float(scale)
