/* starter_vdso_arch.c - x86-64: system calls in the place of the vdso's functions; see
 * restart/starter.h. Both have the same arguments in the same registers, and return -errno. */
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "restart/starter.h"

#ifndef SYS_getrandom
#define SYS_getrandom 318
#endif

static const struct {
    const char *name;
    unsigned number;
} calls[] = {
    {"clock_gettime", SYS_clock_gettime},
    {"clock_getres", SYS_clock_getres},
    {"gettimeofday", SYS_gettimeofday},
    {"time", SYS_time},
    {"getcpu", SYS_getcpu},
    {"getrandom", SYS_getrandom},
};

/* mov $number, %eax; syscall; ret */
static int call(unsigned number, unsigned char *code)
{
    static const unsigned char pattern[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3};
    memcpy(code, pattern, sizeof pattern);
    memcpy(code + 1, &number, sizeof number);
    return sizeof pattern;
}

/* With an opaque_len (r8) of ~0 getrandom asks for the shape of the state that user space would
 * have to keep: there is none. Before the call: cmp $-1, %r8; jne +8; mov $-ENOSYS, %rax; ret */
static int call_getrandom(unsigned char *code)
{
    static const unsigned char query[] = {0x49, 0x83, 0xf8, 0xff, 0x75, 0x08, 0x48,
                                          0xc7, 0xc0, 0xda, 0xff, 0xff, 0xff, 0xc3};
    memcpy(code, query, sizeof query);
    return (int)sizeof query + call(SYS_getrandom, code + sizeof query);
}

int vdso_arch_code(const char *name, size_t room, unsigned char code[VDSO_CODE_MAX])
{
    const char *plain = strncmp(name, "__vdso_", 7) == 0 ? name + 7 : name;
    if (strcmp(plain, "sgx_enter_enclave") == 0)
        return 0; /* reads no page of the kernel's */
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strcmp(plain, calls[i].name) != 0)
            continue;
        int length =
            calls[i].number == SYS_getrandom ? call_getrandom(code) : call(calls[i].number, code);
        return (size_t)length <= room ? length : -1;
    }
    return -1;
}

uint64_t vdso_arch_counter(const void *frame)
{
    const ucontext_t *u = frame;
    return (uint64_t)u->uc_mcontext.gregs[REG_RIP];
}
