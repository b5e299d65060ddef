/* A ticket lock: fair, so that a point read gets in between two chunks of a long bulk ingest.
 *
 * Ingest holds it for one chunk of a few thousand events at a time; a scan, a copy, or the turn of a minute as
 * long as it takes. (A shard has two, so that no score waits for the latter: see decay.pxd.) A waiter spins
 * briefly and then gives its processor away: the holder may need it.
 */
#ifndef TIDAL_LOCK_H
#define TIDAL_LOCK_H

#include <sched.h>
#include <stdint.h>

typedef struct {
    uint32_t next, serving;
} tidal_lock;

static inline void tidal_acquire(tidal_lock *lock) {
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    for (unsigned spins = 0; __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket; spins++)
        if (spins > 64) sched_yield();
}

static inline int tidal_try_acquire(tidal_lock *lock) {
    uint32_t ticket = __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE);
    return __atomic_compare_exchange_n(
        &lock->next, &ticket, ticket + 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static inline void tidal_unlock(tidal_lock *lock) {
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

#endif
