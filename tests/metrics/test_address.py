"""Where metrics may be served."""

from __future__ import annotations

import pytest

import tidal
from tidal.metrics import checked_metrics


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:0", "127.0.0.1", 0), ("[::1]:9464", "::1", 9464), ("localhost:65535", "localhost", 65535)],
)
def test_an_address_has_a_host_and_a_port(address: str, host: str, port: int) -> None:
    where = checked_metrics(address)
    assert (where.host, where.port, where.remote) == (host, port, False)
    assert checked_metrics(where) is where


@pytest.mark.parametrize(
    "wrong", ["", "127.0.0.1", ":9464", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
              "127.0.0.1:१", "no such host:1", 9464, True, ("127.0.0.1", 0)],
)  # fmt: skip
def test_what_is_no_address_is_refused(wrong: object) -> None:
    with pytest.raises(tidal.InvalidOption):
        checked_metrics(wrong)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"])
def test_what_other_machines_reach_must_be_asked_for(address: str) -> None:
    with pytest.raises(tidal.InvalidOption, match="remote=True"):
        tidal.Metrics(address)
    assert tidal.Metrics(address, remote=True).address == address


def test_remote_is_a_flag() -> None:
    with pytest.raises(tidal.InvalidOption):
        tidal.Metrics("0.0.0.0:0", remote="yes")  # type: ignore[arg-type]
