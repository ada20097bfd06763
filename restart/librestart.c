/* librestart.c - see librestart.h. */
#include <sys/mman.h>
#include <sys/prctl.h>

#include "restart/librestart.h"
#include "restart/librestart_arch.h"
#include "stubs/frame.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define EXPORT __attribute__((visibility("default")))

static int errors = 2; /* restart_plan.errors */

static _Noreturn void fail(const char *what)
{
    raw(SYS_write, errors, what, strlen(what));
    for (;;)
        raw(SYS_exit_group, LIBRESTART_FAILED);
}

static void move(const struct restart_move *m)
{
    if (raw(SYS_mremap, m->from, m->size, m->size, MREMAP_MAYMOVE | MREMAP_FIXED, m->to) !=
        (long)m->to)
        fail("gdb-hijack: cannot move memory to its place; the restart has failed\n");
}

/* A few large calls: what lies between the ranges to keep. */
static void unmap_rest(const struct restart_plan *plan)
{
    uint64_t at = 0;
    for (uint64_t i = 0; i < plan->keep_count; i++) {
        if (plan->keep[i][0] > at && raw(SYS_munmap, at, plan->keep[i][0] - at) != 0)
            fail("gdb-hijack: cannot unmap the starter; the restart has failed\n");
        at = plan->keep[i][1];
    }
    raw(SYS_munmap, at, plan->top - at);
}

static void set_layout(struct restart_plan *plan)
{
    plan->layout.auxv = (uintptr_t)plan->auxv;
    if (raw(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &plan->layout, sizeof plan->layout, 0) != 0)
        fail("gdb-hijack: cannot set brk (prctl PR_SET_MM_MAP); the restart has failed\n");
}

/* The shadow drops what it holds, as the program has it now, and then answers: were the program to
 * run before, a pipe that it closes would have no end of file yet, and a flock that it lets go
 * would still be held. The socket's time limits (shadow/control.c) bound the wait. */
static void send_done(const struct restart_plan *plan)
{
    struct frame_header answer;
    if (plan->connection < 0)
        return;
    raw(SYS_write, plan->connection, plan->done, plan->done_size);
    long got = raw(SYS_read, plan->connection, &answer, sizeof answer);
    if (plan->must_answer && (got != sizeof answer || answer.status < 0))
        fail("gdb-hijack: the program's shadow does not take it back; the restart has failed\n");
    raw(SYS_close, plan->connection);
}

/* Called on plan->stack by librestart_arch_switch(). */
_Noreturn void librestart_replace(struct restart_plan *plan)
{
    for (int i = 0; plan->vdso[i].size; i++)
        move(&plan->vdso[i]);
    unmap_rest(plan);
    for (uint64_t i = 0; i < plan->move_count; i++)
        move(&plan->moves[i]);
    set_layout(plan);
    send_done(plan);
    if (errors != 2)
        raw(SYS_close, errors);
    ((void (*)(const struct resume_handover *))plan->entry)(&plan->handover);
    __builtin_unreachable();
}

EXPORT void librestart_go(struct restart_plan *plan)
{
    errors = plan->errors;
    librestart_arch_switch(plan, plan->stack);
}
