"""Where metrics are served."""

from __future__ import annotations

from tidal.errors import InvalidOption
from tidal.loopback import is_loopback_host
from tidal.records import record


@record
class Metrics:
    """Where a database serves its metrics: ``address`` is HOST:PORT, with port 0 for any that is free.

    What is served has no tokens and no encryption. So an address that other machines reach is taken only
    with ``remote=True``, for a network in which everybody may see the metrics, and on the page the names and
    numbers of the best entities. Raises InvalidOption.

    >>> Metrics("127.0.0.1:9464").port
    9464
    """

    address: str
    remote: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.address, str) or not isinstance(self.remote, bool):
            raise InvalidOption(f'metrics: {self!r}; write tidal.Metrics("127.0.0.1:9464")')
        host, colon, port = self.address.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise InvalidOption(
                f'metrics={self.address!r}: write HOST:PORT, as "127.0.0.1:9464", port 0 for any'
            )
        if not self.remote and not is_loopback_host(self.host):
            raise InvalidOption(
                f"metrics={self.address!r} is not only this machine, and metrics have no tokens: where "
                f"everybody there may see them, write tidal.Metrics({self.address!r}, remote=True)"
            )

    @property
    def host(self) -> str:
        """The host, an IPv6 address without its brackets."""
        return self.address.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        """The port; 0: any that is free."""
        return int(self.address.rpartition(":")[2])


def checked_metrics(metrics: object) -> Metrics:
    """Return what ``metrics=`` of open() asks for. InvalidOption."""
    if isinstance(metrics, Metrics):
        return metrics
    if not isinstance(metrics, str):
        raise InvalidOption(
            f'metrics={metrics!r}: write HOST:PORT, as "127.0.0.1:9464", or tidal.Metrics(...)'
        )
    return Metrics(metrics)
