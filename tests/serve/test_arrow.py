"""Arrow streams of strangers: bombs, lies and noise are refused, and nothing else happens."""

from __future__ import annotations

import io
import struct
from typing import Any

import pyarrow
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidal.serve.arrow import COLUMNS_MAX, read_table
from tidal.serve.problems import Refused

IDS = pyarrow.array([1, 2, 3], pyarrow.uint64())
PLAIN = {
    "signal": pyarrow.array(["view", "like", "view"]).dictionary_encode(),
    "entity_id": IDS,
    "weight": pyarrow.array([1.0, 2.0, None], pyarrow.float32()),
    "timestamp": pyarrow.array([1, 2, 3], pyarrow.timestamp("us", "UTC")),
    "user_id": pyarrow.array(["a", None, "b"], pyarrow.string_view()),
    "session_id": pyarrow.array(["a", None, "b"], pyarrow.large_string()),
}


def stream(columns: dict[str, Any], chunk_rows: int = 2, **options: Any) -> bytes:
    table, sink = pyarrow.table(columns), io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema, options=pyarrow.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=chunk_rows)
    return sink.getvalue()


def read(data: bytes, rows_max: int = 100) -> Any:
    return read_table(data, rows_max)


@pytest.mark.parametrize("legacy", [False, True])
def test_plain_columns_of_every_kind_are_read(legacy: bool) -> None:
    columns = {name: column for name, column in PLAIN.items() if name != "user_id" or not legacy}
    data = stream(columns, use_legacy_format=legacy, emit_dictionary_deltas=True)
    assert read(data) == pyarrow.table(columns)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_buffers_are_refused_before_they_are_unpacked(codec: str) -> None:
    bomb = stream({"entity_id": pyarrow.array([0] * 1_000_000, pyarrow.uint64())}, 10**6, compression=codec)
    assert len(bomb) < 1_000_000
    with pytest.raises(Refused, match="buffers are compressed"):
        read(bomb, 10**7)
    with pytest.raises(Refused, match="buffers are compressed"):
        read(stream({"signal": pyarrow.array(["a" * 100]).dictionary_encode()}, compression=codec))


def test_rows_are_counted_whatever_the_buffers_have() -> None:
    with pytest.raises(Refused, match="at most 2 events") as refused:
        read(stream(PLAIN), rows_max=2)
    assert refused.value.status == 413
    nothing = stream({"entity_id": pyarrow.nulls(10_000)})
    with pytest.raises(Refused, match="column 'entity_id': no numbers"):
        read(nothing)


NESTED = [
    pyarrow.array([[1], [2]]),
    pyarrow.array([{"a": 1}]),
    pyarrow.array([b"x"]),
    pyarrow.array([True]),
    pyarrow.array([1, 2]).dictionary_encode(),
]


@pytest.mark.parametrize("column", NESTED, ids=lambda column: str(column.type))
def test_columns_of_other_kinds_are_refused(column: Any) -> None:
    with pytest.raises(Refused, match="column 'entity_id': no numbers"):
        read(stream({"entity_id": column}))


def test_there_are_not_too_many_columns() -> None:
    columns = {f"c{number}": IDS for number in range(COLUMNS_MAX + 1)}
    with pytest.raises(Refused, match="at most 64 columns"):
        read(stream(columns))


def test_an_index_behind_its_dictionary_is_refused() -> None:
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 1], pyarrow.int32()), ["a", "b"])
    data = bytearray(stream({"signal": column}))
    place = data.rindex(struct.pack("<ii", 0, 1))
    struct.pack_into("<i", data, place, 1_000_000)
    with pytest.raises(Refused, match="no Arrow stream"):
        read(bytes(data))


def test_an_offset_behind_its_texts_is_refused() -> None:
    data = bytearray(stream({"signal": ["abc", "defg"]}))
    place = data.rindex(struct.pack("<iii", 0, 3, 7))
    struct.pack_into("<i", data, place + 8, 1 << 30)
    with pytest.raises(Refused, match="no Arrow stream"):
        read(bytes(data))


GOOD = stream(PLAIN)


@given(st.data())
def test_noise_is_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    noisy = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        noisy[data.draw(st.integers(0, len(noisy) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(noisy)) | st.just(len(noisy)))
    try:
        assert read(bytes(noisy[:cut])).num_rows <= 100
    except Refused as refused:
        assert refused.status in (400, 413, 422)


@given(st.binary(max_size=200))
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read(data)


def test_ids_of_events_go_through_the_scope() -> None:
    data = stream({"event_id": IDS, "entity_id": IDS})
    table = read_table(data, 10, lambda ids: [each + 100 for each in ids])
    assert table.column("event_id").to_pylist() == [101, 102, 103]
    assert table.column("entity_id").to_pylist() == [1, 2, 3]
