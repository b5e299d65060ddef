"""CrdtSignalState: the newest ledger of each node, and reads that sum over the nodes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal.errors import FormatError, FormatTooNew, SchemaError
from tidal.format.snapshot import (
    HEADER_BYTES,
    Codec,
    DamagedSnapshot,
    SectionEntry,
    SnapshotHeader,
    decode_directory,
    decode_header,
    decode_section,
    encode_snapshot,
)
from tidal.ledger import SHARDS_MAX, SignalLedger
from tidal.records import record
from tidal.regions.coding import NODE_MAX
from tidal.regions.summed import SummedReads
from tidal.schema import Schema


class Version(NamedTuple):
    """Which state of a node this is. What a later writer has (a higher epoch) replaces what an earlier one
    had. Two of one place in the log differ by the order of threads alone; then the hash decides.
    """

    epoch: int
    seq: int
    log_hash: bytes
    digest: bytes  # BLAKE3 over the state itself


@record
class SavedLedger:
    """A ledger as LedgerCopy.saved() returns it, and the place in a log that it is of."""

    store_id: bytes
    epoch: int
    seq: int
    log_hash: bytes
    meta: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


class NodeState:
    """What one node's own events came to, up to a place in its log; it does not change."""

    def __init__(self, node: int, saved: SavedLedger, schema: Schema, *, digest: bytes | None = None) -> None:
        self.node, self.store_id, self.schema = node, saved.store_id, schema
        if digest is None:
            digest = _encode(node, saved)[0].directory_digest
        self.version = Version(saved.epoch, saved.seq, saved.log_hash, digest)
        self._saved: SavedLedger | None = saved
        self._ledger: SignalLedger | None = None
        self._lock = threading.Lock()

    @property
    def ledger(self) -> SignalLedger:
        """The state to be read; made when it is first asked for, in the place of what it is made from."""
        with self._lock:
            if self._ledger is None:
                assert self._saved is not None
                self._ledger = SignalLedger(self.schema, shards=_shards_of(self._saved.meta))
                self._ledger.load(self._saved.meta, self._saved.arrays)
                self._saved = None
            return self._ledger

    def encode(self) -> bytes:
        """Return the bytes of the state, a checkpoint file with a ledger alone; equal states have equal
        bytes.
        """
        with self._lock:
            saved = self._saved
            if saved is None:
                assert self._ledger is not None
                (copy := self._ledger.copy()).take()
                saved = SavedLedger(self.store_id, *self.version[:3], *copy.saved())
        return b"".join(_encode(self.node, saved)[1])

    @classmethod
    def decode(cls, data: bytes, schema: Schema) -> NodeState:
        """Return what encode() wrote, of a node with the same schema. FormatError for anything else, and
        FormatTooNew.
        """
        try:
            head = _decode_head(data)
            state = cls(head.node, head.saved(data), schema, digest=head.version.digest)
            state.ledger.newest()  # nothing is taken that cannot be loaded
            same = state.encode() == data  # so whoever gets it from here gets the same
        except (FormatError, FormatTooNew):
            raise
        except (DamagedSnapshot, ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            raise FormatError(f"not the state of a node with this schema: {error}") from error
        if not same:
            raise FormatError(f"the state of node {state.node} is not how it is written")
        return state


class CrdtSignalState:
    """The newest state of each node; its reads sum over them. Safe to share by threads.

    To merge is to keep the newer state of each node, whole: never to add two, which would count twice what
    both have. So it is commutative, associative and idempotent.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._nodes: dict[int, NodeState] = {}
        self._lock = threading.Lock()

    def offer(self, state: NodeState) -> bool:
        """Keep the state if it is the newest of its node; return whether it is."""
        with self._lock:
            mine = self._nodes.get(state.node)
            if mine is not None and mine.version >= state.version:
                return False
            self._nodes[state.node] = state
            return True

    def merge(self, other: CrdtSignalState) -> None:
        """Keep the newer state of each node. SchemaError for states of another schema."""
        if other.schema != self.schema:
            raise SchemaError("only states of one schema merge; rebuild one of the stores from its log")
        for state in other.nodes.values():
            self.offer(state)

    @property
    def nodes(self) -> Mapping[int, NodeState]:
        """The states by node, in the order of the nodes."""
        with self._lock:
            return dict(sorted(self._nodes.items()))

    def versions(self) -> dict[int, Version]:
        """Return which state of each node is here."""
        return {node: state.version for node, state in self.nodes.items()}

    def reads(self, *, instead: Mapping[int, SignalLedger] | None = None) -> SummedReads:
        """Return the reads over all nodes as they are now. ``instead``: ledgers in the place of states, such
        as the live one of this node.
        """
        ledgers = dict(instead or {})
        ledgers |= {node: state.ledger for node, state in self.nodes.items() if node not in ledgers}
        return SummedReads(self.schema, [ledgers[node] for node in sorted(ledgers)])

    def encode(self) -> bytes:
        """Return the bytes of all states; equal states have equal bytes."""
        parts = [state.encode() for state in self.nodes.values()]
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _encode(node: int, saved: SavedLedger) -> tuple[SnapshotHeader, list[bytes | memoryview]]:
    return encode_snapshot(
        seq=saved.seq,
        store_id=saved.store_id,
        epoch=saved.epoch,
        log_hash=saved.log_hash,
        meta={"ledger": saved.meta, "node": node},
        sections=saved.arrays,
    )


class Head(NamedTuple):
    """Whose state some bytes are, and which, before the long part is looked at."""

    node: int
    store_id: bytes
    version: Version
    meta: Mapping[str, Any]
    entries: tuple[SectionEntry, ...]

    def saved(self, data: bytes) -> SavedLedger:
        """Return the whole of it, from the same bytes."""
        arrays: dict[str, NDArray[Any]] = {}
        for entry in self.entries:
            if entry.codec is not Codec.RAW:  # of which a few bytes may become many
                raise FormatError(f"section {entry.name!r} is compressed")
            section = decode_section(entry, data[entry.offset : entry.offset + entry.padded_bytes])
            if not isinstance(section, np.ndarray):
                raise FormatError(f"section {entry.name!r} is no plain array")
            arrays[entry.name] = section
        return SavedLedger(self.store_id, *self.version[:3], self.meta["ledger"], arrays)


def _decode_head(data: bytes) -> Head:
    header = decode_header(data[:HEADER_BYTES], len(data))
    entries, meta = decode_directory(header, data[HEADER_BYTES : header.sections_offset])
    node = meta["node"]
    if type(node) is not int or not 0 <= node <= NODE_MAX:
        raise FormatError(f"the state of node {node!r}")
    version = Version(header.epoch, header.seq, header.log_hash, header.directory_digest)
    return Head(node, header.store_id, version, meta, entries)


def head_of(data: bytes) -> Head:
    """Return whose state some bytes are, and which; the long part is unchecked. FormatError, FormatTooNew."""
    try:
        return _decode_head(data)
    except (DamagedSnapshot, KeyError, ValueError) as error:
        raise FormatError(f"not the state of a node: {error}") from error


def _shards_of(meta: Mapping[str, Any]) -> int:
    counts = list(meta["shards"].values())
    if any(type(count) is not int or not 1 <= count <= SHARDS_MAX for count in counts):
        raise FormatError(f"states of {counts} shards; there are 1 to {SHARDS_MAX}")
    return max(counts, default=1)
