"""RegionLink: the thread that moves the messages of a region over a transport."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Final, Self

from tidal.errors import (
    InvalidOption,
    NoSpace,
    TidalError,
    TransportClosed,
    TransportError,
    close_after,
)
from tidal.links import MemberSeen, RegionSeen
from tidal.meters import said
from tidal.regions.region import Region
from tidal.replication.transport import Transport

_POLL_SECONDS: Final = 0.25
_NS: Final = 10**9

_logger = logging.getLogger(__name__)


class RegionLink:
    """Exchanges what a region shares while it is open; use it in a ``with`` block, or close() it.

    A transport that fails is tried again, and so is a disk that is full: regions catch up by themselves. It
    ends by itself when the database or the transport is closed, or the disk fails; ``failure`` then says why.
    InvalidOption for a transport that takes smaller messages than the region sends.
    """

    def __init__(self, region: Region, transport: Transport) -> None:
        if transport.max_payload < region.max_payload:
            raise InvalidOption(
                f"the transport takes messages of {transport.max_payload} bytes; give the region "
                f"max_payload={transport.max_payload}"
            )
        self.failure: Exception | None = None
        self._region, self._transport = region, transport
        self._monotonic = region.db._settings.monotonic
        self._began, self._sent_bytes = self._monotonic(), 0
        self._subscription = transport.subscribe(region.channel)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidal-region", daemon=True)
        self._thread.start()
        region.db._links.attach("region", self.seen)

    def seen(self) -> RegionSeen | None:
        """Return how it goes, for health and metrics; None once it was closed. It does not wait for messages
        that are being taken in or sent.
        """
        if self._ending.is_set():
            return None
        region, failure, now = self._region, self.failure, self._monotonic()
        trouble = str(failure) if failure is None or isinstance(failure, TidalError) else repr(failure)
        return RegionSeen(
            region.region,
            linked_seconds=now - self._began,
            trouble=None if failure is None else trouble,
            members=tuple(
                MemberSeen(
                    number, it.seq, it.lag, None if it.heard_at is None else max(0.0, now - it.heard_at / _NS)
                )
                for number, it in region.members().items()
            ),
            refused=region.refused,
            refusal=region.refusal,
            sent_bytes=self._sent_bytes,
            state_bytes=region.state_bytes,
            state_seconds=region.state_seconds,
        )

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._once()
        except Exception as error:
            if not self._ending.is_set():
                self.failure = error
                about = said("region_ended", region=self._region.region, error_type=type(error).__name__)
                bug = not isinstance(error, TidalError)
                _logger.error(
                    "region %d exchanges nothing more: %s", self._region.region, error,
                    exc_info=bug, extra=about,
                )  # fmt: skip

    def _once(self) -> None:
        if self._subscription.closed:
            raise TransportClosed("the transport was closed")
        try:
            data = self._subscription.receive(_POLL_SECONDS)
            now = int(self._monotonic() * _NS)
            answers = [] if data is None else self._region.on_message(data, now)
            for payload in (*answers, *self._region.step(now)):
                self._transport.send(self._region.channel, payload)
                self._sent_bytes += len(payload)
        except TransportClosed:
            raise
        except (TransportError, NoSpace) as error:
            about = said("region_retry", region=self._region.region, error_type=type(error).__name__)
            _logger.warning("region %d: %s; it is tried again", self._region.region, error, extra=about)
            self._ending.wait(_POLL_SECONDS)

    def close(self) -> None:
        """Exchange nothing more; a second close does nothing."""
        self._ending.set()
        self._subscription.close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_after(error, self.close, "the link")
