/* Address space that is reserved once and backed by memory as it is needed.
 *
 * A block never moves while it grows, so pointers and exported views stay valid and live.
 * On Linux, large blocks ask for huge pages: a random touch then misses the cache, not the TLB too.
 */
#ifndef TIDAL_MEMORY_H
#define TIDAL_MEMORY_H

#include <stddef.h>
#include <stdlib.h>
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

/* Let what is freed be given out again, instead of going back to the system page by page.
 *
 * Arrays of a megabyte that are made and freed in turns, as where batch after batch is decoded, cost a page fault
 * for each 4 KiB, each time. glibc keeps as much as the largest block that was ever freed (up to 32 MiB, and twice
 * that at the end of the heap): so one is. */
static inline void tidal_keep_freed(void) {
#ifdef __GLIBC__
    static int done;
    if (done) return;
    done = 1;
    void *volatile block = malloc((32 << 20) - (64 << 10)); /* never touched: it takes no memory */
    free(block);
#endif
}

/* Return a block that asks for huge pages, to be freed by free(), or NULL.
 *
 * For what comes and goes: freed, it is given out again to whoever needs memory next, with its pages. */
static inline void *tidal_allocate_huge(size_t bytes) {
    void *block;
    if (posix_memalign(&block, TIDAL_HUGE_PAGE, bytes)) return NULL;
#ifdef MADV_HUGEPAGE
    (void)madvise(block, bytes, MADV_HUGEPAGE);
#endif
    return block;
}

static inline void tidal_release(void *block, size_t bytes) { (void)munmap(block, bytes); }

#endif
