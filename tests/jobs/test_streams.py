"""Datasets of a user's own: every type that an Arrow stream may have."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from jobkit import done, rows_of

import tidal
from tidal.jobs import streams

pyarrow = pytest.importorskip("pyarrow", reason="Arrow streams of a user's own are read by pyarrow")

UTC = datetime.UTC


def job_of(db: tidal.TidalDb, table: Any, **fields: Any) -> tidal.Job:
    db.jobs.register("mine", lambda db, request: table)
    return db.jobs.wait(db.jobs.create("mine", **fields).id, timeout=60)


def test_types(db: tidal.TidalDb) -> None:
    moment = datetime.datetime(2024, 5, 1, 12, tzinfo=UTC)
    table = pyarrow.table(
        {
            "u": pyarrow.array([2**64 - 1, None], pyarrow.uint64()),
            "i": pyarrow.array([-5, None], pyarrow.int16()),
            "f": pyarrow.array([0.5, None], pyarrow.float32()),
            "d": pyarrow.array([0.1, float("nan")], pyarrow.float64()),
            "b": pyarrow.array([True, None]),
            "s": pyarrow.array(["é", None]),
            "c": pyarrow.array(["x", None]).dictionary_encode(),
            "t": pyarrow.array([moment, None], pyarrow.timestamp("ms", tz="UTC")),
            "day": pyarrow.array([moment.date(), None]),
            "l": pyarrow.array([[1, 2], None]),
            "m": [[{"role": "user", "content": "hi"}], None],
        }
    )
    job = job_of(db, table)
    assert job.reason is None
    ns = int(moment.timestamp()) * 10**9
    first, second = rows_of(job)
    assert {name: first[name] for name in ("u", "i", "f", "d", "b", "s", "c", "l")} == {
        "u": 2**64 - 1, "i": -5, "f": 0.5, "d": 0.1, "b": True, "s": "é", "c": "x", "l": [1, 2],
    }  # fmt: skip
    assert (first["t"], first["day"]) == (ns, ns - 12 * 3600 * 10**9)
    assert first["m"] == [{"role": "user", "content": "hi"}]
    assert set(second.values()) == {None}


def test_batches_and_a_limit(db: tidal.TidalDb) -> None:
    table = pyarrow.Table.from_batches(
        [pyarrow.record_batch({"n": [start, start + 1], "s": ["a", None]}) for start in range(0, 10, 2)]
    )
    job = job_of(db, table, limit=5)
    assert (job.rows, job.capped, [row["n"] for row in rows_of(job)]) == (5, True, [0, 1, 2, 3, 4])
    assert not job_of(db, table, limit=10).capped


def test_tables_of_polars_and_of_our_own(db: tidal.TidalDb) -> None:
    polars = pytest.importorskip("polars")
    assert rows_of(job_of(db, polars.DataFrame({"a": [1, None]}))) == [{"a": 1}, {"a": None}]
    assert job_of(db, db.read("view")).rows == 7
    db.jobs.register("mine", lambda db, request: db.export_signals(tidal.ExportRequest(all=True)).table())
    job = done(db, "mine", limit=4)
    assert (job.rows, job.capped) == (4, True)
    assert rows_of(job)[0].keys() == rows_of(done(db, "signals", limit=1))[0].keys()


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"a": [1]}, "InvalidOption: the dataset's function returned a dict; return a tidal Table"),
        (pyarrow.table({"d": [datetime.timedelta(1)]}), "InvalidOption: column 'd' is duration"),
        (pyarrow.table({"b": [b"x"]}), "InvalidOption: column 'b' is binary"),
    ],
)
def test_what_is_no_table(db: tidal.TidalDb, result: Any, reason: str) -> None:
    job = job_of(db, result)
    assert job.status == "failed" and job.reason is not None and job.reason.startswith(reason)


def test_without_pyarrow(db: tidal.TidalDb, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    table = pyarrow.table({"n": [1]})
    monkeypatch.setattr(streams.importlib, "import_module", missing)
    job = job_of(db, table)
    assert job.reason is not None and job.reason.startswith("MissingExtra: a dataset that is an Arrow stream")
