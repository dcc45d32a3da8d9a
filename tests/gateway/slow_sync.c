// Makes the disk of one process slow: each fsync and fdatasync takes SYNC_MS longer. It leaves a byte in the file SYNCS for
// each: `d` for fdatasync, `f` for fsync. Loaded by LD_PRELOAD.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int slow(const char *name, const char *mark, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    long ms = strtol(getenv("SYNC_MS"), NULL, 10);
    struct timespec delay = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&delay, NULL);
    int count = open(getenv("SYNCS"), O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (count < 0 || write(count, mark, 1) != 1) abort();
    close(count);
    return real(file);
}

int fsync(int file) { return slow("fsync", "f", file); }
int fdatasync(int file) { return slow("fdatasync", "d", file); }
