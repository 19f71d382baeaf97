/* The trace file of this process: made at the first thing to write, appended to by whole blocks, never trusted to still be ours. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>

#include "state.h"
#include "sys.h"

static char path[TVG_PATH_MAX];
static int descriptor = -1;
static dev_t device;
static ino_t inode;
static tvg_lock appending; /* the kernel takes turns here too; ours lets a torn block be cut off again */
static bool reopened;     /* the host closed our descriptor: to be said */
static bool full;         /* the last block did not fit */
static bool size_limited; /* a file-size limit is set: growing past it raises SIGXFSZ */

enum { DESCRIPTOR_FLOOR = 512, NAME_TRIES = 10000 };

const char *tvg_file_path(void)
{
    return path;
}

static uint64_t pending_signals(void)
{
    uint64_t set = 0;
    tvg_sys6(SYS_rt_sigpending, (long)&set, TVG_SIGNAL_BYTES, 0, 0, 0, 0);
    return set;
}

/* SIGXFSZ goes to the thread that grew the file; all signals are blocked here, so it is pending and can be taken back. */
static void take_back_size_signal(uint64_t pending_before)
{
    uint64_t set = (uint64_t)1 << (SIGXFSZ - 1);
    struct timespec none = {0, 0};
    if (pending_before & set) return;
    tvg_sys6(SYS_rt_sigtimedwait, (long)&set, 0, (long)&none, TVG_SIGNAL_BYTES, 0, 0);
}

/* Hosts close what they did not open, and count descriptors from below. */
static int lift(int low)
{
    long high = tvg_sys_fcntl(low, F_DUPFD_CLOEXEC, DESCRIPTOR_FLOOR);
    if (high < 0) {
        struct rlimit limit;
        if (tvg_sys6(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0) == 0 && limit.rlim_cur > 16)
            high = tvg_sys_fcntl(low, F_DUPFD_CLOEXEC, (long)limit.rlim_cur - 8);
    }
    if (high < 0) return low;
    tvg_sys_close(low);
    return (int)high;
}

/* Expands %h %p %c %t %%. False when it does not fit. */
static bool expand(const char *template, char *out, size_t capacity)
{
    size_t used = 0;
    out[0] = 0;
    for (; *template; template++) {
        char one[2] = {*template, 0};
        if (*template != '%') {
            used = tvg_text_add(out, capacity, used, one);
        } else {
            switch (template[1]) {
            case 'h': {
                struct utsname names;
                if (tvg_sys6(SYS_uname, (long)&names, 0, 0, 0, 0, 0) < 0) strcpy(names.nodename, "host");
                used = tvg_text_add(out, capacity, used, names.nodename);
                break;
            }
            case 'p': used = tvg_text_number(out, capacity, used, tvg_state.pid); break;
            case 'c': used = tvg_text_add(out, capacity, used, tvg_settings.command); break;
            case 't': {
                struct tvg_anchor now;
                tvg_clock_anchor(&now);
                used = tvg_text_number(out, capacity, used, now.wall_ns / 1000000000u);
                break;
            }
            case '%': used = tvg_text_add(out, capacity, used, "%"); break;
            case 0: used = tvg_text_add(out, capacity, used, "%"); template--; break;
            default:
                used = tvg_text_add(out, capacity, used, "%");
                one[0] = template[1];
                used = tvg_text_add(out, capacity, used, one);
            }
            template++;
        }
    }
    return used > 0 && used + 32 < capacity;
}

/* Makes `wanted`, or wanted.2, wanted.3 ... before its extension when that exists. Gives a descriptor or a negated errno; `path` is the name. */
static long make(const char *wanted)
{
    const char *slash = strrchr(wanted, '/');
    const char *dot = strrchr(wanted, '.');
    size_t stem = dot && (!slash || dot > slash + 1) ? (size_t)(dot - wanted) : strlen(wanted);
    for (unsigned n = 1; n < NAME_TRIES; n++) {
        size_t used = 0;
        memcpy(path, wanted, stem);
        used = stem;
        path[used] = 0;
        if (n > 1) {
            used = tvg_text_add(path, sizeof path, used, ".");
            used = tvg_text_number(path, sizeof path, used, n);
        }
        tvg_text_add(path, sizeof path, used, wanted + stem);
        long got = tvg_sys_open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
        if (got != -EEXIST) return got;
    }
    return -EEXIST;
}

static long write_header(int to)
{
    static uint8_t header[8192];
    static char command[2048];
    struct utsname names;
    struct tvg_file_header info = {0};
    memset(&names, 0, sizeof names);
    tvg_sys6(SYS_uname, (long)&names, 0, 0, 0, 0, 0);
    long from = tvg_sys_open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
    long got = from < 0 ? 0 : tvg_sys_read((int)from, command, sizeof command - 1);
    if (from >= 0) tvg_sys_close((int)from);
    if (got < 0) got = 0;
    while (got > 0 && command[got - 1] == 0) got--;
    for (long i = 0; i < got; i++)
        if (command[i] == 0) command[i] = ' ';
    command[got] = 0;
    static char rings[TVG_PATH_MAX + 16];
    bool have_rings = tvg_rings_open(path);
    size_t used = tvg_text_add(rings, sizeof rings, 0, have_rings ? tvg_rings_path() : "");
    (void)used;
    info.pid = tvg_state.pid;
    info.ppid = (uint32_t)tvg_sys6(SYS_getppid, 0, 0, 0, 0, 0, 0);
    info.tid = (uint32_t)tvg_sys_gettid();
    info.grid_shift = tvg_state.grid_shift;
    info.ticks_are_tsc = tvg_clock_is_tsc;
    info.ticks_per_ns = tvg_state.ticks_per_ns;
    tvg_clock_anchor(&info.anchor);
    info.process_start_mono_ns = tvg_state.start_mono_ns;
    info.cpu_process_ns = tvg_clock_cpu_process();
    info.command = command;
    info.host = names.nodename;
    info.rings = rings;
    info.tool = TVG_VERSION;
    size_t length = tvg_encode_file_header(header, sizeof header, &info);
    if (length == 0) return -EMSGSIZE;
    uint64_t before = size_limited ? pending_signals() : 0;
    long wrote = tvg_sys_write(to, header, length);
    if (wrote == -EFBIG || (size_limited && wrote != (long)length)) take_back_size_signal(before);
    if (wrote < 0) return wrote;
    return wrote == (long)length ? 0 : -ENOSPC;
}

/* Opens `wanted` and writes the header; leaves nothing behind when that fails. */
static long open_at(const char *wanted)
{
    struct stat about;
    long got = make(wanted);
    if (got < 0) return got;
    int to = lift((int)got);
    long wrote = write_header(to);
    if (wrote == 0) wrote = tvg_sys_fstat(to, &about);
    if (wrote < 0) {
        tvg_rings_close(false);
        tvg_sys_unlink(path);
        tvg_sys_close(to);
        return wrote;
    }
    descriptor = to;
    device = about.st_dev;
    inode = about.st_ino;
    return 0;
}

/* A folder of our own under $TMPDIR: made by us or refused, since others may write there too. False when there is none. */
static bool private_folder(char *out, size_t capacity)
{
    struct stat about;
    size_t used = tvg_text_add(out, capacity, 0, tvg_settings.temporary);
    used = tvg_text_add(out, capacity, used, "/tvg-");
    uint32_t user = (uint32_t)tvg_sys6(SYS_geteuid, 0, 0, 0, 0, 0, 0);
    tvg_text_number(out, capacity, used, user);
    long made = tvg_sys_mkdir(out, 0700);
    if (made < 0 && made != -EEXIST) return false;
    long folder = tvg_sys_open(out, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (folder < 0) return false;
    bool ours = tvg_sys_fstat((int)folder, &about) == 0 && about.st_uid == user && (about.st_mode & 0077) == 0;
    tvg_sys_close((int)folder);
    return ours;
}

bool tvg_file_open(void)
{
    static char wanted[TVG_PATH_MAX], folder[TVG_PATH_MAX];
    struct rlimit limit;
    long cause = -ENOENT;
    size_limited = tvg_sys6(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit, 0, 0) != 0 || limit.rlim_cur != RLIM_INFINITY;
    if (tvg_settings.out[0] && expand(tvg_settings.out, wanted, sizeof wanted)) {
        cause = open_at(wanted);
        if (cause == 0) return true;
    } else {
        strcpy(wanted, tvg_settings.out);
    }
    if (private_folder(folder, sizeof folder)) {
        size_t used = strlen(folder);
        used = tvg_text_add(folder, sizeof folder, used, "/tvg-");
        used = tvg_text_add(folder, sizeof folder, used, tvg_settings.command);
        used = tvg_text_add(folder, sizeof folder, used, "-");
        used = tvg_text_number(folder, sizeof folder, used, tvg_state.pid);
        tvg_text_add(folder, sizeof folder, used, ".tvg");
        if (open_at(folder) == 0) {
            char why[64];
            used = tvg_text_add(why, sizeof why, 0, "could not be made there: errno ");
            tvg_text_number(why, sizeof why, used, (uint64_t)-cause);
            tvg_note("output", wanted, why);
            tvg_log("the trace could not be made where it was asked for; it is", path);
            return true;
        }
    }
    path[0] = 0;
    tvg_log("no trace could be made: nothing is recorded; wanted", wanted);
    return false;
}

void tvg_file_forget(void)
{
    /* In a forked child: the number may be closed by the host at any time, so ours is only closed while it still is our parent's file. */
    struct stat about;
    if (descriptor >= 0 && tvg_sys_fstat(descriptor, &about) == 0 && about.st_dev == device && about.st_ino == inode) tvg_sys_close(descriptor);
    descriptor = -1;
    path[0] = 0;
    full = reopened = false;
}

/* The descriptor, checked to be our file still; opened again when the host closed it. Negated errno when our file is gone. */
static long checked_descriptor(uint64_t *size)
{
    struct stat about;
    int now = __atomic_load_n(&descriptor, __ATOMIC_ACQUIRE);
    if (now >= 0 && tvg_sys_fstat(now, &about) == 0 && about.st_dev == device && about.st_ino == inode) {
        *size = (uint64_t)about.st_size;
        return now;
    }
    if (!path[0]) return -EBADF;
    long again = tvg_sys_open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0);
    if (again < 0) return again;
    if (tvg_sys_fstat((int)again, &about) != 0 || about.st_dev != device || about.st_ino != inode) {
        tvg_sys_close((int)again);
        return -ESTALE;
    }
    *size = (uint64_t)about.st_size;
    int lifted = lift((int)again);
    if (!__atomic_compare_exchange_n(&descriptor, &now, lifted, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        tvg_sys_close(lifted); /* another thread did the same */
        return now;
    }
    __atomic_store_n(&reopened, true, __ATOMIC_RELAXED);
    return lifted;
}

void tvg_lost(uint64_t ops, long cause)
{
    __atomic_add_fetch(&tvg_state.lost, ops, __ATOMIC_RELAXED);
    __atomic_add_fetch(&tvg_state.lost_unsaid, ops, __ATOMIC_RELAXED);
    __atomic_store_n(&tvg_state.lost_error, (int)cause, __ATOMIC_RELAXED);
}

static long append(const void *data, size_t length)
{
    uint64_t size = 0;
    tvg_lock_take(&appending);
    long to = checked_descriptor(&size);
    if (to < 0) {
        tvg_lock_drop(&appending);
        return to;
    }
    uint64_t before = size_limited ? pending_signals() : 0;
    long wrote = tvg_sys_write((int)to, data, length);
    if (wrote == -EFBIG || (size_limited && wrote != (long)length)) take_back_size_signal(before);
    /* What went in of a block that did not fit is cut off again: its room is good for saying what was lost. */
    if (wrote >= 0 && (size_t)wrote < length) {
        tvg_sys6(SYS_ftruncate, to, (long)size, 0, 0, 0, 0);
        wrote = -ENOSPC;
    }
    tvg_lock_drop(&appending);
    return wrote < 0 ? wrote : 0;
}

/* What was lost is said as soon as something can be written again. */
void tvg_file_say_lost(void)
{
    uint64_t ops = __atomic_exchange_n(&tvg_state.lost_unsaid, 0, __ATOMIC_RELAXED);
    if (ops == 0) return;
    uint8_t block[256];
    char why[64];
    struct tvg_map map;
    size_t used = tvg_text_add(why, sizeof why, 0, "could not be written: errno ");
    tvg_text_number(why, sizeof why, used, (uint64_t)-tvg_state.lost_error);
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_uint(&map, "count", ops);
    tvg_map_string(&map, "why", why);
    tvg_map_uint(&map, "mono_ns", tvg_clock_monotonic());
    size_t length = tvg_map_end(&map, TVG_BLOCK_LOST);
    if (length == 0 || append(block, length) != 0) __atomic_add_fetch(&tvg_state.lost_unsaid, ops, __ATOMIC_RELAXED);
}

bool tvg_file_write_ops(const void *data, size_t length, uint64_t ops)
{
    long cause = append(data, length);
    if (cause != 0) {
        tvg_lost(ops, cause);
        if (!__atomic_exchange_n(&full, true, __ATOMIC_RELAXED)) tvg_file_say_lost(); /* once: further losses wait for room, or for the end */
        return false;
    }
    __atomic_store_n(&full, false, __ATOMIC_RELAXED);
    if (__atomic_load_n(&tvg_state.lost_unsaid, __ATOMIC_RELAXED)) tvg_file_say_lost();
    if (__atomic_exchange_n(&reopened, false, __ATOMIC_RELAXED)) tvg_note("output", path, "the host closed the trace's descriptor; it was opened again");
    return true;
}

bool tvg_file_write(const void *data, size_t length)
{
    return tvg_file_write_ops(data, length, 0);
}

bool tvg_block_append(const void *block, size_t length)
{
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    bool written = tvg_process_start() && tvg_file_write(block, length);
    tvg_quiet_end(&quiet);
    return written;
}

void tvg_recording_begin(void)
{
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    tvg_process_start();
    tvg_quiet_end(&quiet);
}

bool tvg_recording(void)
{
    return __atomic_load_n(&tvg_state.recording, __ATOMIC_ACQUIRE) && tvg_generation_word() != 0;
}

void tvg_log(const char *what, const char *detail)
{
    if (!tvg_settings.log) return;
    char line[TVG_PATH_MAX + 256];
    size_t used = tvg_text_add(line, sizeof line - 1, 0, "tvg[");
    used = tvg_text_number(line, sizeof line - 1, used, tvg_state.pid);
    used = tvg_text_add(line, sizeof line - 1, used, "]: ");
    used = tvg_text_add(line, sizeof line - 1, used, what);
    if (detail) {
        used = tvg_text_add(line, sizeof line - 1, used, ": ");
        used = tvg_text_add(line, sizeof line - 1, used, detail);
    }
    line[used++] = '\n';
    tvg_sys_write(2, line, used);
}
