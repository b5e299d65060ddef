"""`tidal top`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tidal

Command = Callable[..., Any]


def test_a_table_with_the_time_it_is_of(shop: Path, tidal_command: Command) -> None:
    answer = tidal_command("top", "purchase", "--db", shop, "--by", "count.24h")
    assert answer.code == 0
    assert answer.out == (
        "#  item  count.24h\n─  ────  ─────────\n1  lamp          2\n"
        "purchase.count.24h at 2011-12-02 11:00:00 UTC\n"
    )


def test_json_is_what_the_library_answers(shop: Path, tidal_command: Command) -> None:
    answer = tidal_command(
        "top", "purchase", "--db", shop, "-k", 1, "--format", "json", "--at", "2011-12-09 11:00"
    )
    with tidal.open(shop, read_only=True) as db:
        best = db.top("purchase", 1, at=1323428400 * 10**9)
        expected = {"id": best.ids[0], "key": best.keys[0], "title": None, "value": best.values[0]}
    assert answer.json["entities"] == [expected]
    assert answer.json["at"] == "2011-12-09T11:00:00.000000000Z"


def test_titles_are_shown_where_there_are_some(shop: Path, tidal_command: Command) -> None:
    with tidal.open(shop) as db:
        db.items.put("lamp", {"title": "A lamp\x1b[31m"})
        db.items.put("85123A", {"colour": "red"})
    answer = tidal_command("top", "purchase", "--db", shop)
    assert "A lamp\ufffd[31m" in answer.out
    assert "–" in answer.out


def test_reading_changes_no_byte(shop: Path, tidal_command: Command) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(shop.rglob("*")) if path.is_file()}

    before = content()
    tidal_command("top", "purchase", "--db", shop)
    tidal_command("get", "lamp", "--db", shop)
    assert content() == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["purchase", "-k", "0"], 2, "-k 0"),
        (["purchase", "-k", "x"], 2, "-k"),
        (["purchase", "--by", "count.7d"], 2, "7d"),
        (["purchase", "--by", "heat"], 2, "heat"),
        (["purchase", "--at", "noon"], 2, "noon"),
        (["purchses"], 3, "purchase"),
    ],
)
def test_what_cannot_be_asked(
    shop: Path, tidal_command: Command, arguments: list[str], code: int, said: str
) -> None:
    answer = tidal_command("top", "--db", shop, *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_where_there_is_no_store(tmp_path: Path, tidal_command: Command) -> None:
    answer = tidal_command("top", "purchase", "--db", tmp_path / "no")
    assert answer.code == 3
    assert not (tmp_path / "no").exists()


def test_a_time_that_is_none_is_a_usage_error_of_this_command(shop: Path, tidal_command: Command) -> None:
    answer = tidal_command("top", "purchase", "--db", shop, "--at", "yesterday")
    assert answer.code == 2
    assert answer.err == "tidal top: 'yesterday' is not an ISO 8601 time; write it as \"2011-12-09 12:50\"\n"
