"""Payloads of one event each, decoded together: a call for each event leaves a log full of them.

Their columns are one word each, stored plainly, so that many of them are a table of words. What is returned
is what decode_payload returns for each, joined. Payloads of another form are left to decode_payload.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tidal._ext import columns as kernels
from tidal.errors import FormatError
from tidal.format.columns import CODEC_CONSTANT, PLAIN, WORD_BYTES
from tidal.format.payload import (
    DIRECTORY,
    FORM_BITS,
    FORM_WHOLE,
    SUMMARY,
    TAG_ENTITY_ID,
    TAG_EVENT_ID,
    TAG_SESSION_ID,
    TAG_TIMESTAMP,
    TAG_TYPE_ID,
    TAG_USER_ID,
    TAG_WEIGHT,
    item_bytes,
)
from tidal.schema.events import U64, EventBatch, IdColumn

_REQUIRED = (TAG_ENTITY_ID, TAG_TYPE_ID, TAG_WEIGHT, TAG_TIMESTAMP)
_OPTIONAL = (TAG_USER_ID, TAG_SESSION_ID, TAG_EVENT_ID)
_SUMMARY_HEAD = np.dtype([("min_time", "<i8"), ("max_time", "<i8"), ("types", "V32")])


class _Layout(NamedTuple):
    columns: tuple[int, ...]  # tags
    whole: bool  # the weight is a zigzag integer


def is_single(payload: memoryview) -> bool:
    """Return whether this payload, whose summary was checked, is one of those that decode_singles takes."""
    return _layout_of(payload) is not None


def decode_singles(payloads: Sequence[memoryview]) -> EventBatch:
    """Return the events of one or more payloads for which is_single() holds, in order.

    Their summaries were checked by decode_summary, as those that a SegmentWalk yields.

    FormatError if one of them is not what encode_payload writes; decode_payload says which.
    """
    rows: dict[_Layout, list[int]] = {}
    for row, payload in enumerate(payloads):
        layout = _layout_of(payload)
        if layout is None:
            raise FormatError("a payload that is not of one event stored plainly")
        rows.setdefault(layout, []).append(row)
    table = _Table(len(payloads))
    for layout, places in rows.items():
        tail = SUMMARY.size + DIRECTORY.size * len(layout.columns)
        words = np.frombuffer(b"".join(payloads[row][tail:] for row in places), "<u8").astype(np.uint64)
        table.fill(layout, np.array(places), words.reshape(len(places), -1))
    heads = b"".join(payload[: _SUMMARY_HEAD.itemsize] for payload in payloads)
    return table.checked(np.frombuffer(heads, _SUMMARY_HEAD))


def _layout_of(payload: memoryview) -> _Layout | None:
    columns = SUMMARY.unpack_from(payload)[4]
    end = SUMMARY.size + columns * DIRECTORY.size
    if len(payload) != end + columns * WORD_BYTES:
        return None
    return _layout(bytes(payload[SUMMARY.size : end]))


@functools.lru_cache(maxsize=64)  # there are 16 that are written
def _layout(directory: bytes) -> _Layout | None:
    columns, whole = [], False
    for tag, codec, form, compression, raw, stored, parameter in DIRECTORY.iter_unpack(directory):
        if tag not in _REQUIRED + _OPTIONAL or (form and (tag, form) != (TAG_WEIGHT, FORM_WHOLE)):
            return None
        if (codec, compression, raw, stored, parameter) != (
            CODEC_CONSTANT, PLAIN, item_bytes(tag), WORD_BYTES, 0,
        ):  # fmt: skip
            return None
        columns.append(tag)
        whole = whole or form != FORM_BITS
    if columns != sorted(set(columns)) or not set(_REQUIRED) <= set(columns):
        return None
    return _Layout(tuple(columns), whole)


class _Table:
    """Columns of so many events, filled in parts."""

    def __init__(self, count: int) -> None:
        self._words = {tag: np.zeros(count, np.uint64) for tag in _REQUIRED + _OPTIONAL}
        self._known = {tag: np.zeros(count, np.bool_) for tag in _OPTIONAL}
        self._weight = np.zeros(count, np.float32)

    def fill(self, layout: _Layout, rows: NDArray[np.int64], words: U64) -> None:
        for position, tag in enumerate(layout.columns):
            column = np.ascontiguousarray(words[:, position])
            if tag == TAG_WEIGHT:
                self._weight[rows] = _weights(column, layout.whole)
                continue
            self._words[tag][rows] = column
            if tag in self._known:
                self._known[tag][rows] = True

    def checked(self, summaries: NDArray[np.void]) -> EventBatch:
        type_id, timestamp = self._words[TAG_TYPE_ID], self._words[TAG_TIMESTAMP].view(np.int64)
        if int(type_id.max()) > 0xFF:
            raise FormatError("a type id does not fit in 1 byte")
        types = np.zeros((len(type_id), 32), np.uint8)
        types[np.arange(len(type_id)), type_id >> np.uint64(3)] = np.uint64(1) << (type_id & np.uint64(7))
        agrees = (summaries["min_time"] == timestamp) & (summaries["max_time"] == timestamp)
        if not agrees.all() or types.tobytes() != summaries["types"].tobytes():
            raise FormatError("a summary does not agree with its event")
        return EventBatch(
            self._words[TAG_ENTITY_ID],
            type_id.astype(np.uint8),
            self._weight,
            timestamp,
            self._ids(TAG_USER_ID),
            self._ids(TAG_SESSION_ID),
            self._ids(TAG_EVENT_ID),
        )

    def _ids(self, tag: int) -> IdColumn | None:
        known = self._known[tag]
        if not known.any():
            return None
        return IdColumn(self._words[tag], None if known.all() else known)


def _weights(words: U64, whole: bool) -> NDArray[np.float32]:
    if int(words.max()) > 0xFFFF_FFFF:
        raise FormatError("a weight does not fit in 4 bytes")
    if whole:
        try:
            return kernels.weights_of_whole(words)
        except ValueError as error:  # the kernels know no error of ours
            raise FormatError(str(error)) from error
    weight = words.astype(np.uint32).view(np.float32)
    if not bool(np.isfinite(weight).all()):
        raise FormatError("a weight is not finite")
    return weight
