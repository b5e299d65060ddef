"""One step of recording an event that fails."""

from __future__ import annotations

import pytest

import tidal


def fail_a_step(db: tidal.TidalDb, step: str, error: BaseException) -> None:
    """Let ``_log.put``, say, raise within one call of signal(), which must raise the same."""
    part, _, method = step.partition(".")

    def fail(*_: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(getattr(db, part), method, fail)
        with pytest.raises(type(error)):
            db.signal("view", 1)
