"""The processes of the nodes: what they say line by line, and their end."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import tidal
from tidal.errors import TidalError

STOP_SECONDS: Final = 20.0


class Line(NamedTuple):
    """What a node said; None: it has ended."""

    node: str
    said: dict[str, Any] | None


def environment() -> dict[str, str]:
    """Return an environment in which a child finds the same tidal, installed or not."""
    root = str(Path(tidal.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}


class NodeProcess:
    """A program that writes JSON lines, which go to a queue. Its errors go to a file.

    It is in a session of its own, so that Ctrl-C reaches it by way of who started it alone.
    """

    def __init__(
        self, node: str, command: Sequence[str], errors: Path, lines: queue.SimpleQueue[Line]
    ) -> None:
        self._node, self._errors, self._lines = node, errors, lines
        with errors.open("ab") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                start_new_session=True,
                env=environment(),
            )
        self._reader = threading.Thread(target=self._read, name=f"tidal-demo-{node}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # the last line of one that was killed may be cut
                self._lines.put(Line(self._node, json.loads(line)))
        self._lines.put(Line(self._node, None))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, which no process can catch; all that it had said is in the queue then."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """SIGTERM; return once it has ended. Errors as wait()."""
        self._process.terminate()
        self.wait()

    def finish(self) -> None:
        """End the standard input of one that waits for that; return once it has ended. Errors as wait()."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self.wait()

    def wait(self) -> None:
        """Return once it has ended; TidalError if that takes too long, or ends with an error."""
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TidalError(f"node {self._node} did not end within {STOP_SECONDS:g} s") from None
        self._end()
        if code != 0:
            raise TidalError(f"node {self._node} ended with exit code {code}: {self.errors}")

    @property
    def errors(self) -> str:
        """The end of what it wrote to standard error."""
        return self._errors.read_text(errors="replace").strip()[-500:]

    def close(self) -> None:
        """End it whatever it does. A second close does nothing."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
