"""The tasks of a replay that is spread over processes or machines: functions of a module, and small values.

A task is given a source and not its events, and returns partial replays, or their names where a folder for
them was given. It may be run again anywhere, any number of times: the same task gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tidal.durable import FileSystem, read_file, replace_file
from tidal.errors import CorruptStore, FormatTooNew, StorageError
from tidal.ledger import SignalLedger
from tidal.records import record
from tidal.replay.feeding import kept_batches
from tidal.replay.job import Job, promised
from tidal.replay.partial import (
    Account,
    Covered,
    Names,
    Partial,
    cut_by_shard,
    decode_partial,
    encode_partial,
    names_of,
)
from tidal.replay.place import Place
from tidal.replay.source import LeftOut, Source

SUFFIX: Final = ".partial"


@record
class Piecework:
    """What all tasks of a replay have in common. ``scratch``: where partial replays are left; None: they are
    handed over as bytes. ``again``: take those that an earlier run has left there.
    """

    job: Job
    digest: str
    shards: int
    scratch: Place | None = None
    again: bool = False


@record
class Part:
    """A partial replay: its bytes, or the name of its file in the scratch folder."""

    name: str
    data: bytes | None = None


def replay_part(work: Piecework, source: Source, number: int) -> list[Part]:
    """Replay the events of a source; return the state of each shard of entities."""
    names = [_name(work, f"map-{number:04}", shard) for shard in range(work.shards)]
    if found := _left_by_earlier_run(work, names):
        return found
    return [
        _hand_over(work, name, part)
        for name, part in zip(names, cut_by_shard(replay_here(work, source), work.shards), strict=True)
    ]


def replay_here(work: Piecework, source: Source) -> Partial:
    """Return the state after the events of a source."""
    ledger = SignalLedger(work.job.schema, shards=work.shards)
    ledger.expect(promised(source, work.job))
    lost: list[LeftOut] = []
    names: Names = {}
    events = 0
    with ledger.gathering() as gathering:
        for _, batch in kept_batches(source.place.open(), source, work.job, lost):
            gathering.add(batch)
            events += len(batch)
            names |= names_of(batch.new_keys)
    return Partial(
        work.job.schema, work.digest, account_of(source, work.job, events, lost), *ledger.save(), names
    )


def account_of(source: Source, job: Job, events: int, lost: Sequence[LeftOut]) -> Account:
    """Return the account of a source that was replayed."""
    log = source.identity
    run = Covered(log.store_id.hex(), source.first_seq, source.last_seq, log.region, log.shard)
    covered = (run,) if source.events else ()
    return Account(covered, events, job.selected.until, (*source.left_out, *lost))


def add_parts(work: Piecework, parts: Sequence[Part], step: str, shard: int) -> Part:
    """Return the sum of partial replays of one shard, added in their order."""
    name = _name(work, step, shard)
    if found := _left_by_earlier_run(work, [name]):
        return found[0]
    ledger = SignalLedger(work.job.schema, shards=1)
    account: Account | None = None
    names: Names = {}
    for part in parts:
        partial = take(work, part)
        partial.load_into(ledger)
        account = partial.account if account is None else account.plus(partial.account)
        names |= partial.names
    assert account is not None
    return _hand_over(work, name, Partial(work.job.schema, work.digest, account, *ledger.save(), names))


def take(work: Piecework, part: Part) -> Partial:
    """Return a partial replay that was handed over."""
    if part.data is not None:
        return decode_partial(part.data, Path(part.name))
    assert work.scratch is not None
    path = work.scratch.folder / part.name
    return decode_partial(read_file(work.scratch.open(), path), path)


def read_partial(fs: FileSystem, path: Path) -> Partial:
    """Return the partial replay in a file. Raises CorruptStore, FormatTooNew, StorageError."""
    return decode_partial(read_file(fs, path), path)


def remove_parts(work: Piecework) -> None:
    """Remove what the tasks of this replay have left in the scratch folder."""
    if work.scratch is None:
        return
    fs = work.scratch.open()
    for name in fs.list_dir(work.scratch.folder):
        if name.startswith(f"{work.digest[:16]}-"):
            fs.remove(work.scratch.folder / name)


def _name(work: Piecework, step: str, shard: int) -> str:
    return f"{work.digest[:16]}-{step}-shard-{shard:03}{SUFFIX}"


def _hand_over(work: Piecework, name: str, partial: Partial) -> Part:
    parts = encode_partial(partial)
    if work.scratch is None:
        return Part(name, b"".join(parts))
    replace_file(work.scratch.open(), work.scratch.folder / name, parts)
    return Part(name)


def _left_by_earlier_run(work: Piecework, names: Sequence[str]) -> list[Part]:
    """Return the parts if an earlier run of the same job has left all of them, whole."""
    if work.scratch is None or not work.again:
        return []
    fs = work.scratch.open()
    try:
        for name in names:
            if read_partial(fs, work.scratch.folder / name).job != work.digest:
                return []
    except (StorageError, CorruptStore, FormatTooNew):
        return []
    return [Part(name) for name in names]
