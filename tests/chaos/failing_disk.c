/* Stands between a process and its disk, by LD_PRELOAD: one in FAIL_ONE_IN writes, syncs and
   truncates of a database (a path with ".db") fails with FAIL_WITH (EIO or ENOSPC). A failing
   write writes a part of its bytes first, as a real one may. Each fault adds a byte to FAIL_TOLD.
   The first 200 calls succeed, so that the file can be opened. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static unsigned state, one_in, calls;
static int code, told = -1;

__attribute__((constructor)) static void begin(void) {
    const char *every = getenv("FAIL_ONE_IN"), *seed = getenv("FAIL_SEED");
    const char *with = getenv("FAIL_WITH"), *where = getenv("FAIL_TOLD");
    if (!every || !seed || !with || !where) return;
    one_in = (unsigned)atoi(every);
    state = (unsigned)atoi(seed) | 1u;
    code = strcmp(with, "ENOSPC") ? EIO : ENOSPC;
    told = open(where, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int of_a_database(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return strstr(path, ".db") != NULL && strstr(path, "-shm") == NULL;
}

static int fails(int fd) {
    if (!one_in || !of_a_database(fd) || ++calls < 200) return 0;
    state ^= state << 13; state ^= state >> 17; state ^= state << 5; /* xorshift32 */
    if (state % one_in) return 0;
    (void)!REAL(write)(told, "x", 1);
    errno = code;
    return 1;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place) {
    if (!fails(fd)) return REAL(pwrite64)(fd, data, size, place);
    REAL(pwrite64)(fd, data, size / 2, place);
    errno = code;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t place) {
    return pwrite64(fd, data, size, place);
}

ssize_t write(int fd, const void *data, size_t size) {
    return fails(fd) ? -1 : REAL(write)(fd, data, size);
}

int fsync(int fd) { return fails(fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails(fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate64(int fd, off64_t size) { return fails(fd) ? -1 : REAL(ftruncate64)(fd, size); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
