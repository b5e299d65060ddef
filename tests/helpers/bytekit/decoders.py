"""Decoders of bytes and of JSON, each said once, for both gates: the slow one and the one in bulk."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from bytekit import mutate
from bytekit.bulk import Arguments, BulkTarget, Places, copies, mutate_table, of_other_length, rows_of
from bytekit.bulk_documents import tokens_changed
from bytekit.targets import Input, Target
from tidal.errors import FormatError

_CHUNK: Final = 4096
_MOST: Final = 3  # fields of an input that are changed
_CAP: Final = 60  # bytes that may be held for each byte of the input, beside what every target may


def as_it_is(body: bytes) -> bytes:
    """Return the whole of what has no hash."""
    return body


class Decoder(NamedTuple):
    """One decoder. ``good``: what an encoder wrote, without what ``seal`` adds: its hash."""

    good: Callable[[random.Random], bytes]
    decode: Callable[[bytes], Any]
    check: Callable[[bytes, Any], bool]  # whether what it returned can be, and comes back the same
    seal: Callable[[bytes], bytes] = as_it_is
    errors: tuple[type[Exception], ...] = (FormatError,)
    json: bool = False  # its inputs are changed by tokens
    changed: float = 0.9  # of the inputs: how many are changed after they were made, in the slow gate
    share: int = 0  # of the inputs in bulk; 0: what takes too long for that

    def target(self) -> Target:
        """Return it as the slow gate has it."""
        return Target(
            self._input, lambda given: self.decode(given.data), self.errors,
            lambda given: _CAP * len(given.data), lambda given, found: self.check(given.data, found),
        )  # fmt: skip

    def bulk_target(self) -> BulkTarget:
        """Return it as the gate in bulk has it."""
        return BulkTarget(
            self._tokens if self.json else self._table, self.decode, self.errors,
            lambda given, found: self.check(given[0], found), self.share, 4, _CHUNK,
        )  # fmt: skip

    def _input(self, rng: random.Random) -> Input:
        body = self.good(rng)
        if rng.random() < 0.1:
            return Input(mutate.some_bytes(rng, self.seal(body)))
        if not self.json:
            return Input(self.seal(mutate.some_bytes(rng, body) if rng.random() < self.changed else body))
        changed = json.loads(body)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            changed = mutate.json_value(rng, changed)
        text = json.dumps(changed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return Input(self.seal(text.encode("utf-8", "surrogatepass")))

    def _table(self, rng: np.random.Generator, rows: int) -> list[Arguments]:
        body = self.good(random.Random(int(rng.integers(0, 1 << 62))))
        table = copies(rng, [body], rows)
        mutate_table(rng, table, _anywhere(len(body)), most=_MOST)
        bodies = list(rows_of(table))
        of_other_length(rng, bodies, 1 / 16)
        made = [(self.seal(bytes(view)),) for view in bodies]
        for number in np.flatnonzero(rng.random(rows) < 1 / 32).tolist():
            (data,) = made[number]
            if data:
                at = int(rng.integers(0, len(data)))
                made[number] = (data[:at] + rng.bytes(1) + data[at + 1 :],)
        return made

    def _tokens(self, rng: np.random.Generator, rows: int) -> list[Arguments]:
        text = self.good(random.Random(int(rng.integers(0, 1 << 62)))).decode()
        return tokens_changed(rng, text, rows, self.seal)


def same(encode: Callable[[Any], bytes]) -> Callable[[bytes, Any], bool]:
    """Return the check of what has one form only."""
    return lambda data, found: encode(found) == data


def _anywhere(size: int) -> Places:
    """Return places of fields of every size, wherever they may lie."""
    sizes = (1, 1, 2, 4, 8)
    return np.array([(at, it) for it in sizes for at in range(size - it + 1)], np.int64)
