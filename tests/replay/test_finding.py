"""A folder of archive files that is looked at while its archiver works."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from worn import EVENTS

import tidal

finding = importlib.import_module("tidal.replay.finding")


@contextmanager
def archiver(store: Path, **options: Any) -> Iterator[Callable[[], Any]]:
    """What archives the fifth of six rounds of events, and retires files as ``options`` say."""
    with tidal.open(store, clock="event", archive=False, **options) as db:
        db.marks.remove("follower")
        yield db.archive


@pytest.mark.parametrize("on_damage", ["raise", "skip"])
def test_a_file_that_is_archived_during_a_look_is_not_missed(
    store: Path, monkeypatch: pytest.MonkeyPatch, on_damage: Literal["raise", "skip"]
) -> None:
    read_manifest = finding.read_archive_manifest
    with archiver(store) as archive:

        def read_after_archiving(*arguments: Any) -> Any:
            archive()
            return read_manifest(*arguments)

        monkeypatch.setattr(finding, "read_archive_manifest", read_after_archiving)
        found = tidal.replay(store / "archive", on_damage=on_damage)
    assert (found.events, found.left_out) == (5 * EVENTS, ())


@pytest.mark.parametrize("on_damage", ["raise", "skip"])
def test_files_that_are_retired_during_a_look_are_not_missing(
    store: Path, monkeypatch: pytest.MonkeyPatch, on_damage: Literal["raise", "skip"]
) -> None:
    read_manifest = finding.read_archive_manifest
    newest = max((store / "archive").glob("*.arc"))
    with archiver(store, retain=3 * newest.stat().st_size) as archive:

        def read_before_retiring(*arguments: Any) -> Any:
            manifest = read_manifest(*arguments)
            archive()
            return manifest

        monkeypatch.setattr(finding, "read_archive_manifest", read_before_retiring)
        found = tidal.replay(store / "archive", partial=True, on_damage=on_damage)
    assert newest.exists() and len(list(newest.parent.glob("*.arc"))) == 3
    assert (found.events, found.left_out) == (3 * EVENTS, ())
