"""What shows only from look to look: counts that grow, and places that stand still."""

from __future__ import annotations

from tidal.health.looks import TOLD_NS, Recent, Still


def test_what_grew_is_told_for_ten_minutes() -> None:
    recent = Recent()
    assert recent.grown("a", 0, 0) == 0
    assert recent.grown("a", 3, 10) == 3
    assert recent.grown("b", 5, 10) == 5  # before it was first looked at, but not long ago
    assert recent.grown("a", 4, TOLD_NS) == 4
    assert recent.grown("a", 4, TOLD_NS + 10) == 4
    assert recent.grown("a", 4, TOLD_NS + 11) == 1  # the three were ten minutes ago
    assert recent.grown("b", 5, TOLD_NS + 11) == 0
    assert recent.grown("a", 4, 2 * TOLD_NS + 1) == 0


def test_a_count_that_was_begun_anew_grew_from_nothing() -> None:
    recent = Recent()
    assert recent.grown("a", 9, 0) == 9
    assert recent.grown("a", 9, TOLD_NS + 1) == 0
    assert recent.grown("a", 2, TOLD_NS + 2) == 2


def test_many_changes_take_little_memory() -> None:
    recent = Recent()
    for n in range(5_000):
        assert 0 < recent.grown("a", n + 1, n) <= n + 1
    assert len(recent._looks["a"]) < 2_000


def test_a_place_that_stands_still_is_timed() -> None:
    still = Still()

    def look(uptime: int, **places: int) -> dict[str, int]:
        return {name: since for name, _, since in still.times(places, uptime)}

    assert look(100, a=1) == {"a": 0}
    assert look(150, a=1, b=7) == {"a": 50, "b": 0}
    assert look(160, a=2, b=7) == {"a": 0, "b": 10}
    assert look(170, b=7) == {"b": 20}
    assert look(180, a=2, b=7) == {"a": 0, "b": 30}  # what was gone begins anew
