"""The wire format of /reward: what a trainer learns from, per token and as one number, process and outcome apart."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, FiniteFloat, Strict, model_validator

from stepscore_service.schemas.score import (
    Bounded,
    CharacterSpan,
    FailedItem,
    LimitedBy,
    ShapeName,
    ShapeOptions,
    SolutionFields,
    TokenSpan,
    Wire,
)

OutcomeName = Literal["right", "wrong", "unreadable"]


class RewardItem(SolutionFields):
    """One rollout of the policy."""

    answer: str | None = Field(None, description="the known final answer; with it the outcome is part of the reward")


class BlendOptions(Wire):
    """How the rewards of the steps and the outcome of the final answer become one reward."""

    process: Bounded = Field(1.0, description="weight of the score and of the shaped step rewards")
    outcome: Bounded = Field(1.0, description="weight of the outcome's reward, which the last step gets")
    right: Bounded = Field(1.0, description="the outcome's reward of a right answer")
    wrong: Bounded = Field(0.0, description="and of a wrong one")
    gate: Bounded | None = Field(None, description="a wrong answer's reward is at most this; by default no cap")
    clip: Annotated[tuple[Bounded, Bounded], Strict(False)] | None = Field(
        None, description="bounds of each step reward, before it is shaped and aggregated"
    )
    length: Literal["none", "steps", "tokens"] = Field(
        "none", description="divide the shaped step rewards by the number of steps or of tokens"
    )
    unreadable: Literal["error", "wrong"] = Field(
        "error", description="an answer that cannot be found or judged is an error of the item, or is taken as wrong"
    )
    verifier: str = Field(
        "math",
        pattern=r"^(math|numeric)(:.+)?$|^exact$",
        description="math, numeric or exact, with a tolerance as in math:1e-4",
    )

    @property
    def asks_for_outcome(self) -> bool:
        """Whether it says anything about outcomes, so that every item needs a known answer."""
        counts = self.outcome != 0 or self.gate is not None
        return counts and bool(self.model_fields_set - {"process", "clip", "length"})

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.clip is not None and self.clip[0] > self.clip[1]:
            raise ValueError("`clip` is [low, high]; the first is over the second")
        return self


class RewardRequest(ShapeOptions):
    """Rollouts to reward."""

    items: Annotated[list[RewardItem], LimitedBy("max_items")]
    blend: BlendOptions = Field(default_factory=BlendOptions, description="how process and outcome are blended")


class RewardedStep(BaseModel):
    """One step of a rollout."""

    reward: FiniteFloat = Field(description="the step reward as the model gives it")
    shaped: FiniteFloat = Field(description="what the end of the step gets: shaped, weighted, with the outcome if last")
    characters: CharacterSpan = Field(description="[start, end) in `solution`, or in the steps joined")
    tokens: TokenSpan | None = Field(
        None, description="[first, last + 1) of the policy's tokens; the last ends the step"
    )


class Outcome(BaseModel):
    """What the verifier says of the final answer."""

    outcome: OutcomeName
    reward: FiniteFloat = Field(description="before its weight")
    found: str | None = Field(description="the answer that was compared; null if there is none")
    reason: str = Field(description="for people, why it is not right")


class Signs(BaseModel):
    """Signs of reward hacking; lists hold indices of steps (docs/rl.md)."""

    gap: FiniteFloat | None = Field(
        None, description="the score, mapped to [0, 1], less 1 for a right answer; absent without an outcome or bounds"
    )
    repeated_steps: list[int]
    steps_without_content: list[int]
    marker_text: list[int]


class RewardAnswer(BaseModel):
    """The reward of one rollout."""

    index: int
    reward: FiniteFloat = Field(description="one number: weighted score and outcome, gated")
    score: FiniteFloat = Field(description="the process alone: clipped step rewards aggregated")
    aggregate: str
    outcome: Outcome | None = Field(None, description="the outcome alone; absent without `answer`")
    total: FiniteFloat = Field(description="the sum of what the steps get: what a trainer that adds up learns from")
    steps: list[RewardedStep]
    token_rewards: list[FiniteFloat] = Field(
        default_factory=list,
        description="one for each token of the policy, 0 except at step ends; absent without tokens",
    )
    token_ids: list[int] = Field(default_factory=list, description="the tokens, if the service has found them")
    signs: Signs
    token_count: int = Field(description="tokens that the reward model reads")


class LengthCorrelation(BaseModel):
    """Pearson's correlation of the rewards in this request with lengths; absent for fewer than three, or equal ones."""

    steps: FiniteFloat | None = None
    characters: FiniteFloat | None = None


class RewardAnswers(BaseModel):
    """The answers to items, in their order."""

    model: str
    revision: str = Field(description="names the weights that the rewards come from")
    dtype: str
    shape: ShapeName
    results: list[RewardAnswer | FailedItem]
    length_correlation: LengthCorrelation
