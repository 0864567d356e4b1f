"""Which of the authors' functions each family is run beside, on which tiny checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from authors import cases, vocabularies
from authors.theirs import script
from checkpoints import HIDDEN, backbone_state, decoder_config, linear, save, vocabulary_head
from checkpoints_outcome import gating_network
from checkpoints_value_heads import ensemble_members
from fake_generator import Choose, FakeGenerator
from stepscore.checkpoint import read_facts
from stepscore.config import EngineOptions
from stepscore.family.judging import Judge
from stepscore.family.layout import LayoutContext
from stepscore.family.registry import bind, family_named
from stepscore.generate.open import open_generator
from stepscore.generate.protocol import Prompt, SampledToken, Sampling
from stepscore.scoring.judge_scorer import open_judge
from stepscore.scoring.open import open_scorer
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Solution

AGREEABLE, LLAMA_PLUS = 8, 10

Heads = Callable[[Any], dict[str, torch.Tensor]]
Case = tuple[str, list[str]]


def causal_head(config: Any) -> dict[str, torch.Tensor]:
    return vocabulary_head(config)


def value_head(config: Any) -> dict[str, torch.Tensor]:
    return vocabulary_head(config) | linear("v_head.summary", 1)


def class_head(config: Any) -> dict[str, torch.Tensor]:
    return linear("score", 2)


def two_layers(config: Any) -> dict[str, torch.Tensor]:
    return linear("score.0", HIDDEN) | linear("score.2", 2)


def three_classes(config: Any) -> dict[str, torch.Tensor]:
    return linear("score_head", 3, bias=config.model_type == "mistral")


def ensemble(config: Any) -> dict[str, torch.Tensor]:
    return ensemble_members("score.model", 5, 16, seed=3) | ensemble_members("score.reg_model", 5, 16, seed=4)


def one_output(config: Any) -> dict[str, torch.Tensor]:
    return linear("score", 1, bias=False)


def two_layers_to_one(config: Any) -> dict[str, torch.Tensor]:
    return linear("score.0", HIDDEN) | linear("score.2", 1)


def gated(config: Any) -> dict[str, torch.Tensor]:
    return gating_network(objectives=6, inner=12)


def agreeable_head(config: Any) -> dict[str, torch.Tensor]:
    """`<+>` is preferred at about half of the places: most random heads give -1 for nearly every step."""
    return vocabulary_head(config, seed=AGREEABLE)


def loud_plus(config: Any) -> dict[str, torch.Tensor]:
    """Llama's `+` has a share of the whole vocabulary that can be seen."""
    head = vocabulary_head(config)["lm_head.weight"] * 0.05
    head[LLAMA_PLUS] *= 40.0
    return {"lm_head.weight": head}


@dataclass(frozen=True)
class Comparison:
    """adapter: a function of tests/authors/theirs. vocabulary, markers, roles: the tokenizer. kind, architecture,
    heads, config: the checkpoint. options: our family's. theirs: what the adapter is given. tokenizer_class: what
    tokenizer_config.json names. solutions: what is compared. numbers: the extra that is compared, if not the reward."""

    id: str
    family: str
    repository: str
    commit: str
    adapter: str
    vocabulary: str
    kind: str
    architecture: str
    heads: Heads
    markers: tuple[str, ...] = ()
    roles: Mapping[str, str | None] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    tokenizer_class: str = "PreTrainedTokenizerFast"
    base: bool = False
    solutions: Sequence[Case] = tuple(cases.CASES + cases.BLANK)
    numbers: str = "rewards"

    def tokenizer(self) -> PreTrainedTokenizerFast:
        return vocabularies.tokenizer(self.vocabulary, *self.markers, **self.roles)

    def checkpoint(self, folder: Path, seed: int = 0) -> Path:
        """A folder that transformers 4 and 5 read alike."""
        tokenizer = self.tokenizer()
        size = 1 + max(tokenizer.get_vocab().values())
        config = decoder_config(self.kind, tokenizer, vocab_size=size, max_position_embeddings=4096)
        state = backbone_state(config, seed) | self.heads(config)
        save(folder, config, state, tokenizer, self.architecture, extra_config=dict(self.config))
        roles = vocabularies.NAMES[self.vocabulary] | dict(self.roles)
        written = {"tokenizer_class": self.tokenizer_class} | {k: v for k, v in roles.items() if v is not None}
        (folder / "tokenizer_config.json").write_text(json.dumps(written))
        for extra in ("special_tokens_map.json", "chat_template.jinja"):
            (folder / extra).unlink(missing_ok=True)
        return folder


PQM = "WindyLee0822/Process_Q_Model"
OPTIMAL = "RyanLiu112/compute-optimal-tts"
IMPLICIT = "PRIME-RL/ImplicitPRM"


def _pqm(name: str, repository: str, commit: str, adapter: str, prompt: str, **theirs: Any) -> Comparison:
    # DeepSeek's kind: a Llama whose byte-level file is named LlamaTokenizerFast, which writes a BOS.
    return Comparison(name, "pqm", repository, commit, f"values.{adapter}", "qwen", "llama", "LlamaForCausalLM",
                      value_head, markers=("[PRM]",), roles={"bos_token": "<|endoftext|>"},
                      options=({} if prompt == "evaluation" else {"prompt": prompt})
                      | ({"numbering": "from_2"} if theirs.get("marked") else {}),
                      theirs=theirs, tokenizer_class="LlamaTokenizerFast")  # fmt: skip


def _implicit(name: str, adapter: str, vocabulary: str, theirs: dict[str, Any], **options: str) -> Comparison:
    kind, roles = ("qwen2", {}) if vocabulary == "qwen" else ("llama", {"pad_token": "<|finetune_right_pad_id|>"})
    architecture = {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}[kind]
    return Comparison(name, "implicit", IMPLICIT, "c044175", f"language.{adapter}", vocabulary, kind, architecture,
                      causal_head, roles=roles, options=options, theirs=theirs, base=True)  # fmt: skip


def _trl(
    name: str, vocabulary: str, kind: str, architecture: str, separator: str = "\n", **roles: str | None
) -> Comparison:
    return Comparison(name, "token_classification", "huggingface/trl", "f2cd577", "values.trl", vocabulary, kind,
                      architecture, class_head, roles=roles, theirs={"separator": separator},
                      options={"separator": separator} if separator != "\n" else {})  # fmt: skip


def _language(
    name: str, family: str, repository: str, commit: str, adapter: str, vocabulary: str, **more: Any
) -> Comparison:
    kind, architecture = {
        "qwen": ("qwen2", "Qwen2ForCausalLM"),
        "llama": ("llama", "LlamaForCausalLM"),
        "mistral": ("mistral", "MistralForCausalLM"),
    }[vocabulary]
    settings = {"heads": causal_head} | more
    return Comparison(name, family, repository, commit, f"language.{adapter}", vocabulary, kind, architecture,
                      **settings)  # fmt: skip


def _reason_eval(size: str) -> Comparison:
    kind, width = ("mistral", "score_dimension") if size == "7B" else ("llama", "score_dim")
    pad = "<s>" if size == "7B" else "</s>"
    return Comparison(f"reason_eval-{size.lower()}", "reason_eval", "GAIR-NLP/ReasonEval", "6c91c7a",
                      "values.reason_eval", "mistral", kind, f"ReasonEval_{size}", three_classes,
                      roles={"pad_token": pad}, config={width: 3, "use_bias" if size == "7B" else "bias": size == "7B"},
                      theirs={"size": size}, tokenizer_class="LlamaTokenizerFast")  # fmt: skip


def _chat(
    name: str, repository: str, commit: str, adapter: str, architecture: str, heads: Heads, **config: Any
) -> Comparison:
    return Comparison(name, name, repository, commit, f"values.{adapter}", "qwen", "qwen2", architecture, heads,
                      config=config)  # fmt: skip


def _outcome(name: str, family: str, repository: str, commit: str, adapter: str, kind: str, **more: Any) -> Comparison:
    vocabulary, class_name = {"qwen2": ("qwen", "Qwen2"), "llama": ("llama", "Llama")}[kind]
    settings = {"architecture": f"{class_name}ForSequenceClassification", "heads": one_output} | more
    roles = {"pad_token": "<|finetune_right_pad_id|>"} if kind == "llama" else {}
    return Comparison(name, family, repository, commit, f"outcomes.{adapter}", vocabulary, kind, roles=roles,
                      solutions=cases.SHORT, **settings)  # fmt: skip


def _judge(family: str, repository: str, commit: str, **more: Any) -> Comparison:
    return Comparison(family, family, repository, commit, f"judges.{family}", "qwen", "qwen2", "Qwen2ForCausalLM",
                      causal_head, solutions=cases.SHORT, **more)  # fmt: skip


REWARD_BENCH = ("allenai/reward-bench", "05a9005")
REWARD_HUB = ("Red-Hat-AI-Innovation-Team/reward_hub", "fc6150d")
ACEMATH = "Please reason step by step, and check your final answer within \\boxed{}."
GATING = {"num_objectives": 6, "gating_temperature": 0.7, "gating_hidden_dim": 12, "gating_n_hidden": 2}

COMPARISONS = [
    _pqm("pqm", PQM, "c5a2a02", "pqm", "evaluation", marked=False),
    _pqm("pqm-marked", PQM, "c5a2a02", "pqm", "evaluation", marked=True),
    _pqm("pqm-training", PQM, "c5a2a02", "pqm_training", "training"),
    _pqm("pqm-compute-optimal", OPTIMAL, "0ee2578", "pqm_compute_optimal", "compute_optimal_tts", format=0),
    _pqm("pqm-compute-optimal-space", OPTIMAL, "0ee2578", "pqm_compute_optimal", "compute_optimal_tts_space", format=1),
    _implicit("implicit-qwen", "implicit", "qwen", {"values": "accumulative"}),
    _implicit("implicit-qwen-processbench", "implicit_processbench", "qwen", {}, masking="processbench", coef="0.005"),
    _implicit("implicit-llama", "implicit", "llama", {"values": "accumulative"}),
    _implicit("implicit-llama-single", "implicit", "llama", {"values": "single"}, values="single"),
    _trl("token_classification-qwen", "qwen", "qwen2", "Qwen2ForTokenClassification"),
    _trl("token_classification-named-bos", "qwen", "qwen2", "Qwen2ForTokenClassification", bos_token="<|endoftext|>"),
    _trl("token_classification-llama", "llama", "llama", "LlamaForTokenClassification"),
    _trl("token_classification-marker", "qwen", "qwen2", "Qwen2ForTokenClassification", "<extra_0>"),
    _chat("qwen_math", "Red-Hat-AI-Innovation-Team/reward_hub", "fc6150d", "qwen_math", "Qwen2ForProcessRewardModel",
          two_layers),
    Comparison("skywork", "skywork", "SkyworkAI/skywork-o1-prm-inference", "719b56b", "values.skywork", "qwen", "qwen2",
               "Qwen2ForPrmModel", value_head, roles={"bos_token": "<|endoftext|>"}),
    _language("math_shepherd", "math_shepherd", "ssmisya/PRMBench", "a1ae4ea", "math_shepherd", "mistral"),
    _language("math_shepherd-as-written", "math_shepherd", "openreasoner/openr", "54ae004", "openr", "mistral",
              options={"numbering": "as_written"}, theirs={"name": "math_shepherd"}),
    _language("math_psa", "math_psa", "openreasoner/openr", "54ae004", "openr", "qwen", theirs={"name": "math_psa"}),
    _language("rlhflow", "rlhflow", "RLHFlow/RLHF-Reward-Modeling", "fc39179", "rlhflow", "llama"),
    _reason_eval("7B"),
    _reason_eval("34B"),
    Comparison("pure", "pure", "ssmisya/PRMBench", "a1ae4ea", "values.pure", "qwen", "qwen2",
               "Qwen2ForTokenClassification", class_head, options={"separator": "\n\n"}),
    Comparison("pure-named-bos", "pure", "ssmisya/PRMBench", "a1ae4ea", "values.pure", "qwen", "qwen2",
               "Qwen2ForTokenClassification", class_head, options={"separator": "\n\n"},
               roles={"bos_token": "<|endoftext|>"}),
    _language("versa_prm-llama", "versa_prm", "UW-Madison-Lee-Lab/VersaPRM", "81a3c99", "versa_prm", "llama"),
    _language("versa_prm-qwen", "versa_prm", "db-Lee/Multi-RM", "65b3e8e", "multi_rm", "qwen"),
    _language("fover-llama", "fover", "psunlpgroup/FoVer", "742fcf9", "fover", "llama"),
    _language("fover-qwen", "fover", "psunlpgroup/FoVer", "742fcf9", "fover", "qwen"),
    _language("er_prm", "er_prm", "hanningzhang/ER-PRM", "5a996d4", "er_prm", "llama"),
    Comparison("act_prm", "act_prm", "sail-sg/ActivePRM", "a93b338", "values.act_prm", "qwen", "qwen2",
               "Qwen2ForEnsemblePRM", ensemble, config={"num_ensemble": 5, "rr_token": "<extra_0>"}),
    _chat("reasonflux", "Gen-Verse/ReasonFlux", "8980b8b", "reasonflux", "Qwen2ForProcessRewardModel", two_layers),
    _language("rlhflow-vocabulary", "rlhflow", "ssmisya/PRMBench", "a1ae4ea", "rlhflow_vocabulary", "llama",
              heads=loud_plus, options={"probability": "vocabulary"}, solutions=cases.PLAIN),
    _language("path_finder", "path_finder", "declare-lab/PathFinder-PRM", "2f80ed4", "path_finder", "qwen",
              heads=agreeable_head, markers=("<+>", "<->", "<extra>"), solutions=cases.SHORT),
    _outcome("orm_sequence_classification-llama", "orm_sequence_classification", *REWARD_BENCH, "reward_bench", "llama",
             theirs={"system": ""}),
    _outcome("orm_sequence_classification-qwen", "orm_sequence_classification", *REWARD_BENCH, "reward_bench", "qwen2",
             theirs={"system": ""}),
    _outcome("acemath_rm", "acemath_rm", *REWARD_BENCH, "reward_bench", "qwen2", theirs={"system": ACEMATH}),
    _outcome("qwen_math_rm", "qwen_math_rm", *REWARD_HUB, "qwen_math_rm", "qwen2", architecture="Qwen2ForRewardModel",
             heads=two_layers_to_one),
    _outcome("armo_rm", "armo_rm", *REWARD_HUB, "armo_rm", "llama", architecture="LlamaForRewardModelWithGating",
             heads=gated, config=GATING),
    _judge("critic", "QwenLM/ProcessBench", "e802463", numbers="voted"),
    _judge("gen_prm", "RyanLiu112/GenPRM", "cc80f47"),
    _judge("r_prm", "NJUNLP/R-PRM", "e3dd605", options={"n": "1"}),
    _judge("think_prm", "mukhal/ThinkPRM", "0beccfb"),
]  # fmt: skip


def written_ids(comparison: Comparison) -> list[list[int]]:
    """The ids of our layout, without a model."""
    family = family_named(comparison.family)
    config = {"model_type": comparison.kind} | comparison.config
    tensors = frozenset(comparison.heads(_FakeConfig(comparison.kind)))
    tokenizer = StepTokenizer(comparison.tokenizer(), family.markers)
    parts = family.build(LayoutContext(tokenizer, config, family.settle(comparison.options), tensors))
    solutions = [Solution(problem, tuple(steps)) for problem, steps in comparison.solutions]
    encoded = [list(sequence.ids) for one in solutions for sequence in parts.layout.encode(one).sequences]
    if not isinstance(parts.layout, Judge):
        return encoded
    sampler = ScriptedSampler(comparison, lambda prompt, choice: [-1.0] * len(choice))
    for solution in solutions:
        parts.layout.judge(solution, sampler.generator)
    return [*encoded, *sampler.taken()]


@dataclass
class _FakeConfig:
    model_type: str
    vocab_size: int = 8
    hidden_size: int = HIDDEN


class ScriptedSampler:
    """A judge's generator that writes what script.py says, and remembers the ids that it was given."""

    def __init__(self, comparison: Comparison, choose: Choose) -> None:
        self._tokenizer = comparison.tokenizer()
        self._write = script.WRITERS[comparison.family]
        self._read: list[list[int]] = []
        self._choose = choose
        self.generator = FakeGenerator(self._texts, choose=self._choices, read=_sampled)

    def taken(self) -> list[list[int]]:
        """The prompts since the last call, then what was written to read a verdict."""
        prompts = [list(request.prompt) for request in self.generator.requests]
        read, self._read = self._read, []
        self.generator.requests.clear()
        return prompts + read

    def _texts(self, prompt: Prompt, sampling: Sampling) -> list[str]:
        assert not isinstance(prompt, str)
        text = self._tokenizer.decode(prompt)
        return [self._write(text, script.choice(prompt, sample)) for sample in range(sampling.n)]

    def _choices(self, prompt: tuple[int, ...], choice: tuple[int, ...]) -> Sequence[float]:
        self._read.append([*prompt, *choice])
        return self._choose(prompt, choice)


def _sampled(text: str) -> list[SampledToken]:
    return [SampledToken(word, top[word], top) for word, top in script.words(text)]


def ours(comparison: Comparison, folder: Path, base: Path | None) -> list[dict[str, list[Any]]]:
    """What our scorer gives: the ids up to the last position read, and the rewards, in float32."""
    if family_named(comparison.family).judge:
        return _judged(comparison, folder)
    options = EngineOptions(device="cpu", dtype="float32", reference_model=base)
    scorer = open_scorer(
        str(folder), family=comparison.family, options=options, family_options=dict(comparison.options)
    )
    found = []
    for problem, steps in comparison.solutions:
        solution = Solution(problem, tuple(steps))
        reading = scorer.score(solution)
        ids = [list(sequence.ids[: max(sequence.reads) + 1]) for sequence in scorer.encode(solution).sequences]
        found.append({"ids": ids, "rewards": list(reading.rewards)})
    scorer.close()
    return found


def _judged(comparison: Comparison, folder: Path) -> list[dict[str, list[Any]]]:
    """The same of a judge, whose texts are scripted; log-probabilities are those of its own weights."""
    family, facts = family_named(comparison.family), read_facts(folder)
    options = EngineOptions(device="cpu", dtype="float32")
    model = open_generator("", folder, model=facts.name, device="cpu", dtype="float32", longest=facts.max_tokens)
    sampler = ScriptedSampler(comparison, lambda prompt, choice: model.continuations(prompt, [choice])[0])
    scorer = open_judge(
        comparison.id, family, facts, bind(family, facts, dict(comparison.options)), options, sampler.generator
    )
    found = []
    for problem, steps in comparison.solutions:
        reading = scorer.score(Solution(problem, tuple(steps)))
        numbers = reading.rewards if comparison.numbers == "rewards" else reading.extras[comparison.numbers]
        found.append({"ids": sampler.taken(), "rewards": list(numbers)})
    scorer.close()
    model.close()
    return found
