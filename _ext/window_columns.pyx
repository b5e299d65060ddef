"""Columns of window counts: growing, compacting, adding up."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

cdef enum:
    ROOM_MIN = 16
    COMPACT_MIN = 1024          # loose slots and entries that are not worth the work
    GROWN = 3                   # times what a column had: then it is compacted anew
    SPARSE_FACTOR = 16          # below row_count / 16 entries, sorting beats a counter for each row
    RADIX_BITS = 10
    RADIX = 1 << RADIX_BITS


cdef inline size_t loose(const Column *column) noexcept nogil:
    """How much was added since a column was compacted."""
    return column.slot_count + column.count - column.compacted


cdef int column_reserve(
    Column *column, size_t slots, size_t entries, size_t room, uint32_t row_count
) noexcept nogil:
    """Make room for more slots and entries; 0, or -1 without memory.

    Slots get room for as many as there will be, where that is known.
    """
    cdef size_t capacity
    cdef uint32_t *grown_slots
    cdef Entry *grown
    if column.slot_count + slots <= column.slot_capacity and column.count + entries <= column.capacity:
        return 0
    # Where most rows are in it already, what is added is mostly of the same slots.
    if loose(column) >= max(max(<size_t>row_count, <size_t>COMPACT_MIN), GROWN * column.compacted):
        column_compact(column, row_count)  # without memory for that, growing may still work
    if column.slot_count + slots > column.slot_capacity:
        capacity = max(room, column.slot_count + slots + column.slot_count // 2 + ROOM_MIN)
        grown_slots = <uint32_t *>realloc(column.slots, capacity * sizeof(uint32_t))
        if grown_slots == NULL:
            return -1
        column.slots, column.slot_capacity = grown_slots, capacity
    if column.count + entries > column.capacity:
        capacity = column.count + entries + column.count // 2 + ROOM_MIN
        grown = <Entry *>realloc(column.entries, capacity * sizeof(Entry))
        if grown == NULL:
            return -1
        column.entries, column.capacity = grown, capacity
    return 0


cdef void column_clear(Column *column) noexcept nogil:
    free(column.slots)
    free(column.entries)
    memset(column, 0, sizeof(Column))


cdef int column_settle(Column *column, uint32_t row_count) noexcept nogil:
    """Compact a column to which little will be added, or where that is not worth the work, only trim it.

    0, or -1 without memory.
    """
    cdef uint32_t *trimmed
    if loose(column) >= max(row_count // SPARSE_FACTOR, <uint32_t>1):
        return column_compact(column, row_count)
    if column.slot_count < column.slot_capacity:
        trimmed = <uint32_t *>realloc(column.slots, max(column.slot_count, <size_t>1) * sizeof(uint32_t))
        if trimmed != NULL:
            column.slots, column.slot_capacity = trimmed, max(column.slot_count, <size_t>1)
    return 0


cdef int column_compact(Column *column, uint32_t row_count) noexcept nogil:
    """Leave one entry a slot, in slot order, and no spare capacity; 0, or -1 without memory and unchanged."""
    cdef const Column *source = column
    cdef Column compact
    if loose(column) == 0:
        return 0
    memset(&compact, 0, sizeof(Column))
    if sum_columns(&compact, &source, 1, row_count):
        return -1
    column_clear(column)
    column[0] = compact
    return 0


cdef int sum_columns(
    Column *target, const Column **sources, int source_count, uint32_t row_count
) noexcept nogil:
    """Make target, which is none of them, the compact sum of some columns; 0, or -1 without memory."""
    cdef size_t most = 0
    cdef int source
    column_clear(target)
    for source in range(source_count):
        most += sources[source].slot_count + sources[source].count
    if most == 0:
        return 0
    if most >= row_count // SPARSE_FACTOR:
        return sum_by_row(target, sources, source_count, row_count)
    return sum_by_sorting(target, sources, source_count, most, row_count)


cdef int sum_by_row(
    Column *target, const Column **sources, int source_count, uint32_t row_count
) noexcept nogil:
    cdef uint32_t *totals = <uint32_t *>calloc(row_count, sizeof(uint32_t))
    cdef const Column *column
    cdef size_t i, distinct = 0
    cdef uint32_t slot
    cdef int source
    if totals == NULL:
        return -1
    for source in range(source_count):
        column = sources[source]
        for i in range(column.count):
            totals[column.entries[i].slot] += column.entries[i].count
        for i in range(column.slot_count):
            totals[column.slots[i]] += 1
    for slot in range(row_count):
        distinct += totals[slot] != 0
    # One more than are kept: each is written, whether it counts or not.
    if column_reserve(target, 0, distinct + 1, 0, row_count):
        free(totals)
        return -1
    for slot in range(row_count):
        # Written always, kept where it counts: whether a row was touched cannot be predicted.
        target.entries[target.count].slot = slot
        target.entries[target.count].count = totals[slot]
        target.count += totals[slot] != 0
    target.compacted = target.count
    free(totals)
    return 0


cdef int sum_by_sorting(
    Column *target, const Column **sources, int source_count, size_t most, uint32_t row_count
) noexcept nogil:
    cdef const Column *column
    cdef size_t i
    cdef int source
    if column_reserve(target, 0, most, 0, row_count):
        return -1
    for source in range(source_count):
        column = sources[source]
        if column.count:
            memcpy(&target.entries[target.count], column.entries, column.count * sizeof(Entry))
            target.count += column.count
        for i in range(column.slot_count):
            push_entry(target, column.slots[i], 1)
    if sort_entries(target, row_count):
        column_clear(target)
        return -1
    join_entries(target)
    target.compacted = target.count
    return 0


cdef int sort_entries(Column *column, uint32_t row_count) noexcept nogil:
    """Sort by slot: by its lowest digit, then the next, each pass keeping the order of the one before."""
    cdef size_t[RADIX] places
    cdef size_t i, next_place, size
    cdef uint32_t shift = 0, digit
    cdef Entry *source = column.entries
    cdef Entry *target = <Entry *>malloc(column.count * sizeof(Entry))
    if target == NULL:
        return -1
    while shift < 32 and (row_count - 1) >> shift:
        memset(places, 0, sizeof(places))
        for i in range(column.count):
            places[source[i].slot >> shift & (RADIX - 1)] += 1
        next_place = 0
        for digit in range(RADIX):
            size = places[digit]
            places[digit] = next_place
            next_place += size
        for i in range(column.count):
            digit = source[i].slot >> shift & (RADIX - 1)
            target[places[digit]] = source[i]
            places[digit] += 1
        source, target = target, source
        shift += RADIX_BITS
    column.entries = source
    column.capacity = column.count
    free(target)
    return 0


cdef void join_entries(Column *column) noexcept nogil:
    """Add up neighbours of one slot."""
    cdef size_t i, last = 0
    for i in range(1, column.count):
        if column.entries[i].slot == column.entries[last].slot:
            column.entries[last].count += column.entries[i].count
        else:
            last += 1
            column.entries[last] = column.entries[i]
    column.count = last + 1
