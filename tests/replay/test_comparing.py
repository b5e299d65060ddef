"""compare(): every record whose live state is not what the events add up to is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tidal
from tidal._ext.shards import shards_of
from tidal.checkpoint.reader import list_checkpoints, read_checkpoint
from tidal.checkpoint.writer import write_checkpoint
from tidal.durable import OsFileSystem
from tidal.errors import MissingSegment, StoreMissing
from tidal.ledger import SHARDS_DEFAULT
from tidal.store import StorePaths

Change = Callable[[dict[str, NDArray[Any]]], None]


def tamper(store: Path, change: Change) -> None:
    """Write the newest checkpoint anew, every hash of it right, with another state in it."""
    fs, paths = OsFileSystem(), StorePaths(store)
    newest = list_checkpoints(fs, paths.checkpoints)[0]
    found = read_checkpoint(fs, newest.path)
    sections = {
        name: section.copy() if isinstance(section, np.ndarray) else section
        for name, section in found.sections.items()
    }
    change({name: it for name, it in sections.items() if isinstance(it, np.ndarray)})
    newest.path.unlink()
    write_checkpoint(
        fs, paths.checkpoints, seq=found.seq, store_id=found.store_id, epoch=found.epoch,
        log_hash=found.log_hash, meta=found.meta, sections=sections,
    )  # fmt: skip


def shard_with_records(arrays: dict[str, NDArray[Any]], signal: str) -> str:
    """Return the prefix of a shard of this type that has a record."""
    names = (name for name in sorted(arrays) if name.startswith(f"ledger/{signal}/"))
    return next(n.removesuffix("entity_id") for n in names if n.endswith("/entity_id") and len(arrays[n]))


def test_a_store_that_is_right(store: Path) -> None:
    seen: list[tidal.ReplayProgress] = []
    found = tidal.compare(store, progress=seen.append)
    assert (found.differences, found.events, found.last_seq) == ((), 360, 360)
    assert found.records == 25 + 25 + 25
    assert seen[-1].share == 1.0


@pytest.mark.parametrize(
    ("array", "factor", "more", "measure"),
    [("total", 1, 1, "view.count.all"), ("last_time", 1, 5, "last_time"), ("sums", 1.1, 0, "view.score")],
)
def test_a_record_that_differs_is_named(
    store: Path, array: str, factor: float, more: int, measure: str
) -> None:
    changed: list[int] = []

    def change(arrays: dict[str, NDArray[Any]]) -> None:
        prefix = shard_with_records(arrays, "view")
        column = arrays[prefix + array].reshape(len(arrays[prefix + "entity_id"]), -1)
        column[0, 0] = column[0, 0] * column.dtype.type(factor) + column.dtype.type(more)
        changed.append(int(arrays[prefix + "entity_id"][0]))

    tamper(store, change)
    found = tidal.compare(store).differences
    assert measure in {it.measure for it in found}
    assert {(it.signal, it.entity_id) for it in found} == {("view", changed[0])}
    assert found[0].key is not None and found[0].key.startswith("item")
    assert found[0].live != found[0].replayed


def test_a_record_that_only_one_side_knows(store: Path) -> None:
    ids: list[int] = []

    def change(arrays: dict[str, NDArray[Any]]) -> None:
        prefix = shard_with_records(arrays, "follow")
        column = arrays[prefix + "entity_id"]
        shard = int(prefix.split("/")[2])
        other = next(
            n for n in range(1000) if shards_of(np.array([n], np.uint64), SHARDS_DEFAULT)[0] == shard
        )
        ids.extend([int(column[0]), other])
        column[0] = other

    tamper(store, change)
    found = tidal.compare(store)
    assert found.records == 25 + 25 + 26
    assert {it.entity_id for it in found.differences} == set(ids)
    for it in found.differences:
        assert (it.live is None, it.replayed is None) == (it.entity_id == ids[0], it.entity_id == ids[1])


@pytest.mark.parametrize(("more", "differs"), [(1e-5, False), (1.0, True)])
def test_a_signed_sum_is_held_to_what_was_added(tmp_path: Path, more: float, differs: bool) -> None:
    """The weights cancel, so the sum itself is no measure for rounding."""
    schema = tidal.SchemaBuilder().signal("like", signed=True).build()
    with tidal.open(tmp_path / "store", schema=schema, clock="event", sync="os") as db:
        db.ingest(signal="like", entity_id=[7, 7], weight=[1e6, -1e6], timestamp=[1, 2])
    assert tidal.compare(tmp_path / "store").differences == ()

    def change(arrays: dict[str, NDArray[Any]]) -> None:
        sums = arrays[shard_with_records(arrays, "like") + "sums"]
        sums.reshape(-1)[0] += more

    tamper(tmp_path / "store", change)
    assert [it.measure for it in tidal.compare(tmp_path / "store").differences] == ["like.score"] * differs


def test_a_store_that_is_being_written(store: Path) -> None:
    with tidal.open(store, clock="event", sync="os") as db:
        db.signal("view", "item3", timestamp=db.now())
        found = tidal.compare(store)
        assert (found.last_seq, found.differences) == (361, ())


def test_what_cannot_be_compared(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        tidal.compare(tmp_path / "nothing")
    next(iter(sorted((store / "archive").glob("*.arc")))).unlink()
    with pytest.raises(MissingSegment):
        tidal.compare(store)
