"""The report page of the demo: one file, nothing loaded from elsewhere, light or dark as the system."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from importlib.resources import files
from typing import Final

from tidal.demo.chart import Series, line_chart, small_charts

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Fact:
    """A number worth reading first."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; the first ``text_columns`` columns are text, the rest numbers."""

    title: str
    note: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows. ``leaders`` has a position in ``series`` for each day, or None for another."""

    title: str
    lead: str
    facts: Sequence[Fact]
    first_day: date
    series: Sequence[Series]
    leaders: Sequence[int | None]
    remarks: Sequence[str]
    unit: str
    chart_title: str
    chart_note: str
    tables: Sequence[Table]
    footer: Sequence[str]


def render_page(report: Report) -> str:
    """Return the page as HTML. All text is escaped here."""
    facts = "".join(
        f"<div><dt>{escape(fact.label)}</dt><dd>{escape(fact.value)}</dd></div>" for fact in report.facts
    )
    chart = line_chart(report.first_day, report.series, report.leaders, report.unit)
    cards = small_charts(report.first_day, report.series, report.remarks)
    footer = "".join(f"<p>{escape(text)}</p>" for text in report.footer)
    data = {
        "first": report.first_day.isoformat(),
        "names": [line.name for line in report.series],
        "colors": [line.color for line in report.series],
        "values": [[round(value, 1) for value in line.values] for line in report.series],
    }
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(report.title)}</h1><p class="lead">{escape(report.lead)}</p></header>\n'
        f'<dl class="facts">{facts}</dl>\n'
        f'<section><h2>{escape(report.chart_title)}</h2><p class="note">{escape(report.chart_note)}</p>'
        f"{chart}{_monthly(report)}</section>\n"
        '<section><h2>Each on its own</h2><p class="note">The same lines, all to one scale.</p>'
        f"{cards}</section>\n"
        f'<div class="tables">{"".join(map(_table, report.tables))}</div>\n'
        f"<footer>{footer}</footer>\n</main>\n"
        f'<script type="application/json" id="data">{_script_json(data)}</script>\n'
        f"<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"
    )


def _monthly(report: Report) -> str:
    """Return the chart's numbers at each month's end, for those who read rather than look."""
    days = len(report.leaders)
    dates = [report.first_day + timedelta(days=day) for day in range(days)]
    ends = [day for day in range(days) if day == days - 1 or dates[day + 1].month != dates[day].month]
    rows = [[line.name, *(f"{line.values[day]:,.0f}" for day in ends)] for line in report.series]
    table = _rows(["", *(f"{dates[day]:%d %b}" for day in ends)], rows, 1)
    summary = "<summary>The numbers at each month’s end</summary>"
    return f'<details>{summary}<div class="wide">{table}</div></details>'


def _table(table: Table) -> str:
    rows = _rows(table.headings, table.rows, table.text_columns)
    return (
        f'<section><h2>{escape(table.title)}</h2><p class="note">{escape(table.note)}</p>{rows}</section>\n'
    )


def _rows(headings: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}>{escape(cell)}</{tag}>"
            if place < text_columns
            else f'<{tag} class="n">{escape(cell)}</{tag}>'
            for place, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><thead><tr>{cells(headings, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _script_json(data: object) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (files("tidal.demo") / "assets" / name).read_text(encoding="utf-8")
