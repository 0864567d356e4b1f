"""The judges' scoring procedures, transcribed over plain transformers; greedy, although the authors sample.

NJUNLP/R-PRM at e3dd60563264eb250fbe1322956de1df2a991574: `src/utils/inference.py` lines 31-36 and 165-172,
`src/evaluate/GenPRM/evaluate-PRM-CoT.py` lines 78-103.
mukhal/ThinkPRM at 0beccfb28f45fd8d7d979a5251212962d38260ac: `prm/thinkprm_api.py` lines 87-187,
`utils/helper.py` lines 3-35.
RyanLiu112/GenPRM at cc80f47f7f37ae32383f74aa84763f20e974b5fc: `src/prm_evaluation/genprm_inference.py` lines 79-143
(`get_reward_score`) and 199-326 (`_single_inference`), `src/utils/util.py` lines 58-64 (`build_prompt`).
tests/authors runs the authors' own functions.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig


def load(path: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path).eval()


def generate(tokenizer: Any, model: Any, ids: list[int], max_tokens: int, stop: list[str]) -> str:
    """Greedy text behind the ids, without what follows the first stop text."""
    inputs = torch.tensor([ids])
    greedy = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.inference_mode():
        output = model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=greedy)
    text = tokenizer.decode(output[0, len(ids) :], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    for word in stop:
        text = text.split(word)[0]
    return text


def r_prm_prompt(problem: str, steps: list[str], file: str) -> str:
    texts = [f"Step {n + 1}: {step}" for n, step in enumerate(steps)]
    previous = "\n".join(texts[:-1])
    if not previous:
        previous = "Since the Now Step is the first step, there are no Previous Steps."
    return file.format(problem, previous, texts[-1])


def split_text(text: str) -> str:
    lines = [item.split("\\n") for item in text.split("\n")]
    return "\n".join([item.strip() for sublist in lines for item in sublist])


def r_prm_yes(tokenizer: Any, model: Any, prompt: str, response: str) -> float:
    """evaluate-PRM-CoT.py, one response."""
    if "Is the step correct (Yes/No)?" in response:
        response = response.split("Is the step correct (Yes/No)?")[0] + "Is the step correct (Yes/No)?"
    else:
        response = response + "\nBased on your analysis. Is the answer correct (Yes/No)?"
    input_ids = tokenizer.encode(prompt + response, return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids).logits
    last_token_logits = logits[0, -1, :]
    yes_token_id = tokenizer.encode(" Yes", add_special_tokens=False)[0]
    no_token_id = tokenizer.encode(" No", add_special_tokens=False)[0]
    return torch.softmax(last_token_logits[[yes_token_id, no_token_id]], dim=-1).tolist()[0]


def r_prm(path: Path, problem: str, steps: list[str], file: str, max_tokens: int) -> list[float]:
    tokenizer, model = load(path)
    rewards = []
    for count in range(1, len(steps) + 1):
        prompt = r_prm_prompt(problem, steps[:count], file)
        text = generate(tokenizer, model, tokenizer.encode(prompt), max_tokens, ["<|eot_id|>"])
        response = split_text(text.strip().strip("\\").strip("\\n").strip())
        rewards.append(r_prm_yes(tokenizer, model, prompt, response))
    return rewards


THINK_TEMPLATE = """You are given a math problem and a proposed step-by-step solution:

[Math Problem]

{problem}

[Solution]

{solution}

{_instruction}
""".strip()
THINK_INSTRUCTION = (
    "Review and critique each step in the proposed solution to determine whether each step is correct. If the "
    "solution is incomplete, only verify the provided steps."
)


def think_prm_prompt(tokenizer: Any, problem: str, prefix_steps: list[str], process_verifier: bool) -> str:
    new_prefix_steps = []
    for i, step in enumerate(prefix_steps):
        bare = re.sub(r"Step \d+:", "", step).strip()
        new_prefix_steps.append((f"Step {i + 1}: " if process_verifier else "") + bare)
    content = THINK_TEMPLATE.replace("{problem}", problem).replace("{solution}", "\n".join(new_prefix_steps))
    content = content.replace("{_instruction}", THINK_INSTRUCTION)
    conversation = [{"role": "user", "content": content}]
    prompt = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    return prompt + "\nLet's verify step by step:"


def think_prm(
    path: Path, problem: str, steps: list[str], max_tokens: int, *, process_verifier: bool, special: bool
) -> list[float]:
    """special: let the tokenizer add its own BOS, as a server does that is sent text."""
    tokenizer, model = load(path)
    rewards = []
    for count in range(1, len(steps) + 1):
        prompt = think_prm_prompt(tokenizer, problem, steps[:count], process_verifier)
        stop = ["Is the solution correct?", "</think>"] + ([f"Step {count + 1}:"] if process_verifier else [])
        ids = tokenizer.encode(prompt, add_special_tokens=special)
        text = prompt + generate(tokenizer, model, ids, max_tokens, stop) + "\nIs the solution correct? "
        logprobs = [mean_logprob(tokenizer, model, text, choice, special) for choice in ("yes", "no")]
        scores = [math.exp(logprob) for logprob in logprobs]
        rewards.append(scores[0] / sum(scores))
    return rewards


def mean_logprob(tokenizer: Any, model: Any, text: str, choice: str, special: bool) -> float:
    """The mean log-probability of the tokens in which `text + choice` leaves `text + other choice`."""
    yes, no = (tokenizer.encode(text + each, add_special_tokens=special) for each in ("yes", "no"))
    start = next(place for place in range(len(yes)) if yes[place] != no[place])
    ids = yes if choice == "yes" else no
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(logprobs[place - 1, ids[place]].item() for place in range(start, len(ids))) / (len(ids) - start)


def gen_prm_prompt(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False)
    if prompt.endswith(f"{tokenizer.eos_token}\n"):
        prompt = prompt[: -len(f"{tokenizer.eos_token}\n")]
    elif prompt.endswith(tokenizer.eos_token):
        prompt = prompt[: -len(tokenizer.eos_token)]
    return prompt


GEN_SYSTEM = "You are a math teacher. Your task is to review and critique the paragraphs in solution step by step."


def gen_prm_critiques(path: Path, problem: str, steps: list[str], max_tokens: int) -> list[str]:
    """analyze, verify, no execute: `_single_inference` for each step, with its own critiques in the conversation."""
    tokenizer, model = load(path)

    def run(prompt: str, left: int, stop: str) -> str:
        ids = tokenizer.encode(prompt, add_special_tokens=False)
        text = generate(tokenizer, model, ids, left, [])
        return text.split(stop)[0] + stop if stop in text else text

    conversation = [{"role": "system", "content": GEN_SYSTEM}]
    critiques = []
    for number, step in enumerate(steps, start=1):
        content = problem + "\n" + step if number == 1 else step
        conversation.append({"role": "user", "content": content})
        prompt = gen_prm_prompt(tokenizer, conversation)
        analyze_start = f"<analyze>\nLet's analyze the Paragraph {number} step by step: "
        output1 = run(prompt + analyze_start, max_tokens, "</analyze>\n")
        text = analyze_start + output1 + "<verify>\nLet's use python code to find any potential error:\n```python\n"
        cur_time, ended = 0, False
        while not ended:
            left_tokens = max_tokens - len(tokenizer.tokenize(text))
            if left_tokens > 0 and cur_time < 3:
                text += run(prompt + text, left_tokens, "</output>\n")
                ended = text.endswith("</output>\n")
                text += "" if ended else "[Code Output]\n\n```\n"
            else:
                text = analyze_start + output1.split("</analyze>")[0] + "</analyze>\n"
                text += "<output>\n**Judgement**: $\\boxed"
                text += run(prompt + text, 20, "</output>\n")
                ended = True
            cur_time += 1
        critiques.append(text)
        conversation.append({"role": "assistant", "content": text})
    return critiques


def gen_prm_reward(text: str, tokens: list[str], logprobs: list[dict[str, float]]) -> float:
    """`get_reward_score`, with tokens as texts."""
    boxed_match = re.search(r"(Yes|No)\}", text, re.IGNORECASE)
    if not boxed_match:
        return 0.5
    decision = boxed_match.group(1).capitalize()
    other = "No" if decision == "Yes" else "Yes"
    index = len(tokens) - 1 - tokens[::-1].index(decision)
    said = math.exp(logprobs[index][decision])
    try:
        unsaid = math.exp(logprobs[index][other])
    except KeyError:
        unsaid = math.exp(min(logprobs[index].values()))
    yes, no = (said, unsaid) if decision == "Yes" else (unsaid, said)
    return yes / (yes + no)
