"""RegionLink: the thread that moves the messages of a region over a transport."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Final, Self

from tidal.errors import StorageError, StoreClosed, TransportError, close_after
from tidal.meters import said
from tidal.regions.region import Region
from tidal.replication.transport import Transport

_POLL_SECONDS: Final = 0.25
_NS: Final = 10**9

_logger = logging.getLogger(__name__)


class RegionLink:
    """Exchanges what a region shares while it is open; use it in a ``with`` block, or close() it.

    A transport that fails is tried again: regions catch up by themselves. It ends by itself when the
    database or the transport is closed; ``failure`` then says why.
    """

    def __init__(self, region: Region, transport: Transport) -> None:
        self.failure: Exception | None = None
        self._region, self._transport = region, transport
        self._monotonic = region.db._settings.monotonic
        self._subscription = transport.subscribe(region.channel)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidal-region", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._ending.is_set() and not self._subscription.closed:
                self._once()
        except (StoreClosed, StorageError) as error:
            self.failure = error
            if not self._ending.is_set():
                about = said("region_ended", region=self._region.region, error_type=type(error).__name__)
                _logger.error("region %d exchanges nothing more: %s", self._region.region, error, extra=about)

    def _once(self) -> None:
        try:
            data = self._subscription.receive(_POLL_SECONDS)
            now = int(self._monotonic() * _NS)
            answers = [] if data is None else self._region.on_message(data, now)
            for payload in (*answers, *self._region.step(now)):
                self._transport.send(self._region.channel, payload)
        except TransportError as error:
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
