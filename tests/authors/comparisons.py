"""Which of the authors' functions each family is run beside, on which tiny checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from authors import cases, vocabularies
from checkpoints import HIDDEN, backbone_state, decoder_config, linear, save, vocabulary_head
from checkpoints_value_heads import ensemble_members
from stepscore.config import EngineOptions
from stepscore.family.layout import LayoutContext
from stepscore.family.registry import family_named
from stepscore.open import open_scorer
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Reading, Solution

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


@dataclass(frozen=True)
class Comparison:
    """adapter: a function of tests/authors/theirs. vocabulary, marker, roles: the tokenizer. kind, architecture, heads,
    config: the checkpoint. options: our family's. theirs: what the adapter is told. tokenizer_class: what
    tokenizer_config.json names. blank: whether steps with blank lines are compared too."""

    id: str
    family: str
    repository: str
    commit: str
    adapter: str
    vocabulary: str
    kind: str
    architecture: str
    heads: Heads
    marker: str = ""
    roles: Mapping[str, str | None] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    tokenizer_class: str = "PreTrainedTokenizerFast"
    base: bool = False
    blank: bool = True

    @property
    def cases(self) -> list[Case]:
        return cases.CASES + (cases.BLANK if self.blank else [])

    def tokenizer(self) -> PreTrainedTokenizerFast:
        return vocabularies.tokenizer(self.vocabulary, self.marker, **self.roles)

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
                      value_head, marker="[PRM]", roles={"bos_token": "<|endoftext|>"},
                      options={"prompt": prompt, "numbering": "from_2" if theirs.get("marked") else "from_1"},
                      theirs=theirs, tokenizer_class="LlamaTokenizerFast")  # fmt: skip


def _implicit(name: str, adapter: str, vocabulary: str, theirs: dict[str, Any], **options: str) -> Comparison:
    kind, roles = ("qwen2", {}) if vocabulary == "qwen" else ("llama", {"pad_token": "<|finetune_right_pad_id|>"})
    architecture = {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}[kind]
    return Comparison(name, "implicit", IMPLICIT, "c044175", f"language.{adapter}", vocabulary, kind, architecture,
                      causal_head, roles=roles, options=options, theirs=theirs, base=True)  # fmt: skip


def _trl(name: str, vocabulary: str, kind: str, architecture: str, **roles: str | None) -> Comparison:
    return Comparison(name, "token_classification", "huggingface/trl", "f2cd577", "values.trl", vocabulary, kind,
                      architecture, class_head, roles=roles)  # fmt: skip


def _language(
    name: str, family: str, repository: str, commit: str, adapter: str, vocabulary: str, **more: Any
) -> Comparison:
    kind, architecture = {
        "qwen": ("qwen2", "Qwen2ForCausalLM"),
        "llama": ("llama", "LlamaForCausalLM"),
        "mistral": ("mistral", "MistralForCausalLM"),
    }[vocabulary]
    return Comparison(name, family, repository, commit, f"language.{adapter}", vocabulary, kind, architecture,
                      causal_head, **more)  # fmt: skip


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
    _language("versa_prm-llama", "versa_prm", "UW-Madison-Lee-Lab/VersaPRM", "81a3c99", "versa_prm", "llama"),
    _language("versa_prm-qwen", "versa_prm", "db-Lee/Multi-RM", "65b3e8e", "multi_rm", "qwen"),
    _language("fover-llama", "fover", "psunlpgroup/FoVer", "742fcf9", "fover", "llama"),
    _language("fover-qwen", "fover", "psunlpgroup/FoVer", "742fcf9", "fover", "qwen"),
    _language("er_prm", "er_prm", "hanningzhang/ER-PRM", "5a996d4", "er_prm", "llama"),
    Comparison("act_prm", "act_prm", "sail-sg/ActivePRM", "a93b338", "values.act_prm", "qwen", "qwen2",
               "Qwen2ForEnsemblePRM", ensemble, config={"num_ensemble": 5, "rr_token": "<extra_0>"}),
    _chat("reasonflux", "Gen-Verse/ReasonFlux", "8980b8b", "reasonflux", "Qwen2ForProcessRewardModel", two_layers),
]  # fmt: skip


def written_ids(comparison: Comparison) -> list[list[int]]:
    """The ids of our layout, without a model."""
    family = family_named(comparison.family)
    config = {"model_type": comparison.kind} | comparison.config
    tensors = frozenset(comparison.heads(_FakeConfig(comparison.kind)))
    tokenizer = StepTokenizer(comparison.tokenizer(), family.markers)
    parts = family.build(LayoutContext(tokenizer, config, family.settle(comparison.options), tensors))
    encoded = [parts.layout.encode(Solution(problem, tuple(steps))) for problem, steps in comparison.cases]
    return [list(sequence.ids) for one in encoded for sequence in one.sequences]


@dataclass
class _FakeConfig:
    model_type: str
    vocab_size: int = 8
    hidden_size: int = HIDDEN


def ours(comparison: Comparison, folder: Path, base: Path | None) -> list[dict[str, list[Any]]]:
    """What our scorer gives: the ids up to the last position read, and the rewards, in float32."""
    options = EngineOptions(device="cpu", dtype="float32", reference_model=base)
    scorer = open_scorer(
        str(folder), family=comparison.family, options=options, family_options=dict(comparison.options)
    )
    found = []
    for problem, steps in comparison.cases:
        solution = Solution(problem, tuple(steps))
        (sequence,) = scorer.encode(solution).sequences
        (reading,) = scorer.score([solution])
        assert isinstance(reading, Reading), reading
        ids = list(sequence.ids[: max(sequence.reads) + 1])
        found.append({"ids": ids, "rewards": list(reading.rewards)})
    scorer.close()
    return found
