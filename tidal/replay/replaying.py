"""replay(): the state that a history gives, from one core to a cluster."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from blake3 import blake3

from tidal.errors import InvalidOption
from tidal.ledger import SHARDS_DEFAULT, SignalLedger
from tidal.replay.feeding import Meter, Progress, ahead, kept_batches
from tidal.replay.finding import Looking, find_source
from tidal.replay.job import Job, checked_time, make_job, promised
from tidal.replay.keys import stored_names
from tidal.replay.options import OnDamage, flag, skips
from tidal.replay.partial import Names, Partial, join_shards, names_of
from tidal.replay.place import place_of
from tidal.replay.replayed import Replayed
from tidal.replay.source import LeftOut, Source
from tidal.replay.tasks import Part, Piecework, account_of, add_parts, remove_parts, replay_part, take
from tidal.replay.workers import ExecutorGiven, InThisThread, Workers
from tidal.schema import Schema, schema_to_json

TASK_EVENTS: Final = 8_000_000  # of a task: seconds of work, and one copy of the state for each
TASKS_MAX: Final = 64
FAN_IN: Final = 8  # partial replays that one task adds up


def replay(
    source: Any,
    *,
    schema: Schema | None = None,
    at: Any = None,
    until: Any = None,
    signals: Collection[str] | None = None,
    executor: ExecutorGiven | None = None,
    scratch: Any = None,
    resume: bool = False,
    part: tuple[int, int] | None = None,
    partial: bool = False,
    on_damage: OnDamage = "raise",
    progress: Progress | None = None,
) -> Replayed:
    """Return the state that the events of a source give; it reads like a database, and can be saved as one.

    - ``source``: the folder of a store (its archive, then its log), a folder of archive files, one file or a
      list of files (of an archive, or sealed segments), a URL of an object store that holds any of these
      (``s3://bucket/folder``; the extra ``object``), or a store object of obstore. It is only read, and may
      be written to meanwhile.
    - ``schema``: other half-lives and windows; types are matched by name. Default: the source's own.
    - ``at``: what reads take as the present; default: the time of the newest event.
    - ``until``: events after this time are left out; one at exactly that time is not.
    - ``signals``: replay these types alone. Others cannot be read from the result.
    - ``executor``: None replays here, in a thread that reads and one that adds up, which is the fastest for
      millions of events. Else a number of processes, any ``concurrent.futures.Executor`` (a
      ProcessPoolExecutor, dask's ``client.get_executor()``, mpi4py's, tidal.RayExecutor), or a function that
      returns one. A worker that is killed costs a retry: see docs/guide/replay.md.
    - ``scratch``: a folder or URL that all workers reach; partial results go through it and not through this
      process. ``resume`` takes those that an interrupted run of the same replay has left there.
    - ``part``: ``(i, n)`` replays the i-th of n parts of the events (from 1); merge() adds parts up.
    - ``partial``: accept a history whose beginning is gone; scores and counts are of what is left.
    - ``on_damage``: ``"raise"``, or ``"skip"``: what is damaged or missing is left out, and listed in
      ``left_out`` of the result.
    - ``progress``: called with a tidal.ReplayProgress now and then.

    Equal events give equal answers, whoever adds them up: counts exactly, sums to 1e-9 relative. Memory: the
    state, and with an executor a copy of it for each task (about 8 million events each).

    Raises InvalidOption, StoreMissing, SchemaError, MissingSegment, CorruptLog, CorruptArchive,
    CorruptStore, FormatTooNew, StorageError, MissingExtra, WorkersLost.

    >>> import tempfile, tidal
    >>> folder = tempfile.mkdtemp()
    >>> schema = tidal.SchemaBuilder().signal("view", half_life="7d").build()
    >>> with tidal.open(f"{folder}/a", schema=schema) as db:
    ...     last = db.ingest(signal="view", entity_id=[7, 7, 8]).last_seq
    >>> tidal.replay(f"{folder}/a").count("view", 7, "all")
    2
    """
    end, present = checked_time("until", until), checked_time("at", at)
    found = find_source(source, Looking(schema, flag("partial", partial), skips(on_damage)))
    job = make_job(found, schema, signals, end, skips(on_damage))
    if part is not None:
        number, count = _checked_part(part)
        found = found.parts(count)[number - 1]
    place = None if scratch is None else place_of("scratch", scratch)
    if resume and place is None:
        raise InvalidOption("resume=True: name the folder in which the interrupted run worked, scratch=...")
    meter = Meter(found, progress)
    digest = job_digest(found, job)
    if executor is None and place is None:
        ledger, whole = _replay_here(found, job, meter, digest)
    else:
        work = Piecework(job, digest, SHARDS_DEFAULT, place, flag("resume", resume))
        ledger, whole = _replay_by_tasks(work, found, executor, meter)
    whole = replace(whole, names=stored_names(found) | whole.names)
    return Replayed(ledger, whole, found.name, present)


def _replay_here(source: Source, job: Job, meter: Meter, digest: str) -> tuple[SignalLedger, Partial]:
    ledger = SignalLedger(job.schema)
    ledger.expect(promised(source, job))
    names: Names = {}
    lost: list[LeftOut] = []
    events = 0
    kept = kept_batches(source.place.open(), source, job, lost)
    with ledger.gathering() as gathering:
        for last_seq, batch in ahead(kept):
            gathering.add(batch)
            events += len(batch)
            names |= names_of(batch.new_keys)
            meter.at(last_seq)
    meter.at(source.last_seq)
    account = account_of(source, job, events, lost)
    return ledger, Partial(job.schema, digest, account, {}, {}, names)


def _replay_by_tasks(
    work: Piecework, source: Source, executor: ExecutorGiven | None, meter: Meter
) -> tuple[SignalLedger, Partial]:
    """Partial states by part of the events and shard of entities; then each shard's are added in a tree.

    What is added to what does not depend on who is done first, so equal jobs give equal bytes.
    """
    count = min(max(1, -(-source.events // TASK_EVENTS)), TASKS_MAX)
    sources = source.parts(count)
    done = 0

    def one_more(number: int) -> None:
        nonlocal done
        done += sources[number].events
        meter.done(done)

    if work.scratch is not None:
        work.scratch.open().make_dir(work.scratch.folder)
        if not work.again:
            remove_parts(work)
    with Workers(InThisThread() if executor is None else executor) as workers:
        parts = workers.run(replay_part, [(work, it, number) for number, it in enumerate(sources)], one_more)
        level, shards = 0, list(zip(*parts, strict=True))
        while len(shards[0]) > 1:
            level += 1
            shards = _add_up(work, workers, shards, level)
    ledger = SignalLedger(work.job.schema, shards=work.shards)
    whole = join_shards([take(work, it) for (it,) in shards])
    whole.load_into(ledger)
    remove_parts(work)
    return ledger, whole


def _add_up(
    work: Piecework, workers: Workers, shards: Sequence[Sequence[Part]], level: int
) -> list[tuple[Part, ...]]:
    """Return for each shard its parts, FAN_IN neighbours added up to one."""
    groups = [(shard, group) for shard, parts in enumerate(shards) for group in enumerate(_groups(parts))]
    calls = [(work, group, f"sum-{level}-{place:04}", shard) for shard, (place, group) in groups]
    sums = iter(workers.run(add_parts, calls, lambda _: None))
    return [tuple(next(sums) for _ in _groups(parts)) for parts in shards]


def _groups(parts: Sequence[Part]) -> Iterator[Sequence[Part]]:
    return (parts[start : start + FAN_IN] for start in range(0, len(parts), FAN_IN))


def job_digest(source: Source, job: Job) -> str:
    """Return what tells a replay from every other: its events, what is kept of them, and as what."""
    document = {
        "store": source.identity.store_id.hex(),
        "place": [source.identity.region, source.identity.shard, source.first_seq, source.last_seq],
        "pieces": [
            [it.name, it.first_seq, it.last_seq, it.size, it.header_hash.hex()] for it in source.pieces
        ],
        "left_out": [[it.first_seq, it.last_seq] for it in source.left_out],
        "types": job.types.hex(),
        "until": job.selected.until,
        "skip": job.skip,
    }
    hasher = blake3(json.dumps(document).encode())
    hasher.update(schema_to_json(job.schema))
    return hasher.hexdigest()


def _checked_part(part: object) -> tuple[int, int]:
    match part:
        case (int(number), int(count)) if 1 <= number <= count:
            return number, count
    raise InvalidOption(f"part={part!r}: give (i, n), the i-th of n parts, such as (1, 8) to (8, 8)")
