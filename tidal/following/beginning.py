"""A new follower's folder: made of what its leader gives, and named when it is whole."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from tidal.checkpoint.reader import list_checkpoints, verify_checkpoint
from tidal.db import Settings
from tidal.durable import TEMPORARY_SUFFIX, File, FileSystem
from tidal.errors import FormatError, FormatTooNew, StorageError, TransportError
from tidal.following.remembered import Remembered
from tidal.format.manifest import Manifest
from tidal.format.segment import STORE_ID_BYTES
from tidal.format.snapshot import checkpoint_name
from tidal.opening.options import Wiring
from tidal.replication.giving import SPACES
from tidal.replication.messages import (
    Envelope,
    Message,
    Offer,
    Piece,
    Records,
    Request,
    Want,
    decode_message,
    encode_message,
)
from tidal.replication.offer import Beginning, decode_offer
from tidal.replication.transport import Channels, Transport
from tidal.storage.sqlite import SIDE_FILES
from tidal.store import StorePaths, name_store, prepare_store
from tidal.wal import write_manifest

BEGINNING: Final = ".beginning"  # after the name of a folder that is not whole

_ASK_SECONDS: Final = 0.5  # until a request is made again

_T = TypeVar("_T", bound=Message)
_R = TypeVar("_R")


def begin(
    paths: StorePaths,
    wiring: Wiring,
    transport: Transport,
    name: str,
    place: tuple[int, int],
    settings: Settings,
    wait_seconds: float,
) -> None:
    """Make the folder of a new follower. TransportError if the leader is silent for ``wait_seconds``.

    What an interrupted beginning left is begun anew.
    """
    making = StorePaths(paths.base.with_name(paths.base.name + BEGINNING))
    with contextlib.closing(_Asking(transport, name, place, settings, wait_seconds)) as asking:
        while True:
            offer = asking.offer()
            with contextlib.suppress(_Gone):
                _make(making, wiring, asking, offer)
                break
    wiring.fs.rename(making.base, paths.base)
    wiring.fs.sync_dir(paths.base.parent)


class _Gone(Exception):
    """The leader has a newer checkpoint meanwhile, and not the one that was asked for."""


def _make(making: StorePaths, wiring: Wiring, asking: _Asking, offer: Beginning) -> None:
    fs = wiring.fs
    fs.make_dir(making.base)
    lock = fs.lock(making.lock)
    try:
        prepare_store(fs, making, offer.parsed_schema())
        _clear(fs, making)
        engine = wiring.engine(fs, making.entities, create=True)
        try:
            for rows in asking.records():
                with engine.batch() as batch:
                    for number, key, value in rows:
                        batch.put(SPACES[number], key, value)
            engine.flush()
        finally:
            engine.close()
        if offer.checkpoint_seq:
            _fetch_checkpoint(making, wiring, asking, offer)
        start = Manifest(
            offer.store_id, offer.start_epoch, clean=False, start_seq=offer.start_seq,
            start_hash=offer.start_hash, region=offer.region, shard=offer.shard,
        )  # fmt: skip
        write_manifest(fs, making.wal, start)
        Remembered(fs, making, offer.store_id, asking.name).raise_epoch(offer.epoch)
        name_store(fs, making, offer.store_id, offer.region, offer.shard)
    finally:
        lock.release()


def _clear(fs: FileSystem, making: StorePaths) -> None:
    """Remove what an interrupted beginning left: its leader may have removed records since, or be another."""
    entities = [making.entities.with_name(making.entities.name + end) for end in ("", *SIDE_FILES)]
    checkpoints = [path for _, path in list_checkpoints(fs, making.checkpoints)]
    for path in (making.identity, making.following, *entities, *checkpoints):
        if fs.exists(path):
            fs.remove(path)


def _fetch_checkpoint(making: StorePaths, wiring: Wiring, asking: _Asking, offer: Beginning) -> None:
    fs, path = wiring.fs, making.checkpoints / checkpoint_name(offer.checkpoint_seq)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    with contextlib.suppress(StorageError):
        fs.remove(temporary)
    file = fs.create(temporary)
    try:
        asking.fetch(offer, file)
        file.sync()
    finally:
        file.close()
    verify_checkpoint(fs, temporary, from_device=True)
    fs.rename(temporary, path)
    fs.sync_dir(path.parent)


def _page(after: bytes, page: Records) -> Records | None:
    return page if page.after == after else None


class _Asking:
    """Asks a leader, again and again until it answers."""

    def __init__(
        self,
        transport: Transport,
        name: str,
        place: tuple[int, int],
        settings: Settings,
        wait_seconds: float,
    ) -> None:
        self._transport, self.name = transport, name
        self._region, self._shard = place
        self._channels = Channels(*place)
        self._settings, self._wait_seconds = settings, wait_seconds
        self._subscription = transport.subscribe(self._channels.log)

    def close(self) -> None:
        self._subscription.close()

    def offer(self) -> Beginning:
        def fits(message: Offer) -> Beginning | None:
            found = decode_offer(message.document)
            return found if (found.region, found.shard) == (self._region, self._shard) else None

        return self._ask(Offer, fits, Want.OFFER)

    def records(self) -> Iterator[tuple[tuple[int, bytes, bytes], ...]]:
        """Yield the leader's records of entities, in pages."""
        after, done = b"", False
        while not done:
            page = self._ask(Records, functools.partial(_page, after), Want.RECORDS, key=after)
            if any(number >= len(SPACES) for number, _, _ in page.rows):
                raise FormatTooNew("records of a kind that this tidal does not know; upgrade it")
            yield page.rows
            if page.rows:
                number, key, _ = page.rows[-1]
                after = bytes([number]) + key
            done = page.done

    def fetch(self, offer: Beginning, file: File) -> None:
        """Append the bytes of the checkpoint to a file; _Gone if the leader has it no more."""
        seq, total, offset = offer.checkpoint_seq, offer.checkpoint_bytes, 0

        def fits(piece: Piece) -> Piece | None:
            if piece.seq != seq:
                return None
            if piece.total != total:
                raise _Gone
            return piece if piece.offset == offset else None

        while offset < total:
            piece = self._ask(Piece, fits, Want.PIECE, seq=seq, number=offset)
            file.append([piece.data])
            offset += len(piece.data)

    def _ask(
        self, kind: type[_T], fits: Callable[[_T], _R | None], want: Want, *, seq: int = 0, number: int = 0,
        key: bytes = b"",
    ) -> _R:  # fmt: skip
        monotonic = self._settings.monotonic
        request = Request(self.name, want, seq, bytes(32), number, key)
        # What is under way already answers this one too: pieces come several at a time.
        asked_at, give_up_at = None, monotonic() + self._wait_seconds
        while (now := monotonic()) < give_up_at:
            wait = 0.0 if asked_at is None else _ASK_SECONDS / 10
            if (payload := self._subscription.receive(wait)) is None:
                if asked_at is None or now - asked_at >= _ASK_SECONDS:
                    asked_at = now
                    self._send(request)
            elif (found := self._answer(payload, kind, fits)) is not None:
                return found
        raise TransportError(
            f"no leader of region {self._region}, shard {self._shard} answered within "
            f"{self._wait_seconds:g} s; is it shipping, by db.ship(), over this transport?"
        )

    def _send(self, request: Request) -> None:
        sent_at = self._settings.wall_clock()
        envelope = Envelope(bytes(STORE_ID_BYTES), self._region, self._shard, 0, sent_at)
        with contextlib.suppress(TransportError):  # it is made again
            self._transport.send(self._channels.marks, encode_message(envelope, request))

    def _answer(self, payload: bytes, kind: type[_T], fits: Callable[[_T], _R | None]) -> _R | None:
        try:
            _, message = decode_message(payload)
            return fits(message) if isinstance(message, kind) else None
        except FormatError:
            return None  # as if it had not come
