"""`tidal demo`: half a million real shop events become live, durable, queryable signals."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from tidal.cli.demo_cluster import ClusterStory
from tidal.cli.exit_codes import ExitCode
from tidal.cli.output import add_format_option, write_json
from tidal.cli.progress import Progress
from tidal.cli.tables import Column
from tidal.cli.telling import Telling
from tidal.cli.times import format_time, iso_time
from tidal.demo.findings import at_place, best_products, fastest_movers, largest_climbs, largest_difference
from tidal.demo.history import fill, record_history
from tidal.demo.page import Fact, render_page
from tidal.demo.report import shop_report
from tidal.demo.retail import ROWS, OrderLines, join, read_order_lines
from tidal.demo.worker import BATCH_ROWS, Acknowledged, run_worker
from tidal.errors import UsageError
from tidal.opening import open as open_db
from tidal.store import StorePaths

FAST_ROWS: Final = 60_000
SHOWN: Final = 8  # rows of a table
SCORE_TOLERANCE: Final = 1e-6  # pieces; sums may be rounded in another order
MARKER: Final = "made-by-tidal-demo"
_READ_ROWS: Final = 1 << 16
_PRODUCT: Final = (Column("code", text=True), Column("product", text=True))


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="load a year of real shop orders, kill the load half way, and look at the result",
        description="Load the bundled order lines of an online shop into a durable store, kill the load half "
        "way, show that nothing acknowledged is lost, and print what the signals say. Takes some seconds.",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("demo-out"),
        metavar="DIR",
        help="where to leave store and page; demo-out",
    )
    parser.add_argument(
        "--cluster",
        action="store_true",
        help="a leader and two followers instead, over a nats-server: the leader is killed, one is promoted",
    )
    parser.add_argument("--fast", action="store_true", help=f"only the last {FAST_ROWS:,} order lines")
    add_format_option(parser)
    parser.set_defaults(run=run)


@dataclass(slots=True)
class Outcome:
    """What happened, for the end of the story and as JSON."""

    store: str
    events: int = 0
    killed_after: int = 0
    recovered: int = 0
    reopen_seconds: float = 0.0
    largest_difference: float = 0.0
    ingest_seconds: float = 0.0
    log_bytes: int = 0
    now: str = ""
    best: list[dict[str, Any]] = field(default_factory=list)
    movers: list[dict[str, Any]] = field(default_factory=list)
    climbs: list[dict[str, Any]] = field(default_factory=list)
    report: str = ""

    @property
    def nothing_lost(self) -> bool:
        return self.recovered >= self.killed_after and self.largest_difference <= SCORE_TOLERANCE

    @property
    def rate(self) -> float:
        """Events a second inside db.ingest()."""
        return self.events / self.ingest_seconds

    @property
    def bytes_per_event(self) -> float:
        return self.log_bytes / self.events


def run(args: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    as_json = args.format == "json"
    _prepare_folder(args.dir)
    rows, told = FAST_ROWS if args.fast else ROWS, io.StringIO() if as_json else out
    if args.cluster:
        ended = ClusterStory(args.dir / "cluster", rows, told).tell()
        if as_json:
            write_json(out, ended.as_json())
        return ExitCode.OK if ended.good else ExitCode.FAILED
    outcome = Story(args.dir, rows, told, err, quiet=as_json).tell()
    if as_json:
        write_json(out, {**asdict(outcome), "nothing_lost": outcome.nothing_lost})
    return ExitCode.OK if outcome.nothing_lost else ExitCode.FAILED


class Story(Telling):
    """The demo's steps, in order. ``rows`` is how many of the bundled order lines are used, from the end."""

    def __init__(self, folder: Path, rows: int, out: TextIO, err: TextIO, *, quiet: bool) -> None:
        super().__init__(out)
        self._folder, self._rows, self._err, self._quiet = folder, rows, err, quiet
        self._store = folder / "store"
        self._skip = ROWS - rows
        self._outcome = Outcome(store=str(self._store))

    def tell(self) -> Outcome:
        self.say(
            f"{self._rows:,} real order lines of a UK gift shop become live signals. Data: Online Retail, "
            "D. Chen, UCI Machine Learning Repository, CC BY 4.0."
        )
        self._load_and_kill()
        lines = join(list(read_order_lines(batch_rows=_READ_ROWS, skip_rows=self._skip)))
        titles = lines.titles()
        self._reopen(lines)
        self._finish(lines, titles)
        self._ask(lines, titles)
        return self._outcome

    def _load_and_kill(self) -> None:
        self.heading("Load the first half, then kill the load")
        self.say(
            f"A process of its own ingests batches of {BATCH_ROWS:,} rows. The store acknowledges a batch "
            "once it is synced to disk. Half way the process gets SIGKILL, which no process can catch."
        )
        last = self._work(kill_at=self._rows // 2)
        self._outcome.killed_after = last.seq
        self.say(f"Killed. It had acknowledged {last.seq:,} events.")

    def _reopen(self, lines: OrderLines) -> None:
        self.heading("Open the store again: what survived?")
        outcome = self._outcome
        started = time.perf_counter()
        with open_db(self._store, clock="event") as db, open_db(schema=db.schema, clock="event") as twin:
            outcome.reopen_seconds = time.perf_counter() - started
            outcome.recovered = db.last_seq
            fill(twin, lines, 0, db.last_seq)
            outcome.largest_difference = largest_difference(db, twin, lines)
            torn = db.recovery.torn if db.recovery else None
        self.line(f"Acknowledged  {outcome.killed_after:>9,} events")
        self.line(f"Recovered     {outcome.recovered:>9,} events, in {outcome.reopen_seconds:.2f} s")
        if torn is not None:
            self.say(f"A batch that the kill left unfinished, {torn.size:,} bytes, was cut off.")
        elif outcome.recovered > outcome.killed_after:
            self.say("The batch more was on disk, but the process died before it could say so.")
        if outcome.nothing_lost:
            self.say(
                "Nothing lost, nothing invented: every count and score is that of the first "
                f"{outcome.recovered:,} rows ingested again in memory."
            )
        else:
            self.say("THIS IS NOT WHAT THE ROWS GIVE. Please report it, with the store.")

    def _finish(self, lines: OrderLines, titles: dict[str, str]) -> None:
        self.heading("Go on where it stopped")
        outcome = self._outcome
        outcome.events = self._work().seq
        outcome.log_bytes = sum(path.stat().st_size for path in StorePaths(self._store).wal.iterdir())
        with open_db(self._store, clock="event") as db:
            db.items.put_many((product, {"title": title}) for product, title in titles.items())
        kinds = {name: int((lines.signal == name).sum()) for name in ("purchase", "cancel", "adjust")}
        self.say(
            f"All {outcome.events:,} rows are events: {kinds['purchase']:,} purchases, {kinds['cancel']:,} "
            f"cancels (invoices with a C) and {kinds['adjust']:,} stock and bookkeeping adjustments, which "
            "have a signal of their own and count as no sale."
        )
        self.line(f"Speed  {outcome.rate:>9,.0f} events/s in db.ingest(), each batch synced to disk")
        self.line(
            f"Log    {outcome.bytes_per_event:>9.2f} bytes/event: product, customer, invoice, pieces, time"
        )

    def _ask(self, lines: OrderLines, titles: dict[str, str]) -> None:
        outcome = self._outcome
        with open_db(self._store, clock="event", read_only=True) as db:
            now = db.now()
            best, spike = best_products(db, SHOWN)
            movers = fastest_movers(db, SHOWN)
        history = record_history(lines)
        climbs = largest_climbs(history, titles, SHOWN)
        outcome.now = iso_time(now)
        outcome.best = [asdict(row) for row in best]
        outcome.movers = [asdict(row) for row in movers]
        outcome.climbs = [asdict(row) for row in climbs]

        self.heading("The products with the highest scores")
        self.say(
            "Score: pieces bought minus pieces cancelled, each counting half after 7 days; as of "
            f"{format_time(now).removesuffix(' UTC')}, the time of the newest event."
        )
        self.table(
            [Column("#"), *_PRODUCT, Column("score", decimals=0), Column("lines 24h"), Column("lines 7d")],
            [(i, b.product, b.title, b.score, b.lines_24h, b.lines_7d) for i, b in enumerate(best, start=1)],
        )
        if spike is not None:
            self.line("")
            self.say(
                f"By purchases alone {spike.title} would be first with {spike.purchase_score:,.0f}, but its "
                f"cancels score {spike.cancel_score:,.0f}: one huge order, taken back within minutes."
            )

        self.heading("The fastest movers")
        self.say("Velocity: order lines a day over the last 24 hours, against the last 7 days.")
        self.table(
            [*_PRODUCT, Column("24h", decimals=0), Column("7d", decimals=1), Column("times", decimals=1)],
            [(m.product, m.title, m.day_rate, m.week_rate, m.times) for m in movers],
        )

        self.heading("What the last day changed")
        first = at_place(history, titles, 1)
        self.say(
            f"First is {first.title}, a day ago in place {first.before:,}. The largest climbs into the first "
            "hundred, against a second database that was asked before the last day's events came:"
        )
        self.table(
            [*_PRODUCT, Column("before"), Column("now"), Column("score", decimals=0)],
            [(c.product, c.title, c.before, c.now, c.score) for c in climbs],
        )

        self.heading("A picture of the year" if self._skip == 0 else "A picture")
        path = self._folder / "report.html"
        page = render_page(shop_report(history, titles, _facts(outcome), movers, climbs))
        path.write_text(page, encoding="utf-8")
        outcome.report = str(path)
        self.line(str(path.resolve()))
        self.line("")
        self.line("Ask for yourself:")
        command = _command_name()
        self.line(f"  {command} top purchase --db {self._store} --by velocity.24h")
        self.line(f"  {command} get {best[0].product} --db {self._store}")

    def _work(self, kill_at: int | None = None) -> Acknowledged:
        start = self._outcome.recovered
        with Progress(self._err, "events", start=start, enabled=not self._quiet) as progress:

            def on_acknowledged(seq: int) -> None:
                progress.update(seq, seq / self._rows)

            last = run_worker(self._store, self._skip, on_acknowledged, kill_at=kill_at)
        self._outcome.ingest_seconds += last.ingest_seconds
        return last


def _command_name() -> str:
    """Return what starts this program in the shell that it was started from."""
    if shutil.which("tidal"):
        return "tidal"
    return sys.argv[0] if Path(sys.argv[0]).name == "tidal" else "python -m tidal.cli"


def _facts(outcome: Outcome) -> list[Fact]:
    return [
        Fact(f"{outcome.events:,}", "events in the store"),
        Fact(f"{outcome.rate:,.0f}/s", "ingested, each batch synced to disk"),
        Fact(f"{outcome.bytes_per_event:.2f} bytes", "of log an event"),
        Fact(
            f"{max(0, outcome.killed_after - outcome.recovered):,} lost",
            f"of {outcome.killed_after:,} events acknowledged before the load was killed",
        ),
    ]


def _prepare_folder(folder: Path) -> None:
    """Make the folder, emptied of an earlier demo. Raises UsageError rather than delete what is not ours."""
    marker = folder / MARKER
    if folder.exists() and not marker.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty and not from an earlier demo; choose another --dir")
    folder.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for name in ("store", "cluster"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "report.html").unlink(missing_ok=True)
