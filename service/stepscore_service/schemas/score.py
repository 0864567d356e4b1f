"""The service's own wire format: requests and answers of /score, /v1/models and the one shape of errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, Strict, model_validator

from stepscore_service.schemas.chat import ProblemText, SolutionText

Include = Literal["logits", "spans", "tokens", "token_rewards"]
ShapeName = Literal["last", "step", "delta", "min_form", "progress"]
Bounded = Annotated[FiniteFloat, Field(ge=-1e6, le=1e6)]
"""A number of a caller's that is added or multiplied: sums stay finite."""
TokenId = Annotated[int, Field(ge=0, lt=1 << 32)]
CharacterSpan = Annotated[tuple[int, int], Strict(False)]
"""JSON has no tuples: a list of two whole numbers."""
TokenSpan = tuple[int, int]


class Wire(BaseModel):
    """The base of every request's body and of its parts.

    Fields are named exactly and have exactly their type: an unknown one, a number in quotes or `true` for 1 is an
    error, so that nothing is ignored or guessed. A format whose clients send fields of their own allows those.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True)
class LimitedBy:
    """Marks a list of a request: the setting of this name says how many entries it may hold."""

    setting: Literal["max_items", "max_candidates"]


class RequestOptions(Wire):
    """How to score; common to /score and /rerank."""

    model: str | None = Field(None, min_length=1, description="which model; the first one served by default")
    aggregate: str | None = Field(
        None, min_length=1, description="how step rewards become the score; the family's choice by default"
    )
    on_overflow: Literal["error"] = Field("error", description="what happens to a text that is too long for the model")


class ShapeOptions(RequestOptions):
    """How step rewards become rewards of the policy's tokens; common to /score and /reward."""

    tokenizer: str | None = Field(
        None, description="name of a policy's tokenizer that the service has (`--tokenizers`): it finds the tokens"
    )
    shape: ShapeName = Field("last", description="what the end of each step gets (docs/rl.md)")
    reference: Bounded | Literal["group"] | None = Field(
        None,
        description="for `progress`: the value of the problem before the first step; `group` takes the mean last "
        "reward of the problem's solutions in this request",
    )
    temperature: FiniteFloat = Field(0.1, ge=1e-6, le=1e6, description="of `min_form`")

    @model_validator(mode="after")
    def _reference_for_progress(self) -> Self:
        if (self.shape == "progress") != (self.reference is not None):
            raise ValueError("`shape: progress` needs `reference`, a number or `group`; no other shape takes it")
        return self


class SolutionFields(Wire):
    """One problem with a solution, given as steps or as text to be split."""

    problem: ProblemText = Field(description="the problem that the solution solves; or the messages of a chat")
    steps: list[str] | None = Field(None, description="the solution, step by step")
    solution: SolutionText | None = Field(
        None, description="the solution as one text, instead of `steps`; or the messages of an assistant"
    )
    split: str = Field(
        "auto", description="how to split `solution`: auto, lines, paragraphs, sentences, numbered, code or regex:<...>"
    )
    partial: bool = Field(False, description="the last step is not finished yet: it is not scored")
    token_ids: list[TokenId] | None = Field(
        None, description="the policy's tokens of `solution`, for rewards of tokens"
    )
    offsets: list[CharacterSpan] | None = Field(
        None, description="the characters [start, end) of `solution` that each token holds"
    )

    @model_validator(mode="after")
    def _one_solution(self) -> Self:
        if (self.steps is None) == (self.solution is None):
            raise ValueError("give either `steps` or `solution`")
        if self.solution is None and "split" in self.model_fields_set:
            raise ValueError("`split` says how to split `solution`; `steps` are split already")
        return self


class ScoreItem(SolutionFields):
    """An item of /score."""

    from_step: int = Field(0, ge=0, description="answer only the rewards of steps from this index on")


class ScoreRequest(ShapeOptions):
    """One solution (problem with steps or solution), or many of them as items."""

    problem: ProblemText | None = Field(None, description=ScoreItem.model_fields["problem"].description)
    steps: list[str] | None = Field(None, description="the solution, step by step")
    solution: SolutionText | None = Field(
        None, description="the solution as one text, instead of `steps`; or the messages of an assistant"
    )
    split: str = Field("auto", description=ScoreItem.model_fields["split"].description)
    partial: bool = Field(False, description=ScoreItem.model_fields["partial"].description)
    token_ids: list[TokenId] | None = Field(None, description=ScoreItem.model_fields["token_ids"].description)
    offsets: list[CharacterSpan] | None = Field(None, description=ScoreItem.model_fields["offsets"].description)
    from_step: int = Field(0, ge=0, description=ScoreItem.model_fields["from_step"].description)
    items: Annotated[list[ScoreItem] | None, LimitedBy("max_items")] = Field(
        None, description="many solutions, instead of the fields above"
    )
    threshold: FiniteFloat | None = Field(
        None,
        description="a step with a lower reward is an error; within their range; the family's choice by default",
    )
    include: list[Include] = Field(default_factory=list, description="what else to return")

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        single = self.model_fields_set & ScoreItem.model_fields.keys()
        if self.items is not None and single:
            raise ValueError(f"give either `items` or {', '.join(f'`{name}`' for name in sorted(single))}")
        if self.items is None:
            self.single()
        return self

    @model_validator(mode="after")
    def _shape_of_token_rewards(self) -> Self:
        shaped = self.model_fields_set & ShapeOptions.model_fields.keys() - RequestOptions.model_fields.keys()
        if shaped and "token_rewards" not in self.include:
            raise ValueError(f'{", ".join(map("`{}`".format, sorted(shaped)))} need `include: ["token_rewards"]`')
        return self

    def single(self) -> ScoreItem:
        """The one solution of a request without items."""
        given = {name: getattr(self, name) for name in ScoreItem.model_fields if name in self.model_fields_set}
        return ScoreItem.model_validate(given)


class SequenceTokens(BaseModel):
    """One sequence as the model reads it: token ids, and the positions at which rewards are read."""

    ids: list[int]
    reads: list[int]


class ScoreAnswer(BaseModel):
    """The rewards of one solution."""

    index: int = Field(0, description="place among the items; absent if the request held one solution")
    rewards: list[FiniteFloat] = Field(description="one reward per step, in order, from `from_step` on")
    from_step: int = Field(0, description="index of the first step in `rewards`, if it was asked for")
    score: FiniteFloat = Field(description="the rewards of all steps aggregated")
    aggregate: str = Field(description="how")
    aggregates: dict[str, FiniteFloat] = Field(description="every aggregate that this model's rewards allow")
    weakest_step: int = Field(description="index of the step with the lowest reward")
    first_error: int | None = Field(description="index of the first step with a reward under the threshold, or null")
    threshold: float
    spans: list[CharacterSpan] = Field(
        default_factory=list,
        description="characters [start, end) of each step in `solution`, or in the steps joined without anything "
        "between them; always there for `solution`, on request for `steps`",
    )
    token_count: int = Field(description="tokens that the model reads for this solution")
    model: str
    revision: str = Field(description="names the weights that the rewards come from")
    dtype: str = Field(description="number format of the forward; the same revision gives other rewards in another one")
    logits: list[list[FiniteFloat]] = Field(default_factory=list, description="on request: raw numbers of each step")
    tokens: list[SequenceTokens] = Field(default_factory=list, description="on request: what the model reads")
    extras: dict[str, list[FiniteFloat]] = Field(
        default_factory=dict, description="further numbers per step, for families that have them"
    )
    rationales: list[str] = Field(default_factory=list, description="a judge's words on each step")
    token_rewards: list[FiniteFloat] = Field(
        default_factory=list, description="on request: one reward for each token of the policy, 0 except at step ends"
    )
    step_tokens: list[TokenSpan] = Field(
        default_factory=list, description="with `token_rewards`: tokens [first, last + 1) of each step"
    )
    token_ids: list[int] = Field(
        default_factory=list, description="with `token_rewards`: the tokens, if the service has found them"
    )


class ErrorBody(BaseModel):
    """The one shape of errors."""

    code: str = Field(description="stable name of what went wrong")
    message: str = Field(description="what to change")
    detail: dict[str, Any] = Field(description="which item, which step, how many tokens too many")


class FailedItem(BaseModel):
    """An item that could not be scored."""

    index: int
    error: ErrorBody


class ScoreAnswers(BaseModel):
    """The answers to items, in their order."""

    model: str
    revision: str
    dtype: str
    results: list[ScoreAnswer | FailedItem]


class Range(BaseModel):
    """The interval of the rewards; null if they are not bounded on that side."""

    kind: str
    low: float | None
    high: float | None


class Calibrated(BaseModel):
    """Rewards are sigmoid(logit(p) / temperature + bias) of what the family reads."""

    temperature: float
    bias: float


class ModelCard(BaseModel):
    """One model that is served."""

    id: str
    object: Literal["model"] = "model"
    family: str
    revision: str
    reward_range: Range
    aggregate: str
    threshold: float
    marker: str
    max_tokens: int
    max_batch_tokens: int
    engine: str
    device: str
    dtype: str
    mode: str
    calibration: Calibrated | None = Field(None, description="null if rewards are as the family reads them")
    quantize_error: float | None = Field(
        None, description="the largest change of a probe's reward by 8-bit weights; null without them"
    )


class ModelList(BaseModel):
    """The models that are served; the first is the default."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


HealthState = Literal["alive", "ready", "draining", "dead"]


class Health(BaseModel):
    """state: alive (live), ready or draining; dead if only a restart helps.

    engines: of all models (`--data-parallel`). engines_working: those that can still run a forward.
    """

    state: HealthState
    engines: int
    engines_working: int


def _in_digits(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("give whole milliseconds, in digits alone")
    return value


Milliseconds = Annotated[int, BeforeValidator(_in_digits), Field(ge=1, le=86_400_000)]
