"""The measurement behind docs/performance.md: its arithmetic, its table, and one run of it on little data."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks.common import events, schema
from goals.bench import Bench, alternate, in_threads
from goals.imports import beyond_numpy
from goals.ingest import Feed
from goals.machine import Pace
from goals.row import Row, quantity, table
from goals.yardstick import Yardstick, compiler
from table import BEGIN, END, GOALS, PAGE, main, replaced

import tidal

WIDTH = 100

needs_compiler = pytest.mark.skipif(
    shutil.which(compiler()[0]) is None,
    reason="no C compiler ($CC or cc) is on the path: the yardstick floor.c cannot be built",
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, events=20_000, entities=10_000, passes=1)


def test_a_time_may_be_a_multiple_of_its_yardstick() -> None:
    assert Row("P1", "", 30, "ns", "floor", 20, at_most=1.5).met is True
    assert Row("P1", "", 31, "ns", "floor", 20, at_most=1.5).met is False


def test_a_rate_must_reach_its_goal() -> None:
    assert Row("P3", "", 25, "M/s", "", 25, at_least=1).met is True
    assert Row("P3", "", 24, "M/s", "", 25, at_least=1).met is False


def test_a_figure_without_a_goal_is_neither_met_nor_missed() -> None:
    row = Row("P8", "median", 3, "ms")
    assert row.met is None
    assert row.cells() == ("P8", "median", "3 ms", "", "", "", "")


def test_what_cannot_be_measured_yet_says_so() -> None:
    row = Row("P10", "export", None)
    assert row.met is None and row.ratio is None
    assert row.cells() == ("P10", "export", "not yet", "", "", "", "")


@pytest.mark.parametrize(
    ("value", "text"), [(0.04321, "0.0432 ns"), (27.14, "27.1 ns"), (99.99, "100 ns"), (12345.6, "12,346 ns")]
)
def test_quantities_have_three_digits_or_are_whole(value: float, text: str) -> None:
    assert quantity(value, "ns") == text


def test_the_table_is_markdown_with_aligned_columns() -> None:
    lines = table([Row("P1", "a", 1, "ns", "floor", 2, at_most=1.5), Row("", "longer", 2, "ns")]).splitlines()
    assert lines[0].replace("|", " ").split() == [
        "goal",
        "work",
        "measured",
        "against",
        "ratio",
        "aim",
        "met",
    ]
    assert set(lines[1]) <= set("|-: ")
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1


def test_turns_give_the_median_of_each() -> None:
    first, second = iter([3.0, 1.0, 2.0]), iter([30.0, 10.0, 20.0])
    assert alternate(3, {"a": lambda: next(first), "b": lambda: next(second)}) == {"a": 2.0, "b": 20.0}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_thread_has_its_own_number(count: int) -> None:
    seen: list[int] = []
    in_threads(count, seen.append)
    assert sorted(seen) == list(range(count))


def test_what_a_thread_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(2, lambda number: print(1 // number))


def test_two_threads_feed_all_events(bench: Bench) -> None:
    stream = events(bench.entities, bench.events)
    db = tidal.open(schema=schema())
    feed = Feed(db, stream)
    feed.seconds(threads=2)
    assert db.last_seq == 2 * len(stream.ids)


def test_an_import_that_brings_an_optional_dependency_is_an_error(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = "import polars\nfrom unittest.mock import MagicMock as SchemaBuilder, MagicMock as open\n"
    (tmp_path / "tidal.py").write_text(stub)
    (tmp_path / "polars.py").write_text("")
    monkeypatch.chdir(tmp_path)  # where python -c looks first
    with pytest.raises(RuntimeError, match="import tidal imports polars"):
        list(beyond_numpy(bench))


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = replaced(f"above\n{BEGIN}\nold\n{END}\nbelow\n", "new")
    assert page == f"above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        replaced("no marks", "new")


def test_the_pace_is_beside_the_best_sample() -> None:
    pace = Pace()
    pace.taken = [0.004, 0.002, 0.003, 0.007, 0.0025]
    assert pace.line() == (
        "The same loop of integers, timed 5 times in between, took 1.50 times its best by the median, "
        "3.5 times at most"
    )
    pace.sample()
    assert len(pace.taken) > 5 and min(pace.taken) > 0


def test_the_page_has_the_marks_and_a_narrow_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert replaced(page, "x") != page
    rows = [line for line in page.partition(BEGIN)[2].partition(END)[0].splitlines() if line.startswith("|")]
    assert all(len(line) <= WIDTH for line in rows)


@needs_compiler
def test_the_yardstick_knows_the_entities_and_takes_its_time(bench: Bench) -> None:
    stream = events(bench.entities, bench.events)
    with Yardstick(bench, stream) as yardstick:
        assert yardstick.entities == len(np.unique(stream.ids))
        assert min(yardstick.floor(), yardstick.ledger(), yardstick.ledger(), yardstick.scan()) > 0


@needs_compiler
@pytest.mark.parametrize("goal", GOALS)
def test_each_goal_is_measured(bench: Bench, goal: str) -> None:
    rows = list(GOALS[goal](bench))
    assert rows[0].goal == goal
    # P4 takes off what the loop takes: of one short pass on a busy machine the rest may be of either sign.
    assert all(row.measured is not None and (row.measured > 0 or goal == "P4") for row in rows)
    assert any(row.met is not None for row in rows)
    assert max(map(len, table(rows).splitlines())) <= WIDTH


def test_a_part_of_the_measurement_leaves_the_page_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = PAGE.read_bytes()
    assert main(["--quick", "--only", "P5", "--folder", str(tmp_path)]) == 0
    assert "| P5 " in capsys.readouterr().out
    assert PAGE.read_bytes() == before
    assert list(tmp_path.iterdir()) == []
