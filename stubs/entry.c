/* entry.c - see entry.h. */
#include <signal.h>
#include <sys/mman.h>

#include "stubs/agent.h"
#include "stubs/entry.h"
#include "stubs/owners.h"
#include "stubs/quick.h"
#include "stubs/raw.h"
#include "stubs/record.h"
#include "stubs/remote.h"

#define LOCK_BEFORE 10240 /* bytes of code that may serve a lock function, before its entry ... */
#define LOCK_BEHIND 2048  /* ... and with it behind */

/* The assembler's part, and the section's ends, which the linker names. */
extern const unsigned char entry_lock[], entry_lock_end[];
extern const unsigned char __start_entry_lock_code[] __attribute__((visibility("hidden")));
extern const unsigned char __stop_entry_lock_code[] __attribute__((visibility("hidden")));

static const struct call_function functions[FUNCTIONS] = {
#define FUNCTION CALL_FUNCTION_ROW_BARE
#include "stubs/calls.def"
};

HIJACK_EXPORT uintptr_t entry_homes[FUNCTIONS];

/* The kernel's arguments from the function's. */
ENTRY_LOCK_CODE static void map_arguments(const struct call_function *row, const long *from,
                                          long *to)
{
    int next = 0, out = 0;
    if (row->args[0].kind == ARG_NONE) {
        for (int i = 0; i < CALL_ARGS; i++)
            to[i] = from[i];
        return;
    }
    for (int i = 0; i < CALL_ARGS; i++)
        to[i] = 0;
    for (int i = 0; i < CALL_ARGS && row->args[i].kind != ARG_NONE; i++) {
        if (row->args[i].kind == ARG_CONST)
            to[out++] = row->args[i].value;
        else if (row->args[i].kind == ARG_SKIP)
            next++;
        else
            to[out++] = from[next++];
    }
}

/* As the function reports it: errno is libc's, one for each thread. */
static long report(const struct call_function *row, long result)
{
    int *(*location)(void) = (int *(*)(void))hijack_params.errno_location;
    if (row->how == FUNCTION_ERRNUM)
        return raw_failed(result) ? -result : 0;
    if (!raw_failed(result))
        return result;
    *location() = (int)-result;
    return -1;
}

/* The way back: what the function got, of the kernel's arguments. */
static void unmap_arguments(const struct call_function *row, const long *from, long *to)
{
    int next = 0, in = 0;
    for (int i = 0; i < CALL_ARGS && row->args[i].kind != ARG_NONE; i++) {
        if (row->args[i].kind == ARG_SKIP)
            next++;
        else if (row->args[i].kind == ARG_NEXT)
            to[next++] = from[in++];
        else
            in++;
    }
    for (int i = 0; i < CALL_ARGS && row->args[0].kind == ARG_NONE; i++)
        to[i] = from[i];
}

ENTRY_LOCK_CODE uintptr_t entry_pass(unsigned function, const long *args)
{
    long mapped[CALL_ARGS];
    map_arguments(&functions[function], args, mapped);
    owners_pass((uint64_t)mapped[0]);
    return entry_homes[function];
}

struct entry_result entry_main(unsigned function, long *args)
{
    const struct call_function *row = &functions[function];
    uint64_t mask, all = REMOTE_ALL;
    long result;
    struct remote_call call = {.number = row->number, .mask = &mask};
    map_arguments(row, args, call.args);
    if ((result = quick_write(row->number, call.args)))
        return (struct entry_result){result, 0};
    raw(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof mask);
    result = remote_call(&call);
    if (call.again)
        unmap_arguments(row, call.args, args);
    raw(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    return call.again ? (struct entry_result){0, entry_homes[function]}
                      : (struct entry_result){report(row, result), 0};
}

static int has_stub(const struct call_function *row, enum entry_way way)
{
    if (row->how == FUNCTION_MASK)
        return way == ENTRY_HOME;
    if (row->how == FUNCTION_LOCK)
        return owners.count != 0;
    if (way == ENTRY_HOME || !hijack_params.errno_location || !call_has_stub(row))
        return 0;
    return row->how != FUNCTION_POINT || way == ENTRY_STUBS;
}

static void turn(const struct hijack_patch *patch, uint64_t slot, enum entry_way way)
{
    uint64_t *pointer = (uint64_t *)(slot + JUMP_SWITCH);
    *pointer = has_stub(&functions[patch->function], way)
                   ? (uint64_t)entry_stubs + ENTRY_SIZE * patch->function
                   : slot + JUMP_HOME;
}

static enum entry_way current = ENTRY_HOME;

long entry_switch(enum entry_way way)
{
    current = way;
    const struct hijack_record *r = &hijack_record;
    long result = raw(SYS_mprotect, r->island, r->island_size, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (result)
        result = raw(SYS_mprotect, r->island, r->island_size, PROT_READ | PROT_WRITE);
    for (uint32_t i = 0; !result && i < r->patch_count; i++)
        turn(&r->patches[i], r->island + i * JUMP_SLOT, way);
    return result ? result : raw(SYS_mprotect, r->island, r->island_size, PROT_READ | PROT_EXEC);
}

long entry_refresh(void)
{
    return entry_switch(current);
}

bool entry_has_locks(void)
{
    return entry_homes[FUNCTION_ID_mutex_lock] != 0;
}

static bool is_between(uintptr_t address, const void *begin, const void *end)
{
    return address - (uintptr_t)begin < (uintptr_t)end - (uintptr_t)begin;
}

static bool is_patched_lock(uintptr_t address, uint32_t i)
{
    const struct hijack_record *r = &hijack_record;
    uint64_t begin = r->patches[i].address - LOCK_BEFORE;
    return functions[r->patches[i].function].how == FUNCTION_LOCK &&
           (address - begin < LOCK_BEFORE + LOCK_BEHIND ||
            address - r->island - i * JUMP_SLOT < JUMP_SLOT);
}

bool entry_is_lock(uintptr_t address)
{
    for (uint32_t i = 0; i < hijack_record.patch_count; i++)
        if (is_patched_lock(address, i))
            return true;
    return false;
}

bool entry_is_lock_stub(uintptr_t address)
{
    return is_between(address, entry_lock, entry_lock_end) ||
           is_between(address, __start_entry_lock_code, __stop_entry_lock_code);
}
