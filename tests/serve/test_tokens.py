"""Tokens: where they come from, what they are good for, and that nothing shows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidal.errors import InvalidOption
from tidal.serve.tokens import TOKENS_MAX, Scope, Tokens

SECRET = "Qm4TnE7vYc2LrK9sDw6UbHaZ"
LINE = f"dashboard read {SECRET}"


def test_a_file_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(f"# of the shop\n\n{LINE}\nloader read,write {SECRET}2\n")
    tokens = Tokens.from_file(path)
    assert (holder := tokens.holder(SECRET)) and holder == ("dashboard", {Scope.READ})
    assert (holder := tokens.holder(SECRET + "2")) and holder == ("loader", {Scope.READ, Scope.WRITE})
    for unknown in ("", SECRET[:-1], SECRET + " ", SECRET.lower(), "\udcff"):
        assert tokens.holder(unknown) is None
    assert repr(tokens) == "<Tokens of dashboard, loader>"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_may_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tokens"
    path.write_text(LINE)
    path.chmod(mode)
    with pytest.raises(InvalidOption, match="chmod 600"):
        Tokens.from_file(path)


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    real, link, fifo = (tmp_path / name for name in ("real", "link", "fifo"))
    real.touch(0o600)
    link.symlink_to(real)
    with pytest.raises(OSError, match="symbolic links"):
        Tokens.from_file(link)
    os.mkfifo(fifo, 0o600)
    with pytest.raises(InvalidOption, match="regular file"):
        Tokens.from_file(fifo)
    with pytest.raises(FileNotFoundError):
        Tokens.from_file(tmp_path / "none")


BAD = {
    "": "there are 0 tokens",
    "# nothing": "there are 0 tokens",
    SECRET: "line 1: write NAME SCOPES TOKEN",
    f"a read {SECRET} more": "line 1: write NAME SCOPES TOKEN",
    f"a admin {SECRET}": "scopes are read, write, export",
    f"a , {SECRET}": "scopes are read, write, export",
    f"a/b read {SECRET}": "a name is 1 to 64",
    f"a read {SECRET[:23]}": "a token is 24 to 512",
    f"a read {SECRET}ü": "a token is 24 to 512",
    f"a read {'x' * 513}": "a token is 24 to 512",
    f"{LINE}\n{LINE}": "given twice",
}


@pytest.mark.parametrize(("text", "reason"), BAD.items())
def test_bad_tokens_are_refused_and_never_repeated(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(InvalidOption, match=reason) as refused:
        Tokens.from_file(path)
    assert SECRET not in str(refused.value)
    assert str(path) in str(refused.value)


def test_there_are_not_too_many() -> None:
    many = [("a", [Scope.READ], f"{SECRET}{number}") for number in range(TOKENS_MAX + 1)]
    assert Tokens(many[:-1]).holder(f"{SECRET}0")
    with pytest.raises(InvalidOption, match="1,001 tokens"):
        Tokens(many)
    with pytest.raises(InvalidOption, match="no scope"):
        Tokens([("a", [], SECRET)])


def test_every_token_is_compared_also_behind_the_one_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comparing costs must not say which token it was."""
    compared: list[bytes] = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append(a) or a == b)
    tokens = Tokens([("a", [Scope.READ], f"{SECRET}{number}") for number in range(5)])
    assert tokens.holder(f"{SECRET}1")
    assert len(compared) == 5 and all(len(each) == 32 for each in compared)
