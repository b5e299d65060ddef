/* A ticket lock: fair, so that a point read gets in between two chunks of a long bulk ingest.
 *
 * Ingest holds it for one chunk of a few thousand events at a time; a scan, a copy, or the turn of a minute as
 * long as it takes. (A shard has two, so that no score waits for the latter: see decay.pxd.) A waiter spins for
 * a part of a chunk's time and then sleeps: where there are more threads than processors, the holder needs
 * one, and who only gives its own away may get it back a time slice late.
 */
#ifndef TIDAL_LOCK_H
#define TIDAL_LOCK_H

#include <stdint.h>

#ifdef __linux__
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <sched.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#define TIDAL_PAUSE() __builtin_ia32_pause()
#else
#define TIDAL_PAUSE() ((void)0)
#endif

enum { TIDAL_SPINS = 512 };

typedef struct {
    uint32_t next, serving;
} tidal_lock;

/* Return when serving is no longer this, or without a reason. */
static inline void tidal_sleep(tidal_lock *lock, uint32_t serving) {
#ifdef __linux__
    (void)syscall(SYS_futex, &lock->serving, FUTEX_WAIT_PRIVATE, serving, (void *)0, (void *)0, 0);
#else
    (void)lock, (void)serving;
    sched_yield();
#endif
}

static inline void tidal_acquire(tidal_lock *lock) {
    uint32_t serving, ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_SEQ_CST);
    for (unsigned spins = 0; (serving = __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE)) != ticket; spins++) {
        if (spins < TIDAL_SPINS)
            TIDAL_PAUSE();
        else
            tidal_sleep(lock, serving);
    }
}

static inline int tidal_try_acquire(tidal_lock *lock) {
    uint32_t ticket = __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE);
    return __atomic_compare_exchange_n(
        &lock->next, &ticket, ticket + 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Sequentially consistent, as is the taking of a ticket: either the waiter sees the new number, or is seen. */
static inline void tidal_unlock(tidal_lock *lock) {
    uint32_t serving = lock->serving + 1;
    __atomic_store_n(&lock->serving, serving, __ATOMIC_SEQ_CST);
#ifdef __linux__
    if (__atomic_load_n(&lock->next, __ATOMIC_SEQ_CST) != serving)
        (void)syscall(SYS_futex, &lock->serving, FUTEX_WAKE_PRIVATE, INT_MAX, (void *)0, (void *)0, 0);
#endif
}

#endif
