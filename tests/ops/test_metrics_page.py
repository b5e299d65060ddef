"""docs/ops/metrics.md lists every metric, with its type and labels, and nothing else."""

from __future__ import annotations

import re

from promtools import OPS

from tidal.health import NOT_READY, REASONS, HealthLimits
from tidal.meters import OTHER_REFUSAL, REFUSALS
from tidal.schema.durations import NS_PER_SECOND, parse_duration

PAGE = (OPS / "metrics.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(tidaldb_\w+)` \| (\w+) \|\s*([^|]*?)\s*\| ([^|]+) \|$", PAGE, re.M)


def test_every_metric_is_there_with_its_type_and_labels(
    families: dict[str, tuple[str, frozenset[str]]],
) -> None:
    listed = {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in ROWS}
    assert listed == {name: about for name, about in families.items() if name.startswith("tidaldb_")}
    assert len(ROWS) == len(listed)


def test_the_values_of_labels_are_named(expositions: list[str]) -> None:
    texts = {name: text for name, _, _, text in ROWS}
    labelled = {
        "disk_bytes": "part",
        "read_seconds": "call",
        "memory_bytes": "part",
        "jobs": "status",
        "refused_calls_total": "reason",
        "sessions": "state",
        "shipping_follower_state": "state",
    }
    text = "\n".join(expositions)
    for metric, label in labelled.items():
        there = set(re.findall(rf'^tidaldb_{metric}(?:_count)?{{[^}}]*\b{label}="(\w+)"', text, re.M))
        named = set(re.findall(r"`([a-z_]+)`", texts[f"tidaldb_{metric}"]))
        assert there and there <= named, metric


def test_every_reason_of_health_is_there() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \| \[Tidal", PAGE, re.M)) == set(REASONS)


def test_the_reasons_that_make_a_database_unready_are_there() -> None:
    sentence = PAGE.split("`db.health().ready` is false only", 1)[1].split("So:", 1)[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == NOT_READY


def test_every_reason_to_refuse_a_call_is_there() -> None:
    (text,) = (text for name, _, _, text in ROWS if name == "tidaldb_refused_calls_total")
    assert re.findall(r"`([a-z_]+)`", text) == [*REFUSALS, OTHER_REFUSAL]


def test_the_limits_are_those_of_the_code() -> None:
    limits = HealthLimits()
    for name in ("follower", "checkpoint", "region", "ingest"):
        minutes = parse_duration(getattr(limits, name)) // (60 * NS_PER_SECOND)
        assert f"`{name}` ({minutes} minutes)" in PAGE
    for name in ("clock", "lag"):
        assert f"`{name}` ({parse_duration(getattr(limits, name)) // NS_PER_SECOND} s)" in PAGE
    assert f"`refused` ({limits.refused})" in PAGE and limits.lag_events is None
    assert f"`free_bytes` ({limits.free_bytes >> 20} MiB)" in PAGE
    assert f"`checkpoint_factor` ({limits.checkpoint_factor:g})" in PAGE
