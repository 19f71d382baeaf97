/* One file for each library and set of rules: what it is about, the numbers, a checksum. Runs in the dynamic linker's load event: system calls only. */
#include "symbol_cache.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../record/sys.h"

enum { PATH_BYTES = 1024, NAME_BYTES = 40, RACY_SECONDS = 2 };

static char folder[PATH_BYTES]; /* with a slash at its end; empty: nothing is kept */
static size_t parent_length;    /* of the part that must be there and the user's own for it to be made */

struct content {
    char magic[8];
    uint64_t device, inode, size;
    int64_t changed[2], modified[2];
    uint64_t rules;
    uint32_t count;
    uint32_t number[TVG_SYMBOLS_MAX + 2]; /* behind the last one: the checksum */
};

static size_t add(size_t used, const char *text)
{
    size_t length = strlen(text);
    if (used + length + 1 + NAME_BYTES > sizeof folder)
        return 0;
    memcpy(folder + used, text, length + 1);
    return used + length;
}

void tvg_symbol_cache_start(void)
{
    const char *given = secure_getenv("TVG_CACHE"), *cache = secure_getenv("XDG_CACHE_HOME"), *home = secure_getenv("HOME");
    const char *first = given && *given ? given : cache && *cache ? cache : home ? home : "";
    bool whole = given && *given, in_home = !whole && first == home;
    if (*first != '/') /* "none", or no place of its own */
        return;
    parent_length = add(0, first);
    size_t used = parent_length ? add(parent_length, in_home ? "/.cache/" : "/") : 0;
    if (used && in_home)
        parent_length = used;
    while (whole && parent_length > 1 && folder[parent_length - 1] != '/') /* the folder that it lies in */
        parent_length--;
    if (used && !whole)
        used = add(used, "tvg/");
    if (!used)
        folder[0] = 0;
}

/* Ours alone to write in. */
static bool is_own(const struct stat *status)
{
    return status->st_uid == geteuid() && !(status->st_mode & (S_IWGRP | S_IWOTH));
}

static bool own_folder(const char *path)
{
    struct stat status;
    return tvg_sys6(SYS_newfstatat, AT_FDCWD, (long)path, (long)&status, 0, 0, 0) == 0 && S_ISDIR(status.st_mode) && is_own(&status);
}

/* The folder is made when its parent is there and the user's: a program run by root in a user's home leaves nothing there. */
static bool have_folder(void)
{
    char parent[PATH_BYTES];
    if (own_folder(folder))
        return true;
    memcpy(parent, folder, parent_length);
    parent[parent_length] = 0;
    return own_folder(parent) && tvg_sys_mkdir(folder, 0700) == 0 && own_folder(folder);
}

static void describe(struct content *content, const struct stat *file, uint64_t rules)
{
    memcpy(content->magic, "tvgsym1", 8);
    content->device = (uint64_t)file->st_dev, content->inode = (uint64_t)file->st_ino, content->size = (uint64_t)file->st_size;
    content->changed[0] = file->st_ctim.tv_sec, content->changed[1] = file->st_ctim.tv_nsec;
    content->modified[0] = file->st_mtim.tv_sec, content->modified[1] = file->st_mtim.tv_nsec;
    content->rules = rules;
}

static const size_t head_bytes = offsetof(struct content, count);

/* "FOLDER/HASH.symbols", and behind it `suffix` if that is not 0. */
static void path_of(char path[PATH_BYTES], const struct content *content, uint32_t suffix)
{
    uint64_t hash = XXH3_64bits(content, head_bytes);
    size_t used = strlen(folder);
    memcpy(path, folder, used);
    for (int i = 60; i >= 0; i -= 4)
        path[used++] = "0123456789abcdef"[hash >> i & 15];
    memcpy(path + used, ".symbols", 9);
    used += 8;
    for (int i = 28; suffix && i >= 0; i -= 4)
        path[used++] = "0123456789abcdef"[suffix >> i & 15];
    path[used] = 0;
}

static size_t bytes_of(uint32_t count)
{
    return offsetof(struct content, number) + count * sizeof(uint32_t);
}

static struct content room; /* the loader's lock is held */

bool tvg_symbol_cache_read(const struct stat *file, uint64_t rules, struct tvg_symbols *symbols)
{
    struct content wanted;
    char path[PATH_BYTES];
    struct stat status;
    uint64_t sum;
    if (!folder[0])
        return false;
    describe(&wanted, file, rules);
    path_of(path, &wanted, 0);
    long descriptor = tvg_sys_open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (descriptor < 0)
        return false;
    bool good = tvg_sys_fstat((int)descriptor, &status) == 0 && S_ISREG(status.st_mode) && is_own(&status);
    long got = good ? tvg_sys_read((int)descriptor, &room, sizeof room) : 0;
    tvg_sys_close((int)descriptor);
    if (got < (long)(bytes_of(0) + sizeof sum) || memcmp(&room, &wanted, head_bytes) != 0 || room.count > TVG_SYMBOLS_MAX ||
        got != (long)(bytes_of(room.count) + sizeof sum))
        return false;
    memcpy(&sum, room.number + room.count, sizeof sum);
    if (sum != XXH3_64bits(&room, bytes_of(room.count)))
        return false;
    symbols->count = room.count;
    memcpy(symbols->number, room.number, room.count * sizeof *room.number);
    return true;
}

void tvg_symbol_cache_write(const struct stat *file, uint64_t rules, const struct tvg_symbols *symbols)
{
    struct timespec now;
    char path[PATH_BYTES], fresh[PATH_BYTES];
    if (!folder[0] || symbols->count > TVG_SYMBOLS_MAX || clock_gettime(CLOCK_REALTIME, &now) != 0 ||
        now.tv_sec - file->st_ctim.tv_sec < RACY_SECONDS || !have_folder()) /* a file that is still being written may change without its time telling */
        return;
    describe(&room, file, rules);
    room.count = symbols->count;
    memcpy(room.number, symbols->number, symbols->count * sizeof *room.number);
    uint64_t sum = XXH3_64bits(&room, bytes_of(room.count));
    memcpy(room.number + room.count, &sum, sizeof sum);
    path_of(path, &room, 0);
    path_of(fresh, &room, (uint32_t)tvg_sys_getpid());
    long descriptor = tvg_sys_open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return;
    long length = (long)(bytes_of(room.count) + sizeof sum), put = tvg_sys_write((int)descriptor, &room, (size_t)length);
    tvg_sys_close((int)descriptor);
    if (put != length || tvg_sys6(SYS_renameat2, AT_FDCWD, (long)fresh, AT_FDCWD, (long)path, 0, 0) != 0)
        tvg_sys_unlink(fresh);
}
