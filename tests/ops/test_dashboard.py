"""The dashboard: what Grafana needs is there; each query is PromQL, of metrics and labels that there are."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promtools import OPS, families_of, promtool

BOARD: dict[str, Any] = json.loads((OPS / "grafana.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = BOARD["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
OF_PROMETHEUS = {"job", "instance", "le"}  # labels that a scrape adds, and the one of buckets


def expressions() -> Iterator[str]:
    for panel in SHOWN:
        for target in panel["targets"]:
            yield target["expr"]
    for annotation in BOARD["annotations"]["list"]:
        yield annotation["expr"]


def filled(expression: str) -> str:
    """An expression as Grafana sends it, its variables filled in."""
    for name, value in {"__rate_interval": "5m", "job": ".*", "instance": ".*"}.items():
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression
    return expression


def test_it_is_a_dashboard() -> None:
    assert BOARD["title"] and BOARD["uid"] and BOARD["schemaVersion"] >= 36
    assert "id" not in BOARD  # Grafana gives one
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {"datasource", "job", "instance"}
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))
    for panel in SHOWN:
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["title"] and panel["description"] and panel["targets"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))
        assert all(target["legendFormat"] for target in panel["targets"])


def test_no_panel_lies_on_another() -> None:
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_promtool_reads_each_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{n}", "expr": filled(it)} for n, it in enumerate(expressions())]
    file = tmp_path / "rules.yml"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_they_are_of_metrics_and_labels_that_there_are(
    families: dict[str, tuple[str, frozenset[str]]],
) -> None:
    for expression in expressions():
        named = families_of(expression)
        assert named and named <= families.keys(), expression
        labels = frozenset().union(*(families[name][1] for name in named)) | OF_PROMETHEUS
        grouped = re.findall(r"\bby \(([^)]*)\)", expression)
        assert {label for group in grouped for label in group.split(",")} <= labels, expression
    for panel in SHOWN:
        for target in panel["targets"]:
            used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            named = families_of(target["expr"])
            labels = frozenset().union(*(families[name][1] for name in named)) | OF_PROMETHEUS
            assert used <= labels, target


def test_every_metric_of_the_store_is_on_it_or_has_a_reason_not_to_be(families: dict[str, object]) -> None:
    shown = set().union(*map(families_of, expressions()))
    left_out = {
        "tidaldb_info",  # what the variables are made from
        "tidaldb_dedup_keys",
        "tidaldb_checkpoint_sequence",
        "tidaldb_recovery_torn",
        "tidaldb_recovery_clean",  # an alert
        "tidaldb_follower_sequence",
        "tidaldb_scrape_errors",  # an alert
    }
    ours = {name for name in families if name.startswith("tidaldb_")}
    assert ours - shown == left_out
