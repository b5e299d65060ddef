"""`tidalctl verify`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[..., Any]


def damage(store: Path) -> str:
    path = sorted((store / "wal").glob("*.seg"))[0]
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    return f"wal/{path.name}"


def test_a_good_store(store: Path, tidalctl: Command) -> None:
    answer = tidalctl("verify", store)
    assert (answer.code, answer.err) == (0, "")
    report = answer.json
    assert (report["damaged"], report["worst"], report["findings"]) == (False, None, [])
    assert (report["kind"], report["first_seq"], report["last_seq"]) == ("store", 1, 360)
    assert {file["state"] for file in report["files"]} == {"good"}
    assert answer.out.count("\n") == 1
    assert tidalctl("verify", store, "--pretty").out.count("\n") > 10


def test_text_fits_a_terminal_and_sums_up(store: Path, tidalctl: Command) -> None:
    name = damage(store)
    for options in ((), ("--files",)):
        answer = tidalctl("verify", store, "--format", "text", *options)
        assert answer.code == 1
        lines = answer.out.splitlines()
        assert max(map(len, lines)) <= 80
        assert lines[-1].startswith("DAMAGED: ") and lines[-1].endswith("; 1 damage")
        assert f"DAMAGE  {name} at byte 128, events 241 to 250" in lines
        assert any(line.startswith("  -> ") for line in lines)


def test_what_to_do_is_in_the_json_too(store: Path, tidalctl: Command) -> None:
    name = damage(store)
    answer = tidalctl("verify", store)
    assert answer.code == 1
    (finding,) = answer.json["findings"]
    assert (finding["severity"], finding["code"], finding["file"]) == ("damage", "batch-damaged", name)
    assert "tidal salvage" in finding["advice"]
    assert [file["file"] for file in answer.json["files"] if file["state"] == "damage"] == [name]


def test_what_cannot_be_read_has_its_own_exit_code(store: Path, tidalctl: Command) -> None:
    from tidal.store import _digest

    body = {"format": 9, "store_id": "00" * 16}
    import json

    (store / "store.json").write_text(json.dumps({**body, "blake3": _digest(body)}))
    answer = tidalctl("verify", store / "store.json")
    assert (answer.code, answer.json["worst"]) == (4, "unreadable")


def test_notes_are_good(store: Path, tidalctl: Command) -> None:
    (store / "notes.txt").write_text("mine")
    answer = tidalctl("verify", store, "--format", "text")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("good: ")
    assert "NOTE  notes.txt" in answer.out
