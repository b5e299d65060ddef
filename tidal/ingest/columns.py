"""What people pass as a column -> one array with its nulls and texts told apart; nothing is judged yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from numbers import Number
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tidal._ext.arrow import Stream
from tidal.errors import InvalidEvent
from tidal.records import record
from tidal.schema.events import ID_MAX

# Values that are one value although some of them have a length or an array form.
_SCALARS = (str, bytes, Number, np.generic, date)


@record
class Column:
    """One column as its source holds it: contiguous, aligned, native byte order.

    ``values`` has any dtype; with ``texts`` it holds int32 codes into that list, whose entries are str,
    or bytes where the source's text is not UTF-8. Where ``valid`` is False the value means nothing.
    """

    name: str
    values: NDArray[Any]
    valid: NDArray[np.bool_] | None = None
    texts: list[str | bytes] | None = None
    is_scalar: bool = False  # one value for all rows

    def __len__(self) -> int:
        return len(self.values)

    def value_at(self, row: int) -> object:
        """Return the value as it was given: a Python int, float or str, a datetime64, or the object."""
        if self.valid is not None and not self.valid[row]:
            return None
        value = self.values[row]
        if self.texts is not None:
            return self.texts[value]
        return value.item() if isinstance(value, np.number | np.bool_) else value


def read_column(name: str, source: Any) -> Column:
    """Return a column from a scalar, a sequence, a NumPy array or an Arrow column.

    NumPy arrays and Arrow columns of plain numbers are not copied. Raises InvalidEvent for anything
    that is not a column.
    """
    if isinstance(source, np.ndarray):
        return _from_array(name, source)
    if isinstance(source, _SCALARS):
        return _scalar(name, source)
    if isinstance(source, list | tuple | range):
        return _from_list(name, list(source))
    if not isinstance(getattr(source, "dtype", None), np.dtype):  # a pandas column over NumPy is one already
        arrow = _from_arrow(name, source)
        if arrow is not None:
            return arrow
    if hasattr(source, "__array__") or _has_buffer(source):
        return _from_array(name, np.asarray(source))
    if isinstance(source, Sequence):
        return _from_list(name, list(source))
    hint = "; pass list(...) of it" if isinstance(source, Collection) or hasattr(source, "__next__") else ""
    raise InvalidEvent(f"a {type(source).__name__} is not a column{hint}", column=name)


def _scalar(name: str, value: Any) -> Column:
    column = _from_list(name, [value])
    return Column(name, column.values, column.valid, column.texts, is_scalar=True)


def _has_buffer(source: object) -> bool:
    if isinstance(source, bytearray):
        return False
    try:
        memoryview(cast("Any", source)).release()
    except TypeError:
        return False
    return True


# ------------------------------------------------------------------------------------ Python


def _from_list(name: str, items: list[Any]) -> Column:
    types = set(map(type, items))
    if type(None) in types:
        return _with_nulls(name, items, [item is not None for item in items])
    if types <= {int}:
        return Column(name, _integers(items))
    if types == {float}:
        return Column(name, np.array(items, np.float64))
    if all(issubclass(kind, str) for kind in types):
        return _from_texts(name, list(map(str.__str__, items)))
    if types == {str, float}:
        there = [type(item) is str or item == item for item in items]
        if not all(there):  # pandas says NaN for a missing text
            return _with_nulls(name, items, there)
    if len(types) == 1 and issubclass(kind := types.pop(), np.number | np.bool_):
        return Column(name, np.array(items, kind))
    return Column(name, np.fromiter(items, np.object_, len(items)))


def _with_nulls(name: str, items: list[Any], there: list[bool]) -> Column:
    valid = np.array(there, np.bool_)
    rest = _from_list(name, [item for item, known in zip(items, there, strict=True) if known])
    values = np.zeros(len(items), rest.values.dtype)
    values[valid] = rest.values
    if rest.valid is not None:
        valid[valid] = rest.valid
    return Column(name, values, valid, rest.texts)


def _integers(items: list[int]) -> NDArray[Any]:
    try:
        return np.array(items, np.int64)
    except OverflowError:
        # never by way of float64, which is where NumPy goes with int64 and uint64 together
        fits = min(items) >= 0 and max(items) <= ID_MAX
        return np.array(items, np.uint64 if fits else np.object_)


def _from_texts(name: str, items: list[str]) -> Column:
    distinct: dict[str, int] = {text: code for code, text in enumerate(dict.fromkeys(items))}
    codes = np.fromiter(map(distinct.__getitem__, items), np.int32, len(items))
    return Column(name, codes, texts=list(distinct))


# ------------------------------------------------------------------------------------ NumPy


def _from_array(name: str, array: NDArray[Any]) -> Column:
    if array.ndim == 0:
        return _scalar(name, array[()])
    if array.ndim != 1:
        raise InvalidEvent(f"has {array.ndim} dimensions, shape {array.shape}; a column has one", column=name)
    if isinstance(array, np.ma.MaskedArray):
        column = _from_array(name, array.data)
        present = ~np.ma.getmaskarray(array)
        valid = present if column.valid is None else column.valid & present
        return Column(name, column.values, valid, column.texts)
    if array.dtype.kind in "OUT":
        return _from_list(name, array.tolist())
    return Column(name, np.require(array, array.dtype.newbyteorder("="), ("C", "A")))


# ------------------------------------------------------------------------------------ Arrow


def _from_arrow(name: str, source: Any) -> Column | None:
    """Return the column of an Arrow producer, or None if it is not one that works."""
    if not (hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")):
        return None
    try:
        with Stream(source) as stream:
            if stream.is_table:
                raise InvalidEvent(
                    f"a {type(source).__name__} is a table; pass one column of it", column=name
                )
            return join([Column(name, *chunk.column(0)) for chunk in stream], name)
    except ImportError:  # pandas has the method but needs pyarrow for it
        return None
    except (ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, InvalidEvent):
            raise
        raise InvalidEvent(f"cannot be read as Arrow data: {error}", column=name) from error


def join(chunks: list[Column], name: str) -> Column:
    """Return consecutive chunks of one column as one."""
    if len(chunks) == 1:
        return chunks[0]
    if not chunks:
        return Column(name, np.zeros(0, np.int64))
    valid = None
    if any(chunk.valid is not None for chunk in chunks):
        valid = np.concatenate(
            [np.ones(len(chunk), np.bool_) if chunk.valid is None else chunk.valid for chunk in chunks]
        )
    if chunks[0].texts is None:
        return Column(name, np.concatenate([chunk.values for chunk in chunks]), valid)
    texts: list[str | bytes] = []
    codes = []
    for chunk in chunks:
        codes.append(chunk.values + np.int32(len(texts)))
        texts += chunk.texts or ()
    return Column(name, np.concatenate(codes), valid, texts)
