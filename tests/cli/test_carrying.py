"""Which transport a command line names."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from tidal.cli.carrying import add_transport_options, has_transport, open_transport
from tidal.errors import InvalidOption, UsageError
from tidal.transports.objects import ObjectTransport


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_transport_options(parser, what="of a test")
    return parser.parse_args(arguments)


def test_a_nats_server_with_all_that_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(
        "tidal.transports.nats.NatsTransport", lambda *args, **named: given.append((args, named))
    )
    open_transport(
        parsed("--nats", "nats://a:1", "--nats", "nats://b:1", "--prefix", "shop", "--replicas", "3")
    )
    open_transport(parsed("--nats", "nats://a:1", "--credentials", "of.creds"))
    assert given == [
        ((["nats://a:1", "nats://b:1"], "shop"), {"replicas": 3, "options": {}}),
        ((["nats://a:1"], "tidal"), {"replicas": 1, "options": {"user_credentials": "of.creds"}}),
    ]


@pytest.mark.parametrize("as_url", [False, True])
def test_a_folder_by_path_or_url(tmp_path: Path, as_url: bool) -> None:
    where = tmp_path.as_uri() if as_url else str(tmp_path)
    with open_transport(parsed("--object", where, "--prefix", "shop")) as transport:
        assert isinstance(transport, ObjectTransport)
        assert transport.claim("epoch/1", b"a") == b"a"
    assert (tmp_path / "shop" / "claims" / "epoch" / "1").read_bytes() == b"a"


def test_exactly_one_is_named() -> None:
    assert not has_transport(parsed())
    assert has_transport(parsed("--nats", "nats://a:1")) and has_transport(parsed("--object", "x"))
    with pytest.raises(UsageError, match="--nats URL or --object"):
        open_transport(parsed())
    with pytest.raises(InvalidOption, match="no object store"):
        open_transport(parsed("--object", "gopher://x"))
