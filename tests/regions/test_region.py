"""Regions with real stores: what each recorded is read in all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import tidal
from tidal.errors import InvalidOption, ReadOnly, StoreClosed, StoreMissing
from tidal.regions import Region, RegionLink
from tidal.testing import ManualClock
from tidal.transports.memory import InProcessTransport

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="1h", windows=("1h",), velocity=True).build()
SECOND = 10**9


class Three:
    """Three regions whose messages are carried by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.now = folder, ManualClock(), 0
        self.dbs: list[tidal.TidalDb] = []
        self.regions: list[Region] = []
        for number in (1, 2, 3):
            self.dbs.append(self.open(number))
            self.regions.append(self.join(number))

    def open(self, number: int) -> tidal.TidalDb:
        return tidal.open(self.folder / str(number), schema=SCHEMA, clock=self.clock)

    def join(self, number: int) -> Region:
        return Region(self.dbs[number - 1], region=number, members=(1, 2, 3), interval="1s")

    def exchange(self, rounds: int = 2, *, without: int = 0) -> None:
        """Carry all messages, but none from or to one region."""
        for _ in range(rounds):
            self.now += SECOND
            waiting = [
                (it, data) for it in self.regions if it.region != without for data in it.step(self.now)
            ]
            while waiting:
                sender, data = waiting.pop()
                for other in self.regions:
                    if other is not sender and other.region != without:
                        waiting += [(other, answer) for answer in other.on_message(data, self.now)]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    made = Three(tmp_path)
    yield made
    for db in made.dbs:
        db.close()


def test_each_reads_what_all_recorded(three: Three) -> None:
    a, b, c = three.regions
    three.dbs[0].ingest(signal="view", entity_id=[1, 1, 2], weight=[1.0, 2.0, 1.0])
    three.dbs[1].signal("view", 1)
    three.dbs[2].signal("view", "sku:1")
    three.clock.advance("30m")
    three.exchange()
    for region in three.regions:
        assert region.count("view", 1, "1h") == 3
        assert region.score("view", 1) == pytest.approx(4 / 2**0.5)
        assert region.velocity("view", 1, "1h") == 3 / 3600
        assert region.counts("view", [1, 2, 3], "all").tolist() == [3, 1, 0]
        assert region.scores("view", [1, 2])[1] == region.score("view", 2)
        assert region.count("view", "sku:1", "all") == 1
        assert region.top("view", 1, by="count.all").ids.tolist() == [1]
    assert [key for key, _ in c.top("view", 3)][-1] in (2, "sku:1")
    assert a.members()[2].seq == 1 and b.members()[1].seq == 3


def test_own_events_count_at_once_and_others_when_they_came(three: Three) -> None:
    three.exchange()
    three.dbs[0].signal("view", 1)
    assert [it.count("view", 1, "all") for it in three.regions] == [1, 0, 0]
    three.exchange()
    assert [it.count("view", 1, "all") for it in three.regions] == [1, 1, 1]


def test_what_two_cannot_tell_each_other_goes_by_the_third(three: Three) -> None:
    three.dbs[0].signal("view", 1)
    three.exchange(without=3)
    three.regions[0].on_message = lambda data, now: []  # type: ignore[method-assign]
    three.regions[0].step = lambda now: []  # type: ignore[method-assign]
    three.exchange(rounds=4)
    assert three.regions[2].count("view", 1, "all") == 1


def test_a_hide_is_everywhere_and_an_unhide_when_all_have_it(three: Three) -> None:
    a, b, _ = three.regions
    three.exchange()
    a.hide("u", "sku:1")
    a.negate("block", "u", "v")
    three.exchange()
    ids = [int(three.dbs[0].items.id_of("sku:1"))]
    assert [it.hidden("u").tolist() for it in three.regions] == [ids] * 3
    assert b.negates("block", "u", "v") and not b.negates("mute", "u", "v")
    b.unhide("u", "sku:1")
    three.exchange(without=3)
    assert [it.negates("hide", "u", "sku:1") for it in three.regions] == [True, True, True]
    three.exchange(rounds=3)
    assert [it.hidden("u").tolist() for it in three.regions] == [[], [], []]


def test_values_by_name(three: Three) -> None:
    a, b, _ = three.regions
    assert a.add("budget", 10) == 10 and b.add("budget", -3) == 0
    a.write("mode", b"calm")
    three.clock.advance("1s")
    b.write("mode", b"wild")
    three.exchange()
    assert [(it.value("budget"), it.register("mode")) for it in three.regions] == [(7, b"wild")] * 3


def test_all_but_the_others_signals_outlives_the_process(three: Three) -> None:
    a = three.regions[0]
    three.dbs[0].signal("view", 1)
    a.hide(5, 6)
    a.add("n", 2)
    a.write("mode", b"x")
    three.exchange()
    before = (a._negatives.encode(), a._values.items())
    three.dbs[0].close()
    three.dbs[0] = three.open(1)
    three.clock.now -= 60 * SECOND
    three.regions[0] = again = three.join(1)
    assert (again._negatives.encode(), again._values.items()) == before
    again.unhide(5, 6)  # by a clock that was set back
    assert not again._negatives.has("hide", 5, 6)
    assert again.members()[2].seq is None
    three.exchange()
    assert three.regions[1].count("view", 1, "all") == 1


def test_a_region_needs_a_folder_that_it_may_write_and_its_own_number(tmp_path: Path) -> None:
    with tidal.open(schema=SCHEMA) as db, pytest.raises(StoreMissing, match="open a folder, not memory"):
        Region(db, region=1, members=(1, 2))
    with tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        with pytest.raises(InvalidOption, match="region 1 is none of members"):
            Region(db, region=1, members=(2, 3))
        with pytest.raises(InvalidOption, match="group"):
            Region(db, region=1, members=(1,), group="../x")
    with tidal.open(tmp_path / "s", read_only=True) as db, pytest.raises(ReadOnly):
        Region(db, region=1, members=(1, 2))


def test_a_closed_database_is_said_to_be_closed(three: Three) -> None:
    region = three.regions[0]
    three.dbs[0].close()
    for call in (lambda: region.hide(1, 2), lambda: region.hidden(1), lambda: region.count("view", 1, "all")):
        with pytest.raises(StoreClosed):
            call()


def test_links_move_the_messages(tmp_path: Path) -> None:
    with ExitStack() as stack:
        transport = stack.enter_context(InProcessTransport())
        dbs = [stack.enter_context(tidal.open(tmp_path / str(n), schema=SCHEMA)) for n in (1, 2)]
        regions = [Region(db, region=n, members=(1, 2), interval="20ms") for n, db in enumerate(dbs, 1)]
        links = [stack.enter_context(RegionLink(it, transport)) for it in regions]
        dbs[0].ingest(signal="view", entity_id=np.arange(50, dtype=np.uint64))
        deadline = time.monotonic() + 60
        while regions[1].count("view", 7, "all") == 0:
            assert time.monotonic() < deadline and links[1].failure is None
            time.sleep(0.01)
        links[0].close()
        links[0].close()


def test_a_link_ends_with_its_database(tmp_path: Path) -> None:
    with InProcessTransport() as transport, tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        link = RegionLink(Region(db, region=1, members=(1, 2), interval="1ms"), transport)
        db.close()
        link._thread.join(60)
        assert isinstance(link.failure, StoreClosed)
        link.close()
