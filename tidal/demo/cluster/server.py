"""A nats-server with JetStream on loopback, for as long as it is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final, Self

from tidal.errors import TransportError

START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 5.0

_PLACES = "/usr/sbin:/usr/local/sbin:/usr/local/bin"  # where it may be, and not on everybody's PATH
_CONFIG = """
listen: "127.0.0.1:-1"
ports_file_dir: "{folder}"
jetstream {{ store_dir: "{folder}/jetstream", max_file: 2GB, max_mem: 64MB }}
"""


def find_nats_server() -> str | None:
    """Return the path of the program, or None where it is not installed."""
    return shutil.which("nats-server") or shutil.which("nats-server", path=_PLACES)


class NatsServer:
    """One nats-server process at a port that was free; all that it stores is in ``folder``.

    TransportError if it is not installed, or does not start.
    """

    def __init__(self, folder: Path) -> None:
        program = find_nats_server()
        if program is None:
            raise TransportError(
                "nats-server is not installed: apt-get install nats-server, brew install nats-server, or one "
                "file from https://github.com/nats-io/nats-server/releases on your PATH"
            )
        self._folder, self._log = folder, folder / "nats-server.log"
        config = folder / "nats-server.conf"
        config.write_text(_CONFIG.format(folder=folder))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for who started it, who ends it
            )
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def _wait_until_ready(self) -> str:
        """Return where it listens, once it does."""
        ports = self._folder / f"nats-server_{self.pid}.ports"
        give_up_at = time.monotonic() + START_SECONDS
        while b"Server is ready" not in self._log.read_bytes() or not ports.exists():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise TransportError(f"nats-server does not start: {self._log.read_text().strip()[-500:]}")
            time.sleep(0.02)
        return str(json.loads(ports.read_text())["nats"][0])

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
