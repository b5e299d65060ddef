"""The peers of the benchmarks do the same work as tidal: they give the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.common import SIGNAL, Events, events, ingest, schema
from benchmarks.peers import Unavailable, files, peer, program, recompute
from benchmarks.peers.recompute import NAMES, Answers
from benchmarks.peers.running import ENGINES
from numpy.typing import NDArray

import tidal

ENTITIES, COUNT = 300, 5_000


@pytest.fixture(scope="module")
def stream() -> Events:
    """Five events a minute for 17 hours, some of them late: every window has another count."""
    found = events(ENTITIES, COUNT, late=0.1, per_second=1)
    return found._replace(times=found.times[0] + (found.times - found.times[0]) * 12)


@pytest.fixture(scope="module")
def at(stream: Events) -> int:
    return int(stream.times.max())


@pytest.fixture(scope="module")
def expected(stream: Events, at: int) -> Answers:
    db = tidal.open(schema=schema())
    ingest(db, stream)
    ids = np.unique(stream.ids)
    counts = {name: db.counts(SIGNAL, ids, name.removeprefix("count_"), at=at) for name in NAMES[1:]}
    return {"entity_id": ids, "score": db.scores(SIGNAL, ids, at=at), **counts}


@pytest.fixture(scope="module")
def archive(stream: Events, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return files.archive(tmp_path_factory.mktemp("archive") / "store", stream)


@pytest.fixture(scope="module")
def parquet(stream: Events, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.parquet(tmp_path_factory.mktemp("parquet"), stream)


def assert_same(found: Answers, expected: Answers) -> None:
    order: NDArray[Any] = np.argsort(found["entity_id"])
    assert (found["entity_id"][order] == expected["entity_id"]).all()
    for name in NAMES:
        np.testing.assert_allclose(found[name][order], expected[name], rtol=1e-12, err_msg=name)


def test_the_events_tell_the_windows_apart(expected: Answers) -> None:
    totals = [int(expected[name].sum()) for name in NAMES[1:]]
    assert 0 < totals[0] < totals[1] <= totals[2] == totals[3] == COUNT


@pytest.mark.parametrize("engine", ["tidal", "duckdb", "polars", "pandas"])
def test_recomputed_from_memory(engine: str, stream: Events, at: int, expected: Answers) -> None:
    assert_same(getattr(recompute, f"{engine}_memory")(stream, at)(), expected)


@pytest.mark.parametrize("engine", ["duckdb", "polars", "pandas"])
def test_recomputed_from_parquet(engine: str, parquet: Path, at: int, expected: Answers) -> None:
    assert_same(getattr(recompute, f"{engine}_parquet")(parquet, at)(), expected)


def test_recomputed_from_the_archive(archive: list[Path], at: int, expected: Answers) -> None:
    assert_same(recompute.tidal_archive(archive, at)(), expected)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, stream: Events) -> Iterator[Any]:
    try:
        made = ENGINES[request.param](stream)
    except Unavailable as missing:
        pytest.skip(str(missing))
    with made:
        yield made


def test_kept_state(engine: Any, at: int, expected: Answers) -> None:
    engine.feed()
    assert engine.held_bytes() >= 0
    for entity_id, score, day, total in zip(
        *(expected[name].tolist() for name in ("entity_id", "score", "count_24h", "count_all")), strict=True
    ):
        if type(engine) is ENGINES["river"]:
            assert 1 <= engine.score(entity_id, at) <= 4  # a mean of weights
            assert engine.count_24h(entity_id, at) == total
        else:
            assert engine.score(entity_id, at) == pytest.approx(score, rel=1e-9)
            assert engine.count_24h(entity_id, at) == day


def test_what_is_missing_is_said_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unavailable, match="no_such_peer is not installed"):
        peer("no_such_peer")
    with pytest.raises(Unavailable, match="no-such-peer is not on the path"):
        program("no-such-peer")
    assert capsys.readouterr().err.count("skipped: ") == 2
