"""`tidal export`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pytest
from commands import Answer

import tidal
from tidal.cli import export

Command = Callable[..., Answer]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    schema = tidal.SchemaBuilder().signal("view").signal("like").build()
    with tidal.open(tmp_path / "store", schema=schema) as db:
        db.ingest(signal=["view", "like", "view"], entity_id=["=a", "b", "c"], user_id=["ann", None, "bob"],
                  timestamp=[1_700_000_000_000_000_000 + n for n in range(3)])  # fmt: skip
    return tmp_path / "store"


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_file(store: Path, tmp_path: Path, tidal_command: Command) -> None:
    answer = tidal_command("export", store, tmp_path / "out.parquet", "--all", "--keys")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("3 events, ") and "--after-seq 3" in answer.out
    frame = polars.read_parquet(tmp_path / "out.parquet")
    assert frame["entity_key"].to_list() == ["=a", "b", "c"]
    assert frame["user_key"].to_list() == ["ann", None, "bob"]
    assert json.loads((tmp_path / "out.parquet.manifest.json").read_text())["rows"] == 3


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["--all"], ["=a", "b", "c"]),
        (["--signals", "view", "--all"], ["=a", "c"]),
        (["--signals", "view,like", "--since", "2023-11-14 22:13:20"], ["=a", "b", "c"]),
        (["--until", "2023-11-14 22:13:20"], []),
        (["--user", "ann", "--all"], ["=a"]),
        (["--entity", "c", "--all"], ["c"]),
        (["--entity", "17", "--all"], []),
        (["--session", "3", "--all"], []),
        (["--limit", "2", "--all"], ["=a", "b"]),
        (["--after-seq", "2"], ["c"]),
    ],
)
def test_choices_on_the_standard_output(
    store: Path, tidal_command: Command, options: list[str], keys: list[str]
) -> None:
    answer = tidal_command("export", store, "-", "--keys", *options)
    assert (answer.code, answer.err) == (0, "")
    assert [line["entity_key"] for line in lines(answer.out)] == keys


def test_how_texts_are_written(store: Path, tidal_command: Command) -> None:
    assert "'=a" in tidal_command("export", store, "-", "--format", "csv", "--all", "--keys").out
    plain = tidal_command("export", store, "-", "--format", "csv", "--all", "--keys", "--formulas").out
    assert ",=a," in plain and "'" not in plain
    ids = lines(tidal_command("export", store, "-", "--all", "--ids-as-text").out)
    assert all(isinstance(line["entity_id"], str) for line in ids)


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ([], 2, "--all"),
        (["--all", "--signals", "veiw"], 3, "'view'"),
        (["--all", "--user", "nobody"], 3, "no user 'nobody'"),
        (["--all", "--follow", "--compression", "gzip"], 2, "not compressed"),
        (["--all", "--follow", "--format", "parquet"], 2, "adds lines"),
        (["--all", "--follow", "--limit", "3"], 2, "has no end"),
    ],
)
def test_what_cannot_be(
    store: Path, tidal_command: Command, options: list[str], code: int, text: str
) -> None:
    answer = tidal_command("export", store, "-", *options)
    assert (answer.code, answer.out) == (code, "")
    assert text in answer.err


def test_no_store(tmp_path: Path, tidal_command: Command) -> None:
    assert tidal_command("export", tmp_path / "none", "-", "--all").code == 3


# ------------------------------------------------------------------------------------ --follow


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens between the looks of --follow; Ctrl-C comes when there is nothing left."""
    steps: list[Callable[[], object]] = []

    def sleep(seconds: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr(export.time, "sleep", sleep)
    return steps


def test_follow(store: Path, tidal_command: Command, naps: list[Callable[[], object]]) -> None:
    with tidal.open(store) as db:

        def write() -> None:
            db.signal("like", "d")
            db.signal("view", "e")
            db.flush()

        naps += [lambda: None, write, lambda: None, write]
        answer = tidal_command("export", store, "-", "--follow", "--signals", "view", "--all", "--keys")
    assert answer.code == 0
    assert [line["entity_key"] for line in lines(answer.out)] == ["=a", "c", "e", "e"]
    assert "--after-seq 7" in answer.err


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_follow_goes_on_in_a_file(
    store: Path, tmp_path: Path, tidal_command: Command, naps: list[Callable[[], object]], suffix: str
) -> None:
    out, whole = tmp_path / f"out.{suffix}", tmp_path / f"whole.{suffix}"
    with tidal.open(store) as db:
        naps.append(lambda: (db.signal("view", 9), db.flush()))
        assert tidal_command("export", store, out, "--follow", "--all").code == 0
        db.signal("view", 10)
        db.flush()
        assert tidal_command("export", store, out, "--follow", "--after-seq", "4").code == 0
        db.export_signals(tidal.ExportRequest(all=True)).write(whole)
    assert out.read_bytes() == whole.read_bytes()


def test_what_was_being_written_at_ctrl_c_is_taken_back(
    store: Path, tmp_path: Path, tidal_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, True])

    def chunks(table: Any, *args: Any, **options: Any) -> Any:
        yield b"line\n"
        if next(looks):
            yield b"half a li"
            raise KeyboardInterrupt

    monkeypatch.setattr(export.time, "sleep", lambda _: None)
    monkeypatch.setattr("tidal.export.table.Table.chunks", chunks)
    out = tmp_path / "out.jsonl"
    assert tidal_command("export", store, out, "--follow", "--all").code == 0
    assert out.read_bytes() == b"line\n"
