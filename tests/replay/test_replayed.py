"""Results: added up, written, read again, saved as stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from replaykit import flip, twin
from worn import START, make_store

import tidal
from tidal.errors import CorruptStore, InvalidOption, MissingSegment, SchemaError
from tidal.inspect import verify
from tidal.testing import assert_agrees

AT = START + 400 * 10**9
SECOND = 10**9


def parts_of(store: Path, count: int, folder: Path) -> list[Path]:
    return [
        tidal.replay(store, part=(number, count)).write(folder / f"{number}.partial")
        for number in range(1, count + 1)
    ]


def test_parts_written_to_files(store: Path, tmp_path: Path) -> None:
    files = parts_of(store, 4, tmp_path)
    whole = tidal.merge(list(reversed(files)))
    assert_agrees(whole.ledger, twin(store), AT)
    assert (whole.events, whole.last_seq, whole.source) == (360, 360, "4 parts")
    assert [(run.first_seq, run.last_seq) for run in whole.covered] == [(1, 360)]
    assert whole.key_of(whole.items.id_of("item0")) == "item0"
    assert whole.now() == tidal.replay(store).now()
    assert tidal.merge(files, at=AT).now() == AT
    again = tidal.merge([tidal.merge(files[:2]), *files[2:]])
    assert again.covered == whole.covered


def test_the_parts_stay_as_they_are(store: Path) -> None:
    first, second = (tidal.replay(store, part=(number, 2)) for number in (1, 2))
    before = first.ledger.state_digest()
    tidal.merge([first, second])
    assert (first.ledger.state_digest(), first.events) == (before, 180)


def test_several_stores(store: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other", rounds=2)
    both = tidal.merge([tidal.replay(store), tidal.replay(other)])
    assert both.events == 360 + 120
    model = twin(store)
    for event in twin(other).events():
        model.apply(*event)
    assert_agrees(both.ledger, model, AT)
    assert len(both.covered) == 2


def test_what_does_not_add_up(store: Path, tmp_path: Path) -> None:
    files = parts_of(store, 4, tmp_path)
    with pytest.raises(InvalidOption, match="count twice"):
        tidal.merge([files[0], files[0]])
    with pytest.raises(MissingSegment) as caught:
        tidal.merge([files[0], files[2]])
    assert (caught.value.first, caught.value.last) == (91, 180)
    with pytest.raises(SchemaError):
        tidal.merge([files[0], tidal.replay(store, part=(2, 4), signals=["view"])])
    with pytest.raises(InvalidOption, match="until="):
        tidal.merge([files[0], tidal.replay(store, part=(2, 4), until=AT)])
    for parts in ([], "x", 7):
        with pytest.raises(InvalidOption):
            tidal.merge(parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("offset", [0, 200, 1000, -1])
def test_a_damaged_part(store: Path, tmp_path: Path, offset: int) -> None:
    (path,) = parts_of(store, 1, tmp_path)
    flip(path, offset)
    with pytest.raises(CorruptStore) as caught:
        tidal.merge([path])
    assert caught.value.path == path


def test_what_is_no_part(store: Path) -> None:
    checkpoint = next((store / "checkpoints").iterdir())
    with pytest.raises(CorruptStore, match="no partial replay"):
        tidal.merge([checkpoint])


def test_it_is_saved_as_a_store(store: Path, tmp_path: Path) -> None:
    found = tidal.replay(store, until=START + 200 * SECOND)
    assert found.save(tmp_path / "new") == tmp_path / "new"
    assert verify(tmp_path / "new").findings == ()
    with tidal.open(tmp_path / "new", clock="event") as db:
        assert db.recovery is not None and db.recovery.clean and db.recovery.notes == ()
        assert db.last_seq == 360
        for name in db.schema.names:
            assert list(db.top(name, 30)) == list(found.top(name, 30))
        assert db.signal("view", "item3", timestamp=AT) == 361
        assert db.count("view", "item3", "all") == found.count("view", "item3", "all") + 1
        with pytest.raises(MissingSegment):
            list(db.export_signals(tidal.ExportRequest(after_seq=0)))
        assert [it.timestamp_ns for it in db.export_signals(tidal.ExportRequest(all=True))] == [AT]
    with tidal.open(tmp_path / "new", clock="event") as db:
        assert db.recovery is not None and db.recovery.clean
        assert db.last_seq == 361
    origin = json.loads((tmp_path / "new" / "origin.json").read_text())
    assert (origin["made_by"], origin["events"], origin["until"]) == ("replay", 201, found.until)
    again = tidal.replay(tmp_path / "new", partial=True)
    assert (again.events, again.covered[0].first_seq) == (1, 361)


def test_an_empty_state_is_saved(tmp_path: Path) -> None:
    schema = tidal.SchemaBuilder().signal("view").build()
    tidal.open(tmp_path / "old", schema=schema).close()
    tidal.replay(tmp_path / "old").save(tmp_path / "new")
    with tidal.open(tmp_path / "new") as db:
        assert db.signal("view", 7) == 1
    assert tidal.replay(tmp_path / "new").events == 1


@pytest.mark.parametrize(("shards", "place"), [([7], (3, 7)), ([7, 8], (3, 0))])
def test_a_saved_state_is_of_the_place_of_its_events(
    tmp_path: Path, shards: list[int], place: tuple[int, int]
) -> None:
    schema = tidal.SchemaBuilder().signal("view").build()
    for shard in shards:
        with tidal.open(tmp_path / str(shard), schema=schema, region=3, shard=shard, clock="event") as db:
            db.ingest(signal="view", entity_id=[shard], timestamp=AT)
    tidal.merge([tidal.replay(tmp_path / str(it)) for it in shards]).save(tmp_path / "new")
    for _ in range(2):
        with tidal.open(tmp_path / "new", region=place[0], shard=place[1], clock="event") as db:
            assert db.count("view", 7, "all") == 1
            db.signal("view", 1, timestamp=AT)
    assert not verify(tmp_path / "new").findings


def test_a_place_that_is_taken(store: Path, tmp_path: Path) -> None:
    found = tidal.replay(store)
    for name in ("there", "other.unfinished"):
        (tmp_path / name).mkdir()
    for name in ("there", "other"):
        with pytest.raises(InvalidOption):
            found.save(tmp_path / name)


def test_it_says_what_it_is(store: Path) -> None:
    found = tidal.replay(store)
    assert repr(found) == f"Replayed(360 events of {str(store)!r}: view, like, follow)"
