"""Values that are kept: how long, and what it costs to look."""

from __future__ import annotations

import pytest

from tidal.page.kept import SHARE_MAX, Kept


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("took", [0.0, 0.002, 0.3, 7.0])
def test_making_never_takes_more_than_its_share(took: float) -> None:
    clock, made = Clock(), 0

    def make() -> int:
        nonlocal made
        made += 1
        clock.now += took
        return made

    kept = Kept(make, 0.5, clock=clock)
    busy = 0.0
    while clock.now < 1_000:
        before = made
        assert kept.get() == made
        busy += took * (made - before)
        clock.now += 0.1
    assert made > 2
    assert busy / clock.now <= SHARE_MAX + 2 * took / clock.now
    if took <= 0.5 * SHARE_MAX / 2:
        assert made == pytest.approx(clock.now / 0.5, rel=0.3), "a cheap value is as fresh as was asked"


def test_an_error_is_raised_and_not_kept() -> None:
    clock, answers = Clock(), iter([ValueError("no"), 7])

    def make() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = Kept(make, 10.0, clock=clock)
    with pytest.raises(ValueError, match="no"):
        kept.get()
    assert kept.get() == 7
