"""No decoder is forgotten: whatever in tidal reads bytes is tried by a target of the fuzz gate, or says here
why not.
"""

from __future__ import annotations

import ast
import contextlib
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import numpy as np
import pytest
from bytekit.bulk_all import BULK
from bytekit.fuzzing import ALL

import tidal

INPUTS: Final = 25
ROOT: Final = Path(tidal.__file__).parent

DECODERS: Final = re.compile(
    r"_?(decode|parse|parsed|restore|unpack|unsqueeze|load|loads|read|apply|lacking|on_message|head_of"
    r"|take_in|check_directory|check_run|claimed)(_\w*)?|\w*_from_(bytes|json)|from_(bytes|json)"
)
BYTES: Final = re.compile(r"\b(bytes|memoryview)\b")

_READS_FILES: Final = "reads files by decoders that are tried; tests/inspect and tests/faults damage them"
_HAS_A_STORE: Final = "needs a store; what it reads by is tried, and the simulator damages messages"
EXEMPT: Final = {
    "tidal.broker.intake:Intake._decode": "decode_message with the schema of a store",
    "tidal.cli.readers.jsonlines:_parse": "a line of a user's own file; tests/cli has what is refused",
    "tidal.entities:_decode_metadata": "JSON out of SQLite, which keeps it as it was written",
    "tidal.following.stored:Anew.restore": "what a Materializer restores",
    "tidal.format.frame:claimed_size": "a length, after which decode_frame looks at the frame",
    "tidal.inspect.documents:read_document": _READS_FILES,
    "tidal.inspect.inventory:_read_ends": _READS_FILES,
    "tidal.inspect.remains:read_run": _READS_FILES,
    "tidal.inspect.segments:read_contents": _READS_FILES,
    "tidal.materializer:Materializer.restore": "a protocol",
    "tidal.regions.parts:Part.decode": "a protocol",
    "tidal.regions.parts:Part.lacking": "a protocol",
    "tidal.regions.region:Region.on_message": "Exchange.on_message with a store",
    "tidal.replication.receiver:SegmentReceiver.on_message": _HAS_A_STORE,
    "tidal.replication.running:Core.on_message": "a protocol",
    "tidal.replication.shipper:WalShipper.on_message": _HAS_A_STORE,
    "tidal.serve.arrow:read_table": "pyarrow's reader; tests/serve/test_arrow.py changes bytes of a stream",
    "tidal.serve.arrow:_read": "as read_table",
    "tidal.serve.endpoints:parsed": "parse_json and pydantic",
    "tidal.store:decode_identity": "decode_place, of which it returns a part",
    "tidal.store:load_following": "decode_following with the file's name in errors; the bytes are an id",
    "tidal.wal.frames:decode_frames": "decode_payload and decode_singles with the file's name in errors",
    "tidal.wal.sift:_claimed_bytes": "a length, after which decode_frame looks at the frame",
}


def test_whatever_reads_bytes_is_tried_or_says_why_not() -> None:
    found, tried = set(_decoders()), _called()
    assert found - tried - EXEMPT.keys() == set(), "write a target for it in tests/helpers/bytekit"
    assert EXEMPT.keys() - found == set(), "there is no such function any more"
    assert EXEMPT.keys() & tried == set(), "it is tried: strike it from EXEMPT"


@pytest.mark.parametrize("source, named", [
    ("def decode_new(data: bytes) -> int: ...", True),
    ("def _decode_new(rows: list[memoryview]) -> int: ...", True),
    ("class A:\n    def from_bytes(cls, data: bytes | memoryview) -> int: ...", True),
    ("class A:\n    async def parse(self, *, data: bytes) -> int: ...", True),
    ("def encode_new(data: bytes) -> int: ...", False),
    ("def decode_new(data: str) -> int: ...", False),
])  # fmt: skip
def test_a_new_decoder_would_be_found(source: str, named: bool) -> None:
    assert bool(list(_named(ast.parse(source), "m:"))) is named


def _decoders() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if not module.startswith("tidal.testing."):
            yield from _named(ast.parse(path.read_text()), f"{module}:")


def _named(node: ast.AST, before: str) -> Iterator[str]:
    """Yield the functions that are called as decoders are and take bytes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _named(child, f"{before}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and DECODERS.fullmatch(child.name):
            given = child.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            if any(it.annotation and BYTES.search(ast.unparse(it.annotation)) for it in every):
                yield f"{before}{child.name}"


def _called() -> set[str]:
    """Return the functions of tidal that run when the targets of both gates are given inputs."""
    codes: set[CodeType] = set()
    inputs: list[tuple[Any, Any]] = []
    for name, target in ALL.items():
        made = [target.make(random.Random(f"{name}/{number}")) for number in range(INPUTS)]
        inputs += [(target, (given,)) for given in made]
    for bulk in BULK.values():
        inputs += [(bulk, given) for given in bulk.make(np.random.default_rng(1), INPUTS)[:INPUTS]]

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for target, given in inputs:
            _decode(target, given)
    finally:
        sys.setprofile(before)
    return {
        f"{_module_of(code)}:{code.co_qualname}" for code in codes if code.co_filename.startswith(str(ROOT))
    }


def _decode(target: Any, given: Any) -> None:
    with contextlib.suppress(*target.errors):
        target.decode(*given)


def _module_of(code: CodeType) -> str:
    return ".".join(Path(code.co_filename).relative_to(ROOT.parent).with_suffix("").parts)
