/* net_arch.c - x86-64: see stubs/net.h. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "stubs/mem.h"
#include "stubs/net.h"
#include "stubs/raw.h"
#include "stubs/reissue.h"
#include "stubs/remote.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59 /* linux/prctl.h */
#define PR_SYS_DISPATCH_OFF          0
#define PR_SYS_DISPATCH_ON           1
#endif
#define USER_DISPATCH   2 /* si_code: SYS_USER_DISPATCH, asm-generic/siginfo.h */
#define KERNEL_RESTORER 0x04000000
#define PAGE            4096
#define SYSCALL_SIZE    2

/* Of the linker: our text, to the end of its last page, where the mutator's server may stand. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char etext[] __attribute__((visibility("hidden")));

void net_restorer(void);

/* The kernel's struct sigaction. */
struct action {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    uint64_t mask;
};

static const struct action none;

static long set_action(const struct action *set, struct action *old)
{
    return raw(SYS_rt_sigaction, SIGSYS, set, old, sizeof set->mask);
}

static long dispatch(long how, uintptr_t start, size_t size)
{
    return raw(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, how, start, size, 0);
}

long net_settle(int armed)
{
    uintptr_t start = (uintptr_t)__ehdr_start, end = ((uintptr_t)etext + PAGE) & ~(PAGE - 1UL);
    return armed ? dispatch(PR_SYS_DISPATCH_ON, start, end - start)
                 : dispatch(PR_SYS_DISPATCH_OFF, 0, 0);
}

long net_arm(void)
{
    const struct action ours = {(uintptr_t)net_entry, SA_SIGINFO | KERNEL_RESTORER,
                                (uintptr_t)net_restorer, REMOTE_ALL};
    struct action old;
    long result = set_action(NULL, &old);
    if (!result && old.handler != (uintptr_t)SIG_DFL && old.handler != ours.handler)
        result = -EBUSY;
    if (!result)
        result = set_action(&ours, NULL);
    return result ? result : net_settle(1);
}

long net_disarm(void)
{
    net_settle(0);
    return set_action(&none, NULL);
}

/* A SIGSYS that somebody sent, or a filter raised, ends the program, as if we were not there. */
static void die_of(int signal)
{
    uint64_t mask = ~REMOTE_SIGNAL(signal);
    net_disarm();
    raw(SYS_tgkill, raw(SYS_getpid), raw(SYS_gettid), signal);
    raw(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
}

/* The program's own frame, which may block what it must not. */
static ucontext_t *program_frame(ucontext_t *frame)
{
    uint64_t mask, *at = (void *)&frame->uc_sigmask;
    if (remote_read(&mask, at, sizeof mask) == 0) {
        mask = remote_program_mask(mask);
        remote_write(at, &mask, sizeof mask);
    }
    return frame;
}

/* --- threads --- */

/* arch/x86/include/uapi/asm/ucontext.h and sigcontext.h: 64 bits of signal mask; the size of the
 * extended state stands in its software-reserved bytes, behind a magic number. */
const size_t net_frame_size = offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t);
#define STATE_MAGIC1 0x46505853U
#define STATE_MAGIC  464
#define STATE_LEGACY 512

size_t net_state_size(const ucontext_t *frame)
{
    const unsigned char *state = (const void *)frame->uc_mcontext.fpregs;
    uint32_t words[2];
    if (!state)
        return 0;
    memcpy(words, state + STATE_MAGIC, sizeof words);
    return words[0] == STATE_MAGIC1 ? words[1] : STATE_LEGACY;
}

void net_thread_context(ucontext_t *frame, uintptr_t top, uintptr_t state)
{
    frame->uc_mcontext.fpregs = (fpregset_t)state;
    frame->uc_mcontext.gregs[REG_RSP] = (greg_t)top;
    frame->uc_mcontext.gregs[REG_RAX] = 0;
    frame->uc_stack = (stack_t){.ss_flags = SS_DISABLE};
}

void net_thread_begin(ucontext_t *frame)
{
    (void)frame;
    net_settle(1);
}

/* --- the handler --- */

ucontext_t *net_main(int signal, const siginfo_t *info, ucontext_t *frame)
{
    greg_t *g = frame->uc_mcontext.gregs;
    struct remote_call call = {
        .number = g[REG_RAX],
        .args = {g[REG_RDI], g[REG_RSI], g[REG_RDX], g[REG_R10], g[REG_R8], g[REG_R9]},
        .mask = (void *)&frame->uc_sigmask,
        .frame = frame,
    };
    if (info->si_code != USER_DISPATCH)
        die_of(signal);
    if (call.number == SYS_rt_sigreturn)
        return program_frame((ucontext_t *)g[REG_RSP]);
    g[REG_RAX] = remote_call(&call);
    if (call.again) {
        static const unsigned char arguments[CALL_ARGS] = {REG_RDI, REG_RSI, REG_RDX,
                                                           REG_R10, REG_R8,  REG_R9};
        for (int i = 0; i < CALL_ARGS; i++)
            g[arguments[i]] = call.args[i];
        if (call.elapsed)
            reissue_shorten(g, call.number, call.elapsed);
        g[REG_RIP] -= SYSCALL_SIZE;
        g[REG_RAX] = call.number;
    }
    return frame;
}

/* --- calls that wait here --- */

int net_waits(const ucontext_t *frame)
{
    return (uintptr_t)frame->uc_mcontext.gregs[REG_RIP] + SYSCALL_SIZE ==
           (uintptr_t)net_syscall_end;
}

void net_break_off(ucontext_t *frame)
{
    frame->uc_mcontext.gregs[REG_RIP] = (greg_t)net_syscall_end;
    frame->uc_mcontext.gregs[REG_RAX] = NET_BROKEN_OFF;
}

int net_is_ours(const ucontext_t *frame)
{
    uintptr_t pc = (uintptr_t)frame->uc_mcontext.gregs[REG_RIP];
    return pc >= (uintptr_t)__ehdr_start && pc < (uintptr_t)etext;
}
