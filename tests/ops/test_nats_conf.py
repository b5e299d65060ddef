"""docs/ops/nats.conf is a configuration that a nats-server takes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from natskit import PROGRAM, needs_nats, version
from promtools import OPS


@needs_nats
def test_a_server_takes_it(tmp_path: Path) -> None:
    text = (OPS / "nats.conf").read_text(encoding="utf-8").replace("/var/lib/nats/n1", str(tmp_path))
    assert str(tmp_path) in text
    if version() < (2, 10):  # which knows no sync_interval, as the file says
        text, removed = re.subn(r"^ *sync_interval: always\b.*$", "", text, flags=re.M)
        assert removed == 1
    config = tmp_path / "nats.conf"
    config.write_text(text, encoding="utf-8")
    checked = subprocess.run(
        [str(PROGRAM), "-t", "-c", str(config)], capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stderr
