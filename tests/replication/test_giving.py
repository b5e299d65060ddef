"""What a leader gives to those that begin, while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from replicakit import Link, events, leader_at

from tidal.replication.feed import LogFeed
from tidal.replication.messages import Offer, Request, Want
from tidal.replication.offer import decode_offer

OFFER = Request("f", Want.OFFER, 0, bytes(32), 0, b"")


@pytest.mark.parametrize("checkpoints", [0, 2])
@pytest.mark.parametrize("when", ["before segments", "before _header", "after segment_of"])
def test_an_offer_of_what_is_archived_meanwhile_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, checkpoints: int
) -> None:
    """The leader's archiver comes between two looks; who begins asks again."""
    with leader_at(tmp_path / "leader", segment_bytes=1 << 12, archive=False) as db:
        before, step = when.startswith("before"), when.split()[1]
        real = getattr(LogFeed, step)

        def go_on(times: int) -> None:
            for _ in range(times):
                events(db, 300, seed=db.last_seq, start=db.last_seq)
                db.checkpoint()
                db.archive()

        def stepped(*given: Any) -> Any:
            monkeypatch.undo()
            if before:
                go_on(3)
                return real(*given)
            found = real(*given)
            go_on(3)
            return found

        events(db, 300)
        go_on(checkpoints)
        answer = Link(db).shipper._shipment.answer
        monkeypatch.setattr(LogFeed, step, stepped)
        assert answer(OFFER, 1 << 20) == []
        (offer,) = answer(OFFER, 1 << 20)
        assert isinstance(offer, Offer)
        assert decode_offer(offer.document).checkpoint_seq == db.last_seq
