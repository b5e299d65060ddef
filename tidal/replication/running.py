"""A thread around a shipper or a receiver: messages in and out, as long as the transport lasts."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from tidal.errors import NoSpace, ReplicationError, TidalError, TransportClosed, TransportError
from tidal.meters import said
from tidal.replication.transport import Outgoing, Subscription, Transport

POLL_SECONDS: Final = 0.02
_TOGETHER: Final = 256  # messages that are taken in before it is looked what is to be sent
_PAUSE_SECONDS: Final = (0.05, 5.0)  # the first and the longest time to wait for a transport that fails

_LOOK_SECONDS: Final = 0.002

_T = TypeVar("_T")

_logger = logging.getLogger(__name__)


class Core(Protocol):
    """What a thread drives: a WalShipper or a SegmentReceiver."""

    def on_message(self, data: bytes, now: int) -> list[Outgoing]: ...

    def step(self, now: int) -> list[Outgoing]: ...


class Running:
    """Runs a core in a thread of its own until close(), or until the transport closes.

    ``error`` is what ended it before its time. ``lock`` is held while the core works: take it to look at it.
    ``before`` is called before each step.
    """

    def __init__(
        self,
        transport: Transport,
        listen: str,
        core: Core,
        now: Callable[[], int],
        *,
        name: str,
        first: Callable[[int], list[Outgoing]] = lambda now: [],
        before: Callable[[], None] = lambda: None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.error: TidalError | None = None
        self.lock = threading.Lock()
        self.lost = 0  # messages that the transport did not take
        self._transport, self._core, self._now = transport, core, now
        self._first, self._before, self._poll = first, before, poll_seconds
        self._stopping = threading.Event()
        self._subscription: Subscription = transport.subscribe(listen)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop, and return when the thread has ended; what is durable by then has been sent."""
        self._stopping.set()
        self._subscription.close()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        pause, greeted = _PAUSE_SECONDS[0], False
        try:
            while not self._stopping.is_set():
                try:
                    if not greeted:
                        self._send(self._work(self._first))
                        greeted = True
                    self._turn()
                    pause = _PAUSE_SECONDS[0]
                except TransportClosed:
                    return
                except (TransportError, NoSpace) as error:  # what was lost by it is asked for again
                    about = said("replication_retry", error_type=type(error).__name__, seconds=pause)
                    _logger.warning("%s; tried again in %g s", error, pause, extra=about)
                    self._stopping.wait(pause)
                    pause = min(2 * pause, _PAUSE_SECONDS[1])
                if self._subscription.closed:
                    return
            self._before()
            self._send(self._work(self._core.step))
        except TransportError:
            pass  # what was not sent is asked for again
        except Exception as error:  # of the store, or a bug: what it holds is good, but it goes on no more
            self.error = error if isinstance(error, TidalError) else ReplicationError(repr(error))
            about = said("replication_ended", thread=self._thread.name)
            _logger.exception("%s ended", self._thread.name, extra=about)
        finally:
            self._subscription.close()

    def _turn(self) -> None:
        payload = self._subscription.receive(self._poll)
        for _ in range(_TOGETHER):
            if payload is None:
                break
            self._send(self._work(functools.partial(self._core.on_message, payload)))
            payload = self._subscription.receive(0.0)
        self._before()
        self._send(self._work(self._core.step))

    def _work(self, step: Callable[[int], list[Outgoing]]) -> list[Outgoing]:
        with self.lock:
            return step(self._now())

    def _send(self, out: list[Outgoing]) -> None:
        for number, (channel, payload) in enumerate(out):
            try:
                self._transport.send(channel, payload)
            except TransportError:
                self.lost += len(out) - number
                raise


def waited(condition: Callable[[], _T], seconds: float, missing: str, check: Callable[[], None]) -> _T:
    """Return what a condition says once it says something; ReplicationError with what is missing if it does
    not in this time. ``check`` is asked meanwhile, and raises where there is nothing to wait for.
    """
    give_up_at = time.monotonic() + seconds
    while not (found := condition()):
        check()
        if time.monotonic() >= give_up_at:
            raise ReplicationError(f"{missing} within {seconds:g} s")
        time.sleep(_LOOK_SECONDS)
    return found
