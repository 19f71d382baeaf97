/* Instructions are told apart by capstone; whatever it does not know is refused. */
#include "relocate.h"

#include <stdbool.h>
#include <string.h>

#include "decoder.h"

#if defined(__x86_64__) && defined(TVG_WITH_CAPSTONE)

enum { PAGE_BYTES = 4096, UNKNOWN_SIZE_LOOK = 64, SHORT_JUMP_REACH = 128, LONGEST_INSTRUCTION = 15 };

static bool in_group(const cs_insn *instruction, uint8_t group)
{
    for (uint8_t i = 0; i < instruction->detail->groups_count; i++)
        if (instruction->detail->groups[i] == group)
            return true;
    return false;
}

static bool is_call(const cs_insn *instruction)
{
    return in_group(instruction, CS_GRP_CALL) || instruction->id == X86_INS_CALL || instruction->id == X86_INS_LCALL;
}

/* A jump whose destination is in the instruction: conditional or not, loop and jrcxz too. */
static bool is_direct_jump(const cs_insn *instruction, uintptr_t *destination)
{
    const cs_x86 *x86 = &instruction->detail->x86;
    bool jump = in_group(instruction, CS_GRP_JUMP) || in_group(instruction, CS_GRP_BRANCH_RELATIVE) || instruction->id == X86_INS_XBEGIN;
    if (!jump || is_call(instruction))
        return false;
    if (x86->op_count < 1 || x86->operands[0].type != X86_OP_IMM)
        return false;
    *destination = (uintptr_t)x86->operands[0].imm;
    return true;
}

/* Nothing is executed behind it. */
static bool ends_flow(const cs_insn *instruction)
{
    switch (instruction->id) {
    case X86_INS_JMP:
    case X86_INS_LJMP:
    case X86_INS_UD2:
    case X86_INS_HLT:
        return true;
    default:
        return in_group(instruction, CS_GRP_RET) || in_group(instruction, CS_GRP_IRET);
    }
}

static bool write_relative(uint8_t *field, uintptr_t field_runs_at, uintptr_t destination)
{
    intptr_t distance = (intptr_t)(destination - (field_runs_at + 4));
    if (distance < INT32_MIN || distance > INT32_MAX)
        return false;
    int32_t value = (int32_t)distance;
    memcpy(field, &value, 4);
    return true;
}

/* In the form with a 32-bit distance. */
static size_t move_jump(const cs_insn *instruction, uintptr_t destination, uint8_t *out, uintptr_t runs_at)
{
    const uint8_t *opcode = instruction->detail->x86.opcode;
    if (instruction->id == X86_INS_JMP && (opcode[0] == 0xe9 || opcode[0] == 0xeb)) {
        out[0] = 0xe9;
        return write_relative(out + 1, runs_at + 1, destination) ? 5 : 0;
    }
    bool is_short = opcode[0] >= 0x70 && opcode[0] <= 0x7f, is_near = opcode[0] == 0x0f && opcode[1] >= 0x80 && opcode[1] <= 0x8f;
    if (!is_short && !is_near)
        return 0; /* loop, jrcxz, xbegin: only short forms exist, or a form of its own */
    out[0] = 0x0f;
    out[1] = (uint8_t)(0x80 | (opcode[is_near] & 15));
    return write_relative(out + 2, runs_at + 2, destination) ? 6 : 0;
}

/* An operand beside the instruction pointer gets a new distance; everything else is copied. */
static size_t move_plain(const cs_insn *instruction, uint8_t *out, uintptr_t runs_at)
{
    const cs_x86 *x86 = &instruction->detail->x86;
    bool has_mark = x86->encoding.modrm_offset && (x86->modrm & 0xc7) == 0x05, moved = false; /* mod 00, r/m 101 */
    memcpy(out, instruction->bytes, instruction->size);
    for (uint8_t i = 0; i < x86->op_count; i++) {
        if (x86->operands[i].type != X86_OP_MEM || x86->operands[i].mem.base != X86_REG_RIP)
            continue;
        /* Such a distance always has 4 bytes; the decoder says 2 behind an operand-size prefix. */
        uint8_t at = x86->encoding.disp_offset;
        int32_t found;
        if (!at || at + 4u > instruction->size)
            return 0;
        memcpy(&found, instruction->bytes + at, 4);
        if (found != x86->operands[i].mem.disp)
            return 0;
        uintptr_t operand = (uintptr_t)instruction->address + instruction->size + (uintptr_t)(intptr_t)found;
        intptr_t distance = (intptr_t)(operand - (runs_at + instruction->size));
        if (distance < INT32_MIN || distance > INT32_MAX)
            return 0;
        int32_t value = (int32_t)distance;
        memcpy(out + at, &value, 4);
        moved = true;
    }
    return moved == has_mark ? instruction->size : 0; /* the decoder and the encoding's own mark must agree */
}

/* Whether a jump from inside the function to `destination` would meet the patch: its beginning, or the bytes behind it. */
static bool meets_patch(const struct tvg_function *function, size_t consumed, uintptr_t destination)
{
    uintptr_t begin = (uintptr_t)function->begin;
    return destination >= begin && destination < begin + function->kept + consumed;
}

/* Every place of what can't be decoded, or need not be, is taken for the beginning of a jump: that finds all there are. */
static bool may_jump_into(const struct tvg_function *function, size_t consumed, size_t from, size_t size)
{
    const uint8_t *code = function->begin;
    uintptr_t begin = (uintptr_t)code;
    for (size_t at = from; at + 2 <= size; at++) {
        uint8_t opcode = code[at];
        bool is_short = (opcode >= 0x70 && opcode <= 0x7f) || opcode == 0xeb || (opcode >= 0xe0 && opcode <= 0xe3);
        uintptr_t short_destination = begin + at + 2 + (uintptr_t)(intptr_t)(int8_t)code[at + 1];
        if (is_short && at < function->kept + consumed + SHORT_JUMP_REACH && meets_patch(function, consumed, short_destination))
            return true;
        size_t field = opcode == 0xe9 || opcode == 0xe8 ? at + 1 : opcode == 0x0f && (code[at + 1] & 0xf0) == 0x80 ? at + 2 : 0;
        if (!field || field + 4 > size)
            continue;
        int32_t distance;
        memcpy(&distance, code + field, 4);
        uintptr_t destination = begin + field + 4 + (uintptr_t)(intptr_t)distance;
        bool calls_beginning = opcode == 0xe8 && destination <= begin + function->kept; /* recursion: as good as a call from outside */
        if (!calls_beginning && meets_patch(function, consumed, destination))
            return true;
    }
    return false;
}

/* Jump tables are not read: a switch whose label lies in a function's first five bytes is nothing that compilers make. */
static bool jumps_into(csh handle, cs_insn *instruction, const struct tvg_function *function, size_t consumed)
{
    size_t head = function->kept + consumed, size = function->size;
    if (!size) { /* no further than the page that is surely there */
        size = PAGE_BYTES - ((uintptr_t)function->begin & (PAGE_BYTES - 1));
        size = size > UNKNOWN_SIZE_LOOK ? UNKNOWN_SIZE_LOOK : size < head ? head : size;
    }
    size_t near = head + SHORT_JUMP_REACH + LONGEST_INSTRUCTION; /* no short jump reaches back from behind this */
    const uint8_t *code = function->begin + function->kept;
    uint64_t address = (uint64_t)(uintptr_t)code;
    size_t left = (near < size ? near : size) - function->kept;
    while (left && cs_disasm_iter(handle, &code, &left, &address, instruction)) {
        uintptr_t destination;
        if (is_direct_jump(instruction, &destination) && meets_patch(function, consumed, destination))
            return true;
        if (!function->size && ends_flow(instruction) && code >= function->begin + head)
            return false;
    }
    return function->size && may_jump_into(function, consumed, (size_t)(code - function->begin), size);
}

size_t tvg_relocate(const struct tvg_function *function, size_t least, uint8_t *out, uintptr_t runs_at, size_t *consumed, const char **reason)
{
    csh handle;
    cs_insn *instruction;
    if (!tvg_decoder_open(&handle) || !(instruction = cs_malloc(handle))) {
        *reason = "the instruction decoder did not start";
        return 0;
    }
    const uint8_t *code = function->begin + function->kept;
    uint64_t address = (uint64_t)(uintptr_t)code;
    size_t left = function->size ? function->size - function->kept : UNKNOWN_SIZE_LOOK, written = 0;
    bool ended = false;
    *consumed = 0;
    while (*consumed < least) {
        uintptr_t destination;
        if (ended || !cs_disasm_iter(handle, &code, &left, &address, instruction)) {
            *reason = ended ? "it ends before there is room for a jump" : "its first instructions can't be decoded";
            return 0;
        }
        if (instruction->id == X86_INS_INT3) {
            *reason = "a breakpoint is set in its first bytes";
            return 0;
        }
        if (is_call(instruction)) {
            *reason = "one of its first instructions is a call";
            return 0;
        }
        size_t moved = is_direct_jump(instruction, &destination) ? move_jump(instruction, destination, out + written, runs_at + written)
                                                                  : move_plain(instruction, out + written, runs_at + written);
        if (!moved) {
            *reason = "one of its first instructions can't be moved";
            return 0;
        }
        written += moved;
        *consumed += instruction->size;
        ended = ends_flow(instruction);
    }
    if (jumps_into(handle, instruction, function, *consumed)) {
        *reason = "it jumps into the bytes to be replaced";
        return 0;
    }
    return written;
}

#else
size_t tvg_relocate(const struct tvg_function *function, size_t least, uint8_t *out, uintptr_t runs_at, size_t *consumed, const char **reason)
{
    (void)function, (void)least, (void)out, (void)runs_at, (void)consumed;
    *reason = "this build has no instruction decoder for this processor";
    return 0;
}
#endif
