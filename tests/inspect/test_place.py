"""What the machine says of a store's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from worn import SCHEMA

import tidal
from tidal.inspect import place
from tidal.inspect.place import Mount, changed_at, look_at_place, mount_of
from tidal.store import StorePaths

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 0:40 / /data rw,noatime shared:1 master:2 - xfs /dev/sdb rw,attr2
32 31 0:41 / /data/with\\040space ro - tmpfs tmpfs rw
33 27 0:42 / /data rw - nfs4 host:/x rw
not a mount
"""


def test_the_innermost_mount_and_of_equal_ones_the_last() -> None:
    assert mount_of(Path("/srv/feed"), MOUNTS) == Mount("/", "ext4", ("rw", "relatime", "discard"))
    assert mount_of(Path("/data/feed"), MOUNTS) == Mount("/data", "nfs4", ("rw",))
    assert mount_of(Path("/data/with space/x"), MOUNTS) == Mount("/data/with space", "tmpfs", ("ro", "rw"))
    assert mount_of(Path("/database"), MOUNTS).type == "ext4"  # type: ignore[union-attr]
    assert mount_of(Path("/x"), "") is None


def test_this_machine(tmp_path: Path) -> None:
    found = look_at_place(StorePaths(tmp_path))
    status = os.statvfs(tmp_path)
    assert found.total_bytes == status.f_blocks * status.f_frsize
    assert found.free_bytes is not None and 0 <= found.free_bytes <= found.total_bytes
    assert found.memory_bytes is not None and found.memory_bytes > 1 << 26
    assert found.mount is not None and tmp_path.is_relative_to(found.mount.point)
    assert [one.path for one in found.access] == [tmp_path]


def test_nothing_is_there(tmp_path: Path) -> None:
    found = look_at_place(StorePaths(tmp_path / "none"))
    assert (found.free_bytes, found.access, found.writer_pid) == (None, (), None)
    assert changed_at(tmp_path / "none") is None


def test_the_writer_is_named_and_its_lock_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store"
    tidal.open(path, schema=SCHEMA).close()
    assert look_at_place(StorePaths(path)).writer_pid is None
    script = "import sys, tidal; db = tidal.open(sys.argv[1]); print(flush=True); input(); db.close()"
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"\n"
        pid = look_at_place(StorePaths(path)).writer_pid
        if pid is None:
            pytest.skip("this machine's /proc/locks does not show the locks of other processes")
        assert pid == writer.pid
        with pytest.raises(tidal.StoreLocked):
            tidal.open(path)
        writer.communicate(b"\n")
    assert writer.returncode == 0
    assert look_at_place(StorePaths(path)).writer_pid is None


def test_a_machine_that_hides_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_MOUNTS", tmp_path / "none")
    monkeypatch.setattr(place, "_LOCKS", tmp_path / "none")
    (tmp_path / "LOCK").write_text("")
    found = look_at_place(StorePaths(tmp_path))
    assert (found.mount, found.writer_pid) == (None, None)
