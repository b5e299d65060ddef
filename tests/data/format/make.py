"""Makes the golden files that are missing; one that is there is never written again.

    PYTHONPATH=tests/helpers python tests/data/format/make.py

What a version of the format has written is read by every later one, so a golden file is made once, when a
kind of file first appears in a version. What should be in it is in tests/helpers/golden_v1.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

from bytekit.segments import make_segment
from golden_v1 import (
    BY_HASH,
    DICTIONARIES,
    EPOCH,
    FOLDER,
    IDENTITY,
    STORE,
    STORE_SCHEMA,
    expected,
    many_entities,
    schema,
    store_events,
)

import tidal
from tidal.archive import archive_segments, dictionaries, writer
from tidal.durable import OsFileSystem
from tidal.format.archive import archive_name


def main() -> None:
    made = make_segment(expected(), log=IDENTITY, created_at=EPOCH)
    _write(FOLDER / made.name, made.data)
    with tempfile.TemporaryDirectory() as folder:
        archived = archive_segments(
            OsFileSystem(), Path(folder), [FOLDER / made.name], identity=IDENTITY, schema=schema()
        )
        name = archive_name(IDENTITY, archived.base_seq)
        _write(FOLDER / name, (Path(folder) / name).read_bytes())
    with (
        mock.patch.object(writer, "DICTIONARY_EVENTS_MIN", 1),
        mock.patch.object(dictionaries, "_GAIN", 1000),  # though they do not pay
        mock.patch.object(dictionaries, "HASHED_MIN", 9_000),  # though no replay would gain by it
    ):
        for target, batches in ((DICTIONARIES, expected()), (BY_HASH, [many_entities()])):
            with tempfile.TemporaryDirectory() as folder:
                made = make_segment(batches, log=IDENTITY, created_at=EPOCH)
                segment = Path(folder) / made.name
                segment.write_bytes(made.data)
                archive_segments(OsFileSystem(), Path(folder), [segment], identity=IDENTITY, schema=schema())
                _write(target / name, (Path(folder) / name).read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        _make_store(Path(folder) / "s")
        for path in sorted((Path(folder) / "s").rglob("*")):
            if path.is_file() and path.name != "LOCK":
                _write(STORE / path.relative_to(Path(folder) / "s"), path.read_bytes())


def _make_store(path: Path) -> None:
    """A closed store: archived history, a log beyond it, two checkpoints, keys, metadata, a mark."""
    for part in range(3):
        with tidal.open(
            path, schema=STORE_SCHEMA, clock=lambda: EPOCH + 10**15, archive=True, shards=1
        ) as db:
            db.ingest(**store_events(part))
            db.items.put("item-1", {"title": "the first", "part": part})
            db.marks.set("follower", 60)
            db.checkpoint()
            db.archive()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        print(f"kept  {path}")
    else:
        print(f"made  {path}")


if __name__ == "__main__":
    main()
