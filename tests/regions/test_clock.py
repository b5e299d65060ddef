"""Stamps are above all that a clock gave or was shown, and of wrong clocks none is taken."""

from __future__ import annotations

import pytest

from tidal.errors import ClockSkew, InvalidOption
from tidal.regions import HybridClock, Stamp
from tidal.regions.clock import NEVER

NS = 10**9


class Wall:
    now = 1000 * NS

    def __call__(self) -> int:
        return self.now


def test_stamps_rise_while_the_wall_clock_stands_falls_and_jumps() -> None:
    wall = Wall()
    clock = HybridClock(3, wall)
    seen = []
    for wall.now in (1000, 1000, 10, -5, 1001, 1001):
        seen.append(clock.tick())
    assert seen == sorted(set(seen))
    assert seen[0] == Stamp(1000, 0, 3) and seen[4] == Stamp(1001, 0, 3)


def test_a_tick_is_above_what_was_observed() -> None:
    clock = HybridClock(1, Wall())
    clock.observe(Stamp(1001 * NS, 9, 2))
    assert clock.tick() == Stamp(1001 * NS, 10, 1)


def test_a_count_that_is_full_goes_on_in_the_next_ns() -> None:
    clock = HybridClock(1, lambda: 5)
    clock.restore(Stamp(5, 2**32 - 1, 2))
    assert clock.tick() == Stamp(6, 0, 1)


def test_a_stamp_too_far_ahead_is_refused_and_not_learned() -> None:
    clock = HybridClock(1, Wall(), max_skew="10s")
    clock.observe(Stamp(1010 * NS, 0, 2))
    with pytest.raises(ClockSkew, match=r"node 7 stamped something 10\.000 s ahead") as caught:
        clock.observe(Stamp(1010 * NS + 1, 0, 7))
    assert (caught.value.node, caught.value.most_ns) == (7, 10 * NS)
    assert clock.tick().wall == 1010 * NS


def test_a_clock_at_the_beginning_of_time_gives_stamps() -> None:
    assert HybridClock(0, lambda: 0).tick() > NEVER


def test_bytes_of_stamps_are_in_their_order() -> None:
    stamps = [Stamp(1, 2**31, 5), Stamp(1, 2, 70), Stamp(2**40, 0, 0), Stamp(1, 2, 69)]
    assert [Stamp.encode(it) for it in sorted(stamps)] == sorted(map(Stamp.encode, stamps))


@pytest.mark.parametrize("node", [-1, 65536, "1", None, True])
def test_a_node_is_a_number_of_16_bits(node: object) -> None:
    with pytest.raises(InvalidOption, match="a node is a number in 0"):
        HybridClock(node, Wall())  # type: ignore[arg-type]
