"""`tidalctl doctor`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
