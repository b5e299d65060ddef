"""What `tidal watch` shows of a snapshot, as lines of a width; nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tidal.cli.figures import ASCII_SPARKS, SPARKS, format_bytes, format_span, resampled, sparkline
from tidal.cli.tables import cut, display_width, format_cell, printable
from tidal.cli.times import format_time

RATE_SECONDS: Final = 600.0
LABEL_WIDTH: Final = 11
SPARK_WIDTH: Final = 15
TREND_WIDTH: Final = 7
VALUE_WIDTH: Final = 12
ROWS_MIN: Final = 3

_UNITS: Final = ((1.0, 1, "events/s"), (1 / 60, 60, "events/min"), (0.0, 3600, "events/h"))


@dataclass(frozen=True, slots=True)
class Style:
    """How a frame may look: its width, whether in colour, whether beyond ASCII."""

    width: int = 80
    height: int | None = None  # None: as many lines as there are
    colour: bool = False
    ascii_only: bool = False

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text

    def spark(self, values: Sequence[float]) -> str:
        return sparkline(values, ASCII_SPARKS if self.ascii_only else SPARKS)


BOLD, DIM, RED, GREEN = "1", "2", "31", "32"


def frame(now: Mapping[str, Any], style: Style, *, lost: str | None = None) -> list[str]:
    """Return the lines of a snapshot; ``lost`` says why it is not of now."""
    lines = [_title(now, style)]
    if lost is not None:
        lines.append(style.paint(cut(printable(lost), style.width), RED))
    lines += [style.paint(cut(f"! {printable(why['message'])}", style.width), RED)
              for why in now["health"]["reasons"]]  # fmt: skip
    lines.append(_rate(now["rate"], style))
    facts = ((label, text) for label, text in _facts(now) if text)
    lines += [
        _labelled(label, cut(printable(text), style.width - LABEL_WIDTH), style) for label, text in facts
    ]
    shown, rows = _that_fit(now["tops"], None if style.height is None else style.height - len(lines))
    for top in shown:
        lines += ["", *_ranking(top, style, rows)]
    return lines[: style.height]


def _that_fit(
    tops: Sequence[Mapping[str, Any]], height: int | None
) -> tuple[Sequence[Mapping[str, Any]], int | None]:
    """Return the rankings that have a place, and how many rows each may have."""
    if height is None:
        return tops, None
    shown = next((n for n in range(len(tops), 1, -1) if height // n >= ROWS_MIN + 2), 1)
    return tops[:shown], max(1, height // shown - 2)  # an empty line and a heading


# ------------------------------------------------------------------------------------ the lines


def _title(now: Mapping[str, Any], style: Style) -> str:
    well = now["health"]["ok"]
    name = printable(now["store"] or "in memory")
    state = "healthy" if well else "not well"
    about = f"tidal {printable(now['version'])}  {format_time(now['at_ms'] * 1_000_000)[11:19]}"
    name = cut(name, max(8, style.width - len(state) - len(about) - 4))
    gap = " " * max(2, style.width - display_width(name) - 2 - len(state) - len(about))
    painted = style.paint(state, GREEN if well else RED)
    return f"{style.paint(name, BOLD)}  {painted}{gap}{style.paint(about, DIM)}"


def _rate(rate: Mapping[str, Any], style: Style) -> str:
    text = "measuring" if rate["now"] is None else f"{format_cell(float(rate['now']))}/s"
    points = [(age, value) for age, value in rate["points"]]
    largest = max([rate["now"] or 0.0, *(value for age, value in points if age <= RATE_SECONDS)])
    most = f"  highest {format_cell(float(largest))} in 10 min" if points else ""
    room = style.width - LABEL_WIDTH - max(10, len(text)) - 2 - len(most)
    if room < 8:
        return _labelled("events", text, style)
    spark = style.spark(resampled(points, room, RATE_SECONDS))
    return _labelled("events", f"{text:<10}  {spark:>{room}}{most}".rstrip(), style)


def _labelled(label: str, text: str, style: Style) -> str:
    return style.paint(f"{label:<{LABEL_WIDTH}}", DIM) + text


def _facts(now: Mapping[str, Any]) -> list[tuple[str, str]]:
    if now["store"] is None:
        return [("recorded", f"{now['log']['last_seq']:,} events, in memory")]
    return [
        ("log", _log(now)),
        ("checkpoint", _checkpoint(now["checkpoint"])),
        ("disk", _disk(now)),
        ("leader", _leader(now["following"])),
        ("followers", ", ".join(map(_follower, now["followers"] or []))),
        ("regions", _regions(now["regions"])),
        ("broker", ", ".join(map(_stream, now["streams"]))),
        ("jobs", _jobs(now["jobs"] or [])),
    ]


def _log(now: Mapping[str, Any]) -> str:
    log = now["log"]
    waiting = log["last_seq"] - log["durable_seq"]
    unsynced = f"{waiting:,} not synced" if waiting else "all synced"
    files = "" if now["disk"] is None else f", in {now['disk']['segments']:,} files"
    return f"{log['last_seq']:,} events, {unsynced}{files}"


def _checkpoint(checkpoint: Mapping[str, Any]) -> str:
    if checkpoint["error"]:
        return f"failed: {checkpoint['error']}"
    if not checkpoint["seq"]:
        return "none yet"
    age = checkpoint["age_seconds"]
    old = "" if age is None else f", {format_span(age)} old"
    return f"at {checkpoint['seq']:,}, {checkpoint['behind']:,} events since{old}"


def _disk(now: Mapping[str, Any]) -> str:
    disk = now["disk"]
    if disk is None:
        return "not known"
    used = f"{format_bytes(disk['total'])} used, of it {format_bytes(disk['log'])} log"
    return f"{used}, {format_bytes(disk['archive'])} archive; {format_bytes(disk['free'])} free"


def _leader(following: Mapping[str, Any] | None) -> str:
    if following is None:
        return ""
    if following["trouble"]:
        return f"not followed: {following['trouble']}"
    seconds = following["lag_seconds"]
    heard = "nothing heard yet" if seconds is None else f"up to date {format_span(seconds)} ago"
    return f"{following['lag']:,} events behind, {heard}, epoch {following['epoch']}"


def _follower(it: Mapping[str, Any]) -> str:
    state = f" ({it['state']})" if it["state"] not in (None, "live") else ""
    return f"{it['name']} {it['lag']:,} behind{state}"


def _regions(it: Mapping[str, Any] | None) -> str:
    if it is None:
        return ""
    if it["trouble"]:
        return f"nothing exchanged: {it['trouble']}"
    return ", ".join(map(_region, it["members"]))


def _region(it: Mapping[str, Any]) -> str:
    seconds = it["heard_seconds"]
    heard = "never heard" if seconds is None else f"heard {format_span(seconds)} ago"
    return f"{it['region']} {it['lag']:,} behind, {heard}"


def _stream(it: Mapping[str, Any]) -> str:
    counts = [f"{it['position']:,} ingested", f"{it['pending']:,} wait"]
    counts += [f"{it[name]:,} {name.replace('_', ' ')}" for name in ("dead_letters", "missing") if it[name]]
    ended = f", ended: {it['trouble']}" if it["trouble"] else ""
    return f"{it['stream']} {', '.join(counts)}{ended}"


def _jobs(jobs: Sequence[Mapping[str, Any]]) -> str:
    by_status: dict[str, int] = {}
    for job in jobs:
        by_status[job["status"]] = by_status.get(job["status"], 0) + 1
    running = [
        f"{job['share']:.0%}" for job in jobs if job["status"] == "running" and job["share"] is not None
    ]
    shares = f" ({', '.join(running)})" if running else ""
    texts = [
        f"{count} {status}{shares if status == 'running' else ''}" for status, count in by_status.items()
    ]
    return ", ".join(texts)


# ------------------------------------------------------------------------------------ rankings


def _ranking(top: Mapping[str, Any], style: Style, rows: int | None) -> list[str]:
    shown = top["rows"][:rows]
    moving, whole = top["by"].startswith("velocity"), top["by"].startswith("count")
    largest = max((row["value"] or 0.0 for row in shown), default=0.0)
    factor, unit = next((f, u) for least, f, u in _UNITS if largest >= least) if moving else (1, top["by"])
    wide = style.width >= 60 and top["window"] is not None
    name_width = style.width - 4 - VALUE_WIDTH - (SPARK_WIDTH + TREND_WIDTH + 4 if wide else 0)
    heading = cut(f"{printable(top['signal'])} by {top['by']}", name_width + 3)
    head = heading + " " * (name_width + 4 - display_width(heading))
    if wide:
        head += f"{'last ' + top['window']:<{SPARK_WIDTH}}  {'trend':>{TREND_WIDTH}}  "
    lines = [style.paint(f"{head}{unit:>{VALUE_WIDTH}}", BOLD)]
    for place, row in enumerate(shown, start=1):
        line = f"{place:>2}  {_name(row, name_width)}"
        if wide:
            bars = row["bars"]
            step = -(-len(bars) // SPARK_WIDTH) if bars else 1
            spark = style.spark([sum(bars[i : i + step]) for i in range(len(bars) % step, len(bars), step)])
            line += f"{spark:<{SPARK_WIDTH}}  {_trend(row, style)}  "
        value = row["value"]
        number = value if value is None or whole else float(value) * factor
        lines.append(f"{line}{format_cell(number):>{VALUE_WIDTH}}")
    return lines if shown else [*lines, style.paint("    none yet", DIM)]


def _name(row: Mapping[str, Any], width: int) -> str:
    key = printable(row["key"] if row["key"] is not None else row["id"])
    text = f"{key}  {printable(row['title'])}" if row["title"] else key
    shown = cut(text, width - 2)
    return shown + " " * (width - display_width(shown))


def _trend(row: Mapping[str, Any], style: Style) -> str:
    trend = row["trend"]
    if trend is None:
        return f"{'new' if any(row['bars']) else '':>{TREND_WIDTH}}"
    percent = round(100 * trend)
    text = "=" if not percent else f"x{trend + 1:,.0f}" if percent >= 1000 else f"{percent:+}%"
    padded = f"{text:>{TREND_WIDTH}}"
    return style.paint(padded, GREEN if percent > 0 else RED) if percent else padded
