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
from cpython.array cimport array as PyArray, clone
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from cpython.pycapsule cimport (
    PyCapsule_Destructor, PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_New,
)
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.errno cimport EINVAL, ENOMEM
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from tidal._ext.arrow cimport ArrowArray, ArrowArrayStream, ArrowSchema


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

cdef PyArray OFFSETS = PyArray("q")  # the kind of array that text offsets are

cdef const void *NO_VALIDITY[1]  # the one buffer of a table, whose rows are all there
NO_VALIDITY[0] = NULL


def export_stream(columns, times=()):
    """Return a capsule "arrow_array_stream": the columns as one batch.

    ``columns`` maps names to one-dimensional arrays: integers, float32, float64, bool (packed into bits,
    a copy), or str and None as objects (encoded, a copy). An array that is strided, unaligned or of foreign
    byte order is copied too. ``times`` names int64 columns that are ns since the epoch, UTC.

    Raises TypeError for another dtype or object, ValueError for columns of different lengths.
    """
    cdef Export export = Export.__new__(Export)
    cdef ArrowArrayStream *stream
    export.columns = tuple([_column(name, values, name in times) for name, values in columns.items()])
    export.row_count = _row_count(export.columns)
    stream = <ArrowArrayStream *>PyMem_RawCalloc(1, sizeof(ArrowArrayStream))
    capsule = _capsule(stream, "arrow_array_stream", destroy_stream)
    stream.get_schema = get_schema
    stream.get_next = get_next
    stream.get_last_error = get_last_error
    stream.private_data = lend(export)
    stream.release = release_stream
    return capsule


def export_schema(columns, times=()):
    """Return a capsule "arrow_schema": the names and types that export_stream() gives the columns."""
    cdef tuple fields = tuple([_field(name, values.dtype, name in times) for name, values in columns.items()])
    cdef ArrowSchema *schema = <ArrowSchema *>PyMem_RawCalloc(1, sizeof(ArrowSchema))
    capsule = _capsule(schema, "arrow_schema", destroy_schema)
    fill_schema(fields, schema)
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

    cdef _hold(self, buffers):
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
        raise TypeError(f"column {name!r}: {dtype} is not exported; make it a number, bool or str")
    return column


cdef Column _column(str name, object values, bint is_time):
    cdef Column column = _field(name, values.dtype, is_time)
    if values.ndim != 1:
        raise ValueError(f"column {name!r}: {values.ndim} dimensions, a column has one")
    column.row_count = len(values)
    if column.format == TEXT:
        column.null_count, *buffers = _encode(name, values.tolist())
        column._hold(buffers)
    elif column.format == BITS:
        column._hold((None, np.packbits(values, bitorder="little")))
    else:
        column._hold((None, np.require(values, values.dtype.newbyteorder("="), ("C", "A"))))
    return column


cdef tuple _encode(str name, list texts):
    """Return how many are None, then the buffers: validity, offsets, UTF-8."""
    cdef Py_ssize_t row, size, count = len(texts)
    cdef PyArray offsets = clone(OFFSETS, count + 1, zero=True)
    cdef int64_t *starts = <int64_t *>offsets.data.as_longlongs
    cdef list missing = []
    for row in range(count):
        text = texts[row]
        size = 0
        if text is None:
            missing.append(row)
        elif isinstance(text, str):
            try:
                PyUnicode_AsUTF8AndSize(text, &size)
            except UnicodeEncodeError as error:
                raise ValueError(f"column {name!r}, row {row}: {text!r} is not valid Unicode") from error
        else:
            raise TypeError(f"column {name!r}, row {row}: {text!r} is neither str nor None")
        starts[row + 1] = starts[row] + size
    cdef bytes data = PyBytes_FromStringAndSize(NULL, starts[count])
    cdef char *data_out = PyBytes_AS_STRING(data)
    cdef const char *text_data
    for row in range(count):
        if texts[row] is not None:
            text_data = PyUnicode_AsUTF8AndSize(texts[row], NULL)
            memcpy(data_out + starts[row], text_data, starts[row + 1] - starts[row])
    if not missing:
        return 0, None, offsets, data
    valid = np.ones(count, "?")
    valid[missing] = False
    return len(missing), np.packbits(valid, bitorder="little"), offsets, data


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


cdef object _capsule(void *block, const char *name, PyCapsule_Destructor destroy):
    """Return a capsule that owns a zeroed struct; NULL is a failed allocation of it."""
    if block == NULL:
        raise MemoryError
    try:
        return PyCapsule_New(block, name, destroy)
    except BaseException:
        PyMem_RawFree(block)
        raise


# The destructors and callbacks below are called by C, which has no exceptions: nothing in them may raise, and
# what the functions they call raise becomes an errno (status_of).


cdef void *pointer_of(object capsule) noexcept:
    """The struct of a capsule, by the name that it has now: a consumer may have given it another."""
    return PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))


cdef int status_of(BaseException error) noexcept:
    return ENOMEM if isinstance(error, MemoryError) else EINVAL


cdef void destroy_stream(object capsule) noexcept:
    # A consumer that took the stream has left a struct without a release.
    cdef ArrowArrayStream *stream = <ArrowArrayStream *>pointer_of(capsule)
    if stream.release != NULL:
        stream.release(stream)
    PyMem_RawFree(stream)


cdef void destroy_schema(object capsule) noexcept:
    cdef ArrowSchema *schema = <ArrowSchema *>pointer_of(capsule)
    if schema.release != NULL:
        schema.release(schema)
    PyMem_RawFree(schema)


# ------------------------------------------------------------------------------------ streams


cdef int get_schema(ArrowArrayStream *stream, ArrowSchema *schema_out) noexcept nogil:
    with gil:
        try:
            fill_schema((<Export>stream.private_data).columns, schema_out)
        except BaseException as error:
            return status_of(error)
        return 0


cdef int get_next(ArrowArrayStream *stream, ArrowArray *array_out) noexcept nogil:
    with gil:
        try:
            send(<Export>stream.private_data, array_out)
        except BaseException as error:
            return status_of(error)
        return 0


cdef int send(Export export, ArrowArray *array_out) except -1:
    """Fill the batch the first time, then the empty struct that is the end."""
    memset(array_out, 0, sizeof(ArrowArray))
    if not export.is_sent:
        fill_array(export, array_out)
        export.is_sent = True
    return 0


cdef const char *get_last_error(ArrowArrayStream *stream) noexcept nogil:
    return NULL  # the errno says it all: in practice there is none but ENOMEM


cdef void release_stream(ArrowArrayStream *stream) noexcept nogil:
    give_back(stream.private_data)
    stream.release = NULL


# ------------------------------------------------------------------------------------ schemas


cdef int fill_schema(tuple fields, ArrowSchema *schema_out) except -1:
    """Fill the type of a table; MemoryError leaves it empty."""
    cdef Py_ssize_t i, count = len(fields)
    cdef ArrowSchema **children = <ArrowSchema **>PyMem_RawCalloc(
        count, sizeof(ArrowSchema *) + sizeof(ArrowSchema)
    )
    cdef ArrowSchema *child = <ArrowSchema *>(children + count)
    cdef Column field
    memset(schema_out, 0, sizeof(ArrowSchema))
    if children == NULL:
        raise MemoryError
    for i in range(count):
        field = <Column>fields[i]
        child.format = PyBytes_AS_STRING(field.format)
        child.name = PyBytes_AS_STRING(field.name)
        child.flags = NULLABLE
        child.private_data = lend(field)
        child.release = release_column_schema
        children[i] = child
        child += 1
    schema_out.format = b"+s"
    schema_out.name = b""
    schema_out.n_children = count
    schema_out.children = children
    schema_out.private_data = children
    schema_out.release = release_table_schema
    return 0


cdef void release_column_schema(ArrowSchema *schema) noexcept nogil:
    give_back(schema.private_data)
    schema.release = NULL


cdef void release_table_schema(ArrowSchema *schema) noexcept nogil:
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i].release != NULL:  # not moved out by the consumer
            schema.children[i].release(schema.children[i])
    PyMem_RawFree(schema.private_data)
    schema.release = NULL


# ------------------------------------------------------------------------------------ arrays


cdef int fill_array(Export export, ArrowArray *array_out) except -1:
    """Fill a zeroed table; MemoryError leaves it empty."""
    cdef Py_ssize_t i, count = len(export.columns)
    cdef ArrowArray **children = <ArrowArray **>PyMem_RawCalloc(
        count, sizeof(ArrowArray *) + sizeof(ArrowArray)
    )
    cdef ArrowArray *child = <ArrowArray *>(children + count)
    cdef Column column
    if children == NULL:
        raise MemoryError
    for i in range(count):
        column = <Column>export.columns[i]
        child.length = column.row_count
        child.null_count = column.null_count
        child.n_buffers = column.buffer_count
        child.buffers = column.buffers
        child.private_data = lend(column)
        child.release = release_column
        children[i] = child
        child += 1
    array_out.length = export.row_count
    array_out.n_buffers = 1
    array_out.buffers = NO_VALIDITY
    array_out.n_children = count
    array_out.children = children
    array_out.private_data = children
    array_out.release = release_table
    return 0


cdef void release_column(ArrowArray *array) noexcept nogil:
    give_back(array.private_data)
    array.release = NULL


cdef void release_table(ArrowArray *array) noexcept nogil:
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i].release != NULL:
            array.children[i].release(array.children[i])
    PyMem_RawFree(array.private_data)
    array.release = NULL
