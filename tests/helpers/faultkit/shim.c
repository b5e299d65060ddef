/* Stands between a program and the C library (LD_PRELOAD), and makes calls fail as a kernel may.
 *
 * TIDAL_SHIM_PATH   only files whose path contains this text
 * TIDAL_SHIM_RULES  rules "call:kind:n", separated by commas; kind is "short" (half is written), "eintr" or an
 *                   errno's number; the n-th such call of the process is struck, "n+": each from the n-th on.
 *                   "short" and "eintr" with n = 0: every second call.
 * TIDAL_SHIM_LOG    a file to which one letter is appended for every call that was struck
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RULES_MAX = 16, PARTS_MAX = 64 };

struct rule {
    char call[16];
    int kind; /* an errno, or SHORT */
    long n;
    int onwards;
    long seen;
};

static const int SHORT = -1;

static struct rule rules[RULES_MAX];
static int rule_count = -1;

static void *next_of(const char *name) { return dlsym(RTLD_NEXT, name); }

static void read_rules(void) {
    const char *text = getenv("TIDAL_SHIM_RULES");
    rule_count = 0;
    if (text == NULL) return;
    char *copy = strdup(text), *state = NULL;
    for (char *one = strtok_r(copy, ",", &state); one && rule_count < RULES_MAX;
         one = strtok_r(NULL, ",", &state)) {
        struct rule *rule = &rules[rule_count];
        char kind[16] = "", number[16] = "";
        if (sscanf(one, "%15[^:]:%15[^:]:%15s", rule->call, kind, number) != 3) abort();
        rule->kind = !strcmp(kind, "short") ? SHORT : !strcmp(kind, "eintr") ? EINTR : atoi(kind);
        rule->n = atol(number);
        rule->onwards = strchr(number, '+') != NULL;
        rule_count++;
    }
    free(copy);
}

static void note(void) {
    const char *path = getenv("TIDAL_SHIM_LOG");
    ssize_t (*real_write)(int, const void *, size_t) = next_of("write");
    int (*real_open)(const char *, int, ...) = next_of("open");
    int (*real_close)(int) = next_of("close");
    int saved = errno, log = path ? real_open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (log >= 0) {
        if (real_write(log, "x", 1) != 1) abort();
        real_close(log);
    }
    errno = saved;
}

/* What is to happen to this call: 0 nothing, SHORT, or an errno. */
static int strike(const char *call, const char *path) {
    if (rule_count < 0) read_rules();
    const char *wanted = getenv("TIDAL_SHIM_PATH");
    if (path == NULL || wanted == NULL || strstr(path, wanted) == NULL) return 0;
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->call, call) != 0) continue;
        long now = ++rule->seen;
        if (rule->n == 0 ? now % 2 == 1 : rule->onwards ? now >= rule->n : now == rule->n) {
            note();
            return rule->kind;
        }
    }
    return 0;
}

static const char *path_of(int fd, char *room, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, room, size - 1);
    if (length < 0) return NULL;
    room[length] = 0;
    return room;
}

#define STRUCK_FD(name, fd) \
    char room[4096];        \
    int what = strike(name, path_of(fd, room, sizeof room));

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t (*real)(int, const struct iovec *, int) = next_of("writev");
    STRUCK_FD("writev", fd)
    if (what == SHORT) {
        size_t total = 0, left;
        struct iovec fewer[PARTS_MAX];
        int used = 0;
        for (int i = 0; i < count; i++) total += parts[i].iov_len;
        left = total > 1 ? total / 2 : total;
        for (int i = 0; i < count && left > 0 && used < PARTS_MAX; i++) {
            fewer[used] = parts[i];
            if (fewer[used].iov_len > left) fewer[used].iov_len = left;
            left -= fewer[used++].iov_len;
        }
        return real(fd, fewer, used);
    }
    if (what) return errno = what, -1;
    return real(fd, parts, count);
}

ssize_t write(int fd, const void *data, size_t size) {
    ssize_t (*real)(int, const void *, size_t) = next_of("write");
    STRUCK_FD("write", fd)
    if (what == SHORT) return real(fd, data, size > 1 ? size / 2 : size);
    if (what) return errno = what, -1;
    return real(fd, data, size);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset) {
    ssize_t (*real)(int, void *, size_t, off64_t) = next_of("pread64");
    STRUCK_FD("pread", fd)
    if (what == SHORT) return real(fd, data, size > 1 ? size / 2 : size, offset);
    if (what) return errno = what, -1;
    return real(fd, data, size, offset);
}

int fdatasync(int fd) {
    int (*real)(int) = next_of("fdatasync");
    STRUCK_FD("fdatasync", fd)
    if (what) return errno = what, -1;
    return real(fd);
}

int fsync(int fd) {
    int (*real)(int) = next_of("fsync");
    STRUCK_FD("fsync", fd)
    if (what) return errno = what, -1;
    return real(fd);
}

int ftruncate64(int fd, off64_t size) {
    int (*real)(int, off64_t) = next_of("ftruncate64");
    STRUCK_FD("ftruncate", fd)
    if (what) return errno = what, -1;
    return real(fd, size);
}

int rename(const char *source, const char *target) {
    int (*real)(const char *, const char *) = next_of("rename");
    int what = strike("rename", target);
    if (what) return errno = what, -1;
    return real(source, target);
}

int unlink(const char *path) {
    int (*real)(const char *) = next_of("unlink");
    int what = strike("unlink", path);
    if (what) return errno = what, -1;
    return real(path);
}

int open64(const char *path, int flags, ...) {
    int (*real)(const char *, int, ...) = next_of("open64");
    va_list rest;
    va_start(rest, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
    va_end(rest);
    int what = strike("open", path);
    if (what) return errno = what, -1;
    return real(path, flags, mode);
}
