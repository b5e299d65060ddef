"""The datasets of entities and of hard negatives."""

from __future__ import annotations

import pytest
from jobkit import done, rows_of

import tidal
from tidal.jobs import entity_rows


@pytest.mark.parametrize("checkpointed", [False, True])
def test_who_has_a_key_or_metadata(db: tidal.TidalDb, checkpointed: bool) -> None:
    if checkpointed:  # then the keys are no longer in the log alone
        db.checkpoint()
    rows = rows_of(done(db, "entities"))
    found = {(row["kind"], row["entity_key"] or row["entity_id"]): row["metadata"] for row in rows}
    assert found.keys() == {("item", "lamp"), ("item", "rug"), ("user", "ada"), ("user", "bob"), ("user", 3)}
    assert found["item", "lamp"] == {"title": "Lamp", "tags": ["light", "home"]}
    assert found["user", 3] == {"age": None} and found["item", "rug"] is None
    assert [row["entity_id"] for row in rows] == [
        *sorted(db.items.id_of(key) for key in ("lamp", "rug")),
        *sorted([3, *(db.users.id_of(key) for key in ("ada", "bob"))]),
    ]


def test_one(db: tidal.TidalDb) -> None:
    assert [row["entity_key"] for row in rows_of(done(db, "entities", entity_id="rug"))] == ["rug"]
    assert rows_of(done(db, "entities", entity_id=4)) == []


def test_many_batches(db: tidal.TidalDb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entity_rows, "ROWS", 2)
    db.items.put_many((n, {"n": n}) for n in range(9))
    assert [row["metadata"] for row in rows_of(done(db, "entities"))][:9] == [{"n": n} for n in range(9)]


def test_hard_negatives_have_columns_and_no_rows_yet(db: tidal.TidalDb) -> None:
    job = done(db, "hard_negatives", format="csv", user_id="ada")
    assert job.path is not None
    assert (job.rows, job.path.read_text().strip()) == (0, "user_id,entity_id,reason,timestamp_ns")
