/* A jump over a function's first bytes, to a stub that leads on to the wrapper and holds the moved first instructions.
 * Text is written through /proc/self/mem, which needs no moment without execute permission; never while another thread may run there. */
#include "patch.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../record/sys.h"
#include "relocate.h"
#include "stubs.h"

#if defined(__x86_64__) && defined(TVG_WITH_CAPSTONE)

enum { ENTRANCE_BYTES = 32, JUMP_BYTES = TVG_PATCH_BYTES, PAGE_BYTES = 4096 };
_Static_assert(ENTRANCE_BYTES + 4 + (int)TVG_RELOCATED_MAX + JUMP_BYTES <= (int)TVG_STUB_BYTES, "a stub holds all of it");

static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};
static const uint8_t breakpoint = 0xcc;

static bool starts_with_endbr64(const uint8_t *at)
{
    return memcmp(at, endbr64, sizeof endbr64) == 0;
}

/* jmp destination, from within reach: direct, so that no landing mark is asked for at its end. */
static bool write_jump(uint8_t *out, uintptr_t runs_at, uintptr_t destination)
{
    intptr_t distance = (intptr_t)(destination - (runs_at + JUMP_BYTES));
    if (distance < INT32_MIN || distance > INT32_MAX)
        return false;
    int32_t value = (int32_t)distance;
    out[0] = 0xe9;
    memcpy(out + 1, &value, sizeof value);
    return true;
}

/* movabs context, %r11: no calling convention passes anything in it; then to the wrapper, which may be anywhere and has a landing mark. */
static void write_entrance(uint8_t *out, const void *context, const void *wrapper)
{
    static const uint8_t load_r11[2] = {0x49, 0xbb}, jump_through_next_word[6] = {0xff, 0x25, 0, 0, 0, 0};
    memcpy(out, load_r11, 2);
    memcpy(out + 2, &context, 8);
    memcpy(out + 10, jump_through_next_word, 6);
    memcpy(out + 16, &wrapper, 8);
}

/* --- text --------------------------------------------------------------------------------------------------------------------------- */
static const char *hex(const char *text, uintptr_t *value)
{
    for (*value = 0;; text++) {
        int digit = *text >= '0' && *text <= '9' ? *text - '0' : *text >= 'a' && *text <= 'f' ? *text - 'a' + 10 : -1;
        if (digit < 0)
            return text;
        *value = *value * 16 + (uintptr_t)digit;
    }
}

/* What /proc/self/maps says of the page at `address`; read and execute where it says nothing. */
static int protection_of(uintptr_t address)
{
    char text[4096];
    size_t held = 0;
    int protection = PROT_READ | PROT_EXEC;
    long got, descriptor = tvg_sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    while (descriptor >= 0 && (got = tvg_sys_read((int)descriptor, text + held, sizeof text - 1 - held)) > 0) {
        char *line = text, *end;
        held += (size_t)got;
        text[held] = 0;
        for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
            uintptr_t first, last;
            const char *rest = hex(line, &first);
            if (*rest != '-')
                continue;
            rest = hex(rest + 1, &last);
            if (address >= first && address < last && rest[0] == ' ')
                protection = (rest[1] == 'r' ? PROT_READ : 0) | (rest[2] == 'w' ? PROT_WRITE : 0) | (rest[3] == 'x' ? PROT_EXEC : 0);
        }
        held = line == text && held == sizeof text - 1 ? 0 : held - (size_t)(line - text);
        memmove(text, line, held);
    }
    if (descriptor >= 0)
        tvg_sys_close((int)descriptor);
    return protection;
}

/* The first byte last and by itself: a thread that runs the single byte there meets it or the whole jump. */
static bool write_in_order(long descriptor, uint8_t *at, const uint8_t *bytes)
{
    if (descriptor < 0) {
        memcpy(at + 1, bytes + 1, JUMP_BYTES - 1);
        __atomic_store_n(at, bytes[0], __ATOMIC_RELEASE);
        return true;
    }
    return pwrite((int)descriptor, bytes + 1, JUMP_BYTES - 1, (off_t)(uintptr_t)(at + 1)) == JUMP_BYTES - 1 &&
           pwrite((int)descriptor, bytes, 1, (off_t)(uintptr_t)at) == 1;
}

/* JUMP_BYTES of text. Where the kernel refuses /proc/self/mem: mprotect, execute permission kept throughout, then as it was. */
static bool write_text(uint8_t *at, const uint8_t *bytes)
{
    uint8_t before[JUMP_BYTES];
    memcpy(before, at, sizeof before);
    long descriptor = tvg_sys_open("/proc/self/mem", O_WRONLY | O_CLOEXEC, 0);
    if (descriptor >= 0) {
        bool written = write_in_order(descriptor, at, bytes) && memcmp(at, bytes, JUMP_BYTES) == 0;
        if (!written && memcmp(at, before, JUMP_BYTES) != 0)
            write_in_order(descriptor, at, before);
        tvg_sys_close((int)descriptor);
        if (written)
            return true;
    }
    uint8_t *page = (uint8_t *)((uintptr_t)at & ~(uintptr_t)(PAGE_BYTES - 1));
    size_t length = (size_t)(at + JUMP_BYTES - page);
    int protection = protection_of((uintptr_t)at);
    if (mprotect(page, length, protection | PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return false;
    write_in_order(-1, at, bytes);
    mprotect(page, length, protection);
    return true;
}

/* --- what is offered ------------------------------------------------------------------------------------------------------------------ */
void *tvg_patch_function(void *target, size_t size, void *wrapper, const void *context, const char **reason)
{
    struct tvg_function function = {target, size, 0};
    struct tvg_stub stub;
    size_t consumed;
    uint8_t jump[JUMP_BYTES];
    if (size && size < JUMP_BYTES) {
        *reason = "shorter than a jump";
        return NULL;
    }
    if (function.begin[0] == breakpoint) {
        *reason = "a breakpoint is set in its first bytes";
        return NULL;
    }
    if (starts_with_endbr64(function.begin))
        function.kept = sizeof endbr64;
    if (size && size - function.kept < JUMP_BYTES) {
        *reason = "shorter than a jump";
        return NULL;
    }
    uint8_t *from = (uint8_t *)target + function.kept;
    if (!tvg_stub_take((uintptr_t)target, &stub)) {
        *reason = "no executable memory within 2 GiB of it";
        return NULL;
    }
    /* The stub: the way to the wrapper, then the original's first instructions and the way back into it. */
    write_entrance(stub.write, context, wrapper);
    size_t out = ENTRANCE_BYTES;
    memcpy(stub.write + out, endbr64, sizeof endbr64); /* the original is called through a pointer */
    out += sizeof endbr64;
    size_t moved = tvg_relocate(&function, JUMP_BYTES, stub.write + out, (uintptr_t)stub.run + out, &consumed, reason);
    out += moved;
    if (moved && (!write_jump(stub.write + out, (uintptr_t)stub.run + out, (uintptr_t)from + consumed) ||
                  !write_jump(jump, (uintptr_t)from, (uintptr_t)stub.run))) {
        *reason = "no executable memory within 2 GiB of it";
        moved = 0;
    } else if (moved && !write_text(from, jump)) {
        *reason = "its text can't be written";
        moved = 0;
    }
    if (!moved) {
        tvg_stub_give_back(stub.run);
        return NULL;
    }
    return stub.run + ENTRANCE_BYTES;
}

void tvg_patch_forget(void *original, const void **begin, const void **end)
{
    const uint8_t *stub = (const uint8_t *)original - ENTRANCE_BYTES;
    *begin = stub;
    *end = stub + TVG_STUB_BYTES;
    tvg_stub_give_back(stub);
}

int tvg_patch_empty_function(void *target, void *replacement, const char **reason)
{
    /* padding that compilers emit: int3, nop, or any piece of a long nop up to the next 16-byte boundary */
    static const uint8_t padding[] = {0xcc, 0x90, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x80, 0x40, 0x44, 0x00};
    struct tvg_stub stub;
    uint8_t *from = (uint8_t *)target + (starts_with_endbr64(target) ? sizeof endbr64 : 0), jump[JUMP_BYTES];
    if (*(uint8_t *)target == breakpoint || from[0] == breakpoint) {
        *reason = "a breakpoint is set in its first bytes";
        return -1;
    }
    if (from[0] != 0xc3) {
        *reason = "it is not a bare return";
        return -1;
    }
    bool room = ((uintptr_t)from & 15) + JUMP_BYTES <= 16;
    for (size_t i = 1; i < JUMP_BYTES && room; i++)
        room = memchr(padding, from[i], sizeof padding) != NULL;
    if (!room) {
        *reason = "other code follows too closely";
        return -1;
    }
    if (!tvg_stub_take((uintptr_t)from, &stub)) {
        *reason = "no executable memory within 2 GiB of it";
        return -1;
    }
    write_entrance(stub.write, NULL, replacement);
    if (!write_jump(jump, (uintptr_t)from, (uintptr_t)stub.run) || !write_text(from, jump)) {
        *reason = "its text can't be written";
        tvg_stub_give_back(stub.run);
        return -1;
    }
    return 0;
}

#else

void *tvg_patch_function(void *target, size_t size, void *wrapper, const void *context, const char **reason)
{
    (void)target, (void)size, (void)wrapper, (void)context;
    *reason = "this build has no instruction decoder for this processor";
    return NULL;
}

void tvg_patch_forget(void *original, const void **begin, const void **end)
{
    *begin = *end = original;
}

int tvg_patch_empty_function(void *target, void *replacement, const char **reason)
{
    (void)target, (void)replacement;
    *reason = "this build has no instruction decoder for this processor";
    return -1;
}

#endif
