"""State over a part of the events, as bytes that say what they are of: what tasks and machines exchange.

The bytes are those of a checkpoint file (tidal/format/snapshot.py), so every bit is under a hash and nothing
is ever unpickled. The sections are the arrays of a ledger, and the string keys that the events brought.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tidal.errors import CorruptStore, FormatTooNew
from tidal.format.frame import HASH_BYTES
from tidal.format.snapshot import (
    HEADER_BYTES,
    DamagedSnapshot,
    Section,
    decode_directory,
    decode_header,
    decode_section,
    encode_snapshot,
)
from tidal.ledger import SignalLedger
from tidal.records import record
from tidal.replay.source import LeftOut
from tidal.schema import NewKey, Schema, schema_from_json, schema_to_json
from tidal.schema.spec import KINDS

_WHAT: Final = "partial replay 1"
_LEDGER: Final = "ledger/"
_KEYS: Final = "keys/"

Names = dict[tuple[str, int], str]  # (kind, id) -> key


@record
class Covered:
    """A run of events of one store that a replay has read: sequences, both ends included."""

    store_id: str  # hexadecimal
    first_seq: int
    last_seq: int
    region: int = 0
    shard: int = 0

    @property
    def log(self) -> tuple[str, int, int]:
        """Whose log it is a run of."""
        return self.store_id, self.region, self.shard

    def overlaps(self, other: Covered) -> bool:
        """Return whether some event is in both."""
        return self.log == other.log and self.first_seq <= other.last_seq and other.first_seq <= self.last_seq


@record
class Account:
    """What a state is made of."""

    covered: tuple[Covered, ...]
    events: int  # that the state holds
    until: int | None
    left_out: tuple[LeftOut, ...]

    @property
    def last_seq(self) -> int:
        return max((it.last_seq for it in self.covered), default=0)

    @property
    def place(self) -> tuple[int, int]:
        """Region and shard: each the one that all runs are of, or 0 where they are of several."""
        return _of_all({it.region for it in self.covered}), _of_all({it.shard for it in self.covered})

    def plus(self, other: Account) -> Account:
        """Return the account of both."""
        return Account(
            joined([*self.covered, *other.covered]),
            self.events + other.events,
            self.until,
            (*self.left_out, *other.left_out),
        )


@record
class Partial:
    """A state with its account. ``meta`` and ``arrays`` are what SignalLedger.save() returns."""

    schema: Schema
    job: str  # the digest of the job that it is of
    account: Account
    meta: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    names: Names

    def load_into(self, ledger: SignalLedger) -> None:
        """Add the state to a ledger. CorruptStore where the arrays are no ledger's of this schema."""
        try:
            ledger.load(self.meta, self.arrays)
        except (KeyError, TypeError, ValueError) as error:
            # Its hashes are good, so whoever wrote it was not this tidal.
            raise CorruptStore("a partial replay", 0, f"it does not fit its own schema: {error!r}") from error


def _of_all(numbers: set[int]) -> int:
    return numbers.pop() if len(numbers) == 1 else 0


def joined(runs: Iterable[Covered]) -> tuple[Covered, ...]:
    """Return runs in order, those that follow each other as one."""
    result: list[Covered] = []
    for run in sorted(runs, key=lambda it: (*it.log, it.first_seq)):
        before = result[-1] if result else None
        if before and before.log == run.log and before.last_seq + 1 == run.first_seq:
            result[-1] = replace(before, last_seq=run.last_seq)
        else:
            result.append(run)
    return tuple(result)


def encode_partial(partial: Partial) -> list[bytes | memoryview]:
    """Return the parts whose concatenation is a partial replay; equal ones give equal bytes."""
    account = partial.account
    sections: dict[str, Section] = {_LEDGER + name: array for name, array in partial.arrays.items()}
    sections |= _key_sections(partial.names)
    sections["schema"] = schema_to_json(partial.schema)
    meta = {
        "what": _WHAT,
        "job": partial.job,
        "ledger": partial.meta,
        "covered": [asdict(it) for it in account.covered],
        "events": account.events,
        "until": account.until,
        "left_out": [asdict(it) for it in account.left_out],
    }
    _, parts = encode_snapshot(
        seq=account.last_seq, store_id=bytes(16), epoch=0, log_hash=bytes(HASH_BYTES), meta=meta,
        sections=sections,
    )  # fmt: skip
    return parts


def decode_partial(data: bytes, path: Path) -> Partial:
    """Return what encode_partial wrote; ``path`` is for errors. Raises CorruptStore, FormatTooNew."""
    try:
        header = decode_header(data[:HEADER_BYTES], len(data))
        entries, meta = decode_directory(header, data[HEADER_BYTES : header.sections_offset])
        if meta.get("what") != _WHAT:
            raise CorruptStore(path, 0, "this is no partial replay")
        sections = {
            entry.name: decode_section(entry, data[entry.offset : entry.offset + entry.padded_bytes])
            for entry in entries
        }
        return _partial_of(meta, sections)
    except DamagedSnapshot as error:
        raise CorruptStore(path, error.offset, f"{error.reason}; make it again") from error
    except FormatTooNew as error:
        raise FormatTooNew(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptStore(path, 0, f"not what a partial replay says: {error!r}") from error


def _partial_of(meta: Mapping[str, Any], sections: Mapping[str, Section]) -> Partial:
    account = Account(
        tuple(Covered(**it) for it in meta["covered"]),
        meta["events"],
        meta["until"],
        tuple(LeftOut(**it) for it in meta["left_out"]),
    )
    arrays = {
        name.removeprefix(_LEDGER): section
        for name, section in sections.items()
        if name.startswith(_LEDGER) and isinstance(section, np.ndarray)
    }
    schema = sections["schema"]
    numbers = [account.events, account.until or 0]
    runs: list[Covered | LeftOut] = [*account.covered, *account.left_out]
    numbers += [it for run in runs for it in (run.first_seq, run.last_seq)]
    if not isinstance(schema, bytes) or any(type(it) is not int for it in numbers):
        raise TypeError("its schema is no text, or its account has other things than numbers")
    return Partial(schema_from_json(schema), meta["job"], account, meta["ledger"], arrays, _names(sections))


def _key_sections(names: Names) -> dict[str, Section]:
    sections: dict[str, Section] = {}
    for kind in KINDS:
        keys = sorted((id, key.encode()) for (of, id), key in names.items() if of == kind)
        if keys:
            sections[f"{_KEYS}{kind}/id"] = np.array([id for id, _ in keys], np.uint64)
            sections[f"{_KEYS}{kind}/end"] = np.cumsum([len(key) for _, key in keys], dtype=np.int64)
            sections[f"{_KEYS}{kind}/text"] = b"".join(key for _, key in keys)
    return sections


def _names(sections: Mapping[str, Section]) -> Names:
    names: Names = {}
    for kind in KINDS:
        text = sections.get(f"{_KEYS}{kind}/text", b"")
        if not isinstance(text, bytes):
            raise TypeError("its keys are no text")
        ids, ends = (np.asarray(sections.get(f"{_KEYS}{kind}/{it}", [])).tolist() for it in ("id", "end"))
        start = 0
        for id, end in zip(ids, ends, strict=True):
            names[kind, id] = text[start:end].decode()
            start = end
    return names


def names_of(new_keys: Sequence[NewKey]) -> Names:
    """Return keys by kind and id."""
    return {(key.kind, key.id): key.key for key in new_keys}


# ------------------------------------------------------------------------------------ by entity shard


def cut_by_shard(partial: Partial, count: int) -> list[Partial]:
    """Return a state of ``count`` shards as one of a single shard each; the first carries the names and the
    account, so that these are counted once.
    """
    empty = Account(partial.account.covered, 0, partial.account.until, ())
    return [
        Partial(
            partial.schema,
            partial.job,
            empty if number else partial.account,
            {"clocks": partial.meta["clocks"], "shards": dict.fromkeys(partial.meta["shards"], 1)},
            _renumbered(partial.arrays, number, 0),
            {} if number else partial.names,
        )
        for number in range(count)
    ]


def join_shards(parts: Sequence[Partial]) -> Partial:
    """Return the state of several shards that cut_by_shard told apart."""
    first = parts[0]
    arrays: dict[str, NDArray[Any]] = {}
    for number, part in enumerate(parts):
        arrays |= _renumbered(part.arrays, 0, number)
    meta = {"clocks": first.meta["clocks"], "shards": dict.fromkeys(first.meta["shards"], len(parts))}
    return Partial(first.schema, first.job, first.account, meta, arrays, first.names)


def _renumbered(arrays: Mapping[str, NDArray[Any]], old: int, new: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of one shard, called those of another; names are type/number/array."""
    found = {}
    for name, array in arrays.items():
        signal, number, kind = name.split("/")
        if int(number) == old:
            found[f"{signal}/{new}/{kind}"] = array
    return found
