"""What went into training data, and what did not and why: the ``info`` of its table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Lacking = Literal["metadata", "prompt", "completion"]
EXAMPLES: Final = 10


@dataclass(slots=True)
class Account:
    """Counts that are made while rows are: complete once the last row was read.

    ``events`` that were selected (of sessions' operations, for hints; ``hints`` among them, and those about
    others than items), those of them without a user where one is needed, or (flat) whose entity
    has no metadata; ``scores``, one for each entity or user and entity, and those ``neutral``, neither liked
    nor disliked; ``entities``, and how many lack metadata, prompt or completion (``examples``: the first of
    their ids), and the scores that are in no row for it (``without_text``); ``groups`` of one prompt, or user
    and prompt, and those without a pair; ``rows``.
    """

    events: int = 0
    events_without_user: int = 0
    events_without_metadata: int = 0
    hints: int = 0
    hints_of_other_kinds: int = 0
    scores: int = 0
    neutral: int = 0
    entities: int = 0
    without_metadata: int = 0
    without_prompt: int = 0
    without_completion: int = 0
    examples: list[int] = field(default_factory=list)
    without_text: int = 0
    groups: int = 0
    groups_without_pair: int = 0
    rows: int = 0

    def lacks(self, entity: int, what: Lacking) -> None:
        """Note that an entity lacks its metadata, prompt or completion."""
        name = f"without_{what}"
        setattr(self, name, getattr(self, name) + 1)
        if len(self.examples) < EXAMPLES:
            self.examples.append(entity)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
