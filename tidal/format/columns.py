"""Column codecs: a column of events as few bytes, and back.

Every column is a sequence of 64-bit *words* (ids as they are, times in two's complement, weights as
their bits or as integers). How the words are stored is chosen for each column of each batch:

    codec        parameter   plain bytes
    constant     0           the one word <8>
    raw          0           words <item size> each
    planes       width       the low width byte planes of the words
    delta        width       first word <8>, then the low width byte planes of the zigzag differences
    dictionary   size        distinct words ascending, their zigzag differences in 8 byte planes, then
                             positions among them in 1 or 2 byte planes
    shared       width       positions in a dictionary that the file has, in width byte planes

The plain bytes are then one zstd frame, if that is shorter. A frame is never trusted: its header must
promise exactly the plain length that the directory implies, before anything is allocated.

The log takes the codec that looks shortest, and raw words as they are; an archive, which is written once
and kept, has every codec tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from tidal._ext import columns as kernels
from tidal.errors import FormatError
from tidal.schema.events import U32, U64, CodedIds

# These numbers are on disk and do not change.
CODEC_CONSTANT: Final = 1
CODEC_RAW: Final = 2
CODEC_PLANES: Final = 3
CODEC_DELTA: Final = 4
CODEC_DICTIONARY: Final = 5
CODEC_SHARED: Final = 6  # of archives alone
PLAIN: Final = 0
ZSTD: Final = 1

WORD_BYTES: Final = 8
CODE_BYTES_MAX: Final = 4

# These may change: any choice can be read.
_ZSTD_LEVEL = 1
_ZSTD_LEVEL_SMALL = 9  # of what is to be small; 19 takes 13 times as long to save another 5 percent
_SMALLER = 0.97  # of what a frame with fewer matches takes: many short ones take twice as long to read
_ZSTD_BYTES_MIN = 64  # a frame has 9 bytes of its own at least; shorter columns do not win them back
_RANDOM_BITS = 26.0  # words wider than this on average are tried as a dictionary
_DICTIONARY_SAMPLE = 4096
_DICTIONARY_SAMPLE_DISTINCT = 0.85  # more distinct words than this share of the sample: hopeless
_DICTIONARY_SHARE_MAX = 0.5  # of the column's length: beyond, 8 bytes a word are not shorter


class EncodedColumn(NamedTuple):
    """What the directory says of a column, and its bytes."""

    codec: int
    compression: int
    parameter: int
    stored: bytes


class _ThreadZstd(threading.local):
    """Compressors and a decompressor for each thread: they are not thread safe, and dear to make."""

    def __init__(self) -> None:
        self.fast = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_content_size=True)
        self.small = zstandard.ZstdCompressor(level=_ZSTD_LEVEL_SMALL, write_content_size=True)
        # Matches are looked for in the smallest table that there is: few are found, none of them short.
        literal = zstandard.ZstdCompressionParameters.from_level(
            _ZSTD_LEVEL, strategy=zstandard.STRATEGY_FAST, hash_log=zstandard.HASHLOG_MIN, min_match=7,
            target_length=0, write_content_size=True,
        )  # fmt: skip
        self.literal = zstandard.ZstdCompressor(compression_params=literal)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _ThreadZstd()


def squeeze(plain: bytes, *, small: bool = False) -> tuple[int, bytes]:
    """Return (compression, stored) for these bytes, whichever is shorter; ``small`` takes longer for less."""
    return _shorter((_zstd.small if small else _zstd.fast).compress, plain)


def _squeeze_to_read(plain: bytes) -> tuple[int, bytes]:
    """squeeze() into a frame that is small, and fast to read where that makes no great difference.

    Byte planes of few values are as small without matches, and read twice as fast.
    """
    best = _shorter(_zstd.literal.compress, plain)
    for compress in (_zstd.fast.compress, _zstd.small.compress):
        found = _shorter(compress, plain)
        if len(found[1]) < _SMALLER * len(best[1]):
            best = found
    return best


def _shorter(compress: Callable[[bytes], bytes], plain: bytes) -> tuple[int, bytes]:
    if len(plain) >= _ZSTD_BYTES_MIN:
        frame = compress(plain)
        if len(frame) < len(plain):
            return ZSTD, frame
    return PLAIN, plain


def unsqueeze(compression: int, stored: memoryview, plain_bytes: int) -> memoryview:
    """Return exactly plain_bytes bytes, or raise FormatError having allocated no more than that."""
    if compression == PLAIN:
        if len(stored) != plain_bytes:
            raise FormatError(f"{len(stored)} bytes stored where {plain_bytes} are due")
        return stored
    if compression != ZSTD:
        raise FormatError(f"unknown compression {compression}")
    try:
        frame = zstandard.get_frame_parameters(stored)
        # decompress() obeys the size in the frame's header, whatever limit it is given: look first.
        if frame.content_size != plain_bytes:
            raise FormatError(
                f"the zstd frame promises {frame.content_size} bytes where {plain_bytes} are due"
            )
        plain = _zstd.decompressor.decompress(stored, max_output_size=plain_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(f"bad zstd frame: {error}") from error
    if len(plain) != plain_bytes:
        raise FormatError(f"a zstd frame holds {len(plain)} bytes where {plain_bytes} are due")
    return memoryview(plain)


# ------------------------------------------------------------------------------------ encode


def encode_words(
    words: U64, item_bytes: int, *, small: bool = False, codes: U32 | None = None
) -> EncodedColumn:
    """Return a column's words in the codec that looks shortest; words must fit in item_bytes each.

    ``small``: in the one that is shortest, having tried them all; ``codes``, the words' positions in a
    dictionary of the file, are one more way then.
    """
    if len(words) == 1:  # a call for a single event should not wait for what it cannot need
        return EncodedColumn(CODEC_CONSTANT, PLAIN, 0, _word_bytes(words[0]))
    if small:
        return _encode_small(words, item_bytes, codes)
    value_or, delta_or, value_bits, delta_bits = kernels.measure(words)
    if delta_or == 0:
        return EncodedColumn(CODEC_CONSTANT, PLAIN, 0, _word_bytes(words[0]))
    if min(value_bits, delta_bits) > _RANDOM_BITS and (column := _encode_dictionary(words)) is not None:
        return column
    if delta_bits < value_bits and (width := _width(delta_or)) <= _width(value_or):
        compression, stored = squeeze(_word_bytes(words[0]) + kernels.split_delta(words, width))
        column = EncodedColumn(CODEC_DELTA, compression, width, stored)
    elif (width := _width(value_or)) < WORD_BYTES or value_bits < _RANDOM_BITS:
        compression, stored = squeeze(kernels.split(words, width))
        column = EncodedColumn(CODEC_PLANES, compression, width, stored)
    else:
        return _encode_raw(words, item_bytes)
    return column if len(column.stored) < len(words) * item_bytes else _encode_raw(words, item_bytes)


def _encode_small(words: U64, item_bytes: int, codes: U32 | None) -> EncodedColumn:
    if bool((words == words[0]).all()):
        return EncodedColumn(CODEC_CONSTANT, PLAIN, 0, _word_bytes(words[0]))
    (codec, parameter), plain, _ = _smallest(words, item_bytes, codes)
    compression, stored = _squeeze_to_read(plain)
    return EncodedColumn(codec, compression, parameter, stored)


def small_bytes(words: U64, item_bytes: int) -> int:
    """Return about how many bytes encode_words(small=True) stores of some words, in a tenth of its time."""
    return _smallest(words, item_bytes, None)[2]


def _smallest(words: U64, item_bytes: int, codes: U32 | None) -> tuple[tuple[int, int], bytes, int]:
    """Return codec and parameter, plain bytes, and what is left of these by fast compression: that tells the
    choices apart in a tenth of the time.
    """
    value_or, delta_or, _, _ = kernels.measure(words)
    plains = {
        (CODEC_RAW, 0): _raw(words, item_bytes),
        (CODEC_PLANES, width := _width(value_or) or 1): kernels.split(words, width),
        (CODEC_DELTA, width := _width(delta_or) or 1): _word_bytes(words[0])
        + kernels.split_delta(words, width),
    }
    if codes is not None:
        width = _width(int(codes.max())) or 1
        plains[CODEC_SHARED, width] = kernels.split(codes.astype(np.uint64), width)
    elif (found := kernels.distinct(words, max(1, int(len(words) * _DICTIONARY_SHARE_MAX)))) is not None:
        plains[CODEC_DICTIONARY, len(found[0])] = _dictionary(*found)
    sizes = {choice: len(squeeze(plain)[1]) for choice, plain in plains.items()}
    choice = min(sizes, key=lambda it: sizes[it])
    return choice, plains[choice], sizes[choice]


def _encode_raw(words: U64, item_bytes: int) -> EncodedColumn:
    return EncodedColumn(CODEC_RAW, PLAIN, 0, _raw(words, item_bytes))


def _raw(words: U64, item_bytes: int) -> bytes:
    return words.astype("<u8", copy=False).view(np.uint8).reshape(-1, WORD_BYTES)[:, :item_bytes].tobytes()


def _encode_dictionary(words: U64) -> EncodedColumn | None:
    sample = words[:_DICTIONARY_SAMPLE]
    if kernels.distinct(sample, max(1, int(len(sample) * _DICTIONARY_SAMPLE_DISTINCT))) is None:
        return None
    found = kernels.distinct(words, max(1, int(len(words) * _DICTIONARY_SHARE_MAX)))
    if found is None:
        return None
    compression, stored = squeeze(_dictionary(*found))
    return EncodedColumn(CODEC_DICTIONARY, compression, len(found[0]), stored)


def _dictionary(values: U64, codes: NDArray[np.uint32]) -> bytes:
    order = np.argsort(values)
    rank = np.empty(len(values), np.uint64)
    rank[order] = np.arange(len(values), dtype=np.uint64)
    ascending = values[order]
    dictionary = _word_bytes(ascending[0]) + kernels.split_delta(ascending, WORD_BYTES)
    return dictionary + kernels.split(rank[codes], _position_width(len(values)))


def _word_bytes(word: np.uint64) -> bytes:
    return int(word).to_bytes(WORD_BYTES, "little")


def _width(mask: int) -> int:
    return (mask.bit_length() + 7) // 8


def _position_width(size: int) -> int:
    return 1 if size <= 1 << 8 else 2


# ------------------------------------------------------------------------------------ decode


def decode_words(
    codec: int, compression: int, parameter: int, stored: memoryview, count: int, item_bytes: int
) -> U64:
    """Return count words that fit in item_bytes each; FormatError for what encode_words cannot write."""
    if codec == CODEC_CONSTANT:
        words = np.full(count, decode_constant(compression, parameter, stored), np.uint64)
    elif codec == CODEC_RAW:
        if parameter:
            raise FormatError(f"codec {codec} with parameter {parameter}")
        words = _decode_raw(unsqueeze(compression, stored, count * item_bytes), item_bytes)
    elif codec in (CODEC_PLANES, CODEC_DELTA):
        if not 1 <= parameter <= WORD_BYTES:
            raise FormatError(f"{parameter} byte planes; a word has 1 to {WORD_BYTES}")
        base = WORD_BYTES if codec == CODEC_DELTA else 0
        plain = unsqueeze(compression, stored, base + parameter * count)
        words = _decode_delta(plain, count, parameter) if base else kernels.join(plain, count, parameter)
    elif codec == CODEC_DICTIONARY:
        words = _decode_dictionary(compression, parameter, stored, count)
    else:
        raise FormatError(f"unknown codec {codec}")
    if item_bytes < WORD_BYTES and int(words.max()) >> (8 * item_bytes):
        raise FormatError(f"a word does not fit in {item_bytes} bytes")
    return words


def decode_shared(compression: int, width: int, stored: memoryview, count: int, dictionary: U64) -> CodedIds:
    """Return count words of a dictionary; FormatError or ValueError for what encode_words cannot write."""
    if not 1 <= width <= CODE_BYTES_MAX:
        raise FormatError(f"{width} byte planes; a position has 1 to {CODE_BYTES_MAX}")
    plain = unsqueeze(compression, stored, width * count)
    return CodedIds(kernels.join_places(plain, count, width, len(dictionary)), dictionary)


def decode_constant(compression: int, parameter: int, stored: memoryview) -> int:
    """Return the one word of a constant column."""
    if parameter:
        raise FormatError(f"codec {CODEC_CONSTANT} with parameter {parameter}")
    return int.from_bytes(unsqueeze(compression, stored, WORD_BYTES), "little")


def _decode_raw(plain: memoryview, item_bytes: int) -> U64:
    return np.frombuffer(plain, f"<u{item_bytes}").astype(np.uint64)


def _decode_delta(plain: memoryview, count: int, width: int) -> U64:
    base = int.from_bytes(plain[:WORD_BYTES], "little")
    return kernels.join_delta(plain[WORD_BYTES:], count, width, base)


def _decode_dictionary(compression: int, size: int, stored: memoryview, count: int) -> U64:
    if not 1 <= size <= count:
        raise FormatError(f"a dictionary of {size} words for {count}")
    width = _position_width(size)
    dictionary_bytes = WORD_BYTES + WORD_BYTES * size
    plain = unsqueeze(compression, stored, dictionary_bytes + width * count)
    ascending = _decode_delta(plain[:dictionary_bytes], size, WORD_BYTES)
    if not bool(np.all(ascending[1:] > ascending[:-1])):
        raise FormatError("the dictionary is not ascending")
    positions = kernels.join(plain[dictionary_bytes:], count, width)
    if int(positions.max()) >= size:
        raise FormatError(f"position {int(positions.max())} in a dictionary of {size} words")
    return ascending[positions]
