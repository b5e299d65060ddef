"""`tidal watch`: a store and a service, as lines and on a terminal, to the end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Answer

import tidal
from tidal.cli.screen import ENTER, LEAVE
from tidal.cli.watch import TOKEN_VARIABLE
from tidal.page import SNAPSHOT_FORMAT

PATIENCE = 60.0
ONCE = ("--once", "--interval", "0.1")


def test_a_store_once(shop: Path, tidal_command: Callable[..., Answer]) -> None:
    answer = tidal_command("watch", shop, *ONCE)
    assert answer.code == 0 and answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0].startswith("shop  healthy ") and len(lines[0]) == 80
    assert lines[1].startswith("events     0/s")
    assert any(line.startswith("purchase by score ") for line in lines)
    assert any(line.startswith("purchase by velocity.1h ") for line in lines)
    assert "\x1b" not in answer.out
    top = tidal_command("top", "purchase", "--db", shop, "--format", "json").json["entities"][0]
    assert re.search(rf"^ 1  {re.escape(top['key'])} ", answer.out, re.M)


def test_it_is_read_beside_its_writer_and_as_json(shop: Path, tidal_command: Callable[..., Answer]) -> None:
    with tidal.open(shop) as db:
        before = db.last_seq
        db.ingest(signal="purchase", entity_id=["new"] * 500)
        db.flush()
        found = tidal_command("watch", shop, *ONCE, "--by", "count.all", "--format", "json").json
    assert found["format"] == SNAPSHOT_FORMAT and found["read_only"]
    assert found["log"]["last_seq"] == before + 500
    [top] = found["tops"]
    assert (top["by"], top["rows"][0]["key"], top["rows"][0]["value"]) == ("count.all", "new", 500)


def test_a_metrics_port_once(tidal_command: Callable[..., Answer]) -> None:
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    schema = tidal.SchemaBuilder().signal("view", half_life="7d").signal("like", half_life="1d").build()
    with tidal.open(schema=schema, metrics="127.0.0.1:0") as db:
        db.signal("like", "lamp")
        url = f"http://{db.metrics_address}"
        answer = tidal_command("watch", url, "--signal", "like", *ONCE)
        assert answer.code == 0 and "in memory  healthy" in answer.out
        assert re.search(r"^ 1  lamp +1$|^ 1  lamp +0\.9", answer.out, re.M)
        wrong = tidal_command("watch", url, "--signal", "lik", *ONCE)
        assert (wrong.code, "did you mean 'like'" in wrong.err) == (2, True), wrong.err
    gone = tidal_command("watch", url, *ONCE)
    assert gone.code == 1 and "does not answer" in gone.err


def test_a_service_with_a_token(
    shop: Path, tidal_command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from servicekit import serving

    from tidal.serve import Tokens, create_app

    secret = "s" * 32
    with tidal.open(shop) as db, serving(create_app(db, tokens=Tokens.parse(f"me read {secret}"))) as service:
        refused = tidal_command("watch", service.url, *ONCE)
        assert refused.code == 2 and TOKEN_VARIABLE in refused.err
        monkeypatch.setenv(TOKEN_VARIABLE, secret)
        assert tidal_command("watch", service.url, *ONCE).code == 0
        monkeypatch.delenv(TOKEN_VARIABLE)
        file = tmp_path / "token"
        file.write_text(secret)
        file.chmod(0o600)
        assert "shop  healthy" in tidal_command("watch", service.url, "--token", file, *ONCE).out


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["nowhere"], 3, "no store"), ([".", "--interval", "0"], 2, "--interval"), (["http://"], 2, "HOST:PORT"),
    ([".", "--interval", "nan"], 2, "--interval"),
])  # fmt: skip
def test_what_cannot_be_watched(
    arguments: list[str], code: int, text: str, tidal_command: Callable[..., Answer]
) -> None:
    answer = tidal_command("watch", *arguments)
    assert answer.code == code
    assert text in answer.err.replace("is not a store", "no store") and answer.err.count("\n") == 1


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, fd: int, pid: int) -> None:
        self.fd, self.pid, self.text = fd, pid, ""

    def until(self, text: str) -> None:
        """Read until this was shown."""
        end = time.monotonic() + PATIENCE
        while text not in self.text:
            assert time.monotonic() < end, f"{text!r} does not come; there is {self.text!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                self.text += os.read(self.fd, 65_536).decode()

    def ended(self) -> int:
        """Read to the end, and return the exit code."""
        try:
            while data := os.read(self.fd, 65_536):
                self.text += data.decode()
        except OSError:
            pass  # so Linux says that the other side is closed
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def on_terminal(
    *arguments: object, size: tuple[int, int] = (24, 80), **environment: str
) -> Iterator[Terminal]:
    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    command = [sys.executable, "-m", "tidal.cli", "watch", *map(str, arguments)]
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", TOKEN_VARIABLE)}
    pid = os.posix_spawn(
        sys.executable,
        command,
        {**kept, "TERM": "xterm", "PYTHONUTF8": "1", **environment},
        file_actions=[(os.POSIX_SPAWN_DUP2, follower, stream) for stream in range(3)],
        setsigdef=[signal.SIGINT],  # a shell has its background jobs ignore it, and all that they start
    )
    os.close(follower)
    terminal = Terminal(leader, pid)
    try:
        yield terminal
    finally:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # it has ended
        os.close(leader)


def test_a_terminal_shows_what_changes_and_is_given_back(shop: Path) -> None:
    with tidal.open(shop) as db, on_terminal(shop, "--interval", "0.1") as terminal:
        terminal.until("purchase by score")
        assert terminal.text.startswith(ENTER) and "\x1b[1mshop\x1b[0m" in terminal.text
        terminal.text = ""
        db.ingest(signal="purchase", entity_id=["riser"] * 5_000)
        db.flush()
        terminal.until("riser")
        assert "purchase by score" not in terminal.text, "a line that did not change was sent again"
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.ended() == 0, terminal.text
        assert terminal.text.endswith(LEAVE)


def test_it_says_since_when_a_service_is_gone_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    schema = tidal.SchemaBuilder().signal("view").build()
    with tidal.open(tmp_path / "shop", schema=schema, metrics="127.0.0.1:0") as db:
        address = db.metrics_address
        assert address is not None
        with on_terminal(f"http://{address}", "--interval", "0.1", NO_COLOR="1") as terminal:
            terminal.until("view by score")
            assert "\x1b[1m" not in terminal.text and "\x1b[2m" not in terminal.text
            db.close()
            terminal.until("not reachable since ")
            with tidal.open(tmp_path / "shop", metrics=address) as again:
                again.signal("view", "back again")
                terminal.until("back again")
            os.kill(terminal.pid, signal.SIGTERM)
            assert terminal.ended() == 128 + signal.SIGTERM
            assert LEAVE in terminal.text


def test_small_terminals_are_not_overrun(shop: Path) -> None:
    with on_terminal(shop, "--interval", "0.1", size=(10, 40)) as terminal:
        terminal.until("purchase by")
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.ended() == 0
    rows = [int(row) for row in re.findall(r"\x1b\[(\d+);1H", terminal.text)]
    assert max(rows) <= 10


def test_lines_go_on_until_the_reader_has_enough(shop: Path) -> None:
    """As `tidal watch shop --format json | head -2` does."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "tidal.cli", "watch", str(shop), "--interval", "0.1", "--format", "json"]
    pid = os.posix_spawn(
        sys.executable, command, dict(os.environ), file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)]
    )
    os.close(write)
    with os.fdopen(read) as lines:
        found = [json.loads(next(lines)) for _ in range(2)]
    assert found[1]["uptime_seconds"] > found[0]["uptime_seconds"]
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
