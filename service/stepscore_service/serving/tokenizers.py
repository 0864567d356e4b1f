"""The policies' tokenizers that a service has, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepscore.checkpoint import locate
from stepscore.text.policy_tokenizer import PolicyTokenizer
from stepscore_service.errors import UnknownTokenizer
from stepscore_service.settings import split_name


@dataclass(frozen=True, slots=True)
class PolicyTokenizers:
    """By name."""

    opened: Mapping[str, PolicyTokenizer]

    @classmethod
    def open(cls, models: Sequence[str]) -> PolicyTokenizers:
        """Of folders or Hub ids, each optionally as name=model. Raises CheckpointError."""
        return cls(
            {name: PolicyTokenizer.open(locate(model, weights=False)) for name, model in map(split_name, models)}
        )

    def pick(self, name: str | None) -> PolicyTokenizer | None:
        """None for None. Raises UnknownTokenizer."""
        if name is None:
            return None
        if name not in self.opened:
            known = ", ".join(self.opened) or "none; start it with --tokenizers"
            raise UnknownTokenizer(
                f"the service has no tokenizer {name!r} (it has {known}); or send `offsets`",
                tokenizer=name,
                known=list(self.opened),
            )
        return self.opened[name]
