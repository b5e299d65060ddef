"""The page of a what-if: one HTML file, nothing loaded from elsewhere, light or dark as the system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from tidal.records import record

_WIDTH: Final = 640
_PLOT_HEIGHT: Final = 220
_ROW: Final = 24  # of a slope's line of text
_NAME_WIDTH: Final = 200
_COLORS: Final = 6
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6672;--line:#d6dbe1;--page:#fff;
--c0:#1f6feb;--c1:#c2410c;--c2:#15803d;--c3:#7e22ce;--c4:#b91c8c;--c5:#0e7490}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa5b1;--line:#38414b;--page:#14181d;
--c0:#6ea8ff;--c1:#f59e5b;--c2:#5fce87;--c3:#c08bf5;--c4:#f07ac8;--c5:#55c4dd}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 auto;
max-width:46rem;padding:2rem 1rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .5rem}
h3{font-size:.95rem;margin:1.4rem 0 .3rem;font-weight:600}p,dt{color:var(--soft)}
dl{display:flex;flex-wrap:wrap;gap:.3rem 2rem;margin:.5rem 0}dt{font-size:.85rem}
dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .5rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child,td:first-child{text-align:left}th{font-size:.85rem;color:var(--soft);font-weight:500}
div.wide{overflow-x:auto}svg{width:100%;height:auto;min-width:30rem;display:block}
text{font:13px system-ui,sans-serif;fill:var(--ink)}.soft{fill:var(--soft)}.grid{stroke:var(--line)}
path,line{fill:none;stroke-width:1.6}
"""


@record
class Line:
    """Shares, 0.0 to 1.0, of the 1, 2, 3, ... best."""

    name: str
    values: Sequence[float]


@record
class Slope:
    """The places of entities, 1 the best, under each variant; None: beyond ``shown``."""

    variants: Sequence[str]
    places: Mapping[str, Sequence[int | None]]
    shown: int


@record
class Chart:
    """What is shown of one signal type."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    lines: Sequence[Line]
    slope: Slope


def render_report(title: str, facts: Sequence[tuple[str, str]], charts: Sequence[Chart]) -> str:
    """Return the page as HTML. All text is escaped here."""
    told = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>What if: {escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>What if: {escape(title)}</h1><dl>{told}</dl>{''.join(map(_section, charts))}"
        "<p>Kendall's tau (b) and Spearman's rho compare the order of all entities: 1 is the same order, "
        "0 no relation, -1 the reverse.</p></main></body></html>\n"
    )


def _section(chart: Chart) -> str:
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in chart.headings)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in chart.rows
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return (
        f'<section><h2>{escape(chart.title)}</h2><div class="wide">{table}</div>'
        "<h3>Share of the best that two variants have in common</h3>"
        f'<div class="wide">{_overlap(chart)}</div><h3>Places of the {chart.slope.shown} best</h3>'
        f'<div class="wide">{_slope(chart.slope)}</div></section>'
    )


def _overlap(chart: Chart) -> str:
    """Return lines over 1, 2, ... k best, with their names beside the plot."""
    k = max((len(line.values) for line in chart.lines), default=1)
    left, top, right, bottom = 44, 10, _WIDTH - _NAME_WIDTH, _PLOT_HEIGHT - 24

    def x(best: int) -> float:
        return left + (right - left) * (best - 1) / max(k - 1, 1)

    def y(share: float) -> float:
        return bottom - (bottom - top) * share

    marks = "".join(
        f'<line class="grid" x1="{left}" x2="{right}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>'
        f'<text class="soft" x="{left - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    ends = f'<text class="soft" x="{left}" y="{bottom + 18}">1 best</text>' + (
        f'<text class="soft" x="{right}" y="{bottom + 18}" text-anchor="end">{k} best</text>' if k > 1 else ""
    )
    drawn = []
    for number, line in enumerate(chart.lines):
        color = f"var(--c{number % _COLORS})"
        points = "L".join(f"{x(best):.1f} {y(share):.1f}" for best, share in enumerate(line.values, start=1))
        at = top + 14 + number * 20
        drawn.append(
            f'<path stroke="{color}" d="M{points}"/>'
            f'<line stroke="{color}" x1="{right + 14}" x2="{right + 30}" y1="{at - 4}" y2="{at - 4}"/>'
            f'<text x="{right + 36}" y="{at}">{escape(_short(line.name, 24))}</text>'
        )
    height = max(_PLOT_HEIGHT, top + 14 + len(chart.lines) * 20)
    label = f"{chart.title}: share of the best in common"
    return _svg(label, height, marks + ends + "".join(drawn))


def _slope(slope: Slope) -> str:
    """Return a column of places for each variant, and lines between the places of one entity."""
    columns = len(slope.variants)
    step = _WIDTH / columns
    width = step - 76  # of a name; the rest is for the lines
    height = 30 + slope.shown * _ROW + 12
    parts = []
    for column, variant in enumerate(slope.variants):
        parts.append(
            f'<text class="soft" x="{column * step:.0f}" y="16">{escape(_short(variant, 24))}</text>'
        )
    for number, (entity, places) in enumerate(slope.places.items()):
        color = f"var(--c{number % _COLORS})"
        for column, place in enumerate(places):
            if place is None:
                continue
            at = 30 + place * _ROW - 6
            name = escape(_short(entity, int(width / 8)))
            parts.append(f'<text x="{column * step:.0f}" y="{at}">{place}. {name}</text>')
            if column + 1 < columns:
                following = places[column + 1]
                begin, end = column * step + width + 6, (column + 1) * step - 8
                dashes = ""
                if following is None:  # it falls out of those that are drawn
                    dashes, end, to = ' stroke-dasharray="3 3"', (begin + end) / 2, at - 4 + _ROW // 2
                else:
                    to = 30 + following * _ROW - 10
                line = f"M{begin:.0f} {at - 4}L{end:.0f} {to}"
                parts.append(f'<path stroke="{color}"{dashes} d="{line}"/>')
    return _svg("places under each variant", height, "".join(parts))


def _svg(label: str, height: float, content: str) -> str:
    return f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {height:.0f}">{content}</svg>'


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: max(length - 1, 1)] + "…"
