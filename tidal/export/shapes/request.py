"""What training data is asked for, checked."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from tidal.errors import InvalidOption
from tidal.export.request import ExportRequest

Shape = Literal["flat", "kto", "preference", "prompt_only"]
Pairing = Literal["prompt", "user"]
Score = Literal["sum", "mean", "last"]
Source = Literal["rewards", "hints"]
Ids = Literal["text", "number", "key"]

FACTOR_MAX: Final = 1e12  # a sum of rewards stays finite, whatever the events


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """Which events become training data, and in which shape.

    ``shape``: "flat", one row for each event; "kto", one completion and whether it was liked; "preference", a
    chosen and a rejected completion; "prompt_only", each prompt once. ``conversational``: prompts and
    completions as lists of ``{"role", "content"}`` in place of texts.

    Events are chosen as by ExportRequest: ``signal_types`` (empty: those of ``rewards``, or else all),
    ``since`` (inclusive) and ``until`` (exclusive) in ns, ``user_id``, ``session_id``, ``entity_id``,
    ``after_seq``, ``until_seq``; without a bound of time only with ``all=True``. ``limit``: rows at most.

    An event's reward is its weight, times what ``rewards`` has for its type (``{"like": 1.0, "dislike":
    -1.0}``; 1.0 where it has nothing). ``score``: the "sum" of rewards, their "mean", or the "last" by time.
    ``pairing="prompt"``: a score is of an entity, and entities with the same prompt are paired.
    ``pairing="user"``: a score is of a user and an entity, and what one user liked is paired with what the
    same user disliked, of the same prompt. Liked is a score above ``liked_above``, disliked one below
    ``disliked_below``; in between is neither. A chosen score is above the rejected one, by ``margin`` at
    least. ``pairs_per_prompt``: how many pairs at most of a prompt (and user).

    ``source="hints"`` takes the preference hints of sessions about items for pairs instead: the hint's
    strength is the chosen score, 0 the rejected one, and its prompt, if it has one, is the prompt.

    Texts are in the entities' metadata, under ``prompt_field`` and ``completion_field``; ``default_prompt``
    is for entities without one. ``columns`` renames columns, ``{"label": "kto_tag"}``, or leaves one out,
    ``{"score": None}``. ``ids``: "text" (default; digits, which no reader rounds), "number" (uint64), or
    "key" (the string key where there is one, else digits).

    Raises InvalidOption.
    """

    shape: Shape = "flat"
    conversational: bool = False
    signal_types: Sequence[str] = ()
    rewards: Mapping[str, float] = field(default_factory=dict)
    score: Score = "sum"
    pairing: Pairing = "prompt"
    source: Source = "rewards"
    liked_above: float = 0.0
    disliked_below: float = 0.0
    margin: float = 0.0
    pairs_per_prompt: int | None = None
    prompt_field: str = "prompt"
    completion_field: str = "completion"
    default_prompt: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    ids: Ids = "text"
    since: Any = None
    until: Any = None
    user_id: int | str | None = None
    session_id: int | str | None = None
    entity_id: int | str | None = None
    after_seq: int | None = None
    until_seq: int | None = None
    limit: int | None = None
    all: bool = False

    def __post_init__(self) -> None:
        for name, values in _CHOICES.items():
            _among(name, getattr(self, name), values)
        for name in ("margin", "liked_above", "disliked_below"):
            _finite(name, getattr(self, name))
        if self.margin < 0:
            raise InvalidOption(f"margin is {self.margin!r}; a chosen score is never below the rejected one")
        if self.liked_above < self.disliked_below:
            raise InvalidOption(
                f"a score between liked_above={self.liked_above!r} and "
                f"disliked_below={self.disliked_below!r} would be both liked and disliked; swap them"
            )
        for name in ("pairs_per_prompt", "limit"):
            _count(name, getattr(self, name))
        self._check_rewards()
        self._check_names()
        self._check_fits()

    def _check_rewards(self) -> None:
        if not isinstance(self.rewards, Mapping):
            raise InvalidOption(f'rewards is {self.rewards!r}; write {{"like": 1.0}}, a factor by type')
        for name, factor in self.rewards.items():
            _finite(f"rewards[{name!r}]", factor)
            if abs(factor) > FACTOR_MAX:
                raise InvalidOption(f"rewards[{name!r}] is {factor!r}; at most {FACTOR_MAX:g} either way")
        left_out = [name for name in self.rewards if self.signal_types and name not in self.signal_types]
        if left_out:
            raise InvalidOption(
                f"rewards has {', '.join(map(repr, left_out))}, which signal_types leaves out; add them"
            )

    def _check_names(self) -> None:
        for name, text in (("prompt_field", self.prompt_field), ("completion_field", self.completion_field)):
            if not isinstance(text, str):
                raise InvalidOption(f"{name} is {text!r}; it is the name of a field of metadata")
        if not isinstance(self.default_prompt, str | None):
            raise InvalidOption(f"default_prompt is {self.default_prompt!r}; it is a text, or None")
        if not isinstance(self.columns, Mapping):
            raise InvalidOption(
                f'columns is {self.columns!r}; write {{"label": "kto_tag"}}, a name by column'
            )

    def _check_fits(self) -> None:
        """Refuse what the shape would not use."""
        if self.conversational and self.shape == "flat":
            raise InvalidOption('conversational=True is for prompts and completions; shape="flat" has none')
        if self.source == "hints" and self.shape != "preference":
            raise InvalidOption(f'source="hints" gives pairs; take shape="preference", not {self.shape!r}')
        if self.source == "hints" and (self.rewards or self.signal_types or self.pairing == "user"):
            raise InvalidOption(
                'source="hints" takes pairs as they were told: leave rewards, signal_types and pairing out'
            )

    def selection(self) -> ExportRequest:
        """Return which events are wanted."""
        return ExportRequest(
            user_id=self.user_id,
            signal_types=tuple(self.signal_types or self.rewards),
            since=self.since,
            until=self.until,
            session_id=self.session_id,
            entity_id=self.entity_id,
            after_seq=self.after_seq,
            until_seq=self.until_seq,
            all=self.all,
            limit=self.limit if self.shape == "flat" else None,  # else rows are not events
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what makes rows of the events, where it is not as usual, in the form that manifests have."""
        usual = TrainingRequest()
        return {"shape": self.shape} | {
            name: dict(value) if isinstance(value, Mapping) else value
            for name in (own.name for own in fields(self) if own.name not in _SELECTING)
            if (value := getattr(self, name)) != getattr(usual, name)
        }


_SELECTING: Final = {own.name for own in fields(ExportRequest)} - {"limit"}
_CHOICES: Final[Mapping[str, Collection[str]]] = {
    "shape": get_args(Shape),
    "score": get_args(Score),
    "pairing": get_args(Pairing),
    "source": get_args(Source),
    "ids": get_args(Ids),
}


def _among(name: str, value: object, values: Collection[str]) -> None:
    if value not in values:
        raise InvalidOption(f"{name} is {value!r}; it is one of {', '.join(map(repr, values))}")


def _finite(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidOption(f"{name} is {value!r}; it is a finite number")


def _count(name: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise InvalidOption(f"{name} is {value!r}; it is a count of at least 1, or None for all")
