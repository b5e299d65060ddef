"""`tidal serve`: what it refuses, and that a signal ends it with the store closed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from commands import Answer
from obstore.store import LocalStore

import tidal
from tidal.cli.serve import TOKENS_VARIABLE
from tidal.transports.objects import ObjectTransport

TOKEN = "x" * 32


@contextmanager
def served(
    store: Path, *options: str, tokens: str | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {name: value for name, value in os.environ.items() if name != TOKENS_VARIABLE}
    process = subprocess.Popen(
        [sys.executable, "-m", "tidal.cli", "serve", str(store), "--port", "0", "--format", "json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment if tokens is None else {**environment, TOKENS_VARIABLE: tokens},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        yield process, json.loads(line)["url"]
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def ended(process: subprocess.Popen[str], number: int) -> list[dict[str, Any]]:
    """End it by a signal; return its log."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_closes_the_store(shop: Path, number: int) -> None:
    with served(shop, tokens=f"all read,write,export {TOKEN}") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert httpx2.get(f"{url}/v1/health").status_code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        before = httpx2.get(f"{url}/v1/health", headers=headers).json()["last_seq"]
        event = {"signal": "purchase", "entity_key": "new"}
        done = httpx2.post(f"{url}/v1/signals", json={"events": [event]}, headers=headers)
        assert done.json()["last_seq"] == before + 1
        log = ended(process, number)
    asked = [line for line in log if "route" in line]
    assert [(line["route"], line["status"]) for line in asked] == [
        ("/v1/health", 401), ("/v1/health", 200), ("/v1/signals", 200),
    ]  # fmt: skip
    assert TOKEN not in json.dumps(log)
    with tidal.open(shop) as db:
        assert db.recovery and not db.recovery.replayed_events and db.last_seq == before + 1


def test_it_ships_to_followers(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    with (
        served(shop, "--object", str(tmp_path / "shared"), "--name", "a", "--follower", "b") as (
            process,
            url,
        ),
        ObjectTransport(LocalStore(tmp_path / "shared")) as transport,
        tidal.open_follower(tmp_path / "copy", transport, name="b") as follower,
    ):
        done = httpx2.post(
            f"{url}/v1/signals", json={"events": [{"signal": "purchase", "entity_key": "new"}]}
        )
        follower.wait_for(done.json()["last_seq"])
        assert follower.count("purchase", "new", "all") == 1
        ended(process, signal.SIGTERM)


def test_it_serves_metrics_beside(shop: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with served(shop, "--metrics", address) as (process, _):
        assert "\ntidaldb_health_ok" in httpx2.get(f"http://{address}/metrics").text
        log = ended(process, signal.SIGTERM)
    (recovery,) = [line for line in log if line.get("operation") == "recovery"]
    assert recovery["store"] == shop.name and recovery["level"] == "INFO"


def test_a_store_that_another_process_writes_is_served_and_seen_growing(shop: Path) -> None:
    with tidal.open(shop) as db, served(shop, "--read-only", "--refresh", "0.05") as (process, url):
        health = httpx2.get(f"{url}/v1/health").json()
        assert health["read_only"]
        db.signal("purchase", "another")
        for _ in range(200):
            if httpx2.get(f"{url}/v1/health").json()["last_seq"] > health["last_seq"]:
                break
        else:
            pytest.fail("the service never saw the event")
        ended(process, signal.SIGTERM)


REFUSED = {
    "everywhere": (["--host", "0.0.0.0"], 2, "InvalidOption", "no tokens"),
    "port": (["--port", "99999"], 2, "InvalidOption", "port"),
    "half of TLS": (["--tls-cert", "a.pem"], 2, "UsageError", "belong together"),
    "refresh": (["--refresh", "0"], 2, "UsageError", "--refresh"),
    "no file of tokens": (["--tokens", "none"], 3, "FileNotFoundError", "none"),
    "metrics everywhere": (["--metrics", "0.0.0.0:0"], 2, "InvalidOption", "remote=True"),
    "nothing is remote": (["--metrics-remote"], 2, "UsageError", "--metrics"),
    "any host": (["--allow-host", "*"], 2, "InvalidOption", "needs tokens"),
}


@pytest.mark.parametrize(("options", "code", "kind", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(
    shop: Path, tidal_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch,
    options: list[str], code: int, kind: str, reason: str,
) -> None:  # fmt: skip
    monkeypatch.delenv(TOKENS_VARIABLE, raising=False)
    answer = tidal_command("serve", shop, *options, "--format", "json")
    assert answer.code == code
    assert answer.error["type"] == kind and reason in answer.error["message"]


def test_tokens_never_travel_unencrypted(
    shop: Path, tidal_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKENS_VARIABLE, f"all read {TOKEN}")
    answer = tidal_command("serve", shop, "--host", "0.0.0.0")
    assert answer.code == 2 and "unencrypted" in answer.err and TOKEN not in answer.err
    assert TOKENS_VARIABLE not in os.environ


def test_a_folder_that_is_no_store_is_left_alone(
    tmp_path: Path, tidal_command: Callable[..., Answer]
) -> None:
    answer = tidal_command("serve", tmp_path)
    assert answer.code == 3 and "is not a store" in answer.err
    assert not list(tmp_path.iterdir())
