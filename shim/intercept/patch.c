/* Writing a jump over a function's first bytes, and a copy of those bytes that can run elsewhere.
 * Executable memory is mapped twice (one view to write, one to run), so no page is ever writable and executable at once;
 * text is written through /proc/self/mem, which needs no moment without execute permission. */
#include "patch.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(TVG_WITH_CAPSTONE)

#include <capstone/capstone.h>

enum { POOL_BYTES = 65536, STUB_BYTES = 128, ABSOLUTE_JUMP_BYTES = 14, ENTRANCE_BYTES = 32, PAGE_BYTES = 4096 };

/* One area of stubs, within 2 GiB of the functions it serves. */
struct pool {
    uint8_t *run, *write;
    size_t used;
};
static struct pool pools[64];
static size_t pool_count;

static bool within_reach(uintptr_t from, uintptr_t to) {
    intptr_t distance = (intptr_t)(to - from);
    return distance > -0x7ff00000L && distance < 0x7ff00000L;
}

/* Tries addresses on both sides of `near`, further out each time, without ever replacing a mapping. */
static uint8_t *map_near(uintptr_t near, int descriptor) {
    for (uintptr_t step = 0; step < 0x78000000UL; step += step < 0x1000000UL ? 0x100000UL : 0x1000000UL) {
        for (int side = -1; side <= 1; side += 2) {
            uintptr_t base = (side < 0 ? near - step : near + step) & ~(uintptr_t)(POOL_BYTES - 1);
            if (base < 0x10000 || !within_reach(near, base))
                continue;
            void *at = mmap((void *)base, POOL_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, descriptor, 0);
            if (at == MAP_FAILED)
                continue;
            if ((uintptr_t)at == base)
                return at;
            munmap(at, POOL_BYTES); /* a kernel before 4.17 takes the address as a hint only */
        }
    }
    return NULL;
}

static struct pool *pool_for(uintptr_t near) {
    for (size_t i = 0; i < pool_count; i++) {
        struct pool *pool = &pools[i];
        if (pool->used + STUB_BYTES <= POOL_BYTES && within_reach(near, (uintptr_t)pool->run))
            return pool;
    }
    if (pool_count == sizeof pools / sizeof pools[0])
        return NULL;
    int descriptor = (int)syscall(SYS_memfd_create, "tvg-stubs", MFD_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    struct pool pool = {0};
    if (ftruncate(descriptor, POOL_BYTES) == 0) {
        pool.write = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        if (pool.write != MAP_FAILED) {
            pool.run = map_near(near, descriptor);
            if (!pool.run)
                munmap(pool.write, POOL_BYTES);
            /* A forked child must get its own copy semantics only for data; stubs never change once published, so sharing is harmless. */
        }
    }
    close(descriptor);
    if (!pool.run)
        return NULL;
    pools[pool_count] = pool;
    return &pools[pool_count++];
}

/* capstone's memory: one handle is open at a time, for the length of one call, so a bump area that is reset with it is enough. */
static uint8_t decoder_memory[512 * 1024] __attribute__((aligned(16)));
static size_t decoder_used;
static void *decoder_malloc(size_t size) {
    size_t start = (decoder_used + 31) & ~(size_t)15; /* 16 bytes before each block hold its size */
    if (size > sizeof decoder_memory || start + size > sizeof decoder_memory)
        return NULL;
    memcpy(decoder_memory + start - 8, &size, 8);
    decoder_used = start + size;
    return decoder_memory + start;
}
static void *decoder_calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *block = decoder_malloc(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}
static void *decoder_realloc(void *old, size_t size) {
    void *block = decoder_malloc(size);
    if (block && old) {
        size_t before;
        memcpy(&before, (uint8_t *)old - 8, 8);
        memcpy(block, old, before < size ? before : size);
    }
    return block;
}
static void decoder_free(void *block) { (void)block; }
static int decoder_vsnprintf(char *out, size_t capacity, const char *format, va_list values) {
    (void)format, (void)values; /* the text of an instruction is never looked at */
    if (capacity)
        out[0] = 0;
    return 0;
}

static bool decoder_open(csh *handle) {
    static bool prepared;
    if (!prepared) {
        cs_opt_mem memory = {decoder_malloc, decoder_calloc, decoder_realloc, decoder_free, decoder_vsnprintf};
        if (cs_option(0, CS_OPT_MEM, (size_t)&memory) != CS_ERR_OK)
            return false;
        prepared = true;
    }
    decoder_used = 0;
    return cs_open(CS_ARCH_X86, CS_MODE_64, handle) == CS_ERR_OK && cs_option(*handle, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK;
}

static void write_absolute_jump(uint8_t *at, const void *destination) {
    static const uint8_t jump_through_next_word[6] = {0xff, 0x25, 0, 0, 0, 0};
    memcpy(at, jump_through_next_word, 6);
    memcpy(at + 6, &destination, 8);
}

/* The way into the wrapper: its context in r11, which no calling convention passes anything in, then the jump. */
static void write_entrance(uint8_t *at, const void *context, const void *wrapper)
{
    at[0] = 0x49; /* movabs r11, context */
    at[1] = 0xbb;
    memcpy(at + 2, &context, 8);
    write_absolute_jump(at + 10, wrapper);
}

static bool write_relative(uint8_t *field, uintptr_t field_runs_at, uintptr_t destination) {
    intptr_t distance = (intptr_t)(destination - (field_runs_at + 4));
    if (distance < INT32_MIN || distance > INT32_MAX)
        return false;
    int32_t value = (int32_t)distance;
    memcpy(field, &value, 4);
    return true;
}

static bool is_direct_branch(const cs_insn *instruction, uintptr_t *destination) {
    const cs_x86 *x86 = &instruction->detail->x86;
    bool branch = false;
    for (uint8_t i = 0; i < instruction->detail->groups_count; i++)
        branch |= instruction->detail->groups[i] == CS_GRP_JUMP || instruction->detail->groups[i] == CS_GRP_CALL ||
                  instruction->detail->groups[i] == CS_GRP_BRANCH_RELATIVE;
    if (!branch || x86->op_count < 1 || x86->operands[0].type != X86_OP_IMM)
        return false;
    *destination = (uintptr_t)x86->operands[0].imm;
    return true;
}

/* Copies one instruction to `out`, which will run at `runs_at`, so that it does what it did at its old place. Bytes written, 0 when it can't. */
static size_t move_instruction(const cs_insn *instruction, uint8_t *out, uintptr_t runs_at) {
    const cs_x86 *x86 = &instruction->detail->x86;
    uintptr_t destination;
    if (is_direct_branch(instruction, &destination)) {
        uint8_t opcode = x86->opcode[0];
        if (opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb) {
            out[0] = opcode == 0xe8 ? 0xe8 : 0xe9;
            return write_relative(out + 1, runs_at + 1, destination) ? 5 : 0;
        }
        uint8_t condition = 0xff;
        if (opcode >= 0x70 && opcode <= 0x7f)
            condition = opcode & 15;
        else if (opcode == 0x0f && x86->opcode[1] >= 0x80 && x86->opcode[1] <= 0x8f)
            condition = x86->opcode[1] & 15;
        if (condition == 0xff)
            return 0; /* loop, jrcxz, xbegin: only short forms exist */
        out[0] = 0x0f;
        out[1] = (uint8_t)(0x80 | condition);
        return write_relative(out + 2, runs_at + 2, destination) ? 6 : 0;
    }
    memcpy(out, instruction->bytes, instruction->size);
    for (uint8_t i = 0; i < x86->op_count; i++) {
        if (x86->operands[i].type != X86_OP_MEM || x86->operands[i].mem.base != X86_REG_RIP)
            continue;
        uint8_t at = x86->encoding.disp_offset;
        /* A displacement from the instruction pointer always has 4 bytes; the decoder says 2 behind an operand-size prefix. */
        int32_t found;
        if (!at || at + 4u > instruction->size)
            return 0;
        memcpy(&found, instruction->bytes + at, 4);
        if (found != x86->operands[i].mem.disp)
            return 0;
        uintptr_t operand = instruction->address + instruction->size + (uintptr_t)x86->operands[i].mem.disp;
        intptr_t distance = (intptr_t)(operand - (runs_at + instruction->size));
        if (distance < INT32_MIN || distance > INT32_MAX)
            return 0;
        int32_t value = (int32_t)distance;
        memcpy(out + at, &value, 4);
    }
    return instruction->size;
}

static bool ends_flow(const cs_insn *instruction) {
    for (uint8_t i = 0; i < instruction->detail->groups_count; i++)
        if (instruction->detail->groups[i] == CS_GRP_RET || instruction->detail->groups[i] == CS_GRP_IRET)
            return true;
    return instruction->detail->x86.opcode[0] == 0xe9 || instruction->detail->x86.opcode[0] == 0xeb;
}

/* Writes text through /proc/self/mem; where the kernel refuses that, by mprotect with execute permission kept throughout. */
static bool write_text(uint8_t *at, const uint8_t *bytes, size_t count) {
    int descriptor = open("/proc/self/mem", O_WRONLY | O_CLOEXEC);
    if (descriptor >= 0) {
        ssize_t written = pwrite(descriptor, bytes, count, (off_t)(uintptr_t)at);
        close(descriptor);
        if (written == (ssize_t)count)
            return true;
    }
    uint8_t *page = (uint8_t *)((uintptr_t)at & ~(uintptr_t)(PAGE_BYTES - 1));
    size_t length = (size_t)(at + count - page);
    if (mprotect(page, length, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return false;
    memcpy(at, bytes, count);
    mprotect(page, length, PROT_READ | PROT_EXEC);
    return true;
}

static bool starts_with_endbr64(const uint8_t *at) { return at[0] == 0xf3 && at[1] == 0x0f && at[2] == 0x1e && at[3] == 0xfa; }

/* True when some branch of the function lands inside the bytes to be replaced (behind the first of them). */
static bool branches_into(csh handle, const uint8_t *function, size_t size, uintptr_t first, uintptr_t end) {
    cs_insn *instruction = cs_malloc(handle);
    const uint8_t *code = function;
    uint64_t address = (uint64_t)(uintptr_t)function;
    size_t left = size;
    bool found = !instruction;
    while (!found && left && cs_disasm_iter(handle, &code, &left, &address, instruction)) {
        uintptr_t destination;
        if (is_direct_branch(instruction, &destination) && destination > first && destination < end)
            found = true;
    }
    return found;
}

void *tvg_patch_function(void *target, size_t size, void *wrapper, const void *context, const char **reason) {
    uint8_t *function = target;
    if (size && size < TVG_PATCH_BYTES) {
        *reason = "shorter than a jump";
        return NULL;
    }
    if (function[0] == 0xcc) {
        *reason = "a breakpoint is set on its first byte";
        return NULL;
    }
    size_t kept = starts_with_endbr64(function) ? 4 : 0;
    uint8_t *from = function + kept;
    csh handle;
    if (!decoder_open(&handle)) {
        *reason = "the instruction decoder did not start";
        return NULL;
    }
    struct pool *pool = pool_for((uintptr_t)function);
    if (!pool) {
        *reason = "no executable memory within 2 GiB of it";
        return NULL;
    }
    uint8_t *stub = pool->write + pool->used, *stub_runs = pool->run + pool->used;
    /* The stub: the way to the wrapper, then the original's first instructions and the way back into it. */
    write_entrance(stub, context, wrapper);
    size_t out = ENTRANCE_BYTES, consumed = 0;
    static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};
    memcpy(stub + out, endbr64, 4); /* the original is called through a pointer: IBT wants a landing mark */
    out += 4;
    cs_insn *instruction = cs_malloc(handle);
    const uint8_t *code = from;
    uint64_t address = (uint64_t)(uintptr_t)from;
    size_t left = size ? size - kept : 64;
    bool ended = false;
    while (instruction && consumed < TVG_PATCH_BYTES) {
        if (ended || !cs_disasm_iter(handle, &code, &left, &address, instruction)) {
            *reason = ended ? "it ends before there is room for a jump" : "its first instructions can't be decoded";
            return NULL;
        }
        uintptr_t destination;
        if (is_direct_branch(instruction, &destination) && destination >= (uintptr_t)from && destination < (uintptr_t)from + 16) {
            *reason = "it branches within its first bytes";
            return NULL;
        }
        size_t moved = move_instruction(instruction, stub + out, (uintptr_t)stub_runs + out);
        if (!moved) {
            *reason = "one of its first instructions can't be moved";
            return NULL;
        }
        out += moved;
        consumed += instruction->size;
        ended = ends_flow(instruction);
    }
    if (!instruction || consumed < TVG_PATCH_BYTES) {
        *reason = "its first instructions can't be decoded";
        return NULL;
    }
    if (size && branches_into(handle, function, size, (uintptr_t)from, (uintptr_t)from + consumed)) {
        *reason = "a branch of it lands in the bytes to be replaced";
        return NULL;
    }
    write_absolute_jump(stub + out, from + consumed);
    out += ABSOLUTE_JUMP_BYTES;
    uint8_t jump[TVG_PATCH_BYTES] = {0xe9};
    if (out > STUB_BYTES || !write_relative(jump + 1, (uintptr_t)from + 1, (uintptr_t)stub_runs)) {
        *reason = "no executable memory within 2 GiB of it";
        return NULL;
    }
    if (!write_text(from, jump, sizeof jump)) {
        *reason = "its text can't be written";
        return NULL;
    }
    pool->used += STUB_BYTES;
    return stub_runs + ENTRANCE_BYTES;
}

int tvg_patch_empty_function(void *target, void *replacement, const char **reason) {
    uint8_t *from = (uint8_t *)target + (starts_with_endbr64(target) ? 4 : 0);
    if (from[0] != 0xc3) {
        *reason = "it is not a bare return";
        return -1;
    }
    for (size_t i = 1; i < TVG_PATCH_BYTES; i++) {
        /* padding that compilers emit: int3, nop, or any piece of a long nop up to the next 16-byte boundary */
        static const uint8_t padding[] = {0xcc, 0x90, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x80, 0x40, 0x44, 0x00};
        if (!memchr(padding, from[i], sizeof padding)) {
            *reason = "other code follows too closely";
            return -1;
        }
    }
    if (((uintptr_t)from & 15) + TVG_PATCH_BYTES > 16) {
        *reason = "other code follows too closely";
        return -1;
    }
    struct pool *pool = pool_for((uintptr_t)from);
    if (!pool) {
        *reason = "no executable memory within 2 GiB of it";
        return -1;
    }
    uint8_t *stub_runs = pool->run + pool->used;
    write_absolute_jump(pool->write + pool->used, replacement);
    uint8_t jump[TVG_PATCH_BYTES] = {0xe9};
    if (!write_relative(jump + 1, (uintptr_t)from + 1, (uintptr_t)stub_runs) || !write_text(from, jump, sizeof jump)) {
        *reason = "its text can't be written";
        return -1;
    }
    pool->used += STUB_BYTES;
    return 0;
}

#else

void *tvg_patch_function(void *target, size_t size, void *wrapper, const void *context, const char **reason) {
    (void)target, (void)size, (void)wrapper, (void)context;
    *reason = "this build has no instruction decoder for this processor";
    return NULL;
}

int tvg_patch_empty_function(void *target, void *replacement, const char **reason) {
    (void)target, (void)replacement;
    *reason = "this build has no instruction decoder for this processor";
    return -1;
}

#endif
