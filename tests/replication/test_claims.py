"""Leaders that look whether a later epoch was claimed."""

from __future__ import annotations

from tidal.errors import TransportError
from tidal.format.segment import LogIdentity
from tidal.replication.claims import LOOK_NS, LaterClaim, claim_epoch, claim_name
from tidal.transports import InProcessTransport

ME = LogIdentity(bytes(16), 4)


def test_a_later_claim_is_seen_at_the_next_look() -> None:
    transport = InProcessTransport()
    later = LaterClaim(transport, ME)
    claim_epoch(transport, ME, 4, b"me")
    assert later.look(0) is None
    claim_epoch(transport, ME, 5, b"another")
    assert later.look(LOOK_NS - 1) is None
    assert later.look(LOOK_NS) == 5
    assert later.look(0) == 5  # a clock that was set back


class Failing(InProcessTransport):
    """A transport of which some looks fail."""

    def __init__(self) -> None:
        super().__init__()
        self.looks, self.fails = 0, True

    def claimed(self, name: str) -> bytes | None:
        self.looks += 1
        if self.fails:
            raise TransportError("no answer")
        return super().claimed(name)


def test_a_transport_that_does_not_answer_is_asked_ever_more_seldom() -> None:
    transport = Failing()
    transport.claim(claim_name(ME, 5), b"another")
    later = LaterClaim(transport, ME)
    assert [later.look(second * 10**9) for second in range(1000)] == [None] * 1000
    assert 15 <= transport.looks <= 25
    transport.fails = False
    assert later.look(2000 * 10**9) == 5
