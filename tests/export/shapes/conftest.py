"""A small store with replies to two questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tidal

Rows = Callable[..., list[dict[str, Any]]]
Record = Callable[..., None]
Account = Callable[..., dict[str, Any]]


@pytest.fixture
def replies(tmp_path: Path) -> Iterator[tidal.TidalDb]:
    """Items 1 to 3 answer "A?", 4 and 5 "B?"; 6 has no completion, 7 no prompt, 8 no metadata."""
    schema = tidal.SchemaBuilder().signal("like").signal("dislike").signal("rating", signed=True).build()
    with tidal.open(tmp_path / "store", schema=schema) as db:
        for item, prompt in ((1, "A?"), (2, "A?"), (3, "A?"), (4, "B?"), (5, "B?")):
            db.items.put(item, {"prompt": prompt, "completion": f"reply {item}"})
        db.items.put_many({6: {"prompt": "A?", "completion": ""}, 7: {"completion": "reply 7", "prompt": 3}})
        yield db


@pytest.fixture
def rows(replies: tidal.TidalDb) -> Rows:
    """Return a function from the fields of a request to the rows of its table."""

    def read(**fields: Any) -> list[dict[str, Any]]:
        replies.flush()
        return list(replies.export_training(tidal.TrainingRequest(all=True, **fields)).rows())

    return read


@pytest.fixture
def record(replies: tidal.TidalDb) -> Record:
    """Return a function that records (signal, item, user, weight) at times 0, 10, 20 ..."""

    def write(*events: tuple[str, int, int | None, float]) -> None:
        for number, (signal, item, user, weight) in enumerate(events):
            replies.signal(signal, item, weight, timestamp=10 * number, user_id=user)

    return write


@pytest.fixture
def account_of(replies: tidal.TidalDb) -> Account:
    """Return a function from the fields of a request to what its account has that is not zero."""

    def read(**fields: Any) -> dict[str, Any]:
        replies.flush()
        table = replies.export_training(tidal.TrainingRequest(all=True, **fields))
        for _ in table.rows():
            pass
        account: dict[str, Any] = table.info["account"]
        return {name: value for name, value in account.items() if value}

    return read
