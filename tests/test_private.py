"""Files with secrets: read only where no other user can."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tidal.errors import InvalidOption
from tidal.private import read_private


def file_with(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_private_file_is_read(tmp_path: Path) -> None:
    assert read_private(file_with(tmp_path, "tökens".encode()), "tokens", bytes_max=7) == "tökens"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o601])
def test_a_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(InvalidOption, match="chmod 600"):
        read_private(file_with(tmp_path, b"secret", mode), "tokens", bytes_max=99)


def test_an_error_repeats_nothing_of_it(tmp_path: Path) -> None:
    for data, text in ((b"secret" * 9, "at most 20 bytes"), (b"secret\xff", "not UTF-8")):
        with pytest.raises(InvalidOption, match=text) as raised:
            read_private(file_with(tmp_path, data), "tokens", bytes_max=20)
        assert "secret" not in str(raised.value).replace(str(tmp_path / "secret"), "")


def test_links_pipes_and_folders_are_no_files(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(file_with(tmp_path, b"secret"))
    os.mkfifo(pipe, 0o600)
    with pytest.raises(OSError, match="link"):
        read_private(link, "tokens", bytes_max=99)
    for path in (pipe, tmp_path):
        with pytest.raises(InvalidOption, match="regular file"):
            read_private(path, "tokens", bytes_max=99)
