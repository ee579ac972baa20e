// Counts the calls of each kind that a program makes on files below a folder, and lets one of them fail, or kills
// the program there. To be put in front of the C library by LD_PRELOAD. By environment variables:
//
//   FAULT_BELOW   the folder, an absolute path without links
//   FAULT_COUNTS  a file of KINDS numbers of 64 bits, zero at first: the calls so far, of all processes together
//   FAULT_KIND    kind of the call that fails: open, write, fsync, rename, mkdir, unlink, memory
//   FAULT_AT      which of them, from 1; of memory, also the next
//   FAULT_HOW     number of the error; or `short`: half of a write; `kill`: SIGKILL before the call;
//                 `torn`: SIGKILL after half of a write

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, WRITE, FSYNC, RENAME, MKDIR, UNLINK, MEMORY, KINDS };
static const char *const NAMES[KINDS] = {"open", "write", "fsync", "rename", "mkdir", "unlink", "memory"};
// Smaller blocks are too many, and come out of what the C library has already.
static const size_t SMALLEST_GROWTH = 1024;

static uint64_t *counts;
static const char *below, *how;
static size_t below_len;
static int failing_kind = -1;
static uint64_t failing_call;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAULT_COUNTS"), *kind = getenv("FAULT_KIND"), *call = getenv("FAULT_AT");
    below = getenv("FAULT_BELOW");
    how = getenv("FAULT_HOW");
    if (!file || !below) return;
    below_len = strlen(below);
    for (int index = 0; kind && how && call && index < KINDS; index++)
        if (!strcmp(kind, NAMES[index])) failing_kind = index;
    if (call) failing_call = strtoull(call, NULL, 10);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    void *pages = (void *)syscall(SYS_mmap, NULL, KINDS * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (pages != MAP_FAILED) counts = pages;
}

enum outcome { PASSES, FAILS, IS_SHORT };

// Counts a call, and says what becomes of it. `errno` is set if it fails.
static enum outcome fate(enum kind kind) {
    uint64_t call = __atomic_add_fetch(&counts[kind], 1, __ATOMIC_SEQ_CST);
    // The program asks for memory twice: from its own arena, then from the C library.
    uint64_t last = failing_call + (kind == MEMORY);
    if ((int)kind != failing_kind || call < failing_call || call > last) return PASSES;
    if (!strcmp(how, "short") || !strcmp(how, "torn")) return IS_SHORT;
    if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
    errno = atoi(how);
    return FAILS;
}

static int is_below(const char *path) {
    return !strncmp(path, below, below_len) && (path[below_len] == '/' || !path[below_len]);
}

// Whether a path that begins at an open folder, or an open file itself, is below the folder. A path with `..` may
// be taken for another; the program uses none.
static int at_below(int fd, const char *rest) {
    char link[64], path[2 * PATH_MAX];
    int saved = errno;
    snprintf(link, sizeof link, fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, PATH_MAX);
    errno = saved;
    if (len < 0) return 0;
    snprintf(path + len, sizeof path - len, "%s%s", *rest ? "/" : "", rest);
    return is_below(path);
}

static int fd_below(int fd) { return counts && at_below(fd, ""); }

static int path_below(int folder, const char *path) {
    return counts && (path[0] == '/' ? is_below(path) : at_below(folder, path));
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAILS_IF(is_counted, kind, failure) \
    if ((is_counted) && fate(kind) == FAILS) return failure

#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        FAILS_IF(path_below(AT_FDCWD, path), OPEN, -1); \
        return REAL(name)(path, flags, mode); \
    }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        FAILS_IF(path_below(folder, path), OPEN, -1); \
        return REAL(name)(folder, path, flags, mode); \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

DIR *opendir(const char *path) {
    FAILS_IF(path_below(AT_FDCWD, path), OPEN, NULL);
    return REAL(opendir)(path);
}

// A write of `size` bytes, of which only the half may be written.
#define WRITING(is_counted, size, written) \
    if ((is_counted)) { \
        enum outcome outcome = fate(WRITE); \
        if (outcome == FAILS) return -1; \
        if (outcome == IS_SHORT) { \
            size = (size + 1) / 2; \
            ssize_t half = (written); \
            if (!strcmp(how, "torn")) kill(getpid(), SIGKILL); \
            return half; \
        } \
    } \
    return (written)

ssize_t write(int fd, const void *bytes, size_t size) { WRITING(fd_below(fd), size, REAL(write)(fd, bytes, size)); }

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t place) {
    WRITING(fd_below(fd), size, REAL(pwrite64)(fd, bytes, size, place));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    WRITING(fd_below(fd), count, REAL(writev)(fd, parts, count));
}

ssize_t copy_file_range(int from, off64_t *start, int to, off64_t *place, size_t size, unsigned flags) {
    WRITING(fd_below(to), size, REAL(copy_file_range)(from, start, to, place, size, flags));
}

int ftruncate64(int fd, off64_t size) {
    if (fd_below(fd)) {
        enum outcome outcome = fate(WRITE);
        if (outcome == FAILS) return -1;
        if (outcome == IS_SHORT && !strcmp(how, "torn")) kill(getpid(), SIGKILL);
    }
    return REAL(ftruncate64)(fd, size);
}

// No test cuts the power, and what a killed program has written stays: below the folder nothing is flushed, which
// takes most of the time.
#define FLUSHING(name) \
    int name(int fd) { \
        if (!fd_below(fd)) return REAL(name)(fd); \
        return fate(FSYNC) == FAILS ? -1 : 0; \
    }
FLUSHING(fsync)
FLUSHING(fdatasync)

int rename(const char *from, const char *to) {
    FAILS_IF(path_below(AT_FDCWD, to), RENAME, -1);
    return REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode) {
    FAILS_IF(path_below(AT_FDCWD, path), MKDIR, -1);
    return REAL(mkdir)(path, mode);
}

int unlink(const char *path) {
    FAILS_IF(path_below(AT_FDCWD, path), UNLINK, -1);
    return REAL(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    FAILS_IF(path_below(folder, path), UNLINK, -1);
    return REAL(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) {
    FAILS_IF(path_below(AT_FDCWD, path), UNLINK, -1);
    return REAL(rmdir)(path);
}

// The C library's own names of its allocator: to look these up would allocate.
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

#define GROWS(size) (counts && (size) >= SMALLEST_GROWTH)

void *malloc(size_t size) {
    FAILS_IF(GROWS(size), MEMORY, NULL);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    FAILS_IF(GROWS(count * size), MEMORY, NULL);
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    FAILS_IF(GROWS(size), MEMORY, NULL);
    return __libc_realloc(block, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    FAILS_IF(GROWS(size), MEMORY, ENOMEM);
    *block = __libc_memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}

// The program's own arena grows by this.
int mprotect(void *start, size_t size, int access) {
    FAILS_IF(counts && access == (PROT_READ | PROT_WRITE), MEMORY, -1);
    return (int)syscall(SYS_mprotect, start, size, access);
}
