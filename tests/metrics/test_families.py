"""What is counted: each metric against what was done, and none with the name of an entity."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from scraping import ask, scrape

import tidal
from tidal.build import __version__, build_hash
from tidal.errors import StorageError
from tidal.metrics.families import JOB_STATUSES, families

SCHEMA = tidal.SchemaBuilder().signal("view", half_life="7d").build()


def test_what_was_done_is_counted(busy: tidal.TidalDb) -> None:
    found = scrape(busy)
    last = busy.last_seq
    expected = {
        "tidaldb_health_ok": 1,
        'tidaldb_health_reason{reason="poisoned"}': 0,
        f'tidaldb_info{{build_hash="{build_hash()}",version="{__version__}"}}': 1,
        "tidaldb_scrape_errors": 0,
        "tidaldb_log_sequence": last,
        "tidaldb_log_durable_sequence": last,
        "tidaldb_log_unsynced_bytes": 0,
        'tidaldb_events_total{signal="view"}': 7 + 3 + 1 + 1 + 1,
        'tidaldb_events_total{signal="like"}': 2,
        'tidaldb_events_total{signal="follow"}': 1,
        'tidaldb_late_events_total{signal="view"}': 1,
        'tidaldb_late_events_total{signal="like"}': 0,
        "tidaldb_duplicate_events_total": 1,
        "tidaldb_refused_events_total": 1,
        'tidaldb_refused_calls_total{reason="invalid"}': 1,
        'tidaldb_refused_calls_total{reason="limit"}': 0,
        "tidaldb_ingest_seconds_count": 3,
        "tidaldb_ingest_batch_events_count": 3,
        "tidaldb_ingest_batch_events_sum": 3 + 2 + 1,
        'tidaldb_ingest_batch_events_bucket{le="2.0"}': 2,
        'tidaldb_ingest_batch_events_bucket{le="+Inf"}': 3,
        "tidaldb_signal_seconds_count": 1,
        'tidaldb_read_seconds_count{call="scores"}': 1,
        'tidaldb_read_seconds_count{call="top"}': 1,
        'tidaldb_read_seconds_count{call="rank"}': 0,
        'tidaldb_entities{kind="item",signal="view"}': 5,
        'tidaldb_entities{kind="user",signal="follow"}': 1,
        "tidaldb_dedup_keys": 4,
        'tidaldb_sessions{state="open"}': 1,
        'tidaldb_sessions{state="remembered"}': 1,
        "tidaldb_checkpoint_sequence": last,
        "tidaldb_checkpoint_seconds_count": 1,
        "tidaldb_checkpoint_copy_seconds_count": 1,
        "tidaldb_checkpoint_failures_total": 0,
        "tidaldb_checkpoint_unsaved_bytes": 0,
        "tidaldb_checkpoint_due_bytes": 64 << 20,
        "tidaldb_archive_seconds_count": 1,
        "tidaldb_archive_failures_total": 0,
        "tidaldb_recovery_replayed_events": 0,
        "tidaldb_recovery_torn": 0,
        "tidaldb_recovery_clean": 1,
        'tidaldb_follower_sequence{follower="replica"}': 12,
        'tidaldb_follower_lag_events{follower="replica"}': last - 12,
        'tidaldb_jobs{status="done"}': 1,
        'tidaldb_jobs{status="failed"}': 0,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_what_is_measured_is_plausible(busy: tidal.TidalDb) -> None:
    found = scrape(busy)
    usage = busy.disk_usage()
    stats = busy.stats()["signals"]["view"]
    for part in ("log", "archive", "checkpoints", "entities", "quarantine", "exports"):
        assert found[f'tidaldb_disk_bytes{{part="{part}"}}'] == usage[part]
    for part in ("record", "index", "column"):
        assert found[f'tidaldb_memory_bytes{{part="{part}",signal="view"}}'] == stats[f"{part}_bytes"]
    assert found["tidaldb_log_segments"] == len(list((busy.path or Path()).glob("wal/*.seg")))
    assert found["tidaldb_disk_free_bytes"] > 0
    assert found["tidaldb_log_written_bytes_total"] > 0
    assert 0 < found["tidaldb_log_sync_seconds_sum"] < 60
    assert 0 < found["tidaldb_ingest_seconds_sum"] < 60
    assert 0 < found["tidaldb_recovery_seconds"] < 60
    assert 0 < found["tidaldb_uptime_seconds"] < 600
    assert 0 <= found["tidaldb_checkpoint_age_seconds"] <= found["tidaldb_uptime_seconds"]
    assert found["process_resident_memory_bytes"] > 1 << 20


def test_buckets_only_grow_and_end_with_the_count(busy: tidal.TidalDb) -> None:
    text = ask(busy.metrics_address, "/metrics")[2].decode()
    histograms = [it for it in text_string_to_metric_families(text) if it.type == "histogram"]
    assert len(histograms) >= 7
    for family in histograms:
        runs: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        counts = {}
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            key = tuple(sorted(labels.items()))
            if sample.name.endswith("_bucket"):
                runs.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
            elif sample.name.endswith("_count"):
                counts[key] = sample.value
        for key, buckets in runs.items():
            assert buckets == sorted(buckets)
            assert [count for _, count in buckets] == sorted(count for _, count in buckets)
            assert buckets[-1] == (float("inf"), counts[key])


def test_no_metric_has_the_name_of_an_entity(tmp_path: Path) -> None:
    """Each would be a series of its own, and there may be millions."""
    with tidal.open(tmp_path / "store", schema=SCHEMA, metrics="127.0.0.1:0") as db:
        before = set(scrape(db))
        keys = [f"sentinel-{n}" for n in range(100)]
        db.ingest(signal="view", entity_id=keys, user_id=keys)
        db.items.put("sentinel-1", {"title": "sentinel"})
        found = scrape(db)
        assert set(found) == before
        assert not [name for name in found if "sentinel" in name]


def test_a_database_in_memory_has_what_it_has() -> None:
    with tidal.open(schema=SCHEMA, metrics="127.0.0.1:0") as db:
        db.signal("view", 1)
        found = scrape(db)
        assert found["tidaldb_log_sequence"] == found['tidaldb_events_total{signal="view"}'] == 1
        assert not [name for name in found if name.startswith(("tidaldb_disk", "tidaldb_checkpoint"))]


def test_a_database_that_only_reads_is_counted_too(tmp_path: Path) -> None:
    with (
        tidal.open(tmp_path / "store", schema=SCHEMA) as writer,
        tidal.open(tmp_path / "store", read_only=True, metrics="127.0.0.1:0") as db,
    ):
        assert scrape(db)["tidaldb_log_sequence"] == 0
        writer.ingest(signal="view", entity_id=[1, 2])
        db.refresh()
        db.scores("view", [1])
        assert scrape(db)["tidaldb_log_sequence"] == 2
        assert scrape(db)['tidaldb_read_seconds_count{call="scores"}'] == 1


def test_what_cannot_be_read_is_left_out_and_counted(
    busy: tidal.TidalDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError(5, "injected")

    monkeypatch.setattr(busy, "disk_usage", fail)
    found = scrape(busy)
    assert found["tidaldb_scrape_errors"] == 1
    assert not [name for name in found if name.startswith("tidaldb_disk_bytes")]
    assert found["tidaldb_log_sequence"] == busy.last_seq


def test_reads_are_timed_only_where_somebody_asked_for_metrics() -> None:
    with tidal.open(schema=SCHEMA) as db:
        db.scores("view", [1])
        db.top("view")
        assert db._meters.reads == {}
    with tidal.open(schema=SCHEMA, metrics="127.0.0.1:0") as db:
        with pytest.raises(tidal.UnknownSignalType):
            db.scores("veiw", [1])
        assert db.scores("view", [1]).tolist() == [0.0]
        assert db._meters.reads["scores"].count == 1


def test_after_a_refresh_that_starts_over_each_read_is_timed_once(tmp_path: Path) -> None:
    with tidal.open(schema=SCHEMA, metrics="127.0.0.1:0") as db:
        db._compile()
        db._compile()
        db.scores("view", [1])
        assert db._meters.reads["scores"].count == 1


def test_the_statuses_of_jobs_are_all_there() -> None:
    assert set(JOB_STATUSES) == {status.value for status in tidal.JobStatus}


def test_a_closed_database_has_no_metrics() -> None:
    db = tidal.open(schema=SCHEMA)
    db.close()
    with pytest.raises(tidal.StoreClosed):
        list(families(db))
