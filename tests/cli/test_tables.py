"""Tables that fit and line up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.cli.tables import WIDTH, Column, cut, display_width, format_cell, printable, render_table

COLUMNS = [Column("#"), Column("key", text=True), Column("title", text=True), Column("score", decimals=1)]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.text(), st.text(), st.floats(-1e9, 1e9)), max_size=8))
def test_every_line_fits_and_ends_where_the_others_do(rows: list[tuple[int, str, str, float]]) -> None:
    lines = render_table(COLUMNS, rows).splitlines()
    assert len(lines) == len(rows) + 2
    assert len({display_width(line) for line in lines}) == 1
    assert display_width(lines[0]) <= WIDTH


def test_numbers_stand_right_and_text_left() -> None:
    table = render_table([Column("item", text=True), Column("n")], [("lamp", 7), ("a", 1_234_567)])
    assert table == "item          n\n────  ─────────\nlamp          7\na     1,234,567\n"


def test_the_widest_text_gives_way_first() -> None:
    table = render_table(COLUMNS, [(1, "sku-1", "x" * 200, 1.0)])
    assert "sku-1" in table and "x…" in table


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (True, "yes"),
        (1234, "1,234"),
        (0.0, "0"),
        (1234.56, "1,234.6"),
        (3.14159, "3.14"),
        (2e-7, "2e-07"),
    ],
)
def test_cells(value: object, expected: str) -> None:
    assert format_cell(value) == expected


def test_stored_text_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\n") == "a\ufffd[2Jb\ufffd"


@given(st.text(), st.integers(1, 20))
def test_cut_text_fits(text: str, width: int) -> None:
    assert display_width(cut(text, width)) <= width
    assert cut("漢字漢字", 5) == "漢字…"
