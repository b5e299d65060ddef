"""The structs and callbacks of the Arrow C interfaces in ctypes, for producers and consumers in tests."""

from __future__ import annotations

import ctypes


class ArrowSchema(ctypes.Structure):
    pass


class ArrowArray(ctypes.Structure):
    pass


class ArrowArrayStream(ctypes.Structure):
    pass


SCHEMA_P, ARRAY_P, STREAM_P = map(ctypes.POINTER, (ArrowSchema, ArrowArray, ArrowArrayStream))
RELEASE_SCHEMA = ctypes.CFUNCTYPE(None, SCHEMA_P)
RELEASE_ARRAY = ctypes.CFUNCTYPE(None, ARRAY_P)
RELEASE_STREAM = ctypes.CFUNCTYPE(None, STREAM_P)
GET_SCHEMA = ctypes.CFUNCTYPE(ctypes.c_int, STREAM_P, SCHEMA_P)
GET_NEXT = ctypes.CFUNCTYPE(ctypes.c_int, STREAM_P, ARRAY_P)
LAST_ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, STREAM_P)

ArrowSchema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(SCHEMA_P)),
    ("dictionary", SCHEMA_P),
    ("release", RELEASE_SCHEMA),
    ("private_data", ctypes.c_void_p),
]
ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ARRAY_P)),
    ("dictionary", ARRAY_P),
    ("release", RELEASE_ARRAY),
    ("private_data", ctypes.c_void_p),
]
ArrowArrayStream._fields_ = [
    ("get_schema", GET_SCHEMA),
    ("get_next", GET_NEXT),
    ("get_last_error", LAST_ERROR),
    ("release", RELEASE_STREAM),
    ("private_data", ctypes.c_void_p),
]
