"""Time, chance, networks and machines of a simulated run."""

from __future__ import annotations

import pytest

from tidal.testing.cluster import Violation, World
from tidal.testing.cluster.machine import Machine
from tidal.testing.cluster.network import Faults, Network
from tidal.testing.cluster.regions import SCHEMA
from tidal.testing.cluster.world import NS
from tidal.testing.disk.inline import inline_keeper


class Inbox:
    """Three nodes, and what they got."""

    def __init__(self, faults: Faults, seed: int = 1) -> None:
        self.world = World(seed)
        self.network = Network(self.world, faults)
        self.got: list[tuple[str, bytes]] = []
        for name in "abc":
            self.network.join(name, lambda channel, data, name=name: self.got.append((name, data)))  # type: ignore[misc]

    def send(self, count: int) -> list[tuple[str, bytes]]:
        for number in range(count):
            self.network.send("a", "x", b"%03d" % number)
        self.world.run(until=self.world.now + 10 * NS)
        return self.got


def test_what_is_due_at_one_time_happens_in_the_order_in_which_it_was_asked_for() -> None:
    world = World(1)
    for name in ("first", "second"):
        world.after(5, lambda name=name: world.note(name))  # type: ignore[misc]
    world.after(6, lambda: world.note("late"))
    world.run(until=5)
    assert [line.split()[1] for line in world.trace] == ["first", "second"]


def test_the_digest_is_of_all_that_was_noted_and_taken_in() -> None:
    digests = set()
    for line, data in (("a", b""), ("b", b""), ("a", b"x")):
        world = World(1)
        world.note(line)
        world.take_in(data)
        digests.add(world.digest())
    assert len(digests) == 3


def test_a_check_that_fails_ends_the_run_and_is_in_the_trace() -> None:
    world = World(1)
    with pytest.raises(Violation, match="broken"):
        world.check(False, "broken")
    assert world.trace[-1].endswith("VIOLATION: broken")


def test_a_good_network_delivers_once_to_all_others() -> None:
    got = Inbox(Faults()).send(50)
    assert sorted(got) == sorted((name, b"%03d" % number) for name in "bc" for number in range(50))


def test_a_bad_one_loses_repeats_changes_and_reorders() -> None:
    lost = Inbox(Faults(drop=0.5)).send(100)
    assert 60 < len(lost) < 140
    assert len(Inbox(Faults(duplicate=0.5)).send(100)) > 240
    known = {b"%03d" % number for number in range(100)}
    assert any(data not in known for _, data in Inbox(Faults(corrupt=0.2)).send(100))
    to_b = [data for name, data in Inbox(Faults(delay_most=NS)).send(100) if name == "b"]
    assert to_b != sorted(to_b)


def test_a_split_is_both_ways_until_it_is_healed() -> None:
    inbox = Inbox(Faults())
    inbox.network.split({"a"})
    assert inbox.send(3) == []
    inbox.network.heal(frozenset({("a", "b")}))
    assert {name for name, _ in inbox.send(3)} == {"c"}


def test_a_name_is_claimed_once() -> None:
    network = Inbox(Faults()).network
    assert [network.claim("epoch/1", it) for it in (b"a", b"b")] == [b"a", b"a"]


@pytest.mark.parametrize("sync", ["group", "os"])
def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(sync: str) -> None:
    left = set()
    with inline_keeper():
        for seed in range(12):
            machine = Machine(World(seed), "m", SCHEMA, sync=sync)
            db = machine.open()
            db.signal("view", 1)
            db.flush()
            db.signal("view", 1)
            machine.cut_power(torn=False)
            left.add(machine.open().last_seq)
    assert left == ({2} if sync == "group" else {1, 2})


def test_a_kill_takes_nothing_and_a_torn_step_is_done_or_not() -> None:
    left = set()
    with inline_keeper():
        for seed in range(12):
            machine = Machine(World(seed), "m", SCHEMA, sync="group")
            machine.open().signal("view", 1)
            machine.kill()
            db = machine.open()
            assert db.last_seq == 1
            machine.begin_step()
            db.signal("view", 1)
            machine.cut_power(torn=True)
            left.add(machine.open().last_seq)
    assert left == {1, 2}
