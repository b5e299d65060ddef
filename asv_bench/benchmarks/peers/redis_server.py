"""A Redis server of our own: on a free port of the loopback interface, in memory only."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from typing import Any, Final

from benchmarks.peers import Unavailable, peer, program

_HOST: Final = "127.0.0.1"
_START_SECONDS_MAX: Final = 10.0


class RedisServer:
    """A server that runs until close(). Unavailable where there is no Redis, or where it does not start."""

    def __init__(self) -> None:
        self._redis = peer("redis")
        command = program("redis-server")
        self._folder = tempfile.TemporaryDirectory(prefix="tidal-bench-redis-")
        self._port = _free_port()
        options = {
            "bind": _HOST, "port": str(self._port), "dir": self._folder.name,
            "save": "", "appendonly": "no", "databases": "1",
        }  # fmt: skip
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def client(self) -> Any:
        """Return a new client."""
        return self._redis.Redis(_HOST, self._port)

    def _wait(self) -> None:
        end = time.monotonic() + _START_SECONDS_MAX
        while self._process.poll() is None and time.monotonic() < end:
            try:
                with self.client() as client:
                    client.ping()
                return
            except self._redis.ConnectionError:
                time.sleep(0.01)
        raise Unavailable(f"redis-server does not answer on {_HOST}:{self._port}")

    def close(self) -> None:
        """Stop the server and wait for its end."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
