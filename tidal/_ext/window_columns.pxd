"""The columns of window counts: how many events each row has of one bucket.

A column is a multiset of slots. Events leave theirs loose, in the order in which they come, at 4 bytes; a
*compact* column has one entry of 8 bytes for each row, in the order of the slots.
"""

from libc.stdint cimport uint32_t

cdef struct Entry:
    uint32_t slot
    uint32_t count

cdef struct Column:
    uint32_t *slots     # loose: each counts once more
    size_t slot_count
    size_t slot_capacity
    Entry *entries      # a slot may stand more than once until the column is compacted
    size_t count
    size_t capacity
    size_t compacted    # entries after the last compaction

cdef int column_reserve(
    Column *column, size_t slots, size_t entries, size_t room, uint32_t row_count) noexcept nogil
cdef void column_clear(Column *column) noexcept nogil
cdef int column_settle(Column *column, uint32_t row_count) noexcept nogil
cdef int column_compact(Column *column, uint32_t row_count) noexcept nogil
cdef int sum_columns(
    Column *target, const Column **sources, int source_count, uint32_t row_count) noexcept nogil


cdef inline size_t column_bytes(const Column *column) noexcept nogil:
    return column.slot_capacity * sizeof(uint32_t) + column.capacity * sizeof(Entry)


cdef inline bint is_empty(const Column *column) noexcept nogil:
    return column.slot_count == 0 and column.count == 0


cdef inline bint is_compact(const Column *column) noexcept nogil:
    return column.slot_count == 0 and column.count == column.compacted


# Add an entry for which there is room.
cdef inline void push_entry(Column *column, uint32_t slot, uint32_t count) noexcept nogil:
    column.entries[column.count].slot = slot
    column.entries[column.count].count = count
    column.count += 1


# Add an entry; 0, or -1 without memory.
cdef inline int column_append(
    Column *column, uint32_t slot, uint32_t count, uint32_t row_count
) noexcept nogil:
    if column.count == column.capacity and column_reserve(column, 0, 1, 0, row_count):
        return -1
    push_entry(column, slot, count)
    return 0


# Add an event for each of some slots, with room as in column_reserve(); 0, or -1 without memory.
cdef inline int column_add(
    Column *column, const uint32_t *slots, size_t count, size_t room, uint32_t row_count
) noexcept nogil:
    cdef size_t i
    if (column.slot_count + count > column.slot_capacity
            and column_reserve(column, count, 0, room, row_count)):
        return -1
    for i in range(count):
        column.slots[column.slot_count + i] = slots[i]
    column.slot_count += count
    return 0
