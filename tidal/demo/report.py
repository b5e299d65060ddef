"""The demo's findings as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tidal.demo.chart import Series
from tidal.demo.findings import Climb, Mover
from tidal.demo.history import History
from tidal.demo.page import Fact, Report, Table

LINES_MAX: Final = 6  # as many as the page has colours
ATTRIBUTION: Final = (
    "Data: Online Retail, donated by Daqing Chen to the UCI Machine Learning Repository, CC BY 4.0; joined "
    "from daily files, otherwise unchanged. D. Chen, S. L. Sain, K. Guo (2012), Journal of Database "
    "Marketing & Customer Strategy Management 19(3), doi:10.1057/dbm.2012.17."
)


def shop_report(
    history: History,
    titles: dict[str, str],
    facts: Sequence[Fact],
    movers: Sequence[Mover],
    climbs: Sequence[Climb],
) -> Report:
    """Return the page's content. The lines are the products that were first on the most days."""
    leaders = history.leaders()
    days_first = Counter(leaders).most_common(LINES_MAX)
    series = [
        Series(_name(titles, history.products[product]), history.days[:, product].tolist(), color)
        for color, (product, _) in enumerate(days_first)
    ]
    position = {product: place for place, (product, _) in enumerate(days_first)}
    return Report(
        title="A gift shop’s products, as live signals",
        lead=f"{len(leaders):,} days of a UK online shop’s order lines went into a durable tidal store. "
        "This is what the scores said at the end of each day.",
        facts=facts,
        first_day=history.first_day,
        series=series,
        leaders=[position.get(leader) for leader in leaders],
        remarks=[f"first on {days:,} {'day' if days == 1 else 'days'}" for _, days in days_first],
        unit="Score: pieces bought minus pieces cancelled, where every piece counts half after 7 days",
        chart_title="The products that led on the most days",
        chart_note="A large order lifts the score at once, then it fades. Point at a day to read its values. "
        "The strip below shows who was in first place; grey is a product not drawn here.",
        tables=(
            Table(
                "Fastest movers",
                "Order lines a day: the last 24 hours, the last week, and how many times the week’s pace.",
                ("Product", "24 h", "7 days", "pace"),
                [
                    (_shown(m.title), f"{m.day_rate:,.0f}", f"{m.week_rate:,.1f}", f"{m.times:.1f}×")
                    for m in movers
                ],
            ),
            Table(
                "What the last day changed",
                "The largest climbs into the first hundred by score: place a day before, and at the end.",
                ("Product", "before", "now", "score"),
                [(_shown(c.title), f"{c.before:,}", f"{c.now:,}", f"{c.score:,.0f}") for c in climbs],
            ),
        ),
        footer=(
            ATTRIBUTION,
            "Times are the shop’s local time. Made by tidal demo; this page loads nothing from elsewhere.",
        ),
    )


def _name(titles: dict[str, str], product: str) -> str:
    return _shown(titles.get(product, product))


def _shown(title: str) -> str:
    """Return a title as a sentence: the shop writes most in capitals."""
    capitals = sum(map(str.isupper, title))
    return title.capitalize() if capitals > len(title) / 2 else title
