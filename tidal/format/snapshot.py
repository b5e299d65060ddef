"""The checkpoint file: named arrays in one hashed container. Bytes <-> values; no file is opened here.

::

    0            192                            D                      D + aligned stored length
    +------------+------------------------------+----------------------+----------------------+
    |  header    |  directory                   |  section             |  section             |
    |  192 bytes |  entry * n, meta JSON, zeros |  stored bytes, zeros |  stored bytes, zeros | ...
    +------------+------------------------------+----------------------+----------------------+

The digests form a tree: the header holds its own digest and the directory's, the directory holds
one digest for each section, and what pads to the next multiple of 64 must be zero. So no bit of the
file is outside every check. Sections start at multiples of 64 and lie in the order of their names;
the same input always gives the same bytes.

A section is stored raw unless the writer asks for compression. Checkpoints are few, short-lived and
written beside live ingest: raw sections go at the speed of the disk, zstd at a fraction of it.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import fields
from enum import IntEnum
from typing import Any, Final

import numpy as np
import zstandard
from blake3 import blake3
from numpy.typing import NDArray

from tidal.errors import FormatTooNew
from tidal.records import record

Section = NDArray[Any] | bytes

# These are part of the file format: they are on disk and do not change.
MAGIC: Final = b"TIDLCKPT"
VERSION: Final = 1
READER_VERSION_MIN: Final = 1  # the oldest reader that can read what this version writes
REQUIRED_FLAGS: Final = 0  # the flags that this version understands
HEADER_DOMAIN: Final = b"tidal checkpoint header\0"
ALIGNMENT: Final = 64
DIMENSIONS_MAX: Final = 4
BYTES_DTYPE: Final = "bytes"  # in an entry: the section is a bytes object, not an array
DTYPES: Final = ("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8")


class Codec(IntEnum):
    """How a section's bytes are stored."""

    RAW = 0
    ZSTD = 1  # the bytes of the items regrouped by significance, then zstd level 1


HEADER_FIELDS: Final = (
    ("magic", "8s"),
    ("version", "H"),
    ("reader_version_min", "H"),
    ("required_flags", "H"),
    ("optional_flags", "H"),
    ("store_id", "16s"),
    ("epoch", "Q"),
    ("seq", "Q"),
    ("log_hash", "32s"),
    ("file_bytes", "Q"),
    ("section_count", "I"),
    ("meta_bytes", "I"),
    ("reserved", "32s"),
    ("directory_digest", "32s"),
    ("header_digest", "32s"),
)
ENTRY_FIELDS: Final = (
    ("name", "88s"),
    ("dtype", "8s"),
    ("codec", "B"),
    ("dimensions", "B"),
    ("reserved", "6s"),
    ("shape", "32s"),
    ("offset", "Q"),
    ("raw_bytes", "Q"),
    ("stored_bytes", "Q"),
    ("digest", "32s"),
)

_HEADER = struct.Struct("<" + "".join(form for _, form in HEADER_FIELDS))
_ENTRY = struct.Struct("<" + "".join(form for _, form in ENTRY_FIELDS))
_HEADER_NAMES, _ENTRY_NAMES = (tuple(name for name, _ in layout) for layout in (HEADER_FIELDS, ENTRY_FIELDS))
_SHAPE = struct.Struct(f"<{DIMENSIONS_MAX}Q")
_DIGEST_BYTES = 32
HEADER_BYTES: Final = _HEADER.size

_NAME_BYTES_MAX = 88
_SECTION_NAME = re.compile(rf"[A-Za-z0-9_.:/-]{{1,{_NAME_BYTES_MAX}}}")
_FILE_NAME = re.compile(r"checkpoint-(\d{20})\.ckpt")

# A zstd block of at most 128 KiB costs 4 bytes or more, so no valid frame expands further than this.
_ZSTD_EXPANSION_MAX = 32768
_ZSTD_LEVEL = 1
_THREADED_HASH_BYTES_MIN = 1 << 20  # below it, starting threads costs more than it saves


class DamagedSnapshot(ValueError):
    """Bytes are not what an encoder wrote; carries the offset in the file."""

    def __init__(self, offset: int, reason: str) -> None:
        self.offset, self.reason = offset, reason
        super().__init__(f"at byte {offset}: {reason}")


@record
class SnapshotHeader:
    """What a checkpoint is of, and how long its parts are."""

    store_id: bytes
    epoch: int
    seq: int  # the last event that the sections include
    log_hash: bytes  # the log's head hash at seq
    file_bytes: int
    section_count: int
    meta_bytes: int
    directory_digest: bytes

    @property
    def directory_bytes(self) -> int:
        """Bytes of entries and meta, without the zeros after them."""
        return self.section_count * _ENTRY.size + self.meta_bytes

    @property
    def sections_offset(self) -> int:
        return _align(HEADER_BYTES + self.directory_bytes)


@record
class SectionEntry:
    """One row of the directory."""

    name: str
    dtype: str
    codec: Codec
    shape: tuple[int, ...]
    offset: int
    raw_bytes: int
    stored_bytes: int
    digest: bytes  # BLAKE3 of the stored bytes

    @property
    def padded_bytes(self) -> int:
        return _align(self.stored_bytes)


def checkpoint_name(seq: int) -> str:
    """Return the file name of the checkpoint at a sequence.

    >>> checkpoint_name(7)
    'checkpoint-00000000000000000007.ckpt'
    """
    return f"checkpoint-{seq:020}.ckpt"


def parse_checkpoint_name(name: str) -> int | None:
    """Return the sequence in a checkpoint's file name, or None for any other name."""
    match = _FILE_NAME.fullmatch(name)
    return int(match[1]) if match else None


def hasher(data_bytes: int) -> blake3:
    """Return a BLAKE3 state that uses threads where this many bytes are worth it; it releases the GIL."""
    return blake3(max_threads=blake3.AUTO if data_bytes >= _THREADED_HASH_BYTES_MIN else 1)


# ---------------------------------------------------------------------------------- encode


def encode_snapshot(
    *,
    seq: int,
    store_id: bytes,
    epoch: int,
    log_hash: bytes,
    meta: Mapping[str, Any],
    sections: Mapping[str, Section],
    compress: Collection[str] = (),
) -> tuple[SnapshotHeader, list[bytes | memoryview]]:
    """Return the header and the parts whose concatenation is the file; raw arrays are not copied.

    Arrays of the types in DTYPES, of up to 4 dimensions; another byte order or a stride is converted.
    Raises ValueError for what the format cannot hold.
    """
    if len(store_id) != 16 or len(log_hash) != _DIGEST_BYTES:
        raise ValueError(
            f"store id of {len(store_id)} bytes and log hash of {len(log_hash)}; they have 16 and 32"
        )
    if unknown := set(compress) - sections.keys():
        raise ValueError(f"compress names no section: {', '.join(sorted(unknown))}")
    encoded_meta = json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    offset = _align(HEADER_BYTES + len(sections) * _ENTRY.size + len(encoded_meta))
    entries, parts = [], []
    for name in sorted(sections):
        dtype, shape, raw = _raw_section(name, sections[name])
        codec = Codec.ZSTD if name in compress and len(raw) else Codec.RAW
        stored = raw if codec is Codec.RAW else _compress(raw, _item_bytes(dtype))
        digest = hasher(len(stored)).update(stored).digest()
        entries.append(
            _ENTRY.pack(
                name.encode(),
                dtype.encode(),
                codec,
                len(shape),
                b"",
                _SHAPE.pack(*shape, *[0] * (DIMENSIONS_MAX - len(shape))),
                offset,
                len(raw),
                len(stored),
                digest,
            )
        )
        parts += [stored, _padding(len(stored))]
        offset += _align(len(stored))
    directory = b"".join([*entries, encoded_meta])
    header = SnapshotHeader(
        store_id, epoch, seq, log_hash, offset, len(sections), len(encoded_meta), blake3(directory).digest()
    )
    return header, [_encode_header(header), directory, _padding(HEADER_BYTES + len(directory)), *parts]


def _encode_header(header: SnapshotHeader) -> bytes:
    body = _HEADER.pack(
        MAGIC,
        VERSION,
        READER_VERSION_MIN,
        REQUIRED_FLAGS,
        0,
        header.store_id,
        header.epoch,
        header.seq,
        header.log_hash,
        header.file_bytes,
        header.section_count,
        header.meta_bytes,
        b"",
        header.directory_digest,
        b"",
    )[:-_DIGEST_BYTES]
    return body + _header_digest(body)


def _raw_section(name: str, value: Section) -> tuple[str, tuple[int, ...], bytes | memoryview]:
    if not _SECTION_NAME.fullmatch(name):
        raise ValueError(
            f"section name {name!r}: use 1 to {_NAME_BYTES_MAX} characters out of A-Z a-z 0-9 _ . : / -"
        )
    if isinstance(value, bytes):
        return BYTES_DTYPE, (len(value),), value
    dtype = value.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise ValueError(
            f"section {name!r}: dtype {value.dtype} is not one of {', '.join(DTYPES)}; store a record's "
            "fields as sections of their own, or view it as one of these"
        )
    if value.ndim > DIMENSIONS_MAX:
        raise ValueError(f"section {name!r}: {value.ndim} dimensions, at most {DIMENSIONS_MAX}; reshape it")
    array = np.asarray(value, dtype=dtype, order="C")
    return dtype.str, array.shape, array.reshape(-1).view(np.uint8).data


def _compress(raw: bytes | memoryview, item_bytes: int) -> bytes:
    planes = np.frombuffer(raw, np.uint8).reshape(-1, item_bytes).T.tobytes()
    # The frame's own checksum is of the plain bytes: it catches a decoder that goes wrong on good input.
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(planes)


# ---------------------------------------------------------------------------------- decode


def decode_header(data: bytes, file_bytes: int) -> SnapshotHeader:
    """Return the header in a file's first HEADER_BYTES, checked against the file's length.

    Magic, versions, flags and the digest keep their places in every version of the format, so a newer
    file (FormatTooNew) is never taken for a damaged one (DamagedSnapshot), nor the other way round.
    """
    if len(data) != HEADER_BYTES:
        raise DamagedSnapshot(0, f"the file has {file_bytes} bytes, fewer than its header")
    values: dict[str, Any] = dict(zip(_HEADER_NAMES, _HEADER.unpack(data), strict=True))
    if values["magic"] != MAGIC:
        raise DamagedSnapshot(0, "this is not a checkpoint: the magic number is missing")
    if values["header_digest"] != _header_digest(data[:-_DIGEST_BYTES]):
        raise DamagedSnapshot(0, "the header does not match its digest")
    if values["reader_version_min"] > VERSION or values["required_flags"] & ~REQUIRED_FLAGS:
        raise FormatTooNew(
            f"checkpoint of format {values['version']}, required flags {values['required_flags']:#x}; "
            f"this tidal reads up to format {VERSION}. Upgrade tidal; nothing was touched"
        )
    if any(values["reserved"]):
        raise DamagedSnapshot(0, "reserved bytes of the header are not zero")
    header = SnapshotHeader(**{it.name: values[it.name] for it in fields(SnapshotHeader)})
    if header.file_bytes != file_bytes:
        raise DamagedSnapshot(0, f"the file has {file_bytes} bytes, its header says {header.file_bytes}")
    if header.sections_offset > file_bytes:
        raise DamagedSnapshot(0, "the directory does not fit into the file")
    return header


def decode_directory(header: SnapshotHeader, data: bytes) -> tuple[tuple[SectionEntry, ...], dict[str, Any]]:
    """Return the entries and the meta in a file's bytes from HEADER_BYTES to ``header.sections_offset``."""
    content = data[: header.directory_bytes]
    if HEADER_BYTES + len(data) != header.sections_offset or any(data[header.directory_bytes :]):
        raise DamagedSnapshot(
            HEADER_BYTES + header.directory_bytes, "the directory is cut or not padded with zeros"
        )
    if blake3(content).digest() != header.directory_digest:
        raise DamagedSnapshot(HEADER_BYTES, "the directory does not match its digest")
    entries: list[SectionEntry] = []
    offset = header.sections_offset
    for index in range(header.section_count):
        place = index * _ENTRY.size
        entry = _decode_entry(content[place : place + _ENTRY.size], HEADER_BYTES + place)
        if entry.offset != offset or offset + entry.padded_bytes > header.file_bytes:
            raise DamagedSnapshot(HEADER_BYTES + place, f"section {entry.name!r} does not lie where it must")
        if entries and entries[-1].name >= entry.name:
            raise DamagedSnapshot(HEADER_BYTES + place, "sections are not in the order of their names")
        entries.append(entry)
        offset += entry.padded_bytes
    if offset != header.file_bytes:
        raise DamagedSnapshot(offset, "there are bytes after the last section")
    meta_place = header.section_count * _ENTRY.size
    return tuple(entries), _decode_meta(content[meta_place:], HEADER_BYTES + meta_place)


def decode_section(entry: SectionEntry, data: bytes) -> Section:
    """Return a section out of its ``padded_bytes`` in the file: a bytes object, or a read-only array.

    A raw array is a view of ``data``. The digest is checked before anything is decoded.
    """
    check_padding(entry, data[entry.stored_bytes :])
    stored = memoryview(data)[: entry.stored_bytes]
    check_digest(entry, hasher(len(stored)).update(stored).digest())
    if entry.codec is Codec.RAW:
        plain: bytes | memoryview = stored
    else:
        plain = _decompress(entry, stored)
    if entry.dtype == BYTES_DTYPE:
        return bytes(plain)
    array: NDArray[Any] = np.ndarray(entry.shape, np.dtype(entry.dtype), plain)
    return array


def check_padding(entry: SectionEntry, padding: bytes) -> None:
    """Raise DamagedSnapshot unless these are the zeros that must follow the stored bytes."""
    if len(padding) != entry.padded_bytes - entry.stored_bytes or any(padding):
        raise DamagedSnapshot(
            entry.offset + entry.stored_bytes, f"section {entry.name!r} is cut or not padded with zeros"
        )


def check_digest(entry: SectionEntry, digest: bytes) -> None:
    """Raise DamagedSnapshot unless this is the digest of the section's stored bytes."""
    if digest != entry.digest:
        raise DamagedSnapshot(entry.offset, f"section {entry.name!r} does not match its digest")


def _decode_entry(data: bytes, place: int) -> SectionEntry:
    values: dict[str, Any] = dict(zip(_ENTRY_NAMES, _ENTRY.unpack(data), strict=True))
    name = values["name"].rstrip(b"\0").decode("ascii", "replace")
    dtype = values["dtype"].rstrip(b"\0").decode("ascii", "replace")
    shape = _SHAPE.unpack(values["shape"])
    dimensions, raw_bytes, stored_bytes = values["dimensions"], values["raw_bytes"], values["stored_bytes"]
    if not _SECTION_NAME.fullmatch(name) or dtype not in (*DTYPES, BYTES_DTYPE) or any(values["reserved"]):
        raise DamagedSnapshot(place, "an entry has a name, a dtype or reserved bytes that cannot be")
    if dimensions > DIMENSIONS_MAX or any(shape[dimensions:]) or (dtype == BYTES_DTYPE and dimensions != 1):
        raise DamagedSnapshot(place, f"section {name!r} has a shape that cannot be")
    shape = shape[:dimensions]
    if math.prod(shape) * _item_bytes(dtype) != raw_bytes or math.prod(n or 1 for n in shape) >= 1 << 59:
        raise DamagedSnapshot(place, f"section {name!r} has a length that its shape does not")
    if values["codec"] == Codec.RAW:
        fits = stored_bytes == raw_bytes
    elif values["codec"] == Codec.ZSTD:
        fits = 0 < raw_bytes <= stored_bytes * _ZSTD_EXPANSION_MAX
    else:
        raise DamagedSnapshot(place, f"section {name!r} has the unknown codec {values['codec']}")
    if not fits:
        raise DamagedSnapshot(place, f"section {name!r} has a stored length that cannot be")
    return SectionEntry(
        name,
        dtype,
        Codec(values["codec"]),
        shape,
        values["offset"],
        raw_bytes,
        stored_bytes,
        values["digest"],
    )


def _decode_meta(data: bytes, place: int) -> dict[str, Any]:
    try:
        meta = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedSnapshot(place, f"the meta is not JSON: {error}") from error
    if not isinstance(meta, dict):
        raise DamagedSnapshot(place, "the meta is not a JSON object")
    return meta


def _decompress(entry: SectionEntry, stored: memoryview) -> memoryview:
    # The binding ignores max_output_size where the frame names a length: so that must be ours first.
    try:
        frame = zstandard.get_frame_parameters(stored)
        if frame.content_size != entry.raw_bytes or not frame.has_checksum:
            raise DamagedSnapshot(entry.offset, f"section {entry.name!r}: its frame has another length")
        planes = zstandard.ZstdDecompressor().decompress(stored, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedSnapshot(entry.offset, f"section {entry.name!r} does not decompress: {error}") from error
    if len(planes) != entry.raw_bytes:
        raise DamagedSnapshot(entry.offset, f"section {entry.name!r} decompresses to another length")
    items = np.frombuffer(planes, np.uint8).reshape(_item_bytes(entry.dtype), -1).T
    return memoryview(items.tobytes())


# ---------------------------------------------------------------------------------- both


def _header_digest(body: bytes) -> bytes:
    return blake3(HEADER_DOMAIN + body).digest()


def _item_bytes(dtype: str) -> int:
    return 1 if dtype == BYTES_DTYPE else np.dtype(dtype).itemsize


def _align(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _padding(offset: int) -> bytes:
    return bytes(_align(offset) - offset)
