"""C structures and inline functions that the compiled modules share; the headers document them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "hot_record.h" nogil:
    ctypedef struct HotRecord "tidal_hot_record":
        uint64_t entity_id
        int64_t last_time
        double sums[3]
        uint64_t total
        uint32_t windows[3]
        uint32_t reserved

    void add_counts "tidal_add_counts"(HotRecord *row, const uint32_t *counts)


cdef enum:
    LINE = 64           # bytes of a line of the cache


cdef extern from "landmark.h" nogil:
    ctypedef struct Decay "tidal_decay":
        int64_t half_life
        int64_t cell
        double inverse

    ctypedef struct Reader "tidal_reader":
        int64_t low
        int64_t high
        double mantissa
        double scale

    Reader reader_of "tidal_reader_of"(const Decay *decay, int64_t t, int64_t anchor)
    Decay decay_of "tidal_decay_of"(int64_t half_life)
    int64_t landmark_of "tidal_landmark"(const Decay *decay, int64_t t)
    double add_term "tidal_add_term"(const Decay *decay, float weight, int64_t t, int64_t landmark)
    double read_sum "tidal_read_sum"(const Decay *decay, double value, int64_t t, int64_t landmark)
    double move_sum "tidal_move_sum"(const Decay *decay, double value, int64_t source, int64_t target)
    void add_terms "tidal_add_terms"(
        const Decay *decay, const float *weight, const int64_t *t, int64_t count, int64_t landmark,
        int64_t earliest, int64_t latest, double *terms_out)


cdef extern from "memory.h" nogil:
    void *reserve "tidal_reserve"(size_t size)
    int commit "tidal_commit"(void *block, size_t size)
    void *allocate_huge "tidal_allocate_huge"(size_t size)
    void release "tidal_release"(void *block, size_t size)
    void keep_freed "tidal_keep_freed"()


cdef extern from "lock.h" nogil:
    ctypedef struct Lock "tidal_lock":
        pass

    void acquire "tidal_acquire"(Lock *lock)
    bint try_acquire "tidal_try_acquire"(Lock *lock)
    void unlock "tidal_unlock"(Lock *lock)


cdef extern from * nogil:
    """
    #if defined(__GNUC__)
    #define TIDAL_PREFETCH(address) __builtin_prefetch(address, 1)
    #else
    #define TIDAL_PREFETCH(address) ((void)(address))
    #endif
    """
    void prefetch "TIDAL_PREFETCH"(const void *address)
