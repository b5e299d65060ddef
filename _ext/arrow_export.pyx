"""Hand NumPy columns to any Arrow consumer, without an Arrow library.

Numbers are not copied: the consumer reads the memory of the NumPy arrays, which live until it has released
what it got. It may do that on any thread, in any order, and column by column: a column may be moved out of
its table. So each C struct owns what it points to by itself, through ``private_data``:

    stream            a reference to an Export: the columns, and whether they were sent
    table             the block that its children lie in (the structs, not what they own)
    column            a reference to a Column: its name, type and buffers
"""

import numpy as np

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport ENOMEM
from libc.string cimport memset


cdef extern from "Python.h":
    int Py_IsInitialized() nogil


cdef enum:
    NULLABLE = 2      # the flag that every producer sets on columns, with nulls or without
    BUFFERS_MAX = 3   # of a text column: validity, offsets, bytes

cdef dict NUMBERS = {
    "i1": b"c", "u1": b"C", "i2": b"s", "u2": b"S", "i4": b"i", "u4": b"I", "i8": b"l", "u8": b"L",
    "f4": b"f", "f8": b"g",
}
cdef bytes BITS = b"b"
cdef bytes TEXT = b"U"  # with 64-bit offsets
cdef bytes TIME = b"tsn:UTC"

cdef const void *NO_VALIDITY[1]  # the one buffer of a table, whose rows are all there
NO_VALIDITY[0] = NULL


def export_stream(columns, times=()):
    """Return a capsule "arrow_array_stream": the columns as one batch. ``times`` names int64 columns of ns UTC.

    ``columns`` maps names to one-dimensional arrays: integers, float32, float64, bool (packed into bits, a copy),
    or str and None as objects (encoded, a copy). An array that is strided, unaligned or of foreign byte order is
    copied too. Raises TypeError for another dtype and ValueError for columns of different lengths.
    """
    cdef Export export = Export.__new__(Export)
    cdef ArrowArrayStream *stream
    export.columns = tuple([_column(name, values, name in times) for name, values in columns.items()])
    export.row_count = _row_count(export.columns)
    stream = <ArrowArrayStream *>PyMem_RawCalloc(1, sizeof(ArrowArrayStream))
    capsule = _capsule(stream, "arrow_array_stream")
    stream.get_schema = get_schema
    stream.get_next = get_next
    stream.get_last_error = get_last_error
    stream.private_data = lend(export)
    stream.release = release_stream
    return capsule


def export_schema(columns, times=()):
    """Return a capsule "arrow_schema": the names and types that export_stream() of the same columns has."""
    cdef tuple fields = tuple([_field(name, values.dtype, name in times) for name, values in columns.items()])
    cdef ArrowSchema *schema = <ArrowSchema *>PyMem_RawCalloc(1, sizeof(ArrowSchema))
    capsule = _capsule(schema, "arrow_schema")
    if fill_schema(fields, schema) != 0:
        raise MemoryError
    return capsule


# ------------------------------------------------------------------------------------ owners


@cython.final
cdef class Column:
    """A name and a type, and of a filled column its rows. Nothing changes once C refers to it."""

    cdef bytes name
    cdef bytes format
    cdef int64_t row_count
    cdef int64_t null_count
    cdef int buffer_count
    cdef Py_buffer views[BUFFERS_MAX]        # what keeps the owners of the buffers alive
    cdef const void *buffers[BUFFERS_MAX]

    def __dealloc__(self):
        cdef int i
        for i in range(BUFFERS_MAX):
            PyBuffer_Release(&self.views[i])  # of one never taken: nothing

    cdef _hold(self, tuple buffers):
        """Take the buffers; None is a validity buffer that says nothing."""
        for buffer in buffers:
            if buffer is not None:
                PyObject_GetBuffer(buffer, &self.views[self.buffer_count], PyBUF_SIMPLE)
                self.buffers[self.buffer_count] = self.views[self.buffer_count].buf
            self.buffer_count += 1


@cython.final
cdef class Export:
    """What a stream sends: one batch."""

    cdef tuple columns
    cdef int64_t row_count
    cdef bint is_sent


cdef Column _field(str name, object dtype, bint is_time):
    """Return a column without rows."""
    cdef Column column = Column.__new__(Column)
    column.name = name.encode()
    if b"\0" in column.name:
        raise ValueError(f"column {name!r}: Arrow names cannot hold a zero byte; rename it")
    kind = dtype.str[1:]
    if is_time:
        if kind != "i8":
            raise TypeError(f"column {name!r}: times are int64 ns, not {dtype}")
        column.format = TIME
    elif dtype.kind in "OU":
        column.format = TEXT
    elif kind == "b1":
        column.format = BITS
    elif kind in NUMBERS:
        column.format = NUMBERS[kind]
    else:
        raise TypeError(f"column {name!r}: {dtype} has no Arrow type here; convert it to a number, bool or str")
    return column


cdef Column _column(str name, object values, bint is_time):
    cdef Column column = _field(name, values.dtype, is_time)
    if values.ndim != 1:
        raise ValueError(f"column {name!r}: {values.ndim} dimensions, a column has one")
    column.row_count = len(values)
    if column.format == TEXT:
        valid, offsets, data = _encode(name, values.tolist())
        column.null_count = column.row_count - np.count_nonzero(valid)
        column._hold((np.packbits(valid, bitorder="little") if column.null_count else None, offsets, data))
    elif column.format == BITS:
        column._hold((None, np.packbits(values, bitorder="little")))
    else:
        column._hold((None, np.require(values, values.dtype.newbyteorder("="), ("C", "A"))))
    return column


cdef tuple _encode(str name, list texts):
    """Return which rows are there, where each begins and the last ends, and their UTF-8."""
    cdef Py_ssize_t row
    cdef list pieces = [b""] * len(texts)
    valid = np.ones(len(texts), "?")
    for row, text in enumerate(texts):
        if text is None:
            valid[row] = False
            continue
        if not isinstance(text, str):
            raise TypeError(f"column {name!r}, row {row}: {text!r} is neither str nor None")
        try:
            pieces[row] = text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"column {name!r}, row {row}: {text!r} is not valid Unicode") from error
    offsets = np.zeros(len(texts) + 1, "i8")
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    return valid, offsets, b"".join(pieces)


cdef int64_t _row_count(tuple columns) except -1:
    cdef Column first, column
    if not columns:
        return 0
    first = columns[0]
    for column in columns:
        if column.row_count != first.row_count:
            raise ValueError(
                f"columns {first.name.decode()!r} and {column.name.decode()!r} differ in length: "
                f"{first.row_count} and {column.row_count} rows"
            )
    return first.row_count


# ------------------------------------------------------------------------------------ references held by C


cdef void *lend(object owner):
    """Return a reference for C to hold."""
    Py_INCREF(owner)
    return <void *>owner


cdef void give_back(void *owner) noexcept nogil:
    """Drop a reference that C held. After the interpreter's end there is no one left to free it for."""
    if Py_IsInitialized():
        with gil:
            Py_DECREF(<object>owner)


cdef object _capsule(void *struct_block, const char *name):
    """Return a capsule that owns a zeroed struct; NULL is a failed allocation of it."""
    if struct_block == NULL:
        raise MemoryError
    try:
        return PyCapsule_New(struct_block, name, destroy_stream if name[6] == c"a" else destroy_schema)
    except BaseException:
        PyMem_RawFree(struct_block)
        raise


cdef void destroy_stream(object capsule) noexcept:
    # A consumer that took the stream has left a struct without release.
    cdef ArrowArrayStream *stream = <ArrowArrayStream *>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    if stream.release != NULL:
        stream.release(stream)
    PyMem_RawFree(stream)


cdef void destroy_schema(object capsule) noexcept:
    cdef ArrowSchema *schema = <ArrowSchema *>PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    PyMem_RawFree(schema)
