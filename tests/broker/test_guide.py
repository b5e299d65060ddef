"""The guide's example, with a server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from natskit import nats_servers, needs_nats

pytestmark = needs_nats

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "broker.md"


def test_the_blocks_of_the_guide_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    with nats_servers(tmp_path) as [server]:
        code = "".join(blocks).replace("nats://127.0.0.1:4222", server.url)
        assert server.url in code
        exec(compile(code, str(GUIDE), "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert sorted(said[1::2]) == ["0 0", "2 1"]
