/* Address space that is reserved once and backed by memory as it is needed.
 *
 * A block never moves while it grows, so pointers and exported views stay valid and live.
 * On Linux, large blocks ask for huge pages: a random touch then misses the cache, not the TLB too.
 */
#ifndef TIDAL_MEMORY_H
#define TIDAL_MEMORY_H

#include <stddef.h>
#include <sys/mman.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

enum { TIDAL_HUGE_PAGE = 2 << 20 };

/* Return bytes of address space that may not be touched yet, or NULL. */
static inline void *tidal_reserve(size_t bytes) {
    void *block = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

/* Make block[0:bytes] usable (zeros where new); 0 on success. */
static inline int tidal_commit(void *block, size_t bytes) {
    if (mprotect(block, bytes, PROT_READ | PROT_WRITE)) return -1;
#ifdef MADV_HUGEPAGE
    if (bytes >= 2 * (size_t)TIDAL_HUGE_PAGE) (void)madvise(block, bytes, MADV_HUGEPAGE);
#endif
    return 0;
}

static inline void tidal_release(void *block, size_t bytes) { (void)munmap(block, bytes); }

#endif
