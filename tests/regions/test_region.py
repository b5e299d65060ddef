"""Regions with real stores: what each recorded is read in all of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import tidal
from tidal.errors import (
    CorruptStore,
    InvalidOption,
    NoSpace,
    ReadOnly,
    StoreClosed,
    StoreMissing,
    TransportClosed,
    TransportError,
)
from tidal.regions import Region, RegionLink, link
from tidal.storage.keys import Tag, encode_key
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


def test_a_state_is_sent_once_for_all_who_lack_it(three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    first, answers = three.regions[0], []
    take = first.on_message

    def noted(data: bytes, now: int) -> list[bytes]:
        found = take(data, now)
        answers.extend(found)
        return found

    monkeypatch.setattr(first, "on_message", noted)
    for _ in range(2):
        three.dbs[0].signal("view", 1)
        three.exchange(rounds=1)
    assert len(answers) == 2
    assert [it.count("view", 1, "all") for it in three.regions] == [2, 2, 2]


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


def test_a_region_is_the_one_that_its_store_is_of(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA, region=2) as db:
        assert Region(db, members=(1, 2)).region == Region(db, region=2, members=(1, 2)).region == 2
        with pytest.raises(InvalidOption, match="made as region 2, not region=1"):
            Region(db, region=1, members=(1, 2))
    with tidal.open(tmp_path / "t", schema=SCHEMA) as db:
        assert Region(db, members=(0, 1)).region == 0 and Region(db, region=1, members=(0, 1)).region == 1


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


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        for keyspace, key in (
            ("users", encode_key(1, Tag.REL, b"n\x09" + bytes(8))),
            ("users", encode_key(1, Tag.REL, b"n")),
            ("items", encode_key(0, Tag.MV, b"region\x07a")),
            ("items", encode_key(0, Tag.MV, b"region")),
        ):
            db._engine.put(keyspace, key, bytes(27) + b"\1")
            with pytest.raises(CorruptStore, match=f"record {key.hex()}: "):
                Region(db, region=1, members=(1, 2))
            db._engine.delete(keyspace, key)


def test_messages_are_no_larger_than_the_transport_takes(tmp_path: Path) -> None:
    with InProcessTransport(max_payload=5000) as transport, tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        with pytest.raises(InvalidOption, match="give the region max_payload=5000"):
            RegionLink(Region(db, region=1, members=(1, 2)), transport)
        with pytest.raises(InvalidOption, match="choose 4096 bytes or more"):
            Region(db, region=1, members=(1, 2), max_payload=100)
        RegionLink(Region(db, region=1, members=(1, 2), max_payload=5000), transport).close()


def test_a_full_disk_and_a_transport_that_fails_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "_POLL_SECONDS", 0.001)
    with InProcessTransport() as transport, tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        region, went_on = Region(db, region=1, members=(1, 2), interval="1ms"), threading.Event()
        troubles: list[Exception] = [NoSpace(28, "the disk is full"), TransportError("away")]

        def step(now: int) -> list[bytes]:
            if troubles:
                raise troubles.pop(0)
            went_on.set()
            return []

        monkeypatch.setattr(region, "step", step)
        with RegionLink(region, transport) as linked:
            assert went_on.wait(60)
        assert linked.failure is None
    assert [record.levelname for record in said_by_links(caplog)] == ["WARNING", "WARNING"]


def said_by_links(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == link.__name__]


def test_why_a_link_ended_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        region = Region(db, region=1, members=(1, 2), interval="1ms")
        with InProcessTransport() as transport:
            closed = RegionLink(region, transport)
        closed._thread.join(60)
        assert isinstance(closed.failure, TransportClosed)
        assert not said_by_links(caplog)[0].exc_info

        def step(now: int) -> list[bytes]:
            raise ValueError("a bug")

        monkeypatch.setattr(region, "step", step)
        with InProcessTransport() as transport, RegionLink(region, transport) as broken:
            broken._thread.join(60)
        assert isinstance(broken.failure, ValueError)
        assert "a bug" in str(said_by_links(caplog)[1].exc_info)


def test_a_link_ends_with_its_database(tmp_path: Path) -> None:
    with InProcessTransport() as transport, tidal.open(tmp_path / "s", schema=SCHEMA) as db:
        link = RegionLink(Region(db, region=1, members=(1, 2), interval="1ms"), transport)
        db.close()
        link._thread.join(60)
        assert isinstance(link.failure, StoreClosed)
        link.close()
