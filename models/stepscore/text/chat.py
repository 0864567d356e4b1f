"""A checkpoint's chat template. It is a program that came with the weights, so what it does is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import PreTrainedTokenizerFast

from stepscore.errors import CheckpointError


def render_chat(
    tokenizer: PreTrainedTokenizerFast, messages: Sequence[Mapping[str, str]], *, generation_prompt: bool = False
) -> str:
    """The conversation as text. messages: each with a `role` and a `content`.

    Raises CheckpointError if there is no template, or it fails on these messages (detail: roles).
    """
    roles = [message["role"] for message in messages]
    if not tokenizer.chat_template:
        raise CheckpointError(
            "the checkpoint has no chat template, with which its prompts are written; add the published one "
            "(chat_template.jinja, or chat_template in tokenizer_config.json)",
            roles=roles,
        )
    try:
        return str(
            tokenizer.apply_chat_template(
                [dict(message) for message in messages], tokenize=False, add_generation_prompt=generation_prompt
            )
        )
    except Exception as error:  # a template is a program, which raises whatever it likes
        raise CheckpointError(
            f"the checkpoint's chat template fails on the roles {', '.join(roles)}: {error}", roles=roles
        ) from error


def lost_text(text: str, roles: Sequence[str]) -> CheckpointError:
    """What to raise if a template's output lacks a message's text, or has it changed or twice."""
    return CheckpointError(
        f"the checkpoint's chat template does not write each of its messages ({', '.join(roles)}) once and unchanged; "
        "replace it by the published one",
        roles=list(roles),
        text=text,
    )
