"""An Arrow producer whose every byte a test chooses."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from arrow_abi import (
    ARRAY_P,
    GET_NEXT,
    GET_SCHEMA,
    LAST_ERROR,
    RELEASE_ARRAY,
    RELEASE_SCHEMA,
    RELEASE_STREAM,
    SCHEMA_P,
    ArrowArray,
    ArrowArrayStream,
    ArrowSchema,
)


@dataclass
class FakeColumn:
    format: str
    buffers: Sequence[bytes | None]
    length: int
    offset: int = 0
    null_count: int = 0
    dictionary: FakeColumn | None = None
    name: str = "c"


@dataclass
class FakeTable:
    """Gives the same chunk ``chunks`` times, then ends, or fails with ``error``."""

    columns: Sequence[FakeColumn]
    length: int
    chunks: int = 1
    error: str | None = None
    schema_error: str | None = None
    children_declared: int | None = None
    released: dict[str, int] = field(default_factory=lambda: {"stream": 0, "schema": 0, "array": 0})
    _kept: list[Any] = field(default_factory=list)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        text = ctypes.c_char_p((self.schema_error or self.error or "").encode())
        left = [self.chunks]

        def get_schema(_: Any, out: Any) -> int:
            if self.schema_error:
                return 5
            fields = (SCHEMA_P * len(self.columns))(*[ctypes.pointer(self._field(c)) for c in self.columns])
            out[0] = ArrowSchema(
                b"+s", b"", None, 0, len(self.columns), fields, None, self._release("schema")
            )
            self._kept.append(fields)
            return 0

        def get_next(_: Any, out: Any) -> int:
            if left[0] == 0:
                if self.error:
                    return 22
                ctypes.memset(out, 0, ctypes.sizeof(ArrowArray))
                return 0
            left[0] -= 1
            children = (ARRAY_P * len(self.columns))(*[ctypes.pointer(self._array(c)) for c in self.columns])
            buffers = (ctypes.c_void_p * 1)(None)
            declared = len(self.columns) if self.children_declared is None else self.children_declared
            out[0] = ArrowArray(
                self.length, 0, 0, 1, declared, buffers, children, None, self._release("array")
            )
            self._kept += [children, buffers]
            return 0

        stream = ArrowArrayStream(
            GET_SCHEMA(get_schema),
            GET_NEXT(get_next),
            LAST_ERROR(lambda _: ctypes.cast(text, ctypes.c_void_p).value),
            self._release("stream"),
        )
        self._kept += [text, stream]
        new_capsule = ctypes.pythonapi.PyCapsule_New
        new_capsule.restype = ctypes.py_object
        new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new_capsule(ctypes.addressof(stream), b"arrow_array_stream", None)

    def _release(self, what: str) -> Any:
        def release(pointer: Any) -> None:
            self.released[what] += 1
            ctypes.memset(ctypes.addressof(pointer[0]) + type(pointer[0]).release.offset, 0, 8)

        kind = {"schema": RELEASE_SCHEMA, "array": RELEASE_ARRAY, "stream": RELEASE_STREAM}[what]
        self._kept.append(kind(release))
        return self._kept[-1]

    def _field(self, column: FakeColumn) -> ArrowSchema:
        inner = None if column.dictionary is None else ctypes.pointer(self._field(column.dictionary))
        made = ArrowSchema(column.format.encode(), column.name.encode(), None, 2, 0, None, inner)
        self._kept.append(made)
        return made

    def _array(self, column: FakeColumn) -> ArrowArray:
        held = [None if b is None else ctypes.create_string_buffer(b, max(1, len(b))) for b in column.buffers]
        pointers = (ctypes.c_void_p * len(held))(*[None if h is None else ctypes.addressof(h) for h in held])
        inner = None if column.dictionary is None else ctypes.pointer(self._array(column.dictionary))
        made = ArrowArray(
            column.length, column.null_count, column.offset, len(held), 0, pointers, None, inner
        )
        self._kept += [held, pointers, made]
        return made
