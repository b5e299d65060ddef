"""The process that leads: it ships its log, and ingests the bundled rows that the store does not hold yet.

A row is acknowledged once a follower has it durably, too, so that it survives the loss of the leader's
machine. It writes a line for what it leads, and one for each batch; it ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TextIO

from tidal.demo.retail import read_order_lines, retail_schema
from tidal.demo.worker import BATCH_ROWS
from tidal.opening import open as open_db
from tidal.replication import Transport
from tidal.transports.nats import NatsTransport


def lead(
    store: Path, name: str, followers: list[str], transport: Transport, skip_rows: int, out: TextIO
) -> None:
    """Lead, and ingest the rows after the first ``skip_rows``; return once all of them are acknowledged."""

    def say(acknowledged: int) -> None:
        said = {"epoch": db.epoch, "last_seq": db.last_seq, "acknowledged": acknowledged}
        out.write(json.dumps(said) + "\n")
        out.flush()

    with open_db(store, schema=retail_schema(), sync="group", clock="event") as db:
        shipping = db.ship(transport, name=name, followers=followers)
        say(0)
        for lines in read_order_lines(batch_rows=BATCH_ROWS, skip_rows=skip_rows + db.last_seq):
            done = db.ingest(**lines.events())
            say(shipping.wait_for(done.last_seq))
        sys.stdin.read()


def main() -> None:
    store, name, followers, url, skip_rows = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError), NatsTransport(url) as transport:
        lead(Path(store), name, followers.split(","), transport, int(skip_rows), sys.stdout)


if __name__ == "__main__":
    main()
