/*
 * stackless.c - a thread that has no stack and blocks every signal, libc's own too: as one of
 * musl's for the last instructions of its life (__unmapself()), but for as long as the program
 * lives.
 *
 * Where its stack was another may be made just then: memory that nobody may write. The thread waits
 * there; at the end it must be as it was.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

#define FUTEX_WAIT 0 /* linux/futex.h, which musl-gcc does not find */
#define FUTEX_WAKE 1

#define SIZE (1 << 20)

static volatile int over, stands;
static char *nowhere;

/* Waits until `over`, without a stack. */
static void wait_without(void)
{
    uint64_t was;
    stands = 1;
    __asm__ volatile("mov %%rsp, %[was]\n\t"
                     "mov %[top], %%rsp\n"
                     "1:\n\t"
                     "mov %[futex], %%eax\n\t"
                     "mov %[over], %%rdi\n\t"
                     "mov %[wait], %%esi\n\t"
                     "xor %%edx, %%edx\n\t"
                     "xor %%r10d, %%r10d\n\t"
                     "syscall\n\t"
                     "cmpl $0, (%%rdi)\n\t"
                     "je 1b\n\t"
                     "mov %[was], %%rsp"
                     : [was] "=&r"(was)
                     : [top] "r"(nowhere + SIZE / 2), [over] "r"(&over), [futex] "i"(SYS_futex),
                       [wait] "i"(FUTEX_WAIT)
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "memory", "cc");
}

static void *live(void *unused)
{
    const uint64_t all = UINT64_MAX;
    uint64_t before, after;
    (void)unused;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof all);
    wait_without();
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, &after, sizeof all);
    CHECK((after | 0x40100) == all, "signals %llx were blocked", (unsigned long long)after);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    nowhere = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (nowhere == MAP_FAILED || pthread_create(&thread, NULL, live, NULL))
        cannot("a thread");
    while (!stands)
        rest(1);
    ready();
    do
        rest(5);
    while (!stop_asked());
    over = 1;
    syscall(SYS_futex, &over, FUTEX_WAKE, 1, NULL, NULL, 0);
    pthread_join(thread, NULL);
    return finish();
}
