"""Prompts and completions, from the metadata of entities."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from tidal.export.shapes.account import Account, Lacking
from tidal.export.shapes.request import TrainingRequest
from tidal.schema.events import U64

Messages = list[tuple[str, str]]
Text = str | Messages
"""A text, or with conversational=True messages of (role, content)."""

NO_PROMPT: Final = -1  # in place of the number of a prompt
ENTITIES_KEPT: Final = 4096  # entities whose texts stay in memory


class Texts(NamedTuple):
    """What an entity's metadata gives; None where it has nothing fit."""

    prompt: Text | None
    completion: Text | None


class TextReader:
    """Reads texts by entity; those of the entities asked for last stay in memory."""

    def __init__(self, request: TrainingRequest, metadata: Callable[[int], Mapping[str, Any] | None]) -> None:
        self._request, self._metadata = request, metadata
        self._conversational = request.conversational
        self._of = functools.lru_cache(ENTITIES_KEPT)(self._read)

    def _read(self, entity: int) -> Texts | None:
        metadata = self._metadata(entity)
        if metadata is None:
            return None
        request = self._request
        prompt = self._text(metadata.get(request.prompt_field), "user")
        if prompt is None:
            prompt = self.as_prompt(request.default_prompt)
        return Texts(prompt, self._text(metadata.get(request.completion_field), "assistant"))

    def _text(self, value: object, role: str) -> Text | None:
        """Return a field as what the request wants; None for what is missing, empty or of another form."""
        if isinstance(value, str):
            if not value:
                return None
            return [(role, value)] if self._conversational else value
        if not self._conversational or not isinstance(value, list) or not value:
            return None
        if not all(_is_message(message) for message in value):
            return None
        return [(message["role"], message["content"]) for message in value]

    def as_prompt(self, text: str | None) -> Text | None:
        """Return a prompt that is given as a text, None for an empty one."""
        return self._text(text, "user")

    def lacking(self, entity: int, *, prompt: bool = True, completion: bool = True) -> Lacking | None:
        """Return what an entity lacks: its metadata, or its prompt or completion where that is needed."""
        texts = self._of(entity)
        if texts is None:
            return "metadata"
        if prompt and texts.prompt is None:
            return "prompt"
        return "completion" if completion and texts.completion is None else None

    def prompt(self, entity: int) -> Text:
        """Return the prompt of an entity that does not lack it."""
        texts = self._of(entity)
        assert texts is not None and texts.prompt is not None
        return texts.prompt

    def completion(self, entity: int) -> Text:
        """Return the completion of an entity that does not lack it."""
        texts = self._of(entity)
        assert texts is not None and texts.completion is not None
        return texts.completion


def numbered_prompts(
    texts: TextReader, entities: U64, account: Account, *, completions: bool
) -> NDArray[np.int64]:
    """Return the number of each entity's prompt, equal where prompts are equal, from 0 in the order of
    ``entities``; NO_PROMPT where the entity lacks a text, which the account is told.

    Memory: a hash of 16 bytes for each distinct prompt, not its text.
    """
    numbers: dict[bytes, int] = {}
    found = np.full(len(entities), NO_PROMPT, np.int64)
    for row, entity in enumerate(entities.tolist()):
        if (what := texts.lacking(entity, completion=completions)) is not None:
            account.lacks(entity, what)
        else:
            found[row] = numbers.setdefault(_digest(texts.prompt(entity)), len(numbers))
    account.entities += len(entities)
    return found


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"role", "content"}
        and isinstance(value["role"], str)
        and isinstance(value["content"], str)
    )


def _digest(prompt: Text) -> bytes:
    return blake3(json.dumps(prompt).encode()).digest(16)
