"""NATS servers on loopback, which tests start, kill and stop."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tidal.demo.cluster.server import find_nats_server

PATIENCE_SECONDS = 30.0
PROGRAM = find_nats_server()

needs_nats = pytest.mark.skipif(
    PROGRAM is None, reason="nats-server is not installed (apt-get install nats-server): NATS IS NOT TESTED"
)

_CONFIG = """
server_name: "{name}"
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{folder}", max_file: 4GB, max_mem: 256MB {sync} }}
{cluster}
"""
_CLUSTER = 'cluster {{ name: test, listen: "127.0.0.1:{port}", routes: [{routes}] }}'


class NatsServer:
    """One nats-server process."""

    def __init__(self, folder: Path, number: int, ports: list[int], routes: list[int]) -> None:
        assert PROGRAM is not None
        self.name, self.port = f"n{number}", ports[number]
        self.url = f"nats://127.0.0.1:{self.port}"
        cluster = ""
        if len(routes) > 1:
            others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
            cluster = _CLUSTER.format(port=routes[number], routes=others)
        self._config, self._log = folder / f"{self.name}.conf", folder / f"{self.name}.log"
        self._config.write_text(
            _CONFIG.format(
                name=self.name,
                port=self.port,
                folder=folder / self.name,
                sync="" if version() < (2, 10) else ", sync_interval: always",
                cluster=cluster,
            )
        )
        self.start()

    def start(self) -> None:
        assert PROGRAM is not None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-c", str(self._config)], stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while b"Server is ready" not in self._log.read_bytes():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < give_up_at, self._log.read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def nats_servers(folder: Path, count: int = 1) -> Iterator[list[NatsServer]]:
    """A block in which one server runs, or a cluster of several."""
    ports, routes = _free_ports(count), _free_ports(count)
    with ExitStack() as stack:
        servers = []
        for number in range(count):
            servers.append(NatsServer(folder, number, ports, routes))
            stack.callback(servers[-1].stop)
        for server in servers:
            server.wait_until_ready()
        yield servers


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def version() -> tuple[int, ...]:
    """Return the first two numbers of the version that is installed."""
    assert PROGRAM is not None
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", said)[:2]))
