# cython: boundscheck=True, wraparound=False
"""Read Arrow tables and columns of any producer, without an Arrow library.

A producer hands over C structs (``__arrow_c_stream__`` or ``__arrow_c_array__``). The structs carry no
buffer sizes, so what can be checked is checked (counts, offsets in order and below the last one,
views inside their block, indexes inside their dictionary) and the rest is the producer's word.

Plain numbers and times are read where they lie. Texts become int32 codes into a list that holds
each distinct text once; a text that is not UTF-8 stays in that list as bytes.
"""

import os

import numpy as np

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

cdef TextSeed SEED
SEED.first = int.from_bytes(os.urandom(8), "little") | 1
SEED.second = int.from_bytes(os.urandom(8), "little") | 1

# Codes are int32, and a product with 16 bytes a row stays far from overflow.
cdef int64_t ROWS_MAX = INT32_MAX

cdef dict NUMBERS = {
    "c": "i1", "C": "u1", "s": "i2", "S": "u2", "i": "i4", "I": "u4", "l": "i8", "L": "u8",
    "e": "f2", "f": "f4", "g": "f8",
}
cdef dict TIMES = {  # by the first three characters: a time zone may follow, and instants are UTC anyway
    "tdD": ("i4", "M8[D]"), "tdm": ("i8", "M8[ms]"), "tss": ("i8", "M8[s]"), "tsm": ("i8", "M8[ms]"),
    "tsu": ("i8", "M8[us]"), "tsn": ("i8", "M8[ns]"),
}


# ------------------------------------------------------------------------------------ owners


cdef class Chunk:
    """Some consecutive rows. What ``column`` returns keeps the producer's memory alive by itself."""

    cdef ArrowArray array
    cdef tuple fields
    cdef bint is_table

    def __dealloc__(self):
        if self.array.release != NULL:
            self.array.release(&self.array)

    def __len__(self):
        return self.array.length

    cdef _check(self):
        _check_rows(&self.array, Rows(0, self.array.length))
        if self.is_table:
            if self.array.n_children != len(self.fields) or (self.fields and self.array.children == NULL):
                raise ValueError(
                    f"a chunk of {self.array.n_children} columns, its schema has {len(self.fields)}"
                )
            _check_array(&self.array, Rows(0, self.array.length), 1)

    def column(self, Py_ssize_t index):
        """Return (values, valid, texts) of a column.

        ``values`` is a NumPy array: numbers, bool, datetime64, or int32 codes where ``texts`` is a list.
        ``valid`` is None where no row is null. Raises TypeError for a type that is not read here and
        ValueError for a malformed array.
        """
        if not 0 <= index < len(self.fields):
            raise IndexError(f"column {index} of {len(self.fields)}")
        _, code, dictionary = self.fields[index]
        if not self.is_table:
            return _read(self, &self.array, Rows(0, self.array.length), code, dictionary)
        # A slice of a table is an offset of the outer struct; its columns have their own on top.
        values, valid, texts = _read(
            self, self.array.children[index], Rows(self.array.offset, self.array.length), code, dictionary
        )
        outer = _validity(&self.array, Rows(0, self.array.length))
        if outer is not None:
            valid = outer if valid is None else outer & valid
        return values, valid, texts


cdef class Memory:
    """Read-only bytes inside a chunk."""

    cdef const char *data
    cdef Py_ssize_t size
    cdef Chunk owner

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, <void *>self.data, self.size, 1, flags)


cdef class Stream:
    """The chunks of a table or a column; released at its end, by ``close()`` and on every error."""

    cdef ArrowArrayStream stream
    cdef Chunk single          # of a producer that has one array and no stream
    cdef tuple fields          # (name, format, format of the dictionary's values or None)
    cdef readonly tuple names
    cdef readonly bint is_table

    def __init__(self, source):
        cdef ArrowSchema schema
        if self.fields is not None:
            raise RuntimeError("this stream is open already")
        memset(&schema, 0, sizeof(schema))
        try:
            if hasattr(source, "__arrow_c_stream__"):
                self._open_stream(source.__arrow_c_stream__(), &schema)
            elif hasattr(source, "__arrow_c_array__"):
                self._open_array(source.__arrow_c_array__(), &schema)
            else:
                name = type(source).__name__
                raise TypeError(f"{name} has neither __arrow_c_stream__ nor __arrow_c_array__")
            self.is_table = schema.format[:2] == b"+s"
            if self.is_table:
                self.fields = tuple([_field(schema.children[i]) for i in range(schema.n_children)])
            else:
                self.fields = (_field(&schema),)
            self.names = tuple([name for name, _, _ in self.fields])
            if self.single is not None:
                self._adopt(self.single)
        except BaseException:
            self.close()
            raise
        finally:
            if schema.release != NULL:
                schema.release(&schema)

    def __dealloc__(self):
        if self.stream.release != NULL:
            self.stream.release(&self.stream)

    def close(self):
        """Give the stream back to its producer. Chunks that were read stay."""
        self.single = None
        if self.stream.release != NULL:
            self.stream.release(&self.stream)
            self.stream.release = NULL

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        cdef Chunk chunk = self.single
        cdef int status
        if chunk is not None:
            self.single = None
            return chunk
        if self.stream.release == NULL:
            raise StopIteration
        chunk = Chunk.__new__(Chunk)
        with nogil:
            status = self.stream.get_next(&self.stream, &chunk.array)
        try:
            if status != 0:
                chunk.array.release = NULL
                raise RuntimeError(self._last_error(status))
            if chunk.array.release == NULL:
                raise StopIteration
            self._adopt(chunk)
        except BaseException:
            self.close()
            raise
        return chunk

    cdef _adopt(self, Chunk chunk):
        chunk.fields, chunk.is_table = self.fields, self.is_table
        chunk._check()

    cdef _open_stream(self, capsule, ArrowSchema *schema_out):
        cdef ArrowArrayStream *given = <ArrowArrayStream *>PyCapsule_GetPointer(capsule, "arrow_array_stream")
        cdef int status
        if given.release == NULL:
            raise ValueError("the stream was released already; ask its producer for a new one")
        self.stream = given[0]
        given.release = NULL
        with nogil:
            status = self.stream.get_schema(&self.stream, schema_out)
        if status != 0:
            schema_out.release = NULL
            raise RuntimeError(self._last_error(status))

    cdef _open_array(self, capsules, ArrowSchema *schema_out):
        schema_capsule, array_capsule = capsules
        cdef ArrowSchema *schema = <ArrowSchema *>PyCapsule_GetPointer(schema_capsule, "arrow_schema")
        cdef ArrowArray *array = <ArrowArray *>PyCapsule_GetPointer(array_capsule, "arrow_array")
        if schema.release == NULL or array.release == NULL:
            raise ValueError("the array was released already; ask its producer for a new one")
        self.single = Chunk.__new__(Chunk)
        schema_out[0] = schema[0]
        schema.release = NULL
        self.single.array = array[0]
        array.release = NULL

    cdef str _last_error(self, int status):
        cdef const char *text = self.stream.get_last_error(&self.stream)
        if text == NULL:
            return os.strerror(status)
        return (<bytes>text).decode("utf-8", "replace")


cdef tuple _field(const ArrowSchema *schema):
    if schema == NULL or schema.format == NULL:
        raise ValueError("a column without a type")
    name = "" if schema.name == NULL else (<bytes>schema.name).decode("utf-8", "replace")
    code = (<bytes>schema.format).decode("ascii", "replace")
    if schema.dictionary == NULL:
        return name, code, None
    if schema.dictionary.dictionary != NULL or schema.dictionary.format == NULL:
        raise ValueError(f"column {name!r}: a dictionary of dictionaries")
    return name, code, (<bytes>schema.dictionary.format).decode("ascii", "replace")


# ------------------------------------------------------------------------------------ columns


cdef struct Rows:
    int64_t skip       # rows of the array to pass over, on top of its own offset
    int64_t count


cdef tuple _read(Chunk owner, const ArrowArray *array, Rows rows, str code, str dictionary):
    if dictionary is not None:
        return _read_dictionary(owner, array, rows, code, dictionary)
    if code in NUMBERS:
        _check_array(array, rows, 2)
        return _plain(owner, array, rows, np.dtype(NUMBERS[code])), _validity(array, rows), None
    if code[:3] in TIMES:
        _check_array(array, rows, 2)
        stored, meant = TIMES[code[:3]]
        values = _plain(owner, array, rows, np.dtype(stored)).astype("i8", copy=False).view(meant)
        return values, _validity(array, rows), None
    if code == "b":
        _check_array(array, rows, 2)
        if rows.count and array.buffers[1] == NULL:
            raise ValueError("a column without its data buffer")
        values = _bits(<const uint8_t *>array.buffers[1], array.offset + rows.skip, rows.count)
        return values, _validity(array, rows), None
    if code in ("u", "U", "vu"):
        return _read_texts(array, rows, code)
    if code == "n":
        _check_rows(array, rows)  # without buffers; some producers send one
        return np.zeros(rows.count, "i8"), np.zeros(rows.count, "?"), None
    raise TypeError(f"Arrow type {code!r} is not read; cast it to integer, float, string or timestamp")


cdef _check_rows(const ArrowArray *array, Rows rows):
    if array == NULL:
        raise ValueError("a column without an array")
    if not 0 <= array.length <= ROWS_MAX or not 0 <= array.offset <= ROWS_MAX:
        raise ValueError(f"{array.length} rows at offset {array.offset} cannot be read")
    if rows.skip + rows.count > array.length:
        raise ValueError(f"rows {rows.skip} to {rows.skip + rows.count} are wanted of {array.length}")


cdef _check_array(const ArrowArray *array, Rows rows, int64_t buffer_count):
    """Refuse an array that cannot hold these rows in that many buffers."""
    _check_rows(array, rows)
    if array.n_buffers != buffer_count or array.buffers == NULL:
        raise ValueError(f"{array.n_buffers} buffers where the type has {buffer_count}")
    if array.null_count > 0 and array.buffers[0] == NULL:
        raise ValueError(f"{array.null_count} nulls are declared without a validity buffer")


cdef object _plain(Chunk owner, const ArrowArray *array, Rows rows, object dtype):
    cdef Memory memory
    cdef int64_t width = dtype.itemsize
    if rows.count == 0:
        return np.empty(0, dtype)
    if array.buffers[1] == NULL:
        raise ValueError("a column without its data buffer")
    memory = Memory.__new__(Memory)
    memory.data = <const char *>array.buffers[1] + (array.offset + rows.skip) * width
    memory.size = rows.count * width
    memory.owner = owner
    values = np.frombuffer(memory, dtype)
    return values if values.flags.aligned else values.copy()


cdef object _validity(const ArrowArray *array, Rows rows):
    """Return which rows are there, or None if all are."""
    if array.n_buffers == 0 or array.null_count == 0 or array.buffers[0] == NULL:
        return None
    return _bits(<const uint8_t *>array.buffers[0], array.offset + rows.skip, rows.count)


cdef object _bits(const uint8_t *bits, int64_t start, int64_t count):
    values = np.empty(count, "u1")
    cdef uint8_t[::1] values_out = values
    if count:
        with nogil:
            unpack_bits(bits, start, count, &values_out[0])
    return values.view("?")


cdef void unpack_bits(const uint8_t *bits, int64_t start, int64_t count, uint8_t *values_out) noexcept nogil:
    cdef int64_t i
    for i in range(count):
        values_out[i] = bits[(start + i) >> 3] >> ((start + i) & 7) & 1


# ------------------------------------------------------------------------------------ dictionaries


cdef tuple _read_dictionary(Chunk owner, const ArrowArray *array, Rows rows, str code, str value_code):
    if code not in NUMBERS or NUMBERS[code][0] == "f":
        raise TypeError(f"a dictionary cannot be indexed by Arrow type {code!r}")
    indexes, valid, _ = _read(owner, array, rows, code, None)
    if array.dictionary == NULL:
        raise ValueError("a dictionary column without its dictionary")
    values, there, texts = _read(owner, array.dictionary, Rows(0, array.dictionary.length), value_code, None)
    outside = (indexes < 0) | (indexes >= len(values))
    if valid is not None:
        outside &= valid
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(f"row {row}: index {indexes[row]} is outside the dictionary of {len(values)} values")
    if len(values) == 0:
        return np.zeros(rows.count, values.dtype), valid, texts
    places = indexes if valid is None else np.where(valid, indexes, 0)  # under a null lies anything
    if there is not None:
        valid = there[places] if valid is None else valid & there[places]
    return values[places], valid, texts


# ------------------------------------------------------------------------------------ texts


cdef enum Layout:
    OFFSETS_32
    OFFSETS_64
    VIEWS

cdef enum Fault:
    NO_FAULT
    BAD_OFFSETS
    BAD_VIEW
    NO_MEMORY

cdef struct TextColumn:
    Layout layout
    const char *places             # offsets, or views of 16 bytes, of the first wanted row
    int64_t end                    # offsets: the last of the array
    const char *data               # offsets: what they point into
    const char **blocks            # views: what they point into
    const char *block_sizes        # int64 each
    int64_t block_count

cdef struct Text:
    const char *data
    int64_t size

cdef struct Cell:
    uint64_t hash
    int32_t code                   # -1: free

cdef struct Distinct:
    Cell *cells                    # open addressing, never more than half full
    int64_t cell_mask
    Text *texts                    # by code
    int64_t text_count


cdef tuple _read_texts(const ArrowArray *array, Rows rows, str code):
    cdef TextColumn column
    cdef Distinct distinct
    cdef Fault fault
    cdef int64_t row = 0
    cdef int64_t i
    cdef const uint8_t *there = NULL
    cdef const uint8_t[::1] mask
    cdef int32_t[::1] codes_out
    _open_texts(array, rows, code, &column)
    valid = _validity(array, rows)
    codes = np.zeros(rows.count, "i4")
    if rows.count == 0:
        return codes, valid, []
    codes_out = codes
    if valid is not None:
        mask = valid.view("u1")
        there = &mask[0]
    memset(&distinct, 0, sizeof(distinct))
    try:
        with nogil:
            fault = intern_span(&column, rows.count, there, &distinct, &codes_out[0], &row)
        if fault == NO_MEMORY:
            raise MemoryError
        if fault == BAD_OFFSETS:
            raise ValueError(f"row {row}: its text ends before it starts, or past the last one")
        if fault == BAD_VIEW:
            raise ValueError(f"row {row}: its text is outside the {column.block_count} blocks of the column")
        texts = [_decode(&distinct.texts[i]) for i in range(distinct.text_count)]
    finally:
        PyMem_RawFree(distinct.cells)
        PyMem_RawFree(distinct.texts)
    return codes, valid, texts


cdef object _decode(const Text *text):
    try:
        return PyUnicode_DecodeUTF8(text.data, text.size, NULL)
    except UnicodeDecodeError:
        return text.data[:text.size]


cdef _open_texts(const ArrowArray *array, Rows rows, str code, TextColumn *column_out):
    cdef int64_t first = array.offset + rows.skip
    cdef int64_t last = array.offset + array.length
    cdef int32_t end
    _check_array(array, rows, max(3, array.n_buffers) if code == "vu" else 3)
    memset(column_out, 0, sizeof(TextColumn))
    if rows.count == 0:
        return
    if array.buffers[1] == NULL:
        raise ValueError("a text column without its offsets")
    column_out.places = <const char *>array.buffers[1]
    column_out.data = <const char *>array.buffers[2]
    if code == "u":
        column_out.layout = OFFSETS_32
        memcpy(&end, column_out.places + 4 * last, 4)
        column_out.end = end
        column_out.places += 4 * first
    elif code == "U":
        column_out.layout = OFFSETS_64
        memcpy(&column_out.end, column_out.places + 8 * last, 8)
        column_out.places += 8 * first
    else:
        column_out.layout = VIEWS
        column_out.places += 16 * first
        column_out.block_count = array.n_buffers - 3
        column_out.blocks = <const char **>array.buffers + 2
        column_out.block_sizes = <const char *>array.buffers[array.n_buffers - 1]
        if column_out.block_count and column_out.block_sizes == NULL:
            raise ValueError("a text column without the sizes of its blocks")


cdef inline Fault find_text(const TextColumn *column, int64_t row, Text *text_out) noexcept nogil:
    cdef int32_t size, block, start, near_start, near_end
    cdef int64_t far_start, far_end, block_size
    cdef const char *view
    if column.layout == VIEWS:
        # size, then 12 bytes of text; or size, prefix of 4, block, offset in the block
        view = column.places + 16 * row
        memcpy(&size, view, 4)
        if 0 <= size <= 12:
            text_out.data, text_out.size = view + 4, size
            return NO_FAULT
        memcpy(&block, view + 8, 4)
        memcpy(&start, view + 12, 4)
        if size < 0 or start < 0 or not 0 <= block < column.block_count or column.blocks[block] == NULL:
            return BAD_VIEW
        memcpy(&block_size, column.block_sizes + 8 * block, 8)
        if <int64_t>start + size > block_size:
            return BAD_VIEW
        text_out.data, text_out.size = column.blocks[block] + start, size
        return NO_FAULT
    if column.layout == OFFSETS_32:
        memcpy(&near_start, column.places + 4 * row, 4)
        memcpy(&near_end, column.places + 4 * row + 4, 4)
        far_start, far_end = near_start, near_end
    else:
        memcpy(&far_start, column.places + 8 * row, 8)
        memcpy(&far_end, column.places + 8 * row + 8, 8)
    if not 0 <= far_start <= far_end <= column.end or (column.data == NULL and far_end > far_start):
        return BAD_OFFSETS
    text_out.data, text_out.size = column.data + far_start, far_end - far_start
    return NO_FAULT


cdef Fault intern_span(
    const TextColumn *column, int64_t count, const uint8_t *there, Distinct *distinct,
    int32_t *codes_out, int64_t *row_out,
) noexcept nogil:
    """Give each row the code of its text; a fault leaves its row in row_out."""
    cdef Text text
    cdef Fault fault
    cdef uint64_t hash
    cdef Cell *cell
    cdef int64_t row, place
    for row in range(count):
        row_out[0] = row
        if there != NULL and not there[row]:
            continue
        fault = find_text(column, row, &text)
        if fault != NO_FAULT:
            return fault
        if 2 * distinct.text_count >= distinct.cell_mask and not grow(distinct):
            return NO_MEMORY
        hash = text_hash(text.data, text.size, SEED)
        place = hash & distinct.cell_mask
        while True:
            cell = &distinct.cells[place]
            if cell.code < 0:
                cell.hash, cell.code = hash, <int32_t>distinct.text_count
                distinct.texts[distinct.text_count] = text
                distinct.text_count += 1
                break
            if cell.hash == hash and same_text(&distinct.texts[cell.code], &text):
                break
            place = (place + 1) & distinct.cell_mask
        codes_out[row] = cell.code
    return NO_FAULT


cdef inline bint same_text(const Text *a, const Text *b) noexcept nogil:
    return a.size == b.size and memcmp(a.data, b.data, a.size) == 0


cdef bint grow(Distinct *distinct) noexcept nogil:
    """Double the cells (256 at first) and make room for as many texts as may fill half of them."""
    cdef int64_t cell_count = 256 if distinct.cells == NULL else 2 * (distinct.cell_mask + 1)
    cdef Cell *cells = <Cell *>PyMem_RawMalloc(cell_count * sizeof(Cell))
    cdef Text *texts = <Text *>PyMem_RawRealloc(distinct.texts, cell_count // 2 * sizeof(Text))
    cdef int64_t i, place
    if texts != NULL:
        distinct.texts = texts
    if cells == NULL or texts == NULL:
        PyMem_RawFree(cells)
        return False
    memset(cells, 0xFF, cell_count * sizeof(Cell))
    if distinct.cells != NULL:
        for i in range(distinct.cell_mask + 1):
            if distinct.cells[i].code >= 0:
                place = distinct.cells[i].hash & (cell_count - 1)
                while cells[place].code >= 0:
                    place = (place + 1) & (cell_count - 1)
                cells[place] = distinct.cells[i]
        PyMem_RawFree(distinct.cells)
    distinct.cells = cells
    distinct.cell_mask = cell_count - 1
    return True
