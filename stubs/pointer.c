/* pointer.c - see pointer.h. */
#include <errno.h>
#include <linux/futex.h>

#include "stubs/pointer.h"
#include "stubs/raw.h"
#include "stubs/remote.h"

#define PAGE      4096UL
#define USER_MOST 0x7ffffffff000ULL

size_t pointer_readable(const void *from, size_t size)
{
    char byte;
    for (size_t done = 0; done < size;) {
        if (remote_read(&byte, (const char *)from + done, 1))
            return done;
        done += PAGE - (((uintptr_t)from + done) & (PAGE - 1));
    }
    return size;
}

/* FUTEX_WAKE_OP adds 0 to a word, atomically: other threads notice nothing. */
static int is_writable(uintptr_t at)
{
    static uint32_t nobody_waits;
    const long op = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0);
    return raw(SYS_futex, &nobody_waits, FUTEX_WAKE_OP_PRIVATE, 0, 0, at & ~3UL, op) != -EFAULT;
}

static int is_good(struct pointer_pages *pages, uintptr_t at)
{
    uint64_t *known = &pages->good[at / PAGE % POINTER_PAGES];
    if (*known == at / PAGE)
        return 1;
    if (!is_writable(at))
        return 0;
    *known = at / PAGE;
    return 1;
}

/* A buffer whose ends are there is taken for whole. */
size_t pointer_writable(struct pointer_pages *pages, const void *to, size_t size)
{
    uintptr_t at = (uintptr_t)to, end = at + size;
    if (!size || (is_good(pages, at) && is_good(pages, end - 1)))
        return size;
    while (at < end && is_good(pages, at))
        at = (at | (PAGE - 1)) + 1;
    return at < end ? at - (uintptr_t)to : size;
}

int pointer_possible(const void *at, uint64_t count, uint64_t size)
{
    uint64_t bytes, end;
    return !__builtin_mul_overflow(count, size, &bytes) &&
           !__builtin_add_overflow(bytes, (uintptr_t)at, &end) && end <= USER_MOST;
}
