"""Errors that travel from one process to another keep what they say."""

from __future__ import annotations

import copy

import pytest

from tidal.errors import (
    CorruptArchive,
    InvalidEvent,
    MissingExtra,
    MissingSegment,
    NoSpace,
    RateLimited,
    SchemaMismatch,
    StorageError,
    TidalError,
    UnknownSignalType,
)


@pytest.mark.parametrize(
    "error",
    [
        CorruptArchive("a.arc", 7, "the hash does not match"),
        InvalidEvent("not a number", row=3, column="weight", value="x"),
        MissingExtra("ray", "ray", "a replay"),
        MissingSegment(1, 20, "wal"),
        NoSpace(28, "write: No space left on device", "wal/1.seg"),
        RateLimited("agent", 7, 2.0, 0.5),
        SchemaMismatch(["view: signed"]),
        StorageError(2, "open: No such file or directory", "x"),
        UnknownSignalType("veiw", ["view"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_the_same_after_it_was_handed_over(error: TidalError) -> None:
    """copy() takes the way that executors take."""
    error.add_note("a note")
    again = copy.copy(error)
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    if isinstance(error, OSError) and isinstance(again, OSError):
        assert (again.errno, again.filename) == (error.errno, error.filename)
