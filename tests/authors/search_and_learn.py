"""search-and-learn's own search functions over the stub policy and PRM. Prints what they selected as JSON.

    python tests/authors/search_and_learn.py CHECKOUT > tests/golden/authors/search_and_learn.json

CHECKOUT: huggingface/search-and-learn@6f81cac8b1ca4c4be9fabefc27a856c928f3ae7f. Its modules that need vLLM, datasets or
a reward model are replaced by empty ones; the search functions themselves run as they are.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from search_stubs import next_step, rewards_of, to_the_end  # noqa: E402

CASES = [
    ("best_of_n", {"n": 4}),
    ("best_of_n", {"n": 16}),
    ("beam", {"n": 4, "width": 4}),
    ("beam", {"n": 8, "width": 2}),
    ("beam", {"n": 16, "width": 4}),
    ("beam", {"n": 16, "width": 4, "filter_duplicates": True}),
    ("beam", {"n": 8, "width": 4, "rounds": 3}),
    ("dvts", {"n": 4, "width": 4}),
    ("dvts", {"n": 16, "width": 4}),
    ("dvts", {"n": 8, "width": 2, "lookahead": 1}),
    ("dvts", {"n": 8, "width": 4, "rounds": 3}),
]
PROBLEMS = [f"problem {number}" for number in range(20)]


def module(name: str, **attributes: object) -> None:
    made = ModuleType(name)
    vars(made).update(attributes)
    sys.modules[name] = made


@dataclass
class SamplingParams:
    temperature: float = 1.0
    max_tokens: int = 0
    top_p: float = 1.0
    stop: object = None
    include_stop_str_in_output: bool = False
    n: int = 1


class Tokenizer:
    chat_template = None

    def apply_chat_template(self, conversations, **_):
        return ["|".join((each[1]["content"], each[2]["content"] if len(each) > 2 else "")) for each in conversations]


class Policy:
    def get_tokenizer(self):
        return Tokenizer()

    def generate(self, prompts, params=None, sampling_params=None, use_tqdm=False):
        params, seen = params or sampling_params, Counter()
        outputs = []
        for prompt in prompts:
            problem, _, prefix = prompt.partition("|")
            sample = seen[prompt]
            seen[prompt] += 1
            if params.stop:
                text, ended = next_step(problem, prefix, sample, greedy=not params.temperature)
            else:
                text, ended = to_the_end(problem, prefix, sample), True
            outputs.append(
                SimpleNamespace(
                    outputs=[SimpleNamespace(text=text, stop_reason=None if ended else "\n\n", token_ids=[])]
                )
            )
        return outputs


class Prm:
    def score(self, prompts, completions):
        return [
            [rewards_of(prompt, text) for text in texts] for prompt, texts in zip(prompts, completions, strict=True)
        ]


def config(options: dict) -> SimpleNamespace:
    n, width = options["n"], options.get("width", 1)
    return SimpleNamespace(
        n=n,
        beam_width=width,
        n_beams=n // width,
        num_iterations=options.get("rounds", 40),
        lookahead=options.get("lookahead", 0),
        filter_duplicates=options.get("filter_duplicates", False),
        **{"temperature": 0.8, "max_tokens": 1, "top_p": 1.0, "agg_strategy": "last", "sort_completed": True},
        **{"system_prompt": "", "custom_chat_template": None},
    )


def main(checkout: str) -> None:
    sys.path.insert(0, str(Path(checkout) / "src"))
    module("vllm", LLM=object, SamplingParams=SamplingParams)
    module("datasets", Dataset=object)
    for name in ("sal.config", "sal.models.reward_models", "sal.utils.math"):
        names = ("Config", "PRM", "compute_maj_pred", "compute_naive_pred", "compute_weighted_pred")
        module(name, **dict.fromkeys((*names, "extract_completion_answers", "subsample_completions")))
    searches = {
        "best_of_n": importlib.import_module("sal.search.best_of_n").best_of_n,
        "beam": importlib.import_module("sal.search.beam_search").beam_search,
        "dvts": importlib.import_module("sal.search.diverse_verifier_tree_search").dvts,
    }
    found = [
        {
            "method": name,
            "options": options,
            "selected": [select(searches[name], problem, options) for problem in PROBLEMS],
        }
        for name, options in CASES
    ]
    json.dump(found, sys.stdout, indent=1)


def select(search, problem: str, options: dict) -> str:
    return search({"problem": [problem]}, config(options), Policy(), Prm())["pred"][0]


if __name__ == "__main__":
    main(sys.argv[1])
