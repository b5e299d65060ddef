"""What the log says: fields that are documented, and nothing of what is in the store."""

from __future__ import annotations

import ast
import errno
import functools
import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faultkit.hooked import Call, HookedFs
from promtools import OPS
from scraping import ask
from starlette.testclient import TestClient

import tidal
from tidal.meters import SLOW_SECONDS
from tidal.serve import Tokens, create_app
from tidal.serve.logs import JsonFormatter

PACKAGE = Path(tidal.__file__).parent
PAGE = (OPS / "logging.md").read_text(encoding="utf-8")
METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
SECRET = "sEnTiNeL"
TOKEN = f"{SECRET}-{'x' * 24}"
NUMBER = 1234567890123456789


@functools.cache
def nodes() -> list[tuple[Path, ast.Call]]:
    """Each call in a module of the package that logs something."""
    texts = ((path, path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py")))
    trees = [(path, ast.parse(text)) for path, text in texts if "_logger" in text or "said(" in text]
    return [(path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Each call of a logger in the package."""
    for path, node in nodes():
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            of = node.func.value
            if isinstance(of, ast.Name) and of.id == "_logger":
                yield path, node


def events() -> set[str]:
    """Each event that is named in the package: the first argument of said()."""
    return {
        str(node.args[0].value)
        for _, node in nodes()
        if isinstance(node.func, ast.Name)
        and node.func.id == "said"
        and isinstance(node.args[0], ast.Constant)
    }


def test_every_record_has_its_fields() -> None:
    found = list(calls())
    assert len(found) > 15
    bare = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path, call in found
        if not any(keyword.arg == "extra" for keyword in call.keywords)
    ]
    assert bare == []


def test_every_event_is_documented() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", PAGE.split("\n## What is slow\n")[0], re.M)
    assert sorted(events()) == sorted(documented)


def test_every_slow_operation_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) s \|", PAGE, re.M)
    assert {name: float(seconds) for name, seconds in rows} == SLOW_SECONDS


# In a process of its own: `tidal serve` is a program, sets a handler, and other tests run it in theirs.
_HANDLERS = """
import logging, tidal
tidal.open(schema=tidal.SchemaBuilder().signal("view", half_life="1d").build()).close()
named = [name for name in logging.root.manager.loggerDict if name.startswith("tidal.")]
print(len(named), sum(len(logging.getLogger(name).handlers) for name in ("tidal", *named)))
"""


def test_loggers_are_below_tidal_and_no_handler_is_set() -> None:
    told = subprocess.run([sys.executable, "-c", _HANDLERS], capture_output=True, text=True, check=True)
    named, handlers = map(int, told.stdout.split())
    assert named > 0 and handlers == 0
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "logging.basicConfig" not in text
        for logger in re.findall(r"logging\.getLogger\(([^)]*)\)", text):
            assert logger in ("__name__", '"tidal.serve"', "name"), f"{path}: {logger}"


def text_of(record: logging.LogRecord) -> str:
    """All of a record: as a plain handler writes it, its fields, and as the service writes it."""
    plain = logging.Formatter("%(message)s").format(record)
    return " ".join(
        (plain, repr(record.args), repr(getattr(record, "tidal", {})), JsonFormatter().format(record))
    )


def test_nothing_of_what_is_in_a_store_is_ever_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A life of a store, with all that goes wrong in it, at the most talkative level."""
    caplog.set_level(logging.DEBUG)
    live_a_life(tmp_path)
    ours = [record for record in caplog.records if record.name.startswith("tidal")]
    assert {getattr(record, "tidal")["event"] for record in ours} >= {  # noqa: B009
        "done", "slow", "poisoned", "health", "job_failed", "request", "request_refused", "torn",
    }  # fmt: skip
    for record in caplog.records:
        if record.name.startswith("httpx"):  # the client's
            continue
        text = text_of(record)
        assert SECRET not in text and str(NUMBER) not in text and "0.123456" not in text, text


def live_a_life(folder: Path) -> None:
    schema = (
        tidal.SchemaBuilder()
        .signal("view", half_life="7d")
        .signal("like", half_life="1d", signed=True)
        .build()
    )
    fails: dict[str, int] = {}

    def hook(call: Call) -> Any:
        for what, code in fails.items():
            if what in f"{call.op} {call.path.name}":
                kind = tidal.NoSpace if code == errno.ENOSPC else tidal.StorageError
                raise kind(code, "injected", str(call.path))
        return call.run()

    fs: Any = HookedFs(hook)
    path = folder / "store"
    given: dict[str, Any] = {"file_system": fs, "dedup": "event_id", "metrics": "127.0.0.1:0"}
    db = tidal.open(path, schema=schema, checkpoint_bytes=1 << 20, **given)
    db._meters._slow_seconds["ingest"] = 0.0
    event: dict[str, Any] = {"user_id": SECRET, "event_id": SECRET}
    db.signal("view", SECRET, 0.123456, **event)
    db.signal("view", SECRET, 0.123456, **event)  # a duplicate
    db.ingest(signal="view", entity_id=[SECRET, f"{SECRET}-2"], weight=[0.123456, 1])
    db.ingest(signal="view", entity_id=[NUMBER], weight=[-0.123456], on_error="skip")
    refused(lambda: db.signal("view", SECRET, -0.123456))
    refused(lambda: db.signal(SECRET, 1))
    refused(lambda: db.top(SECRET))
    db.items.put(SECRET, {"title": SECRET})
    with db.session(user_id=SECRET, agent="agent") as session:
        session.annotate(SECRET, SECRET)
    db.jobs.register("mine", lambda db, request: broken_table(), filters=())
    db.jobs.wait(db.jobs.create("mine").id)
    serve(db)
    for route in ("/metrics", "/healthz", f"/{SECRET}", f"/?{SECRET}"):
        ask(db.metrics_address, route, Authorization=f"Bearer {TOKEN}")
    tear(path, folder / "torn")
    tidal.open(folder / "torn").close()
    fails[".ckpt"] = errno.EIO
    refused(db.checkpoint)
    fails.clear()
    db.archive()
    fails["append wal"] = errno.ENOSPC
    refused(lambda: db.signal("view", SECRET))
    serve(db)
    db.health()
    fails.clear()
    fails["sync wal"] = errno.EIO
    refused(lambda: db.signal("view", SECRET))
    db.health()
    refused(lambda: db.signal("view", SECRET))
    refused(db.close)
    fails.clear()


def tear(store: Path, copy: Path) -> None:
    """Copy a store as a crash leaves it in the midst of a write."""
    shutil.copytree(store, copy)
    with sorted((copy / "wal").glob("*.seg"))[-1].open("ab") as segment:
        segment.write(SECRET.encode() * 10)


def refused(call: Any) -> None:
    with pytest.raises(tidal.TidalError):
        call()


def broken_table() -> Any:
    raise ValueError(f"{SECRET} {NUMBER}")


def serve(db: tidal.TidalDb) -> None:
    tokens = Tokens.parse(f"all read,write,export {TOKEN}")
    with TestClient(
        create_app(db, tokens=tokens), "http://localhost", raise_server_exceptions=False
    ) as client:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        event = {"signal": "view", "entity_key": SECRET, "weight": 0.123456}
        client.post("/v1/signals", json={"events": [event]}, headers=headers)
        client.post(
            "/v1/signals", content=f"{{{SECRET}", headers={**headers, "Content-Type": "application/json"}
        )
        client.get(f"/v1/top/{SECRET}?by={SECRET}", headers=headers)
        client.get("/v1/health", headers={"Authorization": f"Bearer {TOKEN}{SECRET}"})


def test_fields_reach_json_lines() -> None:
    record = logging.LogRecord("tidal.db", logging.WARNING, "f", 1, "slow", (), None)
    record.tidal = {"event": "slow", "seconds": 2.5}
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["event"], line["seconds"]) == (
        "WARNING",
        "tidal.db",
        "slow",
        2.5,
    )
