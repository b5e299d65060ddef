"""What is only this machine: hosts and addresses that no other machine reaches."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from tidal.errors import InvalidOption

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")  # as a Host header has them


def is_loopback_host(host: str) -> bool:
    """Return whether all addresses of a host are of this machine alone. InvalidOption for no host."""
    try:
        found = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InvalidOption(f"host={host!r} is no address of this machine: {error}") from None
    return all(is_loopback(str(address[0])) for *_, address in found)


def is_loopback(address: str) -> bool:
    """Return whether an address is of this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("10.0.0.1")
    (True, True, False)
    """
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def name_of(host: str) -> str:
    """Return what a Host header names, in lower case and without its port.

    >>> name_of("LocalHost:8420"), name_of("[::1]")
    ('localhost', '[::1]')
    """
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()
