"""Hand NumPy columns to any Arrow consumer, without an Arrow library.

Numbers are not copied: the consumer reads the memory of the NumPy arrays, which live until it has released
what it got. It may do that on any thread, in any order, and column by column: a column may be moved out of
its table. So each C struct owns what it points to by itself, through ``private_data``:

    stream            a reference to an Export: the type, and the batches that are still to be made
    table, column     a block of its own: a reference to a Column (name, type, buffers), then the structs of
                      its children
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
from libc.stdint cimport INT32_MAX, int64_t
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

cdef bytes STRUCT = b"+s"
cdef bytes LIST = b"+l"  # with 32-bit offsets

cdef dict TYPES = {
    "uint64": b"L", "int64": b"l", "float32": b"f", "float64": b"g", "bool": BITS, "string": TEXT,
    "json": TEXT, "timestamp": TIME, "messages": LIST,
}

cdef PyArray OFFSETS = PyArray("q")  # the kinds of array that offsets of texts and of lists are
cdef PyArray SHORT_OFFSETS = PyArray("i")


def export_stream(columns, times=()):
    """Return a capsule "arrow_array_stream": the columns as one batch.

    ``columns`` maps names to one-dimensional arrays: integers, float32, float64, bool (packed into bits,
    a copy), or str and None as objects (encoded, a copy). An array that is strided, unaligned or of foreign
    byte order is copied too. ``times`` names int64 columns that are ns since the epoch, UTC.

    Raises TypeError for another dtype or object, ValueError for columns of different lengths.
    """
    cdef tuple filled = tuple([_column(name, values, name in times) for name, values in columns.items()])
    cdef Column table = _table(filled, _row_count(filled))
    return _stream(table, iter([table]))


def export_schema(columns, times=()):
    """Return a capsule "arrow_schema": the names and types that export_stream() gives the columns."""
    fields = tuple([_field(name, values.dtype, name in times) for name, values in columns.items()])
    return _schema(_table(fields, 0))


def export_batches(fields, batches):
    """Return a capsule "arrow_array_stream": batches of one type, each made when it is asked for.

    ``fields`` are pairs of a name and a type: "uint64", "int64", "float32", "float64", "bool", "timestamp"
    (int64), "string", "json" or "messages". ``batches`` yields pairs of columns and their number of rows. A
    column is, by its type, (array of just that type, array of bool or None: which rows have a value); for a
    string or json a list of str and None, or (uint8 places, names); for messages a list of lists of pairs of
    str (role, content), and None. What ``batches`` raises is the error of the consumer, with its text.
    """
    cdef tuple types = tuple([_typed_field(name, type) for name, type in fields])
    return _stream(_table(types, 0), (_batch(types, columns, count) for columns, count in batches))


def export_batches_schema(fields):
    """Return a capsule "arrow_schema": the type of what export_batches() sends."""
    return _schema(_table(tuple([_typed_field(name, type) for name, type in fields]), 0))


cdef object _stream(Column type, object batches):
    cdef Export export = Export.__new__(Export)
    cdef ArrowArrayStream *stream
    export.type, export.batches = type, batches
    stream = <ArrowArrayStream *>PyMem_RawCalloc(1, sizeof(ArrowArrayStream))
    capsule = _capsule(stream, "arrow_array_stream", destroy_stream)
    stream.get_schema = get_schema
    stream.get_next = get_next
    stream.get_last_error = get_last_error
    stream.private_data = lend(export)
    stream.release = release_stream
    return capsule


cdef object _schema(Column type):
    cdef ArrowSchema *schema = <ArrowSchema *>PyMem_RawCalloc(1, sizeof(ArrowSchema))
    capsule = _capsule(schema, "arrow_schema", destroy_schema)
    fill_schema(type, schema)
    return capsule


# ------------------------------------------------------------------------------------ owners


@cython.final
cdef class Column:
    """A name and a type, and of a filled column its rows. Nothing changes once C refers to it."""

    cdef bytes name
    cdef bytes format
    cdef int64_t flags
    cdef tuple children
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
    """What a stream sends: its type, and an iterator of filled columns of it."""

    cdef Column type
    cdef object batches
    cdef bytes message  # of the last error


cdef Column _named(str name, bytes format):
    """Return a column without rows."""
    cdef Column column = Column.__new__(Column)
    column.name, column.format, column.flags, column.children = name.encode(), format, NULLABLE, ()
    if b"\0" in column.name:
        raise ValueError(f"column {name!r}: Arrow names cannot hold a zero byte; rename it")
    return column


cdef Column _field(str name, object dtype, bint is_time):
    kind = dtype.str[1:]
    if is_time:
        if kind != "i8":
            raise TypeError(f"column {name!r}: times are int64 ns, not {dtype}")
        return _named(name, TIME)
    if dtype.kind in "OU":
        return _named(name, TEXT)
    if kind == "b1":
        return _named(name, BITS)
    if kind in NUMBERS:
        return _named(name, NUMBERS[kind])
    raise TypeError(f"column {name!r}: {dtype} is not exported; make it a number, bool or str")


cdef Column _typed_field(str name, str type):
    cdef Column column = _named(name, TYPES[type])
    if type == "messages":
        column.children = (_nested("item", (_named("role", TEXT), _named("content", TEXT))),)
    return column


cdef Column _nested(str name, tuple children):
    cdef Column column = _named(name, STRUCT)
    column.children = children
    column._hold((None,))
    return column


cdef Column _table(tuple children, int64_t row_count):
    cdef Column column = _nested("", children)
    column.flags, column.row_count = 0, row_count
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


cdef Column _batch(tuple types, columns, int64_t count):
    """Return a filled table."""
    cdef Column column
    cdef list filled = []
    for type, values in zip(types, columns, strict=True):
        column = _filled(type, values)
        if column.row_count != count:
            name = column.name.decode()
            raise ValueError(f"column {name!r}: {column.row_count} rows where {count} are due")
        filled.append(column)
    return _table(tuple(filled), count)


cdef Column _filled(Column type, values):
    """Return a column of this type with rows."""
    cdef str name = type.name.decode()
    cdef Column column = _named(name, type.format)
    if type.format == LIST:
        _fill_messages(column, values)
    elif type.format == TEXT:
        column.row_count = len(values[0] if isinstance(values, tuple) else values)
        column.null_count, *buffers = (
            _expand(values[0], values[1]) if isinstance(values, tuple) else _encode(name, values)
        )
        column._hold(buffers)
    else:
        numbers, valid = values
        column.row_count = len(numbers)
        if valid is not None and len(valid) != column.row_count:
            raise ValueError(f"column {name!r}: {len(valid)} validities for {column.row_count} values")
        column.null_count = 0 if valid is None else len(valid) - np.count_nonzero(valid)
        validity = None if valid is None else np.packbits(valid, bitorder="little")
        if type.format == BITS:
            numbers = np.packbits(numbers, bitorder="little")
        column._hold((validity, numbers))
    return column


cdef int _fill_messages(Column column, list rows) except -1:
    cdef str name = column.name.decode()
    cdef Py_ssize_t row, total = 0
    cdef PyArray offsets = clone(SHORT_OFFSETS, len(rows) + 1, zero=True)
    cdef list messages = [], missing = []
    cdef Column item
    for row in range(len(rows)):
        if rows[row] is None:
            missing.append(row)
        else:
            messages += rows[row]
        total = len(messages)
        if total > INT32_MAX:
            raise ValueError(f"column {name!r}: more than {INT32_MAX} messages in one batch")
        offsets.data.as_ints[row + 1] = <int>total
    valid = np.ones(len(rows), "?")
    valid[missing] = False
    column.row_count, column.null_count = len(rows), len(missing)
    column._hold((np.packbits(valid, bitorder="little") if missing else None, offsets))
    texts = []
    for part, place in (("role", 0), ("content", 1)):
        text = _named(part, TEXT)
        texts.append(_filled(text, [message[place] for message in messages]))
    item = _nested("item", tuple(texts))
    item.row_count = total
    column.children = (item,)
    return 0


cdef tuple _expand(codes, names):
    """Return the buffers of a text column whose row i is ``names[codes[i]]``."""
    encoded = [name.encode() for name in names]
    lengths = np.array([len(name) for name in encoded] or [0], np.int64)
    offsets = np.zeros(len(codes) + 1, np.int64)
    np.cumsum(lengths[codes], out=offsets[1:])
    return 0, None, offsets, b"".join([encoded[code] for code in codes.tolist()])


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
# what the functions they call raise becomes an errno (failed).


cdef void *pointer_of(object capsule) noexcept:
    """The struct of a capsule, by the name that it has now: a consumer may have given it another."""
    return PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))


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
            fill_schema((<Export>stream.private_data).type, schema_out)
        except BaseException as error:
            return failed(<Export>stream.private_data, error)
        return 0


cdef int get_next(ArrowArrayStream *stream, ArrowArray *array_out) noexcept nogil:
    with gil:
        memset(array_out, 0, sizeof(ArrowArray))
        try:
            send(<Export>stream.private_data, array_out)
        except BaseException as error:
            return failed(<Export>stream.private_data, error)
        return 0


cdef int send(Export export, ArrowArray *array_out) except -1:
    """Fill the next batch; none leaves the empty struct that is the end."""
    batch = next(export.batches, None)
    if batch is not None:
        fill_array(<Column?>batch, array_out)
    return 0


cdef int failed(Export export, BaseException error) noexcept:
    """Keep what went wrong for get_last_error(), and return the errno of it."""
    try:
        text = str(error) or type(error).__name__
        export.message = text.encode("utf-8", "replace").replace(b"\0", b"?")
    except BaseException:  # no memory for the words: the errno says it all the same
        export.message = None
    return ENOMEM if isinstance(error, MemoryError) else EINVAL


cdef const char *get_last_error(ArrowArrayStream *stream) noexcept nogil:
    with gil:
        message = (<Export>stream.private_data).message
        return NULL if message is None else PyBytes_AS_STRING(message)


cdef void release_stream(ArrowArrayStream *stream) noexcept nogil:
    give_back(stream.private_data)
    stream.release = NULL


# ------------------------------------------------------------------------------------ schemas and arrays


cdef int fill_schema(Column type, ArrowSchema *schema_out) except -1:
    """Fill a type; MemoryError leaves it empty."""
    cdef Py_ssize_t i, count = len(type.children)
    cdef ArrowSchema *child
    cdef void **block
    memset(schema_out, 0, sizeof(ArrowSchema))
    block = <void **>PyMem_RawCalloc(1, sizeof(void *) + count * (sizeof(void *) + sizeof(ArrowSchema)))
    if block == NULL:
        raise MemoryError
    block[0] = lend(type)
    schema_out.format = PyBytes_AS_STRING(type.format)
    schema_out.name = PyBytes_AS_STRING(type.name)
    schema_out.flags = type.flags
    schema_out.children = <ArrowSchema **>(block + 1)
    schema_out.private_data = block
    schema_out.release = release_schema
    child = <ArrowSchema *>(schema_out.children + count)
    for i in range(count):
        schema_out.children[i] = child
        schema_out.n_children = i + 1
        try:
            fill_schema(<Column>type.children[i], child)
        except BaseException:
            schema_out.release(schema_out)
            raise
        child += 1
    return 0


cdef void release_schema(ArrowSchema *schema) noexcept nogil:
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i].release != NULL:  # not moved out by the consumer
            schema.children[i].release(schema.children[i])
    give_back((<void **>schema.private_data)[0])
    PyMem_RawFree(schema.private_data)
    schema.release = NULL


cdef int fill_array(Column column, ArrowArray *array_out) except -1:
    """Fill a zeroed table or column; MemoryError leaves it empty."""
    cdef Py_ssize_t i, count = len(column.children)
    cdef ArrowArray *child
    cdef void **block = <void **>PyMem_RawCalloc(
        1, sizeof(void *) + count * (sizeof(void *) + sizeof(ArrowArray))
    )
    if block == NULL:
        raise MemoryError
    block[0] = lend(column)
    array_out.length = column.row_count
    array_out.null_count = column.null_count
    array_out.n_buffers = column.buffer_count
    array_out.buffers = column.buffers
    array_out.children = <ArrowArray **>(block + 1)
    array_out.private_data = block
    array_out.release = release_array
    child = <ArrowArray *>(array_out.children + count)
    for i in range(count):
        array_out.children[i] = child
        array_out.n_children = i + 1
        try:
            fill_array(<Column>column.children[i], child)
        except BaseException:
            array_out.release(array_out)
            raise
        child += 1
    return 0


cdef void release_array(ArrowArray *array) noexcept nogil:
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i].release != NULL:
            array.children[i].release(array.children[i])
    give_back((<void **>array.private_data)[0])
    PyMem_RawFree(array.private_data)
    array.release = NULL
