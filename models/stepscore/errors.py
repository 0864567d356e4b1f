"""The error tree. Every error has a stable `code`, a message that says what to change, and machine-readable `detail`.

    StepscoreError
        InvalidInput                fix the request
            NoProblem
            UnknownStep
            NoSteps
            EmptyStep
            MarkerInText
            MarkerMerged
            InvalidText
            TooLong
            UnknownSplit
            UnknownAggregate
            UndefinedAggregate
            InvalidThreshold
            UnknownModel
            InvalidShape
            TokensMismatch
            NoOutcome
        CheckpointError             fix the checkpoint or the options; raised while a model is opened
            DamagedTokenizer
            UnknownFamily
            InvalidOption
            UnsupportedByEngine
            QuantizationError
            NotEnoughMemory
        UnscorableError             the model's numbers are not finite
        EngineError                 the forward failed; the same request may work later
            OutOfMemory             it may work with a smaller batch
            EngineDead              no forward works until the process is restarted
        GeneratorError              the generator failed; the same request may work later
            GeneratorDead           no request works until its server is started, or another address is given
        NoVerdict                   a judge wrote nothing that can be read
        SandboxUnavailable          this machine cannot sandbox a program
        ToolMissing                 install a program

HTTP knows nothing of this file; the service maps each class to a status in one table, and adds errors of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class StepscoreError(Exception):
    """Base of all errors that are reported to a caller.

    of_text: whether only the text of one solution is at fault, so that the same request with another text works.
    """

    code: ClassVar[str] = "internal"
    of_text: ClassVar[bool] = False

    def __init__(self, message: str, **detail: object) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class InvalidInput(StepscoreError):
    """The request can never be scored as it stands."""

    code = "invalid_input"


class NoProblem(InvalidInput):
    """A problem that holds nothing but white space."""

    code = "no_problem"


class UnknownStep(InvalidInput):
    """Rewards from a step on that the solution does not have. detail: from_step, steps."""

    code = "unknown_step"


class NoSteps(InvalidInput):
    """A solution without a single step."""

    code = "no_steps"
    of_text = True


class EmptyStep(InvalidInput):
    """A step that holds nothing but white space. detail: step."""

    code = "empty_step"
    of_text = True


class MarkerInText(InvalidInput):
    """The family's plain-text step marker was typed in the problem or in a step. detail: marker, where."""

    code = "marker_in_text"
    of_text = True


class MarkerMerged(InvalidInput):
    """The tokenizer merged a step's end with the marker, so there is no token to read. detail: step, token."""

    code = "marker_merged"
    of_text = True


class InvalidText(InvalidInput):
    """Text that is not Unicode text (a lone surrogate, say). detail: where."""

    code = "invalid_text"
    of_text = True


class TooLong(InvalidInput):
    """More tokens than the model reads. detail: tokens, limit, excess."""

    code = "too_long"
    of_text = True


class UnknownSplit(InvalidInput):
    """No such way to split a solution into steps. detail: split."""

    code = "unknown_split"


class UnknownAggregate(InvalidInput):
    """No such aggregate. detail: aggregate, known."""

    code = "unknown_aggregate"


class UndefinedAggregate(InvalidInput):
    """The aggregate has no meaning on this family's range of rewards. detail: aggregate, range."""

    code = "undefined_aggregate"


class InvalidThreshold(InvalidInput):
    """A threshold outside the range of the rewards. detail: threshold, low, high."""

    code = "invalid_threshold"


class UnknownModel(InvalidInput):
    """No model of that name is served. detail: model, known."""

    code = "unknown_model"


class InvalidShape(InvalidInput):
    """A way to shape or blend rewards that does not exist, or lacks what it needs. detail: known."""

    code = "invalid_shape"


class TokensMismatch(InvalidInput):
    """Token ids or offsets that are not those of the text. detail: token, character or step."""

    code = "tokens_mismatch"


class NoOutcome(InvalidInput):
    """The final answer could not be found or judged, so that there is no outcome reward. detail: reason, found."""

    code = "no_outcome"
    of_text = True


class UnscorableError(StepscoreError):
    """The model's numbers are not finite, so there is no reward. detail: step."""

    code = "unscorable"


class CheckpointError(StepscoreError):
    """A checkpoint cannot be opened: files missing, wrong keys or shapes. detail names them."""

    code = "bad_checkpoint"


class DamagedTokenizer(CheckpointError):
    """The checkpoint's tokenizer loses text or contradicts its own file. detail: path, text, found or ids."""

    code = "damaged_tokenizer"


class UnknownFamily(CheckpointError):
    """No family reads this checkpoint. detail: path, families."""

    code = "unknown_family"


class InvalidOption(CheckpointError):
    """A family was given an option that it does not know, or a value that it cannot use. detail: option, known."""

    code = "invalid_option"


class UnsupportedByEngine(CheckpointError):
    """The family is known, the chosen engine cannot run it. detail: family, engine."""

    code = "unsupported_by_engine"


class QuantizationError(CheckpointError):
    """8-bit weights move the scores by more than was allowed. detail: error, bound."""

    code = "quantization_error"


class NotEnoughMemory(CheckpointError):
    """Weights and KV cache exceed the memory at hand. detail: needed, at_hand (bytes), if they were compared."""

    code = "not_enough_memory"


class EngineError(StepscoreError):
    """A forward pass failed (out of memory, a remote engine that went away)."""

    code = "engine_failed"


class OutOfMemory(EngineError):
    """A forward does not fit into the device's memory. detail: tokens."""

    code = "out_of_memory"


class EngineDead(EngineError):
    """No forward will work until the process is restarted: the device failed for good, or a forward hangs.

    Also of a service that went away.
    """

    code = "engine_dead"


class GeneratorError(StepscoreError):
    """The generator of a judge could not answer. detail: reason."""

    code = "generator_failed"


class GeneratorDead(GeneratorError):
    """No request will work: nothing answers at the generator's address, or what answers is not a completions endpoint.

    detail: reason.
    """

    code = "generator_dead"


class NoVerdict(StepscoreError):
    """A judge wrote no verdict that can be read. detail: step, samples."""

    code = "no_verdict"


class SandboxUnavailable(StepscoreError):
    """This machine cannot sandbox a program that a model wrote. detail: reason."""

    code = "no_sandbox"


class ToolMissing(StepscoreError):
    """A program that is not part of Python is needed and not installed. detail: tool."""

    code = "tool_missing"


def map_ok(items: Sequence[T | StepscoreError], run: Callable[[list[T]], Sequence[R]]) -> list[R | StepscoreError]:
    """What `run` makes of all items that are not errors, in one call; errors keep their place.

    run: returns one result for each item it is given, in order.
    """
    return in_places(items, run([item for item in items if not isinstance(item, StepscoreError)]))


def in_places(items: Sequence[object], results: Sequence[R]) -> list[R | StepscoreError]:
    """The results, one for each item that is not an error, in the items' places; errors keep theirs."""
    found = iter(results)
    return [item if isinstance(item, StepscoreError) else next(found) for item in items]


def check_length(tokens: int, limit: int, reader: str, **detail: object) -> None:
    """Raises TooLong if there are more tokens than `reader` reads. detail: tokens, limit, excess and what is given."""
    if tokens > limit:
        excess = tokens - limit
        message = f"{tokens} tokens are {excess} more than the {limit} that {reader} reads"
        raise TooLong(message, tokens=tokens, limit=limit, excess=excess, **detail)


def forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an error and of its causes: their frames hold the tensors of the forward that failed."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
