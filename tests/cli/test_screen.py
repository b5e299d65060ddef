"""The screen: what is sent to a terminal, and that it is left as it was."""

from __future__ import annotations

import io
import os
import signal

import pytest

from tidal.cli.screen import ENTER, LEAVE, Screen, in_colour


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def sent(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


def test_only_lines_that_changed_are_sent() -> None:
    terminal = Terminal()
    with Screen(terminal) as screen:
        assert terminal.sent() == ENTER
        screen.draw(["a", "b", "c"])
        assert terminal.sent() == "\x1b[1;1Ha\x1b[K\x1b[2;1Hb\x1b[K\x1b[3;1Hc\x1b[K"
        screen.draw(["a", "x", "c"])
        assert terminal.sent() == "\x1b[2;1Hx\x1b[K"
        screen.draw(["a"])
        assert terminal.sent() == "\x1b[2;1H\x1b[J"
        screen.draw(["a", "b"])
        assert terminal.sent() == "\x1b[2;1Hb\x1b[K"
    assert terminal.sent() == LEAVE


def test_another_size_draws_all_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, size = Terminal(), [os.terminal_size((80, 24))]
    monkeypatch.setattr(Screen, "size", property(lambda self: size[0]))
    with Screen(terminal) as screen:
        screen.draw(["a"])
        size[0] = os.terminal_size((100, 30))
        terminal.sent()
        screen.draw(["a"])
        assert terminal.sent() == "\x1b[H\x1b[J\x1b[1;1Ha\x1b[K"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_screen_and_ends(number: signal.Signals) -> None:
    terminal, before = Terminal(), signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, Screen(terminal):
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert terminal.sent() == ENTER + LEAVE
    assert signal.getsignal(number) == before


def test_an_error_leaves_the_screen_first() -> None:
    terminal = Terminal()
    with pytest.raises(ValueError, match="no"), Screen(terminal):
        raise ValueError("no")
    assert terminal.sent() == ENTER + LEAVE


def test_a_stream_that_is_no_terminal_has_the_usual_size() -> None:
    assert Screen(io.StringIO()).size == (80, 24)


@pytest.mark.parametrize(("terminal", "environment", "colour"), [
    (True, {}, True), (True, {"TERM": "xterm", "NO_COLOR": ""}, True), (True, {"NO_COLOR": "1"}, False),
    (True, {"TERM": "dumb"}, False), (False, {}, False),
])  # fmt: skip
def test_colour_is_for_terminals_that_want_it(
    terminal: bool, environment: dict[str, str], colour: bool
) -> None:
    assert in_colour(Terminal() if terminal else io.StringIO(), environment) is colour
