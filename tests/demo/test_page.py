"""The report page: well formed, complete, escaped, and alone in the world."""

from __future__ import annotations

import json
import re
from datetime import date
from html.parser import HTMLParser

from tidal.demo.chart import Series
from tidal.demo.page import Fact, Report, Table, render_page

VOID = {"meta", "br", "path"}  # path is closed by itself in the SVG
NASTY = "<script>alert('x')</script> & \"co\""

REPORT = Report(
    title="A shop",
    lead="What was sold",
    facts=(Fact("7", "events"),),
    first_day=date(2011, 1, 30),
    series=(Series("Lamp", [1.0, 2.0, 3.5], 0), Series(NASTY, [0.0, 4.0, 1.0], 1)),
    leaders=(0, 1, None),
    remarks=("first on 1 day", "first on 1 day"),
    unit="pieces",
    chart_title="Over time",
    chart_note="Look",
    tables=(Table("Movers", "note", ("Product", "n"), ((NASTY, "5"),)),),
    footer=("Data: somebody, CC BY 4.0",),
)


class Checker(HTMLParser):
    """Collects elements and text; fails on what is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


def checked(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


def test_the_page_is_well_formed_and_holds_everything() -> None:
    page = render_page(REPORT)
    checker = checked(page)
    assert page.startswith("<!DOCTYPE html>\n<html lang=")
    assert (
        checker.seen.count("h1") == 1 and checker.seen.count("figure") == 2 and checker.seen.count("svg") == 3
    )
    for text in (
        "A shop",
        "What was sold",
        "events",
        "Over time",
        "pieces",
        "first on 1 day",
        "Movers",
        "CC BY 4.0",
    ):
        assert text in page
    data = json.loads(checker.scripts[0])
    assert data["first"] == "2011-01-30"
    assert data["values"] == [[1.0, 2.0, 3.5], [0.0, 4.0, 1.0]]
    assert data["names"] == ["Lamp", NASTY]


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = render_page(REPORT)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    assert not {"link", "img", "iframe", "object"} & set(checked(page).seen)
    assert not {"src", "href", "srcset"} & {name for name, _ in checked(page).attributes}
    assert "default-src 'none'" in page


def test_text_from_the_data_stays_text() -> None:
    page = render_page(REPORT)
    assert "<script>alert" not in page
    assert checked(page).seen.count("script") == 2


def test_every_colour_is_there_in_light_and_dark() -> None:
    page = render_page(REPORT)
    assert "prefers-color-scheme: dark" in page
    assert all(page.count(f"--c{color}:") == 2 for color in range(6))
    assert all(f".{part}{color} " in page for part in "stf" for color in range(6))
