"""One row for each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tidal

if TYPE_CHECKING:
    from .conftest import Account, Record, Rows

THUMBS = {"like": 1.0, "dislike": -1.0}


def test_flat_is_the_log_with_rewards(replies: tidal.TidalDb, rows: Rows, account_of: Account) -> None:
    replies.signal("like", 1, 2.0, timestamp=5, user_id=2**64 - 1, session_id=77)
    replies.signal("dislike", 8, 0.5, timestamp=3)
    assert rows(rewards=THUMBS) == [
        {"entity_id": "1", "signal": "like", "timestamp_ns": 5, "reward": 2.0,
         "user_id": "18446744073709551615", "session_id": "77",
         "context": '{"prompt":"A?","completion":"reply 1"}'},
        {"entity_id": "8", "signal": "dislike", "timestamp_ns": 3, "reward": -0.5,
         "user_id": "", "session_id": "", "context": "{}"},
    ]  # fmt: skip
    assert account_of() == {"events": 2, "events_without_metadata": 1, "rows": 2}


def test_flat_ids_as_numbers_may_be_null_and_keys_are_names(replies: tidal.TidalDb, rows: Rows) -> None:
    replies.signal("like", "sku:1", user_id="ann", session_id="ann")
    replies.signal("like", 2)
    first, second = rows(ids="number")
    assert first["entity_id"] == replies.items.id_of("sku:1") and first["user_id"] == replies.users.id_of(
        "ann"
    )
    assert (second["entity_id"], second["user_id"], second["session_id"]) == (2, None, None)
    first, second = rows(ids="key")
    assert (first["entity_id"], first["user_id"]) == ("sku:1", "ann")
    assert first["session_id"].isdigit()  # names of sessions are not kept
    assert (second["entity_id"], second["user_id"], second["session_id"]) == ("2", "", "")


def test_flat_goes_on_where_it_ended(replies: tidal.TidalDb, record: Record) -> None:
    record(*[("like", item, 1, 1.0) for item in (1, 2, 3, 4, 5)])
    replies.flush()
    found, after = [], 0
    for _ in range(3):
        table = replies.export_training(tidal.TrainingRequest(after_seq=after, limit=2))
        found.append([row["entity_id"] for row in table.rows()])
        after = table.info["last_seq"]
    assert found == [["1", "2"], ["3", "4"], ["5"]]
