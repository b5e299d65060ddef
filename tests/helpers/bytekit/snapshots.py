"""Files in the form of checkpoints, whose content was changed and written again with right digests."""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np

from bytekit import mutate
from tidal.format import snapshot

_DTYPES: Final = ("<u8", "<f4", "|u1", "<i8")


def sections_of(data: bytes) -> tuple[snapshot.SnapshotHeader, dict[str, Any], dict[str, Any]]:
    """Return header, meta and sections of a file's bytes."""
    header = snapshot.decode_header(data[: snapshot.HEADER_BYTES], len(data))
    entries, meta = snapshot.decode_directory(header, data[snapshot.HEADER_BYTES : header.sections_offset])
    sections = {
        entry.name: snapshot.decode_section(entry, data[entry.offset : entry.offset + entry.padded_bytes])
        for entry in entries
    }
    return header, meta, sections


def rewritten(rng: random.Random, data: bytes) -> bytes:
    """Return the file with other meta or other sections, as a writer with a bug, or a foreign one, has it."""
    if rng.random() < 0.2:
        return data
    header, meta, sections = sections_of(data)
    for _ in range(rng.choice((1, 1, 2))):
        if not sections or rng.random() < 0.5:
            changed = mutate.json_value(rng, meta)
            meta = changed if isinstance(changed, dict) else meta
        else:
            _other_section(rng, sections)
    try:
        _, made = snapshot.encode_snapshot(
            seq=header.seq, store_id=header.store_id, epoch=header.epoch, log_hash=header.log_hash,
            meta=meta, sections=sections, compress=tuple(sections)[:1] if rng.random() < 0.1 else (),
        )  # fmt: skip
    except (ValueError, RecursionError):  # what no file can hold
        return data
    return b"".join(made)


def _other_section(rng: random.Random, sections: dict[str, Any]) -> None:
    name = rng.choice(sorted(sections))
    value, choice = sections[name], rng.randrange(6)
    if choice == 0:
        del sections[name]
    elif choice == 1:
        sections[name + rng.choice(("x", "/0", "/"))] = value
    elif choice == 2:
        sections[name] = sections[rng.choice(sorted(sections))]
    elif isinstance(value, bytes):
        sections[name] = mutate.some_bytes(rng, value)
    elif choice == 3:
        sections[name] = value.reshape(-1)[: rng.randrange(value.size + 1)]
    elif choice == 4:
        with np.errstate(all="ignore"):
            other = np.resize(value, rng.choice(((), (0,), (3,), (1, 2), (2, 0, 3))))
            sections[name] = other.astype(rng.choice(_DTYPES))
    else:
        plain = mutate.some_bytes(rng, value.tobytes(), keep_length=True)
        sections[name] = np.frombuffer(plain, value.dtype).reshape(value.shape)
