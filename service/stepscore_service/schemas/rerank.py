"""The wire format of /rerank: ours, and the words that Cohere, Jina and TEI use for the same things."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from stepscore_service.schemas.score import ErrorBody, LimitedBy, RequestOptions, Wire

ReaderName = Literal["tag", "box", "statement", "gsm8k", "guess"]
VoteName = Literal["none", "weighted", "majority"]


class Document(Wire):
    """A candidate in the form of Cohere's and Jina's documents."""

    text: str


def _check_candidate(value: Any) -> Any:
    """One sentence, in place of an error for each of the three forms."""
    steps = isinstance(value, list) and all(isinstance(step, str) for step in value)
    if not (
        steps or isinstance(value, str | Document) or (isinstance(value, dict) and isinstance(value.get("text"), str))
    ):
        raise ValueError("a candidate is a text, a list of steps or an object with a `text`")
    return value


RerankCandidate = Annotated[str | Document | list[str], BeforeValidator(_check_candidate)]


class RerankRequest(RequestOptions):
    """A problem and the candidate solutions to sort."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    problem: str = Field(validation_alias=AliasChoices("problem", "query"), description="or `query`")
    candidates: Annotated[list[RerankCandidate], LimitedBy("max_candidates")] = Field(
        validation_alias=AliasChoices("candidates", "documents", "texts", "solutions"),
        description="texts, lists of steps or objects with a `text`; or `documents`, `texts`, `solutions`",
    )
    split: str = Field("auto", description="how texts are split into steps, as in /score")
    top_n: int | None = Field(None, ge=0, description="how many results to return; all by default, and for 0")
    return_documents: bool = Field(False, description="give each result the text of its candidate")
    vote: VoteName = Field("none", description="group the candidates by their final answer")
    on_error: Literal["fail", "omit"] = Field(
        "fail", description="a candidate that cannot be scored fails the request, or is left out and listed in `errors`"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_name_each(cls, values: Any) -> Any:
        for field in cls.model_fields.values() if isinstance(values, dict) else ():
            names = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else ()
            given = [f"`{name}`" for name in names if name in values]
            if len(given) > 1:
                raise ValueError(f"{' and '.join(given)} are names of one field; give one of them")
        return values


class RankedCandidate(BaseModel):
    """One candidate. relevance_score is score under the name that other rerank clients read."""

    index: int = Field(description="place among the candidates as they were given")
    score: FiniteFloat
    relevance_score: FiniteFloat
    rewards: list[FiniteFloat] = Field(description="one reward per step, in order")
    document: Document | None = None


class AnswerGroup(BaseModel):
    """Candidates with one final answer; the groups are sorted by weight."""

    answer: str | None = Field(description="the final answer; null for a candidate that states none")
    reader: ReaderName | None = Field(
        None, description="the most trusted reader that found the answer; a `guess` adds no weight beside others"
    )
    weight: FiniteFloat = Field(description="the sum of the members' scores (weighted) or their number (majority)")
    score: FiniteFloat = Field(description="the best score among the members")
    best: int = Field(description="index of the member with the best score")
    members: list[int] = Field(description="indices of the candidates, best score first")
    undecided: list[int] = Field(
        default_factory=list, description="`best` of groups that may be equal to this one: the comparison was stopped"
    )


class FailedCandidate(BaseModel):
    """A candidate that was left out, and why."""

    index: int
    error: ErrorBody


class Usage(BaseModel):
    """Tokens that the model reads for the candidates."""

    prompt_tokens: int
    total_tokens: int


class RerankAnswer(BaseModel):
    """Results sorted by score, best first; ties keep the order of the candidates."""

    id: str
    model: str
    revision: str
    dtype: str = Field(description="number format of the forward")
    aggregate: str
    results: list[RankedCandidate]
    usage: Usage
    groups: list[AnswerGroup] = Field(default_factory=list, description="with `vote`, heaviest first")
    errors: list[FailedCandidate] = Field(default_factory=list, description="with on_error=omit")
