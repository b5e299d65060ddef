"""What all shapes share: columns, and which events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tidal
from tidal.errors import InvalidOption, StoreMissing, UnknownSignalType

if TYPE_CHECKING:
    from .conftest import Record, Rows


def test_columns_are_renamed_and_left_out(rows: Rows, record: Record) -> None:
    record(("like", 1, 1, 1.0))
    names = {"label": "kto_tag", "completion": "output", "prompt": "instruction", "score": None}
    (row,) = rows(shape="kto", columns=names)
    assert list(row) == ["instruction", "output", "kto_tag", "entity_id"]
    with pytest.raises(InvalidOption, match="two columns"):
        rows(shape="kto", columns={"prompt": "x", "completion": "x"})
    with pytest.raises(InvalidOption, match=r"'chosen'.*this shape has 'prompt', 'completion'"):
        rows(shape="kto", columns={"chosen": "x"})
    with pytest.raises(InvalidOption, match="every column"):
        rows(shape="prompt_only", columns={"prompt": None})


def test_no_events_still_have_columns(rows: Rows, replies: tidal.TidalDb, tmp_path: Path) -> None:
    for shape in ("flat", "kto", "preference", "prompt_only"):
        table = replies.export_training(tidal.TrainingRequest(shape=shape, all=True))
        assert [field.name for field in table.fields]
        assert list(table.rows()) == []


def test_events_are_selected_as_by_an_export(replies: tidal.TidalDb, record: Record) -> None:
    record(("like", 1, 1, 1.0), ("like", 2, 2, 1.0), ("dislike", 3, 1, 1.0))
    replies.flush()

    def entities(**fields: Any) -> list[str]:
        table = replies.export_training(tidal.TrainingRequest(shape="kto", **fields))
        return [row["entity_id"] for row in table.rows()]

    assert entities(since=10, until=20) == ["2"]
    assert entities(all=True, user_id=1) == ["1", "3"]
    assert entities(all=True, entity_id=3) == ["3"]
    assert entities(all=True, signal_types=["like"]) == ["1", "2"]
    with pytest.raises(InvalidOption, match="all=True"):
        entities()
    with pytest.raises(UnknownSignalType, match="did you mean 'like'"):
        entities(all=True, rewards={"lik": 1.0})


def test_one_export_is_of_one_kind(tmp_path: Path) -> None:
    schema = tidal.SchemaBuilder().signal("like").signal("follow", kind="creator").build()
    with tidal.open(tmp_path / "store", schema=schema) as db:
        db.creators.put("ann", {"prompt": "Who?", "completion": "Ann"})
        db.signal("follow", "ann")
        db.flush()
        with pytest.raises(InvalidOption, match="creator and item"):
            db.export_training(tidal.TrainingRequest(shape="kto", all=True))
        request = tidal.TrainingRequest(shape="kto", all=True, signal_types=["follow"], ids="key")
        assert [row["entity_id"] for row in db.export_training(request).rows()] == ["ann"]


def test_a_database_in_memory_has_no_log() -> None:
    schema = tidal.SchemaBuilder().signal("like").build()
    with tidal.open(schema=schema) as db, pytest.raises(StoreMissing):
        db.export_training(tidal.TrainingRequest(all=True))


def test_the_limit_is_of_rows(replies: tidal.TidalDb, rows: Rows) -> None:
    """Also beyond the rows that are made at a time."""
    items = range(100, 2_600)
    replies.items.put_many((item, {"prompt": "A?", "completion": "reply"}) for item in items)
    replies.ingest(signal="like", entity_id=list(items))
    assert len(rows(shape="kto")) == 2_500
    found = rows(shape="kto", limit=1_500)
    assert [row["entity_id"] for row in found] == [str(item) for item in items[:1_500]]
