"""What all shapes are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal.export.columns import Field, FieldType
from tidal.export.selection import Selection
from tidal.export.shapes.account import Account
from tidal.export.shapes.request import TrainingRequest
from tidal.export.shapes.rewards import Rewards
from tidal.export.shapes.scores import F64
from tidal.export.source import SignalSource
from tidal.schema.events import U64, IdColumn

ROWS: Final = 1024  # of a batch, whose texts are in memory

Columns = Mapping[str, Any]
Metadata = Callable[[int], Mapping[str, Any] | None]
Shaped = tuple[list[Field], Iterator[Columns]]


@dataclass(frozen=True, slots=True)
class Context:
    """A request, the events it selects, and what is known of their entities, which are all of one kind."""

    source: SignalSource
    request: TrainingRequest
    selection: Selection
    kind: str
    metadata: Metadata
    rewards: Rewards
    account: Account

    @property
    def by_user(self) -> bool:
        """Whether scores are of users and entities."""
        return self.request.pairing == "user"

    def opinions(self, scores: F64) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which scores mean liked, and which disliked."""
        return scores > self.request.liked_above, scores < self.request.disliked_below

    def id_field(self, name: str, *, nullable: bool = False) -> Field:
        """Return the field of a column of ids. An id as text is never null: an unknown one is empty."""
        if self.request.ids == "number":
            return Field(name, "uint64", nullable)
        return Field(name, "string")

    def text_field(self, name: str) -> Field:
        """Return the field of a column of prompts or completions."""
        form: FieldType = "messages" if self.request.conversational else "string"
        return Field(name, form)

    def ids(self, kind: str | None, ids: U64) -> Any:
        """Return a column of ids in the form that the request wants; without a kind there are no keys."""
        if self.request.ids == "number":
            return ids
        digits = list(map(str, ids.tolist()))
        if self.request.ids == "text" or kind is None:
            return digits
        keys = self.source.names(kind, ids.tolist())
        return [id if key is None else key for id, key in zip(digits, keys, strict=True)]

    def known_ids(self, kind: str | None, column: IdColumn | None, rows: int) -> Any:
        """Return a column of ids that some rows lack."""
        number = self.request.ids == "number"
        if column is None:
            return [None if number else ""] * rows
        ids = self.ids(kind, column.values)
        if number or column.valid is None:
            return (ids, column.valid) if number else ids
        return [id if valid else "" for id, valid in zip(ids, column.valid.tolist(), strict=True)]
