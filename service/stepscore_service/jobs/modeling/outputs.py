"""The conventions in which a checkpoint can be written: which family reads it, and the names of its head."""

from __future__ import annotations

from dataclasses import dataclass

from stepscore.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Output:
    """family: reads the checkpoint; none where it is a policy.

    architecture: what follows the base's name (Qwen2, Llama, ...) in config.json.
    layers: state-dict names of the head's linear layers, ReLU between them; empty where the vocabulary is read.
    numbers: C, what the last layer gives. marker: the token that the family's layout needs.
    two_labels: whether config.json names two labels.
    reading: a step's number is made from several reads, by a layer of its own.
    """

    family: str
    architecture: str
    layers: tuple[str, ...] = ()
    numbers: int = 0
    marker: str | None = None
    two_labels: bool = False
    reading: bool = False


OUTPUTS = {
    "qwen_math": Output("qwen_math", "ForProcessRewardModel", ("score.0", "score.2"), 2, "<extra_0>"),
    "token_classification": Output("token_classification", "ForTokenClassification", ("score",), 2, two_labels=True),
    "value_head": Output("value_head", "Model", ("value_head",), 1),
    "pqm": Output("pqm", "ForCausalLM", ("v_head.summary",), 1, "[PRM]"),
    "number_logprob": Output("number_logprob", "ForCausalLM", numbers=1, reading=True),
    "implicit": Output("implicit", "ForCausalLM", numbers=2),
    "causal": Output("", "ForCausalLM"),
}


def output_named(name: str) -> Output:
    """Raises InvalidInput with the names that exist."""
    if name not in OUTPUTS:
        raise InvalidInput(f"no output is called {name!r}; there are {', '.join(OUTPUTS)}", output=name)
    return OUTPUTS[name]
