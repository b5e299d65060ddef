"""`tidalctl doctor`."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tidal.cli.ctl import doctor
from tidal.inspect import Survey, survey_store
from tidal.inspect.place import Access, Mount, Place

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that nothing is to be said of, but for the permissions of the folder."""

    def look(path: Path) -> Survey:
        found = survey_store(path)
        access = Access(found.path, found.path.stat().st_mode & 0o777, 5, True)
        place = Place(mount=Mount("/", "ext4", ("rw",)), access=(access,))
        return type(found)(**{name: getattr(found, name) for name in found.__slots__} | {"place": place})

    monkeypatch.setattr(doctor, "survey_store", look)


def test_nothing_to_say(store: Path, tidalctl: Command) -> None:
    answer = tidalctl("doctor", "--path", store)
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.json) == ["version", "build_hash", "path", "at", "worst", "findings"]
    assert (answer.json["path"], answer.json["worst"], answer.json["findings"]) == (str(store), None, [])
    assert tidalctl("doctor", store, "--format", "text").out == "nothing to say\n"


def test_a_risk_has_an_exit_code_of_its_own(store: Path, tidalctl: Command) -> None:
    store.chmod(0o755)
    answer = tidalctl("doctor", store)
    assert (answer.code, answer.json["worst"]) == (5, "risk")
    assert answer.json["findings"] == [
        {
            "severity": "risk",
            "code": "access-wide",
            "file": ".",
            "offset": None,
            "first_seq": None,
            "last_seq": None,
            "what": "mode 755",
            "advice": "chmod -R go= STORE; let others read through an export, or through tidal serve",
            "means": "other users of this machine can read or change what the store holds",
        }
    ]


def test_damage_weighs_more(store: Path, tidalctl: Command) -> None:
    store.chmod(0o755)
    (store / "archive" / "archive-00000000000000000061.arc").unlink()
    answer = tidalctl("doctor", store)
    assert (answer.code, answer.json["worst"]) == (1, "damage")
    assert [finding["code"] for finding in answer.json["findings"]] == ["archive-missing", "access-wide"]


def test_the_clock_is_what_at_says(store: Path, tidalctl: Command) -> None:
    answer = tidalctl("doctor", store, "--at", "2020-01-01 00:00")
    assert answer.code == 5
    assert {finding["code"] for finding in answer.json["findings"]} == {"clock-behind"}
    assert answer.json["at"] == "2020-01-01T00:00:00.000000000Z"


def test_text_says_what_it_means_and_what_to_do(store: Path, tidalctl: Command) -> None:
    store.chmod(0o755)
    (store / "quarantine").mkdir()
    (store / "quarantine" / "torn\x1b[1m").write_text("x")
    answer = tidalctl("doctor", store, "--format", "text")
    lines = answer.out.splitlines()
    assert answer.code == 5 and max(map(len, lines)) <= 80 and "\x1b" not in answer.out
    assert lines[-1] == "2 risk"
    assert "RISK  the folder itself" in lines and "RISK  quarantine" in lines
    assert "  other users of this machine can read or change what the store holds" in lines
    assert sum(line.startswith("  -> ") for line in lines) == 2


class Monitoring(http.server.BaseHTTPRequestHandler):
    """What a nats-server says of itself."""

    answers: ClassVar[dict[str, Any]] = {
        "/varz": {"version": "2.12.0"},
        "/jsz": {"config": {"sync_interval": 120_000_000_000}},
    }

    def do_GET(self) -> None:
        body = json.dumps(self.answers.get(self.path.partition("?")[0], [])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        pass


@pytest.fixture
def monitoring() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Monitoring) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_broker_is_looked_at_too(
    store: Path, tidalctl: Command, monitoring: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = tidalctl("doctor", store, "--broker", monitoring)
    [finding] = answer.json["findings"]
    assert (answer.code, finding["code"], finding["file"]) == (5, "broker-sync", monitoring)
    assert finding["what"] == "it syncs every 120 s"
    assert "sync_interval: always" in finding["advice"]
    monkeypatch.setattr(Monitoring, "answers", {})
    assert "did not answer as the monitoring port" in tidalctl("doctor", store, "--broker", monitoring).err


def test_the_url_of_a_broker_is_checked(store: Path, tidalctl: Command) -> None:
    for url in ("127.0.0.1:8222", "nats://127.0.0.1:4222", "http://127.0.0.1", "http://a:x", "http://u@a:1"):
        assert "write the URL of the monitoring port" in tidalctl("doctor", store, "--broker", url).err
    assert "does not answer" in tidalctl("doctor", store, "--broker", "http://127.0.0.1:1").err
