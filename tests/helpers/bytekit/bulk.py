"""Millions of inputs for the decoders: thousands of mutated copies at once, and a tight loop that judges.

What is slow about an input is to make it, one field at a time, in Python. Here a table of copies is mutated
by NumPy, a field of each row, and only the hashes that a decoder checks are made right again row by row.
An input counts as different when no other of the run had the same bytes and parameters.
"""

from __future__ import annotations

import contextlib
import gc
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bytekit.guards import hang_guard
from bytekit.mutate import INTERESTING

_WORD = 8
_U32: Final = np.uint64((1 << 32) - 1)
_MASKS: Final = np.array([(1 << 8 * size) - 1 for size in range(_WORD + 1)], np.uint64)
_VALUES: Final = np.array(INTERESTING, np.uint64)
_STEPS: Final = np.array([-1, 1, -2, 2, 8, -8, 64], np.int64).astype(np.uint64)
_PROBLEMS_KEPT: Final = 20
KEY_PARTS: Final = 64  # one part in so many of the keys is what a long run remembers

Table = NDArray[np.uint8]  # (rows, bytes of a row); the last eight bytes are room for a field that ends there
Places = NDArray[np.int64]  # (fields, 2): where each begins, and its bytes
Arguments = tuple[Any, ...]


class BulkTarget(NamedTuple):
    """One decoder, and so many inputs for it in one table."""

    make: Callable[[np.random.Generator, int], list[Arguments]]
    decode: Callable[..., Any]
    errors: tuple[type[Exception], ...]
    check: Callable[[Arguments, Any], bool]  # whether what it returned can be, and comes back the same
    share: int  # of the inputs of a run; a cheap decoder gets more
    check_every: int = 1  # accepted inputs
    chunk: int = 8192  # inputs made at once


@dataclass
class BulkOutcome:
    """What became of some inputs of one decoder."""

    inputs: int = 0
    accepted: int = 0
    refused_by_hash: int = 0
    refused_by_field: int = 0
    keys: list[NDArray[np.int64]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def different(self) -> int:
        """How many inputs no other one was the same as."""
        if self.keys:
            self.keys = [np.unique(np.concatenate(self.keys))]
        return sum(map(len, self.keys))

    def some_keys(self) -> NDArray[np.int64]:
        """Return the keys of one part of the inputs: the same input is always in it, or never."""
        keys = np.concatenate(self.keys)
        return keys[keys % KEY_PARTS == 0]


def fuzz_in_bulk(name: str, target: BulkTarget, seed: Sequence[int], inputs: int) -> BulkOutcome:
    """Give a decoder at least this many inputs of which no two are the same."""
    outcome, number = BulkOutcome(), 0
    while (missing := inputs - outcome.different) > 0:
        end = outcome.inputs + missing
        while outcome.inputs < end:
            with _no_collection(), hang_guard():
                where = f"{name}, seed {(*seed, number)}"
                _one_table(
                    target, np.random.default_rng([*seed, zlib.crc32(name.encode()), number]), outcome, where
                )
            number += 1
    return outcome


def _one_table(target: BulkTarget, rng: np.random.Generator, outcome: BulkOutcome, where: str) -> None:
    made = target.make(rng, target.chunk)
    keys, at = np.unique(np.fromiter(map(hash, made), np.int64, len(made)), return_index=True)
    outcome.keys.append(keys)
    _judge(target, [made[place] for place in at.tolist()], outcome, where)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Thousands of views are no rubbish to look for."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _judge(target: BulkTarget, made: list[Arguments], outcome: BulkOutcome, where: str) -> None:
    decode, errors, check, every = target.decode, target.errors, target.check, target.check_every
    accepted = by_hash = by_field = 0
    for given in made:
        problem = None
        try:
            found = decode(*given)
        except errors as error:
            text = str(error)
            if "match" in text or "hash differs" in text:
                by_hash += 1
            else:
                by_field += 1
                if not text:
                    problem = f"{type(error).__name__} that says nothing"
        except BaseException as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            accepted += 1
            if accepted % every == 0:
                problem = _checked(check, given, found)
        if problem is not None and len(outcome.problems) < _PROBLEMS_KEPT:
            outcome.problems.append(f"{where}: {problem}, given {_shown(given)}")
    outcome.inputs += len(made)
    outcome.accepted += accepted
    outcome.refused_by_hash += by_hash
    outcome.refused_by_field += by_field


def _shown(given: Arguments) -> str:
    return repr(tuple(bytes(it).hex() if isinstance(it, memoryview) else it for it in given))


def _checked(check: Callable[[Arguments, Any], bool], given: Arguments, found: Any) -> str | None:
    try:
        return None if check(given, found) else "it returned what no encoder was given"
    except Exception as error:
        return f"what it returned cannot be encoded: {type(error).__name__}: {error}"


# ------------------------------------------------------------------------------------ tables


def copies(rng: np.random.Generator, templates: Sequence[bytes], rows: int) -> Table:
    """Return a table of this many rows, each one of the templates, which are of one length."""
    every = np.frombuffer(b"".join(data + bytes(_WORD) for data in templates), np.uint8)
    return every.reshape(len(templates), -1)[rng.integers(0, len(templates), rows)]


def places(form: struct.Struct, start: int = 0, *, but: Sequence[int] = ()) -> Places:
    """Return where the fields of a structure lie; those numbered in ``but`` are left out."""
    found, at, digits = [], start, ""
    for code in form.format.lstrip("<"):
        if code.isdigit():
            digits += code
            continue
        size, times = struct.calcsize("<" + code), int(digits or 1)
        found += [(at, times)] if code == "s" else [(at + size * n, size) for n in range(times)]
        at, digits = at + size * times, ""
    return np.array([it for number, it in enumerate(found) if number not in but], np.int64)


def mutate_table(rng: np.random.Generator, table: Table, fields: Places, *, most: int = 4) -> None:
    """Change up to ``most`` fields of each row: to a boundary, a neighbour, by one bit, or to anything.

    A field is drawn for each change, so a row may have fewer that differ; the first row is left as it was.
    """
    times = rng.integers(1, most + 1, len(table))
    times[0] = 0
    fields = fields.astype(np.uint64)
    for turn in range(most):
        rows = np.flatnonzero(times > turn)
        draws = rng.integers(0, 1 << 64, len(rows), dtype=np.uint64)
        at, size = fields[_drawn(draws, 0, len(fields))].T
        long = np.flatnonzero(size > _WORD)  # of a long one some bytes, at any place in it
        some = np.uint64(1) << (draws[long] >> np.uint64(16) & np.uint64(3))
        at[long] += (draws[long] >> np.uint64(32)) % (size[long] - some + np.uint64(1))
        size[long] = some
        _change(rng, table, rows * table.shape[1] + at.astype(np.int64), size)


def _change(rng: np.random.Generator, table: Table, at: NDArray[np.int64], size: NDArray[np.uint64]) -> None:
    """Put another value into the fields that begin at these places of the whole table, one in a row."""
    # A word at every byte: fields are read and written as words, of which only their own bytes change.
    words = np.ndarray(table.size - _WORD + 1, "<u8", table.data, strides=(1,))
    old, new = words[at], rng.integers(0, 1 << 64, len(at), dtype=np.uint64)
    draws = rng.integers(0, 1 << 64, len(at), dtype=np.uint64)
    kind = draws % np.uint64(5)
    rows = np.flatnonzero(kind <= 1)
    new[rows] = _VALUES[_drawn(draws[rows], 16, len(_VALUES))]
    rows = np.flatnonzero(kind == 2)
    new[rows] = old[rows] + _STEPS[_drawn(draws[rows], 16, len(_STEPS))]
    rows = np.flatnonzero(kind == 3)
    bits = np.uint64(8) * size[rows]
    new[rows] = old[rows] ^ np.uint64(1) << (draws[rows] >> np.uint64(16)) % bits
    mask = _MASKS[size.astype(np.intp)]
    words[at] = (old & ~mask) | (new & mask)


def _drawn(draws: NDArray[np.uint64], shift: int, count: int) -> NDArray[np.intp]:
    """Return a number below ``count`` out of 32 bits of each draw, from the bit ``shift`` on."""
    return ((draws >> np.uint64(shift) & _U32) * np.uint64(count) >> np.uint64(32)).astype(np.intp)


def rows_of(table: Table) -> Iterator[memoryview]:
    """Yield the rows, without the room behind them."""
    width = table.shape[1]
    whole = memoryview(table.tobytes())
    return (whole[at : at + width - _WORD] for at in range(0, len(whole), width))


def put(table: Table, at: int, parts: Sequence[bytes]) -> None:
    """Write one of the parts, which are of one length, into each row at this place."""
    block = np.frombuffer(b"".join(parts), np.uint8).reshape(len(parts), -1)
    table[:, at : at + block.shape[1]] = block


def spoil(rng: np.random.Generator, table: Table, share: float = 1 / 16) -> None:
    """Change a byte of some rows after their hashes were made."""
    rows = np.flatnonzero(rng.random(len(table)) < share)
    at = rng.integers(0, table.shape[1] - _WORD, len(rows))
    table[rows, at] ^= rng.integers(1, 256, len(rows)).astype(np.uint8)


def of_other_length(rng: np.random.Generator, data: list[memoryview], share: float = 1 / 64) -> None:
    """Cut some inputs off, or put bytes behind them."""
    for number in np.flatnonzero(rng.random(len(data)) < share).tolist():
        view = data[number]
        cut = int(rng.integers(0, len(view) + 1))
        data[number] = view[:cut] if rng.random() < 0.5 else memoryview(bytes(view) + rng.bytes(cut % 40))
