"""`tidal demo`, its last days: killed, recovered, finished, told and drawn."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import tidal
from tidal.cli import demo
from tidal.cli.demo import MARKER, Outcome, Story, _command_name, run
from tidal.cli.main import build_parser, main
from tidal.cli.tables import WIDTH
from tidal.demo.retail import read_order_lines

ROWS = 24_000


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, str, Path]:
    folder = tmp_path_factory.mktemp("demo")
    out, err = io.StringIO(), io.StringIO()
    outcome = Story(folder, ROWS, out, err, quiet=False).tell()
    return outcome, out.getvalue(), folder


def test_nothing_acknowledged_is_lost_and_every_row_arrives(told: tuple[Outcome, str, Path]) -> None:
    outcome, text, folder = told
    assert ROWS // 2 <= outcome.killed_after <= outcome.recovered <= ROWS
    assert outcome.largest_difference == 0.0
    assert outcome.nothing_lost
    assert outcome.events == ROWS
    assert "Nothing lost, nothing invented" in text
    with tidal.open(folder / "store", read_only=True, clock="event") as db:
        assert db.last_seq == ROWS
        assert sum(int(db.read(signal.name)["count.all"].sum()) for signal in db.schema) == ROWS
        lines = next(iter(read_order_lines(batch_rows=ROWS, skip_rows=demo.ROWS - ROWS)))
        assert db.now() == lines.timestamp[-1]
        assert db.count("purchase", "22197", "all") == int(
            ((lines.product == "22197") & (lines.signal == "purchase")).sum()
        )


def test_the_story_is_readable_and_complete(told: tuple[Outcome, str, Path]) -> None:
    outcome, text, folder = told
    assert [line[:2] for line in text.splitlines() if line[:1].isdigit() and line[1] == "."] == [
        f"{step}." for step in range(1, 8)
    ]
    assert "bytes/event" in text and "events/s" in text
    assert "LITTLE BIRDIE would be first" in text
    paths = (str(folder), "tidal ")
    assert all(len(line) <= WIDTH for line in text.splitlines() if not any(path in line for path in paths))
    assert outcome.best[0]["title"] == "POPCORN HOLDER"
    assert outcome.bytes_per_event < 20


def test_the_page_is_left_there(told: tuple[Outcome, str, Path]) -> None:
    outcome, text, folder = told
    page = Path(outcome.report)
    assert page == folder / "report.html"
    assert str(page) in text
    assert "Popcorn holder" in page.read_text(encoding="utf-8")


def test_it_can_be_asked_with_the_other_commands(
    told: tuple[Outcome, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome, _, _ = told
    assert main(["get", "22197", "--db", outcome.store]) == 0
    assert "POPCORN HOLDER" in capsys.readouterr().out


def test_json_is_one_document_and_the_exit_code_is_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(story: Story) -> Outcome:
        story.say("nobody must see this")
        return Outcome(store="s", events=2, killed_after=2, recovered=1)

    monkeypatch.setattr(Story, "tell", tell)
    args = build_parser().parse_args(["demo", "--dir", str(tmp_path / "d"), "--format", "json", "--fast"])
    out, err = io.StringIO(), io.StringIO()
    assert run(args, out, err) == 1
    assert json.loads(out.getvalue())["nothing_lost"] is False


def test_it_replaces_only_what_an_earlier_demo_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome(store="s", events=1, killed_after=1, recovered=1)
    monkeypatch.setattr(Story, "tell", lambda story: outcome)
    arguments: list[Any] = ["demo", "--dir", str(tmp_path / "d")]
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("keep")
    assert main(arguments) == 2
    assert (tmp_path / "d" / "mine.txt").read_text() == "keep"
    (tmp_path / "d" / MARKER).touch()
    (tmp_path / "d" / "store").mkdir()
    assert main(arguments) == 0
    assert not (tmp_path / "d" / "store").exists()
    assert (tmp_path / "d" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("on_path", "started_as", "named"),
    [
        (True, "/venv/bin/tidal", "tidal"),
        (False, ".venv/bin/tidal", ".venv/bin/tidal"),  # as by `make demo`
        (False, "/src/tidal/cli/__main__.py", "python -m tidal.cli"),
    ],
)
def test_it_names_commands_that_the_shell_finds(
    monkeypatch: pytest.MonkeyPatch, on_path: bool, started_as: str, named: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if on_path else None)
    monkeypatch.setattr(sys, "argv", [started_as])
    assert _command_name() == named
