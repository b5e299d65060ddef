"""A store that is opened to read while another process writes it: what changes meanwhile is no damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from tallying import Tally

import tidal
from tests.opening.conftest import GROWN, digest_of, fill, open_small, reader_of, segments
from tidal import recovery


class Meanwhile(Protocol):
    def __call__(self, do: Callable[[], Any], *, before: str = ...) -> None: ...


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Lets another process do something once, before a step of recovery: the schema was read, and for the
    default manifest and checkpoint too.
    """

    def arrange(do: Callable[[], Any], *, before: str = "scan_log") -> None:
        step = getattr(recovery, before)

        def after_that(*arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(recovery, before, step)
            do()
            return step(*arguments, **options)

        monkeypatch.setattr(recovery, before, after_that)

    return arrange


def checkpointed(path: Path, **options: Any) -> tidal.TidalDb:
    """An open store of 800 events in eight segments, of which all but two may be archived."""
    db = open_small(path, **options)
    for _ in range(4):
        fill(db, 2)
        db.checkpoint()
    return db


@pytest.mark.parametrize("what", ["archived", "given up"])
def test_segments_that_go_are_no_damage(tmp_path: Path, meanwhile: Meanwhile, what: str) -> None:
    with checkpointed(tmp_path / "s") as db:
        meanwhile(db.archive if what == "archived" else lambda: db._log.forget(600))
        with reader_of(tmp_path / "s", recovery="absolute") as reader:
            assert reader.recovery is not None and reader.recovery.clean
            assert reader._ledger.state_digest() == digest_of(800)
        assert len(segments(tmp_path / "s")) == 2


def test_segments_that_go_while_a_reader_starts_over_are_no_damage(
    tmp_path: Path, meanwhile: Meanwhile
) -> None:
    with open_small(tmp_path / "s") as db, reader_of(tmp_path / "s") as reader:
        for _ in range(4):
            fill(db, 2)
            db.checkpoint()
        db._log.forget(200)
        meanwhile(db.archive)
        assert reader.refresh() == 800
        assert reader.recovery is not None and reader.recovery.clean


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_schema_that_grows_is_read_again_where_log_or_checkpoint_have_more_types(
    closed: Path, meanwhile: Meanwhile, checkpoint: bool
) -> None:
    def grow() -> None:
        db = open_small(closed, schema=GROWN)
        db.signal("like", 3)
        db.close() if checkpoint else db._release()

    meanwhile(grow, before="read_manifest")
    with reader_of(closed) as reader:
        assert reader.last_seq == 501 and reader.count("like", 3, "all") == 1


@pytest.mark.parametrize("known", [True, False])
def test_materializers_take_each_event_once_however_often_the_log_is_looked_at(
    tmp_path: Path, meanwhile: Meanwhile, known: bool
) -> None:
    with checkpointed(tmp_path / "s", materializers={"n": Tally()} if known else {}) as db:
        meanwhile(db.archive)
        tally = Tally()
        with reader_of(tmp_path / "s", materializers={"n": tally}) as reader:
            assert tally.events == reader.last_seq == 800
            fill(db)
            assert reader.refresh() == 100 and tally.events == 900


@pytest.mark.parametrize("recovery", ["strict", "absolute"])
def test_a_segment_that_is_being_made_is_an_unfinished_end_for_a_writer_alone(
    crashed: Path, recovery: Any
) -> None:
    segments(crashed)[-1].write_bytes(b"")
    with reader_of(crashed, recovery=recovery) as reader:
        assert reader.recovery is not None and reader.recovery.clean
        assert reader._ledger.state_digest() == digest_of(400)
    with open_small(crashed) as db:
        assert db.recovery is not None and db.recovery.torn is not None
