"""The alert rules: accepted by promtool, each tried, each explained, and of metrics that there are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from promtools import OPS, families_of, promtool

from tidal.health import REASONS

RULES = OPS / "alerts.yml"
TEXT = RULES.read_text(encoding="utf-8")
NAMES = re.findall(r"^ +- alert: (\w+)$", TEXT, re.M)
TESTS = Path(__file__).with_name("alerts_test.yml")


def test_promtool_accepts_them() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(NAMES)} rules found" in checked.stdout


def test_each_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    for file in (RULES, TESTS):
        shutil.copy(file, tmp_path / file.name)
    checked = promtool("test", "rules", tmp_path / TESTS.name)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_is_tried_and_explained(name: str) -> None:
    fires = re.search(rf"alertname: {name}\n +exp_alerts:\n +- exp_labels", TESTS.read_text(encoding="utf-8"))
    assert fires, "no test in which it fires"
    assert f"docs/ops/alerts.md#{name.lower()}." in TEXT
    section = (OPS / "alerts.md").read_text(encoding="utf-8").split(f"\n## {name}\n", 1)
    assert len(section) == 2, "not in alerts.md"
    means = section[1].split("\n## ", 1)[0]
    assert len(means.split()) > 25, "alerts.md says little of it"


def test_all_are_found() -> None:
    assert len(NAMES) == len(set(NAMES)) == TEXT.count("alert:")


def test_each_reason_of_health_has_an_alert() -> None:
    matched = "|".join(re.findall(r'reason=~?"([^"]+)"', TEXT))
    assert set(REASONS) <= set(matched.split("|"))


def test_they_are_of_metrics_that_there_are(families: dict[str, object]) -> None:
    assert families_of(TEXT) - families.keys() == set()
