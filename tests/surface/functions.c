/* functions.c - libc's functions for the kernel's calls, with the kernel's arguments: those that
 * have a stub (a jump leads there), and some that make the call behind a few steps of their own. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <sys/xattr.h>

#include "surface.h"

typedef long function(const long a[CALL_ARGS]);

/* What is at an argument. */
#define P(i) ((void *)a[i])
#define I(i) ((int)a[i])
#define F(name, call)                                                                              \
    static long do_##name(const long a[CALL_ARGS])                                                 \
    {                                                                                              \
        (void)a;                                                                                   \
        return (long)(call);                                                                       \
    }
#include "functions.def"
#undef F

static function *const functions[] = {
#define F(name, call) [__NR_##name] = do_##name,
#include "functions.def"
};

int function_call(long number, const long a[CALL_ARGS], long *result)
{
    if (number >= (long)(sizeof functions / sizeof *functions) || !functions[number])
        return 0;
    *result = functions[number](a);
    return 1;
}
