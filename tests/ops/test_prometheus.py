"""promtool accepts what the metrics port says, and a real Prometheus scrapes it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from promtools import OPS, promtool, tool
from scraping import ask
from waiting import until

import tidal

_T = TypeVar("_T")

CONFIGURATION = """\
global: {{scrape_interval: 5s, scrape_timeout: 5s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: tidal
    static_configs: [{{targets: ["{target}"]}}]
"""


def test_promtool_finds_nothing_to_say(expositions: list[str]) -> None:
    for exposition in expositions:
        checked = promtool("check", "metrics", given=exposition)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_promtool_would_find_something(exposition: str) -> None:
    wrong = exposition.replace("duplicate_events_total", "duplicate_events")
    assert "should have" in promtool("check", "metrics", given=wrong).stderr


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus that scrapes a port of this machine, with its data in a folder; its address."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(rules=OPS / "alerts.yml", target=target))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [tool("prometheus"), f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}",
               f"--web.listen-address={address}", "--log.level=warn"]  # fmt: skip
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=lambda: os.nice(10))
    try:
        wait_for(lambda: process.poll() is None and answers(address), folder / "log")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(address: str) -> bool:
    with contextlib.suppress(OSError):
        return ask(address, "/-/ready")[0] == 200
    return False


def asked(address: str, query: str) -> list[Any]:
    """The samples that a query finds."""
    _, _, body = ask(address, f"/api/v1/query?query={urllib.parse.quote(query)}")
    found = json.loads(body)
    assert found["status"] == "success"
    return found["data"]["result"]  # type: ignore[no-any-return]


def wait_for(condition: Callable[[], _T], log: Path) -> _T:
    """Return what the condition does once that is true; each look asks the server over HTTP."""
    return until(condition, pause=0.1, missing=lambda: log.read_text()[-2000:])


def test_a_real_prometheus_scrapes_a_store(tmp_path: Path, busy: tidal.TidalDb) -> None:
    address = busy.metrics_address or ""
    with prometheus(tmp_path, address) as server:
        log = tmp_path / "log"
        (sample,) = wait_for(lambda: asked(server, "tidaldb_log_sequence"), log)
        assert sample["metric"]["partition_id"] == "0"
        assert sample["metric"]["instance"] == address
        assert int(sample["value"][1]) == busy.last_seq
        per_batch = "tidaldb_ingest_batch_events_sum / tidaldb_ingest_batch_events_count"
        (sample,) = asked(server, per_batch)
        assert float(sample["value"][1]) == 2.0
        wait_for(lambda: {rule["health"] for rule in rules(server)} == {"ok"}, log)


def rules(address: str) -> list[dict[str, Any]]:
    """The alert rules as they are evaluated."""
    (group,) = json.loads(ask(address, "/api/v1/rules")[2])["data"]["groups"]
    return group["rules"]  # type: ignore[no-any-return]
