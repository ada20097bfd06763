/*
 * handlers.c - has its own SIGTRAP and SIGSEGV handlers and uses them all the time.
 *
 * Breakpoint instructions, raised SIGTRAPs and real faults: each must reach the handler once, with
 * the right code, whoever traces the process meanwhile.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/targets/target.h"

static volatile long traps, raised, faults, strange;
static sigjmp_buf after_fault;
static char *forbidden;

static void on_trap(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_code == SI_KERNEL || info->si_code == TRAP_BRKPT)
        traps++;
    else if (info->si_pid == getpid())
        raised++;
    else
        strange++;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    if (info->si_addr != forbidden)
        strange++;
    faults++;
    siglongjmp(after_fault, 1);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

    if (sigaction(signal, &action, NULL))
        cannot("sigaction");
}

static void fault(void)
{
    if (!sigsetjmp(after_fault, 1))
        *(volatile char *)forbidden = 1;
}

int main(void)
{
    long expected = 0;

    forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (forbidden == MAP_FAILED)
        cannot("mmap");
    handle(SIGTRAP, on_trap);
    handle(SIGSEGV, on_fault);
    ready();
    do {
        for (int n = 0; n < 200; n++, expected++) {
            fault();
            __asm__ volatile("int3");
            raise(SIGTRAP);
        }
    } while (!stop_asked());
    CHECK(faults == expected, "%ld faults, %ld handled", expected, faults);
    CHECK(traps == expected, "%ld breakpoints, %ld handled", expected, traps);
    CHECK(raised == expected, "%ld SIGTRAPs raised, %ld handled", expected, raised);
    CHECK(!strange, "%ld signals that nobody here sent", strange);
    return finish();
}
