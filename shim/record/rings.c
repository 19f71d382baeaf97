/* The side file that holds the rings: mapped shared, so that what a thread wrote outlives the process. Never sparse: a hole on a full
 * disk would kill the host by SIGBUS, fallocate only refuses. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <time.h>

#include "state.h"
#include "sys.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { ANONYMOUS_FIRST = 1 << 15 }; /* numbers of rings that no file holds */

static char path[TVG_PATH_MAX + 16];
static bool open_for_rings;
static dev_t device;
static ino_t inode;
static uint32_t in_file, outside;
static tvg_lock lock;
uint64_t tvg_rings_epoch;

const char *tvg_rings_path(void)
{
    return path;
}

/* File systems where a shared mapping of preallocated pages can be written without a fault that kills. */
static bool good_file_system(int descriptor)
{
    struct statfs about;
    if (tvg_sys6(SYS_fstatfs, descriptor, (long)&about, 0, 0, 0, 0) != 0) return false;
    switch ((uint32_t)about.f_type) {
    case 0xef53: case 0x58465342: case 0x01021994: case 0x794c7630: return true;
    default: return false;
    }
}

/* Grows the file to `end` bytes. RLIMIT_FSIZE is asked first: growing past it would raise SIGXFSZ. */
static long grow(int descriptor, uint64_t from, uint64_t end)
{
    struct rlimit limit;
    if (tvg_sys6(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < end) return -EFBIG;
    return tvg_sys6(SYS_fallocate, descriptor, 0, (long)from, (long)(end - from), 0, 0);
}

static long make_at(const char *name)
{
    struct tvg_rings_header header = {0};
    struct stat about;
    long descriptor = tvg_sys_open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
    if (descriptor < 0) return descriptor;
    header.pid = tvg_state.pid;
    header.slots = TVG_RING_SLOTS;
    header.start_mono_ns = tvg_state.start_mono_ns;
    tvg_rings_header_seal(&header);
    long cause = good_file_system((int)descriptor) ? grow((int)descriptor, 0, TVG_RINGS_PAGE) : -EOPNOTSUPP;
    if (cause == 0 && tvg_sys_write((int)descriptor, &header, sizeof header) != (long)sizeof header) cause = -ENOSPC;
    if (cause == 0) cause = tvg_sys_fstat((int)descriptor, &about);
    tvg_sys_close((int)descriptor);
    if (cause != 0) {
        tvg_sys_unlink(name);
        return cause;
    }
    device = about.st_dev;
    inode = about.st_ino;
    return 0;
}

static void say_unsafe(const char *subject, long cause)
{
    char why[96];
    size_t used = tvg_text_add(why, sizeof why, 0, "its last ops die with a killed process: errno ");
    tvg_text_number(why, sizeof why, used, (uint64_t)-cause);
    tvg_note("not-crash-safe", subject, why);
}

/* Makes the side file of the trace at `trace`, beside it or, on file systems that may fault, in memory. False: rings are anonymous. */
bool tvg_rings_open(const char *trace)
{
    size_t used = tvg_text_add(path, sizeof path, 0, trace);
    tvg_text_add(path, sizeof path, used, ".rings");
    in_file = outside = 0;
    tvg_rings_epoch++;
    long cause = make_at(path);
    if (cause != 0) {
        used = tvg_text_add(path, sizeof path, 0, "/dev/shm/tvg-");
        used = tvg_text_number(path, sizeof path, used, tvg_state.pid);
        used = tvg_text_add(path, sizeof path, used, "-");
        used = tvg_text_number(path, sizeof path, used, tvg_state.start_mono_ns);
        tvg_text_add(path, sizeof path, used, ".rings");
        long second = make_at(path);
        if (second != 0) {
            path[0] = 0;
            say_unsafe("rings file", cause);
            return open_for_rings = false;
        }
    }
    return open_for_rings = true;
}

/* Forgets the file; removes it unless it is to be kept (or is our parent's). */
void tvg_rings_close(bool keep)
{
    if (open_for_rings && !keep) tvg_sys_unlink(path);
    open_for_rings = false;
    path[0] = 0;
}

static struct tvg_ring *make_in_file(uint32_t number, long *cause)
{
    struct stat about;
    uint32_t bytes = tvg_ring_bytes(TVG_RING_SLOTS);
    uint64_t at = TVG_RINGS_PAGE + (uint64_t)number * bytes;
    /* No descriptor is kept: hosts close them. */
    long descriptor = tvg_sys_open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0);
    if (descriptor < 0) {
        *cause = descriptor;
        return NULL;
    }
    struct tvg_ring *ring = NULL;
    *cause = tvg_sys_fstat((int)descriptor, &about);
    if (*cause == 0 && (about.st_dev != device || about.st_ino != inode)) *cause = -ESTALE;
    if (*cause == 0) *cause = grow((int)descriptor, at, at + bytes);
    if (*cause == 0) {
        ring = tvg_sys_mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, (int)descriptor, at);
        if (!ring) *cause = -ENOMEM;
    }
    tvg_sys_close((int)descriptor);
    if (ring && tvg_sys_madvise(ring, bytes, MADV_POPULATE_WRITE) == -EFAULT) {
        tvg_sys6(SYS_munmap, (long)ring, bytes, 0, 0, 0, 0);
        *cause = -EFAULT;
        ring = NULL;
    }
    return ring;
}

/* A new ring, all zero but number and slots; in the file when that can be, else in the process's own memory. NULL: no memory. */
struct tvg_ring *tvg_ring_make(uint32_t *number)
{
    long cause = -ENOSPC;
    struct tvg_ring *ring = NULL;
    tvg_lock_take(&lock);
    if (open_for_rings && in_file < ANONYMOUS_FIRST) {
        ring = make_in_file(in_file, &cause);
        if (ring) *number = in_file++;
        else open_for_rings = cause != -ESTALE && cause != -ENOENT;
    }
    bool unsafe = ring == NULL;
    if (unsafe) {
        ring = tvg_sys_memory(tvg_ring_bytes(TVG_RING_SLOTS));
        if (ring) {
            *number = ANONYMOUS_FIRST + outside++;
            tvg_sys_madvise(ring, tvg_ring_bytes(TVG_RING_SLOTS), MADV_POPULATE_WRITE);
        }
    }
    tvg_lock_drop(&lock);
    if (ring) {
        ring->number = *number;
        ring->slots = TVG_RING_SLOTS;
    }
    if (unsafe && path[0]) say_unsafe("ring", cause);
    return ring;
}
