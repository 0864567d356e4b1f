"""Chat templates: what a published one strips is stripped, and one that loses text is refused at opening."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import checkpoints
import checkpoints_causal
import tokenizers_for_tests as tokenizers
from loading_case import CPU, rewards
from stepscore.errors import CheckpointError
from stepscore.family.layout import ChatTemplate, Message, SequenceBuilder, Text
from stepscore.generate.policy import Policy, open_policy
from stepscore.scoring.open import open_scorer
from stepscore.text.tokenizer import StepTokenizer

TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
ALL = "{% for m in messages %}" + TURN + "{% endfor %}"
PUBLISHED = {
    "chatml": ALL,
    "llama 2": "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' </s>' }}{% endif %}{% endfor %}",
    "qwen 3": "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}<think>\n\n</think>\n\n"
    "{{ m.content.lstrip('\n') }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}",
    "zephyr": "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content + '</s>' }}\n{% endfor %}",
    "trimming": "{% for m in messages %}{{ m.role }}:\n\n{{ m.content | trim }}\n\n{% endfor %}",
}
EDGES = st.text("\n \t", max_size=3)
CONTENT = st.tuples(EDGES, st.text("ab.7\n {}\\é", min_size=1, max_size=8).filter(str.strip), EDGES).map("".join)


def with_template(template: str) -> StepTokenizer:
    inner = copy.deepcopy(tokenizers.qwen())
    inner.chat_template = template
    return StepTokenizer(inner)


@pytest.mark.parametrize("name", PUBLISHED)
@settings(deadline=None, max_examples=60)
@given(problem=CONTENT, answer=CONTENT)
def test_the_ids_are_those_of_the_rendered_conversation(name: str, problem: str, answer: str) -> None:
    tokenizer = with_template(PUBLISHED[name])
    builder = SequenceBuilder(tokenizer)
    ChatTemplate(tokenizer).write(builder, [Message("user", (Text(problem),)), Message("assistant", (Text(answer),))])
    messages = [{"role": "user", "content": problem}, {"role": "assistant", "content": answer}]
    rendered = tokenizer.inner.apply_chat_template(messages, tokenize=False)
    assert list(builder.build().ids) == tokenizer.inner.encode(rendered, add_special_tokens=False)


UNLESS = "{% for m in messages %}{% if m.role != '" + "{}" + "' %}" + TURN + "{% endif %}{% endfor %}"
REFUSED = {
    "fails": ("{{ raise_exception('System role not supported') }}", "System role not supported"),
    "is not a template": ("{% for m in messages %}{{ m.content ", "fails on the roles"),
    "calls what is not there": ("{{ messages[0].content.nothing() }}", "fails on the roles"),
    "drops the problem": (UNLESS.replace("{}", "user"), "once and unchanged"),
    "drops the steps": (UNLESS.replace("{}", "assistant"), "once and unchanged"),
    "drops the system message": (UNLESS.replace("{}", "system"), "once and unchanged"),
    "writes the last alone": ("{{ messages[-1].content }}", "once and unchanged"),
    "writes texts twice": (ALL.replace("{{ m.content }}", "{{ m.content }}{{ m.content }}"), "once and unchanged"),
    "joins lines": (ALL.replace("m.content", "m.content | replace('\n', ' ')"), "once and unchanged"),
    "quotes": (ALL.replace("m.content", "m.content | tojson"), "once and unchanged"),
    "changes letters": (ALL.replace("m.content", "m.content | lower"), "once and unchanged"),
    "cuts": (ALL.replace("m.content", "m.content[:9]"), "once and unchanged"),
    "is missing": ("", "has no chat template"),
}


def change_template(folder: Path, template: str) -> Path:
    (folder / "chat_template.jinja").unlink()
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.mark.parametrize("fault", REFUSED)
def test_a_template_that_loses_text_is_refused_at_opening(tmp_path: Path, fault: str) -> None:
    template, says = REFUSED[fault]
    folder = change_template(checkpoints.qwen_math(tmp_path / "prm"), template)
    with pytest.raises(CheckpointError, match=says):
        open_scorer(str(folder), options=CPU)


@pytest.mark.parametrize("family", ["rlhflow", "implicit", "fover", "critic", "think_prm", "gen_prm", "path_finder"])
def test_every_family_that_writes_chats_refuses_it(tmp_path: Path, family: str) -> None:
    markers = ("<+>", "<->", "<extra>")
    folder = checkpoints_causal.causal(tmp_path / "prm", "qwen2", markers)
    change_template(folder, REFUSED["drops the problem"][0])
    with pytest.raises(CheckpointError, match="once and unchanged"):
        open_scorer(str(folder), family=family, options=CPU)


def test_a_template_without_system_messages_serves_a_family_that_sends_none(tmp_path: Path) -> None:
    folder = change_template(checkpoints.qwen_math(tmp_path / "prm"), REFUSED["drops the system message"][0])
    assert len(rewards(folder, system="")) == 3


@pytest.mark.parametrize("fault", ["fails", "is not a template", "drops the problem", "changes letters"])
def test_a_policys_template_that_loses_the_problem_is_refused_at_opening(tmp_path: Path, fault: str) -> None:
    folder = change_template(checkpoints_causal.causal(tmp_path / "policy", "qwen2"), REFUSED[fault][0])
    with pytest.raises(CheckpointError, match=REFUSED[fault][1]):
        open_policy(Policy(model=str(folder), device="cpu", dtype="float32"))
