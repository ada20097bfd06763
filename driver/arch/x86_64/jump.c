/*
 * jump.c - entry jumps on x86-64: E9 rel32, five bytes. A shorter one does not reach, a longer one
 * (14 bytes, absolute) would cover the system call instruction of most wrappers, behind which
 * blocked threads resume.
 *
 * libcapstone decodes the displaced instructions; we relocate by changing only what depends on the
 * address: the disp32 of a rip-relative operand and the target of a jump. Encodings: Intel SDM
 * volume 2, "JMP", "Jcc", "CALL", "LOOP".
 */
#include "driver/jump.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define ENTRY 5

const size_t jump_entry_size = ENTRY;
const uint64_t jump_reach = INT32_MAX - 2 * JUMP_SLOT;

enum form {
    FORM_PLAIN, /* the same bytes at any address */
    FORM_RIP,   /* disp32 at `field`, relative to the end of the instruction */
    FORM_JMP,   /* jmp rel8 or rel32 */
    FORM_JCC,   /* jcc rel8 or rel32; `field` is the condition */
    FORM_CALL,  /* call rel32; being ENTRY bytes long, always the last displaced instruction */
};

/* --- planning --- */

static csh disassembler(void)
{
    static csh handle;
    if (!handle && cs_open(CS_ARCH_X86, CS_MODE_64, &handle) == CS_ERR_OK)
        cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    return handle;
}

static cs_insn *scratch(void)
{
    static cs_insn *insn;
    if (!insn)
        insn = cs_malloc(disassembler());
    return insn;
}

static const cs_insn *decode(const uint8_t *bytes, size_t size, taddr address)
{
    cs_insn *insn = scratch();
    return cs_disasm_iter(disassembler(), &bytes, &size, &address, insn) ? insn : NULL;
}

static size_t endbr64_size(const uint8_t *body, size_t size)
{
    static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
    return size >= 4 && memcmp(body, endbr64, 4) == 0 ? 4 : 0;
}

static bool in_group(const cs_insn *insn, uint8_t group)
{
    for (uint8_t i = 0; i < insn->detail->groups_count; i++)
        if (insn->detail->groups[i] == group)
            return true;
    return false;
}

static bool enters_kernel(const cs_insn *insn)
{
    return insn->id == X86_INS_SYSCALL || insn->id == X86_INS_SYSENTER || insn->id == X86_INS_INT;
}

/* Target of a direct branch: its only operand is an immediate, which capstone gives as an absolute
 * address. */
static bool direct_target(const cs_insn *insn, taddr *target)
{
    const cs_x86 *x = &insn->detail->x86;
    if (x->op_count != 1 || x->operands[0].type != X86_OP_IMM)
        return false;
    *target = (taddr)x->operands[0].imm;
    return true;
}

/* Recognizes jmp, jcc and call, with rel8 or rel32 and no prefix; loop and jrcxz have no rel32 form
 * and are left out. */
static bool classify_branch(const cs_insn *insn, struct jump_insn *out)
{
    const uint8_t *b = insn->bytes;
    if (!direct_target(insn, &out->target))
        return false;
    bool near_jcc = b[0] == 0x0f && (b[1] & 0xf0) == 0x80;
    if (b[0] == 0xe9 || b[0] == 0xeb)
        out->form = FORM_JMP;
    else if ((b[0] & 0xf0) == 0x70 || near_jcc)
        out->form = FORM_JCC;
    else if (b[0] == 0xe8)
        out->form = FORM_CALL;
    else
        return false;
    out->field = b[near_jcc] & 0x0f;
    return true;
}

static const cs_x86_op *rip_operand(const cs_insn *insn)
{
    const cs_x86 *x = &insn->detail->x86;
    for (int i = 0; i < x->op_count; i++)
        if (x->operands[i].type == X86_OP_MEM && x->operands[i].mem.base == X86_REG_RIP)
            return &x->operands[i];
    return NULL;
}

/* The place of the disp32 is believed only when the bytes there are the displacement that was
 * decoded. */
static bool classify_rip(const cs_insn *insn, const cs_x86_op *op, struct jump_insn *out)
{
    const cs_x86_encoding *e = &insn->detail->x86.encoding;
    int32_t displacement;
    if (e->disp_offset == 0 || e->disp_offset + 4u > insn->size)
        return false;
    memcpy(&displacement, insn->bytes + e->disp_offset, 4);
    if (displacement != op->mem.disp || insn->detail->x86.addr_size != 8)
        return false;
    out->form = FORM_RIP;
    out->field = e->disp_offset;
    out->target = insn->address + insn->size + (taddr)(int64_t)displacement;
    return true;
}

/* Says how to move `insn`. 0, or -ENOTSUP. */
static int classify(const cs_insn *insn, struct jump_insn *out, struct failure *f)
{
    if (enters_kernel(insn))
        return fail(f, -ENOTSUP, "a system call instruction stands at the entry");
    const cs_x86_op *rip = rip_operand(insn);
    bool known = true;
    if (in_group(insn, CS_GRP_CALL) || in_group(insn, CS_GRP_BRANCH_RELATIVE))
        known = !rip && classify_branch(insn, out);
    else if (rip)
        known = classify_rip(insn, rip, out);
    if (!known)
        return fail(f, -ENOTSUP, "%s at the entry cannot be moved", insn->mnemonic);
    return 0;
}

static int add_insn(struct jump_plan *plan, const uint8_t *at, size_t left, struct failure *f)
{
    const cs_insn *insn = decode(at, left, plan->entry + plan->displaced);
    if (!insn)
        return fail(f, -ENOTSUP, "the instruction at byte %zu is unknown", plan->displaced);
    struct jump_insn *out = &plan->insns[plan->count];
    *out = (struct jump_insn){.offset = (uint8_t)plan->displaced, .size = (uint8_t)insn->size};
    int error = classify(insn, out, f);
    if (error)
        return error;
    memcpy(plan->bytes + plan->displaced, at, insn->size);
    plan->displaced += insn->size;
    plan->count++;
    return 0;
}

static bool interior(const struct jump_plan *plan, taddr address)
{
    return address > plan->entry && address < plan->entry + plan->displaced;
}

/* Could the bytes at `at`, taken as the start of an instruction, branch into the interior? Opcodes
 * without prefixes: a prefixed branch is found at its opcode, since its end, which the offset
 * counts from, is the same. */
static bool looks_like_branch_into(const struct jump_plan *plan, const uint8_t *at, size_t left,
                                   taddr address)
{
    int32_t rel32;
    if (left >= 2 && ((at[0] & 0xf0) == 0x70 || at[0] == 0xeb || (at[0] & 0xfc) == 0xe0) &&
        interior(plan, address + 2 + (taddr)(int8_t)at[1]))
        return true;
    size_t opcode = at[0] == 0xe8 || at[0] == 0xe9                         ? 1
                    : left >= 2 && at[0] == 0x0f && (at[1] & 0xf0) == 0x80 ? 2
                                                                           : 0;
    if (opcode == 0 || left < opcode + 4)
        return false;
    memcpy(&rel32, at + opcode, 4);
    return interior(plan, address + opcode + 4 + (taddr)(int64_t)rel32);
}

/* Decodes the whole body: does an instruction really branch into the interior? */
static int check_branches(const struct jump_plan *plan, const uint8_t *body, size_t size,
                          taddr address, struct failure *f)
{
    taddr target;
    for (size_t at = 0; at < size;) {
        const cs_insn *insn = decode(body + at, size - at, address + at);
        if (!insn)
            return fail(f, -ENOTSUP, "the instruction at byte %zu is unknown", at);
        if (in_group(insn, CS_GRP_BRANCH_RELATIVE) && direct_target(insn, &target) &&
            interior(plan, target))
            return fail(f, -ENOTSUP, "the branch at byte %zu leads into the entry", at);
        at += insn->size;
    }
    return 0;
}

/* Decoding bodies is what planning would spend its time on, so it is done only where some bytes, at
 * whatever alignment, would make a branch into the interior. */
static bool may_branch_into(const struct jump_plan *plan, const uint8_t *body, size_t size,
                            taddr address)
{
    for (size_t at = 0; at < size; at++)
        if (looks_like_branch_into(plan, body + at, size - at, address + at))
            return true;
    return false;
}

int jump_plan(const uint8_t *body, size_t size, taddr address, struct jump_plan *out,
              struct failure *f)
{
    size_t skip = endbr64_size(body, size);
    *out = (struct jump_plan){.entry = address + skip};
    if (!scratch())
        return fail(f, -ENOTSUP, "libcapstone does not know x86-64");
    while (out->displaced < ENTRY) {
        size_t at = skip + out->displaced;
        if (at >= size)
            return fail(f, -ENOTSUP, "it has only %zu bytes", size);
        int error = add_insn(out, body + at, size - at, f);
        if (error)
            return error;
    }
    if (may_branch_into(out, body, size, address))
        return check_branches(out, body, size, address, f);
    return 0;
}

/* --- making the bytes --- */

/* A piece of code being written for a given address. */
struct code {
    uint8_t *bytes; /* JUMP_SLOT of them */
    size_t used;
    taddr address; /* of bytes[0], in the target */
    bool ok;       /* everything fitted, everything was in reach */
};

static void put(struct code *c, const void *bytes, size_t size)
{
    if (c->used + size > JUMP_SLOT)
        c->ok = false;
    if (!c->ok)
        return;
    memcpy(c->bytes + c->used, bytes, size);
    c->used += size;
}

/* Puts the 32-bit distance from the end of an instruction, `tail` bytes behind the field, to
 * `target`. */
static void put_rel32(struct code *c, taddr target, size_t tail)
{
    int64_t distance = (int64_t)(target - (c->address + c->used + 4 + tail));
    int32_t rel32 = (int32_t)distance;
    if (rel32 != distance)
        c->ok = false;
    put(c, &rel32, 4);
}

static void put_jmp(struct code *c, taddr target)
{
    put(c, "\xe9", 1);
    put_rel32(c, target, 0);
}

static void put_jcc(struct code *c, uint8_t condition, taddr target)
{
    uint8_t opcode[2] = {0x0f, (uint8_t)(0x80 | condition)};
    put(c, opcode, 2);
    put_rel32(c, target, 0);
}

/* Pushes the return address that the call had in place, and jumps: no address of the island is ever
 * on a stack, so the island can be taken away while the callee runs. */
static void put_call(struct code *c, taddr target, taddr back)
{
    uint32_t low = (uint32_t)back, high = (uint32_t)(back >> 32);
    put(c, "\x68", 1); /* push low, sign-extended */
    put(c, &low, 4);
    put(c, "\xc7\x44\x24\x04", 4); /* movl high, 4(%rsp) */
    put(c, &high, 4);
    put_jmp(c, target);
}

static void put_rip(struct code *c, const struct jump_insn *insn, const uint8_t *bytes)
{
    size_t tail = insn->size - insn->field - 4u;
    put(c, bytes, insn->field);
    put_rel32(c, insn->target, tail);
    put(c, bytes + insn->field + 4, tail);
}

/* A jump back to the entry from the displaced bytes goes to the entry: it is a call of the function
 * again. */
static void put_insn(struct code *c, const struct jump_plan *plan, const struct jump_insn *insn)
{
    const uint8_t *bytes = plan->bytes + insn->offset;
    switch ((enum form)insn->form) {
    case FORM_PLAIN:
        put(c, bytes, insn->size);
        break;
    case FORM_RIP:
        put_rip(c, insn, bytes);
        break;
    case FORM_JMP:
        put_jmp(c, insn->target);
        break;
    case FORM_JCC:
        put_jcc(c, insn->field, insn->target);
        break;
    case FORM_CALL:
        put_call(c, insn->target, plan->entry + plan->displaced);
        break;
    }
}

int jump_entry(const struct jump_plan *plan, taddr slot_address, uint8_t *bytes, struct failure *f)
{
    struct code c = {bytes, 0, plan->entry, true};
    put_jmp(&c, slot_address);
    if (!c.ok)
        return fail(f, -ERANGE, "the island at %" PRItaddr " is out of reach of %" PRItaddr,
                    slot_address, plan->entry);
    return 0;
}

int jump_slot(const struct jump_plan *plan, taddr slot_address, uint8_t *bytes, struct failure *f)
{
    taddr home = slot_address + JUMP_HOME;
    struct code c = {bytes, 0, slot_address, true};
    memset(bytes, 0xcc, JUMP_SLOT);
    put(&c, "\xff\x25", 2); /* jmp *disp32(%rip) */
    put_rel32(&c, slot_address + JUMP_SWITCH, 0);
    memcpy(bytes + JUMP_SWITCH, &home, sizeof home);
    c.used = JUMP_HOME;
    for (size_t i = 0; i < plan->count; i++)
        put_insn(&c, plan, &plan->insns[i]);
    put_jmp(&c, plan->entry + plan->displaced);
    if (!c.ok)
        return fail(f, -ERANGE, "the code for %" PRItaddr " does not fit into a slot at %" PRItaddr,
                    plan->entry, slot_address);
    return 0;
}
