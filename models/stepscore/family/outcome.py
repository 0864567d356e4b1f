"""What outcome reward models share as families: the chat, the options, and how one reward per step comes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from stepscore.errors import MarkerMerged
from stepscore.family.layout import ChatTemplate, LayoutContext, Message, Place, SequenceBuilder, Text, check
from stepscore.family.layouts import system_message
from stepscore.family.readers import join_rows, reading
from stepscore.family.registry import Option
from stepscore.text.tokenizer import StepTokenizer
from stepscore.types import Encoded, EncodedSolution, Reading, RewardRange, Solution, Values

OUTCOME_REWARDS = RewardRange("real", float("-inf"), float("inf"))


def outcome_options(system: str = "") -> Mapping[str, Option]:
    """The options of an outcome reward model whose card gives this system message."""
    return MappingProxyType(
        {
            "system": Option(system, "the system message; empty leaves it to the chat template"),
            "separator": Option("\n\n", "the text between steps"),
            "per_step": Option("prefix", "the reward of each prefix, or of the whole for all", ("prefix", "final")),
        }
    )


@dataclass(frozen=True, slots=True)
class OutcomeChat:
    """A chat of problem and answer for an outcome reward model; reads where the model reads a whole answer.

    per_prefix: one sequence for each prefix of the steps, else one for the whole solution.
    separator: what joins the steps. pad: the padding id of the checkpoint's config, which is never read.
    header: ids that precede the answer; if there are any, their first token is read too, and first.
    """

    tokenizer: StepTokenizer
    template: ChatTemplate
    system: str
    separator: str
    per_prefix: bool
    pad: int | None
    header: tuple[int, ...] = ()

    @classmethod
    def of(cls, context: LayoutContext, header: tuple[int, ...] = ()) -> OutcomeChat:
        """From the options `system`, `separator` and `per_step`."""
        options, pad = context.options, context.config.get("pad_token_id")
        return cls(
            context.tokenizer,
            ChatTemplate(context.tokenizer),
            options["system"],
            options["separator"],
            options["per_step"] == "prefix",
            pad if isinstance(pad, int) else None,
            header,
        )

    def encode(self, solution: Solution) -> EncodedSolution:
        check(solution)
        count = len(solution.steps)
        first = 1 if self.per_prefix else count
        sequences = (self._sequence(solution, steps) for steps in range(first, count + 1))
        return EncodedSolution(tuple(sequences), steps=count)

    def _sequence(self, solution: Solution, steps: int) -> Encoded:
        answer = self.separator.join(solution.steps[:steps])
        builder = SequenceBuilder(self.tokenizer)
        conversation = [Message("user", (Text(solution.problem),)), Message("assistant", (Place(), Text(answer)))]
        self.template.write(builder, [*system_message(self.system), *conversation])
        written = builder.build()
        return Encoded(written.ids, (*self._before(written), self._last(written.ids)))

    def _before(self, written: Encoded) -> tuple[int, ...]:
        if not self.header:
            return ()
        stop = written.reads[0] + 1
        start = stop - len(self.header)
        if written.ids[max(start, 0) : stop] != self.header:
            raise MarkerMerged("the answer's first white space merges with the chat template; strip it", step=0)
        return (start,)

    def _last(self, ids: tuple[int, ...]) -> int:
        """The last position that does not hold padding: what a sequence classifier of transformers reads."""
        return max((position for position, token in enumerate(ids) if token != self.pad), default=len(ids) - 1)


def outcome_value(values: Sequence[Values], encoded: EncodedSolution) -> Reading:
    """reward = v itself, one for each prefix of the steps."""
    logits_SC = for_each_step(join_rows(values), encoded)
    return reading(logits_SC[:, 0].astype(np.float64), logits_SC)


def for_each_step(rows: Values, encoded: EncodedSolution) -> Values:
    """One row for each step: the rows themselves, or the whole answer's for all if only that was read."""
    return rows if len(rows) == encoded.steps else rows.repeat(encoded.steps, axis=0)
