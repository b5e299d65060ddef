# cython: boundscheck=True, wraparound=False
"""Rows as JSON Lines and CSV, made from columns without the GIL.

A column is written by what stands before its value in each row (``{"user_id":`` or a comma), the value, and
what stands behind it. A row that lacks the value has one text instead of all three. Before a row is written,
it is made sure that the longest text that it can have fits.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy


cdef extern from "decimal.h" nogil:
    ctypedef struct tidal_power64:
        uint64_t high
        uint64_t low
    cdef enum:
        TIDAL_POWER64_MIN
        TIDAL_POWER64_MAX
        TIDAL_POWER32_MIN
        TIDAL_POWER32_MAX
        TIDAL_FLOAT_CHARS
    char *tidal_put_u64(char *out, uint64_t value)
    char *tidal_put_i64(char *out, int64_t value)
    char *tidal_put_f64(char *out, double value, const tidal_power64 *powers)
    char *tidal_put_f32(char *out, float value, const uint64_t *powers)


cdef enum:
    CHUNK_BYTES = 1 << 20      # of a chunk: handing one on costs little beside making it
    STEP = 16                  # bytes that are copied at a time: texts are padded to it
    SLACK = 4 * STEP           # behind a row: copies go beyond their text
    VALUE_CHARS = TIDAL_FLOAT_CHARS + 2

cdef enum Kind:
    U64
    I64
    F32
    F64
    BOOL
    CODE       # one of few texts, made before
    JSON_TEXT  # escaped, in quotes
    RAW_TEXT   # as it is
    CSV_TEXT   # in quotes where it needs them
    CSV_SAFE   # and an apostrophe before what a spreadsheet would run as a formula

cdef dict NUMBERS = {"uint64": U64, "int64": I64, "float32": F32, "float64": F64, "bool": BOOL}
cdef dict TEXTS = {"json": JSON_TEXT, "raw": RAW_TEXT, "csv": CSV_TEXT, "csv-safe": CSV_SAFE}
cdef dict WIDTHS = {U64: 8, I64: 8, F32: 4, F64: 8, BOOL: 1, CODE: 1}

cdef tidal_power64 powers64[TIDAL_POWER64_MAX - TIDAL_POWER64_MIN + 1]
cdef uint64_t powers32[TIDAL_POWER32_MAX - TIDAL_POWER32_MIN + 1]
cdef bint powers_are_known = False

cdef const char *HEX = "0123456789abcdef"


cdef void fill_powers() except *:
    """Compute the powers of ten, their highest bit at the top, rounded up: 2 ms, at first use."""
    global powers_are_known
    cdef int i
    if powers_are_known:
        return
    for i in range(TIDAL_POWER64_MAX - TIDAL_POWER64_MIN + 1):
        power = _power_of_ten(i + TIDAL_POWER64_MIN, 128)
        powers64[i].high = <uint64_t>(power >> 64)
        powers64[i].low = <uint64_t>(power & 0xFFFFFFFFFFFFFFFF)
    for i in range(TIDAL_POWER32_MAX - TIDAL_POWER32_MIN + 1):
        powers32[i] = <uint64_t>_power_of_ten(i + TIDAL_POWER32_MIN, 64)
    powers_are_known = True


def _power_of_ten(exponent, bits):
    """Return 10**exponent times the power of two that gives it this many bits, rounded up."""
    if exponent >= 0:
        shift = (10**exponent).bit_length() - bits
        return -(-(10**exponent) >> shift) if shift >= 0 else 10**exponent << -shift
    divisor = 10**-exponent
    # 10**exponent has its highest bit at -bit_length(divisor): no negative power of ten is one of two.
    return -(-(1 << bits - 1 + divisor.bit_length()) // divisor)


cdef struct Source:
    Kind kind
    const char *values         # numbers, codes, or the first of the texts' places
    const uint8_t *valid       # NULL: every row has a value
    const char *before
    const char *after
    const char *missing
    Py_ssize_t before_size
    Py_ssize_t after_size
    Py_ssize_t missing_size


cdef struct Text:
    const char *data           # NULL: missing
    Py_ssize_t size


@cython.final
cdef class TextColumn:
    """A column, and how it is written in each row.

    ``kind`` is "uint64", "int64", "float32", "float64" or "bool" for an array of just that type; "code" for
    uint8 places in ``names`` (bytes); "json", "raw", "csv" or "csv-safe" for a list of str and None.
    ``valid`` is an array of bool, or None. A row has ``before``, the value, ``after``; or ``missing``.
    Floats must be finite.
    """

    cdef Source source
    cdef Py_ssize_t row_count
    cdef Py_ssize_t fixed_bytes    # the most that a row takes without its text
    cdef Py_buffer views[2]
    cdef Text *texts
    cdef Text *names
    cdef Py_ssize_t name_count
    cdef object owners             # of all that Source points to

    def __cinit__(self, str kind, values, valid, bytes before, bytes after, bytes missing, names=()):
        before_padded, after_padded, missing_padded = _padded(before), _padded(after), _padded(missing)
        padded_names = [_padded(name) for name in names]
        self.owners = [values, before_padded, after_padded, missing_padded, padded_names]
        self.source.before, self.source.before_size = before_padded, len(before)
        self.source.after, self.source.after_size = after_padded, len(after)
        self.source.missing, self.source.missing_size = missing_padded, len(missing)
        self.fixed_bytes = len(before) + len(after) + len(missing) + VALUE_CHARS
        if kind in TEXTS:
            self.source.kind = TEXTS[kind]
            self._take_texts(values)
            return
        self.source.kind = CODE if kind == "code" else NUMBERS[kind]
        self._take_values(values, WIDTHS[self.source.kind])
        if valid is not None:
            PyObject_GetBuffer(valid, &self.views[1], PyBUF_SIMPLE)
            if self.views[1].len != self.row_count:
                raise ValueError(f"{self.views[1].len} validities for {self.row_count} values")
            self.source.valid = <const uint8_t *>self.views[1].buf
        if kind == "code":
            self._take_names(names, padded_names)

    def __dealloc__(self):
        PyBuffer_Release(&self.views[0])
        PyBuffer_Release(&self.views[1])
        PyMem_Free(self.texts)
        PyMem_Free(self.names)

    cdef _take_values(self, values, Py_ssize_t width):
        PyObject_GetBuffer(values, &self.views[0], PyBUF_SIMPLE)
        if self.views[0].itemsize != width:
            raise ValueError(f"values of {self.views[0].itemsize} bytes, not {width}")
        self.row_count = self.views[0].len // width
        self.source.values = <const char *>self.views[0].buf

    cdef _take_names(self, names, list padded):
        cdef Py_ssize_t i, longest = 0
        cdef const uint8_t *codes = <const uint8_t *>self.source.values
        cdef uint8_t largest = 0
        self.name_count = len(names)
        self.names = <Text *>PyMem_Calloc(self.name_count + 1, sizeof(Text))
        if self.names == NULL:
            raise MemoryError
        for i in range(self.name_count):
            self.names[i].data = PyBytes_AS_STRING(padded[i])
            self.names[i].size = len(names[i])
            longest = max(longest, self.names[i].size)
        self.fixed_bytes += longest
        with nogil:
            for i in range(self.row_count):
                largest = max(largest, codes[i])
        if self.row_count and largest >= self.name_count:
            raise ValueError(f"code {largest}, and there are {self.name_count} names")

    cdef _take_texts(self, list texts):
        cdef Py_ssize_t row
        self.row_count = len(texts)
        self.texts = <Text *>PyMem_Calloc(self.row_count + 1, sizeof(Text))
        if self.texts == NULL:
            raise MemoryError
        for row in range(self.row_count):
            text = texts[row]
            if text is not None:
                try:
                    self.texts[row].data = PyUnicode_AsUTF8AndSize(text, &self.texts[row].size)
                except UnicodeEncodeError as error:
                    raise ValueError(f"row {row}: {text!r} is not valid Unicode") from error


def text_rows(columns, bytes end):
    """Yield the rows of columns (TextColumn) as bytes, each row ended by ``end``, in chunks of whole rows.

    A chunk has at most 1 MiB, or one row. Yields pairs of the bytes and how many rows they are. ValueError
    for columns of different lengths.
    """
    cdef Rows rows = Rows(list(columns), end)
    while rows.next_row < rows.row_count:
        yield rows.take()


@cython.final
cdef class Rows:
    cdef list columns
    cdef bytes end
    cdef bytes end_padded
    cdef Py_ssize_t row_count
    cdef Py_ssize_t next_row
    cdef Py_ssize_t fixed_bytes
    cdef Source *sources
    cdef Text **texts
    cdef Text **names
    cdef bint has_texts
    cdef int count
    cdef char *place
    cdef Py_ssize_t room

    def __cinit__(self, list columns, bytes end):
        cdef TextColumn column
        cdef int i
        fill_powers()
        self.columns, self.end, self.end_padded, self.count = columns, end, _padded(end), len(columns)
        self.sources = <Source *>PyMem_Calloc(self.count + 1, sizeof(Source))
        self.texts = <Text **>PyMem_Calloc(self.count + 1, sizeof(Text *))
        self.names = <Text **>PyMem_Calloc(self.count + 1, sizeof(Text *))
        if self.sources == NULL or self.texts == NULL or self.names == NULL:
            raise MemoryError
        self.fixed_bytes = len(end)
        for i in range(self.count):
            column = <TextColumn?>columns[i]
            self.sources[i], self.texts[i], self.names[i] = column.source, column.texts, column.names
            self.fixed_bytes += column.fixed_bytes
            self.has_texts = self.has_texts or column.texts != NULL
            if i and column.row_count != self.row_count:
                raise ValueError(f"columns of {self.row_count} and {column.row_count} rows")
            self.row_count = column.row_count

    def __dealloc__(self):
        PyMem_Free(self.sources)
        PyMem_Free(self.texts)
        PyMem_Free(self.names)
        PyMem_Free(self.place)

    cdef take(self):
        """Return the next chunk, and its number of rows."""
        cdef Py_ssize_t first = self.next_row, row = first
        cdef char *start = self.room_for(max(<Py_ssize_t>CHUNK_BYTES, self.most(row)) + SLACK)
        cdef char *out = start
        cdef const char *end = PyBytes_AS_STRING(self.end_padded)
        cdef Py_ssize_t end_size = PyBytes_GET_SIZE(self.end)
        with nogil:
            while row < self.row_count and (row == first or self.most(row) <= CHUNK_BYTES - (out - start)):
                out = self.put_row(out, row)
                out = put(out, end, end_size)
                row += 1
        self.next_row = row
        return PyBytes_FromStringAndSize(start, out - start), row - first

    cdef char *room_for(self, Py_ssize_t size) except NULL:
        """Return where a chunk is made: one place for all, as to touch new pages costs more than a copy."""
        if size > self.room:
            place = <char *>PyMem_Realloc(self.place, size)
            if place == NULL:
                raise MemoryError
            self.place, self.room = place, size
        return self.place

    cdef inline Py_ssize_t most(self, Py_ssize_t row) noexcept nogil:
        """Return the most bytes that a row takes."""
        cdef Py_ssize_t most = self.fixed_bytes
        cdef int i
        if self.has_texts:
            for i in range(self.count):
                if self.texts[i] != NULL:
                    most += most_of(self.sources[i].kind, self.texts[i][row].size)
        return most

    cdef char *put_row(self, char *out, Py_ssize_t row) noexcept nogil:
        cdef int i
        cdef const Source *source
        cdef const Text *text
        for i in range(self.count):
            source = &self.sources[i]
            text = &self.texts[i][row] if self.texts[i] != NULL else NULL
            if (source.valid != NULL and not source.valid[row]) or (text != NULL and text.data == NULL):
                out = put(out, source.missing, source.missing_size)
                continue
            out = put(out, source.before, source.before_size)
            if source.kind == U64:
                out = tidal_put_u64(out, (<const uint64_t *>source.values)[row])
            elif source.kind == I64:
                out = tidal_put_i64(out, (<const int64_t *>source.values)[row])
            elif source.kind == F32:
                out = tidal_put_f32(out, (<const float *>source.values)[row], powers32)
            elif source.kind == F64:
                out = tidal_put_f64(out, (<const double *>source.values)[row], powers64)
            elif source.kind == BOOL:
                out = put_bool(out, (<const uint8_t *>source.values)[row])
            elif source.kind == CODE:
                text = &self.names[i][(<const uint8_t *>source.values)[row]]
                out = put(out, text.data, text.size)
            elif source.kind == JSON_TEXT:
                out = put_json(out, text.data, text.size)
            elif source.kind == RAW_TEXT:
                memcpy(out, text.data, text.size)
                out += text.size
            else:
                out = put_csv(out, text.data, text.size, source.kind == CSV_SAFE)
            out = put(out, source.after, source.after_size)
        return out


cdef bytes _padded(bytes text):
    return text + bytes((STEP - len(text) % STEP) % STEP)


cdef inline Py_ssize_t most_of(Kind kind, Py_ssize_t size) noexcept nogil:
    """The most bytes that a text of this size is written in."""
    if kind == JSON_TEXT:
        return 6 * size + 2
    return size if kind == RAW_TEXT else 2 * size + 3


cdef inline char *put(char *out, const char *text, Py_ssize_t size) noexcept nogil:
    """Copy a text that is padded to whole steps; there is slack behind the row."""
    cdef Py_ssize_t at = 0
    while at < size:
        memcpy(out + at, text + at, STEP)
        at += STEP
    return out + size


cdef inline char *put_bool(char *out, uint8_t value) noexcept nogil:
    memcpy(out, b"true" if value else b"fals", 4)
    if value:
        return out + 4
    out[4] = b"e"
    return out + 5


cdef inline bint needs_escape(uint64_t word) noexcept nogil:
    """Whether one of eight bytes is a control character, a quote or a backslash."""
    cdef uint64_t ones = 0x0101010101010101ULL, highs = 0x8080808080808080ULL
    cdef uint64_t quote = word ^ (ones * 0x22), slash = word ^ (ones * 0x5C)
    return (
        ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)
    ) & highs != 0


cdef char *put_json(char *out, const char *text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at = 0
    cdef uint64_t word
    cdef uint8_t byte
    out[0] = b'"'
    out += 1
    while at < size:
        if size - at >= 8:
            memcpy(&word, text + at, 8)
            if not needs_escape(word):
                memcpy(out, &word, 8)
                out += 8
                at += 8
                continue
        byte = <uint8_t>text[at]
        at += 1
        if byte >= 0x20 and byte != 0x22 and byte != 0x5C:
            out[0] = byte
            out += 1
            continue
        out[0], out[1] = b"\\", short_escape(byte)
        if out[1] == b"u":
            out[2], out[3], out[4], out[5] = b"0", b"0", HEX[byte >> 4], HEX[byte & 15]
            out += 4
        out += 2
    out[0] = b'"'
    return out + 1


cdef inline char short_escape(uint8_t byte) noexcept nogil:
    if byte == 0x22 or byte == 0x5C:
        return byte
    if byte == 10:
        return b"n"
    if byte == 9:
        return b"t"
    if byte == 13:
        return b"r"
    if byte == 8:
        return b"b"
    return b"f" if byte == 12 else b"u"


cdef char *put_csv(char *out, const char *text, Py_ssize_t size, bint is_safe) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint is_quoted = size == 0  # an empty text; one that is missing has no quotes
    cdef char byte
    for i in range(size):
        byte = text[i]
        is_quoted = is_quoted or byte == 0x22 or byte == 0x2C or byte == 10 or byte == 13
    if is_quoted:
        out[0] = b'"'
        out += 1
    if is_safe and size and is_formula(text[0]):
        out[0] = b"'"
        out += 1
    for i in range(size):
        out[0] = text[i]
        out += 1
        if text[i] == 0x22:
            out[0] = 0x22
            out += 1
    if is_quoted:
        out[0] = b'"'
        out += 1
    return out


cdef inline bint is_formula(char byte) noexcept nogil:
    """Whether a spreadsheet takes a cell that begins so for a formula: = + - @, tab, carriage return."""
    return byte == 0x3D or byte == 0x2B or byte == 0x2D or byte == 0x40 or byte == 9 or byte == 13


def json_text(str text):
    """Return a text as JSON, in quotes, UTF-8. ValueError for a lone surrogate."""
    return _one_text("json", text)


def csv_text(str text, bint is_safe):
    """Return a text as a CSV cell, UTF-8; with ``is_safe`` what looks like a formula gets an apostrophe."""
    return _one_text("csv-safe" if is_safe else "csv", text)


cdef bytes _one_text(str kind, str text):
    (chunk, _), = text_rows([TextColumn(kind, [text], None, b"", b"", b"")], b"")
    return chunk


def float_text(double value, bint single=False):
    """Return the shortest text that reads back as the same finite float64, or with ``single`` float32."""
    cdef char text[TIDAL_FLOAT_CHARS + 8]
    cdef char *end
    if value - value != 0:
        raise ValueError(f"{value} is not finite")
    fill_powers()
    if single:
        if <double><float>value - <double><float>value != 0:
            raise ValueError(f"{value} is beyond float32")
        end = tidal_put_f32(text, <float>value, powers32)
    else:
        end = tidal_put_f64(text, value, powers64)
    return text[: end - text].decode("ascii")
