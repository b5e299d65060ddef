"""Stores to be damaged, and what their folders hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidal
from tidal.db import Settings
from tidal.opening import StoreOptions, Wiring, open_store
from tidal.store import StorePaths
from tidal.wal import parse_sync

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).build()
GROWN = tidal.SchemaBuilder().signal("view", half_life="7d", windows=("1h",)).signal("like").build()
START = 1_700_000_000 * 10**9
EVENTS = 100  # of each batch


def fill(db: tidal.TidalDb, batches: int = 1) -> None:
    for _ in range(batches):
        n = db.last_seq + np.arange(1, EVENTS + 1)
        db.ingest(signal="view", entity_id=n * n % 41, timestamp=START + n * 10**10)


def open_small(path: Path, **options: Any) -> tidal.TidalDb:
    """Open a store whose segments hold one batch each, and that makes no checkpoint by itself."""
    wiring = Wiring(segment_bytes=1, **{k: options.pop(k) for k in ("fs", "engine") if k in options})
    settings = Settings(lambda: START, True, None, None, options.pop("materializers", {}), archive=False)
    given = {"schema": SCHEMA, "sync": parse_sync("group")} | options
    return open_store(StorePaths(path), StoreOptions(**given), settings, wiring)


def reader_of(path: Path, **options: Any) -> tidal.TidalDb:
    return tidal.open(path, read_only=True, clock="event", **options)


def digest_of(events: int) -> bytes:
    """What the state must be after so many events of fill()."""
    with tidal.open(schema=SCHEMA, clock="event") as db:
        fill(db, events // EVENTS)
        return db._ledger.state_digest()


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a folder with its bytes and its time of change, and the folders'."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() and not path.is_symlink() else b"",
            path.lstat().st_mtime_ns,
        )
        for path in [folder, *folder.rglob("*")]
    }


def segments(store: Path) -> list[Path]:
    return sorted((store / "wal").glob("*.seg"))


def checkpoints(store: Path) -> list[Path]:
    return sorted((store / "checkpoints").glob("*.ckpt"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def killed(db: tidal.TidalDb, target: Path) -> Path:
    """A copy of an open store's folder as a killed process leaves it; the database is closed after."""
    assert db._disk is not None
    shutil.copytree(db._disk.paths.base, target)
    db._release()
    return target


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """500 events in five sealed segments; checkpoints at 200 and 300; closed without another."""
    path = tmp_path / "closed"
    db = open_small(path)
    for batches in (2, 1):
        fill(db, batches)
        db.checkpoint()
    fill(db, 2)
    db._release()
    return path


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """The same, killed: the last segment holds events 401 to 500 and has no seal."""
    db = open_small(tmp_path / "live")
    for batches in (2, 1):
        fill(db, batches)
        db.checkpoint()
    fill(db, 2)
    return killed(db, tmp_path / "crashed")


@pytest.fixture
def refused() -> Callable[..., Any]:
    """Opens a store that must be refused; returns the error, after looking that nothing was changed."""

    def check(path: Path, kind: type[tidal.TidalError], **options: Any) -> Any:
        before = content(path)
        for read_only in (False, True):
            with pytest.raises(kind) as caught:
                tidal.open(path, read_only=read_only, **options)
            assert content(path) == before
        with tidal.open(path.parent / "untouched", schema=SCHEMA):
            pass  # and the process holds nothing that keeps it from going on
        return caught.value

    return check
