"""what_if(): one history under several schemas, in one pass, and how much their rankings agree."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidal.durable import FileSystem, OsFileSystem, replace_file
from tidal.errors import InvalidOption
from tidal.ledger import SignalLedger
from tidal.opening.arguments import checked_folder
from tidal.records import record
from tidal.replay.agreement import kendall_tau, overlap_at, spearman_rho
from tidal.replay.feeding import Meter, Progress, ahead, kept_events
from tidal.replay.finding import Looking, find_source
from tidal.replay.job import Job, checked_time, make_job, promised
from tidal.replay.keys import stored_names
from tidal.replay.options import OnDamage, flag, skips
from tidal.replay.partial import Names, Partial, names_of
from tidal.replay.replayed import Replayed
from tidal.replay.replaying import job_digest
from tidal.replay.report import Chart, Line, Slope, render_report
from tidal.replay.source import LeftOut, Source
from tidal.replay.tasks import account_of
from tidal.schema import Schema
from tidal.schema.measures import parse_measure

_SHOWN = 15  # entities whose places are drawn


@record
class Agreement:
    """How two variants rank the same entities of one signal type.

    ``kendall`` is tau-b and ``spearman`` rho over all entities, -1.0 to 1.0, NaN where all are equal;
    ``overlap[j - 1]`` is the share of the j best that both have.
    """

    signal: str
    left: str
    right: str
    entities: int
    kendall: float
    spearman: float
    overlap: tuple[float, ...]


class WhatIf:
    """What what_if() found: ``variants``, the state under each schema by its name, which reads like a
    database; ``agreements``, for each signal type and each pair of variants; ``by`` and ``at``, what was
    ranked, and as of when.
    """

    def __init__(self, source: str, variants: Mapping[str, Replayed], by: str, at: int, k: int) -> None:
        self.source, self.variants, self.by, self.at = source, dict(variants), by, at
        self._k = k
        self.agreements = tuple(self._agreements())

    def top(self, signal: str, k: int = 10) -> dict[str, list[tuple[str | int, float]]]:
        """Return the k best entities of a signal type under each variant, best first."""
        return {
            name: list(it.top(signal, k, by=self.by, at=self.at))
            for name, it in self.variants.items()
            if signal in it.schema.names
        }

    def report(self, path: str | os.PathLike[str], *, file_system: FileSystem | None = None) -> Path:
        """Write the comparison as one HTML page with charts, which loads nothing; return its path."""
        target = checked_folder("path", path)
        page = render_report(self._title(), self._facts(), [self._chart(it) for it in self._signals()])
        replace_file(file_system or OsFileSystem(), target, [page.encode()])
        return target

    def _signals(self) -> list[str]:
        return list(dict.fromkeys(it.signal for it in self.agreements))

    def _agreements(self) -> Iterator[Agreement]:
        for left, right in combinations(self.variants, 2):
            one, other = self.variants[left], self.variants[right]
            for signal in one.schema.names:
                if signal in other.schema.names:
                    yield self._agreement(signal, left, right)

    def _agreement(self, signal: str, left: str, right: str) -> Agreement:
        one, other = self.variants[left], self.variants[right]
        ids = np.unique(np.concatenate([it["entity_id"] for it in one.records(signal)]))
        values = [self._values(it, signal, ids) for it in (one, other)]
        best = [it.top(signal, self._k, by=self.by, at=self.at).ids for it in (one, other)]
        k = min(self._k, len(ids))
        overlap = overlap_at(best[0], best[1], k)
        tau, rho = kendall_tau(*values), spearman_rho(*values)
        return Agreement(signal, left, right, len(ids), tau, rho, tuple(overlap.tolist()))

    def _values(self, replayed: Replayed, signal: str, ids: NDArray[np.uint64]) -> NDArray[np.float64]:
        measure = parse_measure(replayed.schema.signal(signal), self.by)
        values = replayed.ledger.table(signal).values(ids, measure, self.at, False)
        return values.astype(np.float64)

    # -------------------------------------------------------------------------------- the page

    def _title(self) -> str:
        return f"{', '.join(self.variants)}: {self.by}"

    def _facts(self) -> list[tuple[str, str]]:
        some = next(iter(self.variants.values()))
        time = str(np.datetime64(self.at, "ns").astype("M8[s]")).replace("T", " ")
        return [("source", self.source), ("events", f"{some.events:,}"), ("as of", f"{time} UTC")]

    def _chart(self, signal: str) -> Chart:
        found = [it for it in self.agreements if it.signal == signal]
        k = len(found[0].overlap)
        few = min(10, k)
        headings = ["variants", "entities", "Kendall's tau", "Spearman's rho"]
        headings += [f"{best} best shared" for best in (few, k) if best]
        rows = [
            [
                f"{it.left} / {it.right}", f"{it.entities:,}", f"{it.kendall:.3f}", f"{it.spearman:.3f}",
                *(f"{it.overlap[best - 1]:.0%}" for best in (few, k) if best),
            ]
            for it in found
        ]  # fmt: skip
        lines = [Line(f"{it.left} / {it.right}", it.overlap) for it in found]
        return Chart(signal, headings, rows, lines, self._slope(signal))

    def _slope(self, signal: str) -> Slope:
        """Return the places of the best entities under each variant; None beyond the last that is drawn."""
        tops = {name: [str(entity) for entity, _ in best] for name, best in self.top(signal, _SHOWN).items()}
        names = list(dict.fromkeys(entity for best in tops.values() for entity in best))
        return Slope(
            list(tops),
            {
                entity: [best.index(entity) + 1 if entity in best else None for best in tops.values()]
                for entity in names
            },
            _SHOWN,
        )


def what_if(
    source: Any,
    schemas: Mapping[str, Schema],
    *,
    by: str = "score",
    at: Any = None,
    until: Any = None,
    k: int = 100,
    partial: bool = False,
    on_damage: OnDamage = "raise",
    progress: Progress | None = None,
) -> WhatIf:
    """Return what the same history would have been under several schemas, read and decoded once.

    - ``source``, ``until``, ``partial``, ``on_damage``, ``progress``: as for tidal.replay().
    - ``schemas``: by name; each with some of the source's signal types, with any half-lives and windows.
    - ``by``: what entities are ranked by: "score", "count.24h", "velocity.1h"; every schema must have it for
      each of its types. ``at``: as of when; default: the newest event. ``k``: how many of the best are looked
      at for what two rankings share.

    Raises as tidal.replay(), and InvalidOption, UnknownMeasure.

    >>> import tempfile, tidal
    >>> folder = tempfile.mkdtemp()
    >>> def schema(half_life):
    ...     return tidal.SchemaBuilder().signal("view", half_life=half_life).build()
    >>> with tidal.open(f"{folder}/a", schema=schema("7d")) as db:
    ...     last = db.ingest(signal="view", entity_id=[1, 1, 2, 2, 2, 3]).last_seq
    >>> found = tidal.what_if(f"{folder}/a", {"slow": schema("30d"), "quick": schema("1h")})
    >>> found.agreements[0].kendall
    1.0
    """
    if not isinstance(schemas, Mapping) or len(schemas) < 2:
        raise InvalidOption("schemas=: give two or more by name, as {'now': schema, 'slower': other}")
    if type(k) is not int or k < 1:
        raise InvalidOption(f"k={k!r}: choose a positive integer")
    end, present = checked_time("until", until), checked_time("at", at)
    found = find_source(source, Looking(None, flag("partial", partial), skips(on_damage)))
    jobs = {
        name: make_job(found, schema, getattr(schema, "names", None), end, skips(on_damage))
        for name, schema in schemas.items()
    }
    for job in jobs.values():
        for signal in job.schema:
            parse_measure(signal, by)
    variants = _replay_all(found, make_job(found, None, None, end, skips(on_damage)), jobs, present, progress)
    now = max(it.now() for it in variants.values())
    return WhatIf(found.name, variants, by, now, k)


def _replay_all(
    source: Source, whole: Job, jobs: Mapping[str, Job], at: int | None, progress: Progress | None
) -> dict[str, Replayed]:
    """Return the state under each job; ``whole`` keeps every event as it is."""
    ledgers = {name: SignalLedger(job.schema) for name, job in jobs.items()}
    for name, ledger in ledgers.items():
        ledger.expect(promised(source, jobs[name]))
    events = dict.fromkeys(jobs, 0)
    names: Names = {}
    lost: list[LeftOut] = []
    meter = Meter(source, progress)
    for last_seq, batch in ahead(kept_events(source.place.open(), source, whole, lost)):
        for name, job in jobs.items():
            kept = job.keep(batch)
            ledgers[name].apply(kept)
            events[name] += len(kept)
        names |= names_of(batch.new_keys)
        meter.at(last_seq)
    meter.at(source.last_seq)
    names = stored_names(source) | names
    found = {}
    for name, job in jobs.items():
        account = account_of(source, job, events[name], lost)
        state = Partial(job.schema, job_digest(source, job), account, {}, {}, names)
        found[name] = Replayed(ledgers[name], state, source.name, at)
    return found
