/*
 * calls_by.h - arguments whose meaning depends on another one: the BY(n) of calls.def.
 *
 * call_by() gives the kind that stands in its place. Both ends of a session use it, with the same
 * arguments (pointers count only as being there), and so agree; no size in it comes from the peer.
 *
 * What is not listed in calls_by.def: an ioctl whose number holds a direction and a size has these;
 * a socket option is as long as its length argument says; anything else is a number, if it is too
 * small to be a pointer. No process has memory below LEAST_POINTER unless its system was told so
 * (vm.mmap_min_addr), and what might be a pointer must not reach the kernel as a number: it would
 * be the shadow's memory that is read or written.
 *
 * Inline, without libc.
 */
#ifndef STUBS_CALLS_BY_H
#define STUBS_CALLS_BY_H

#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <linux/hdreg.h>
#include <linux/if_tun.h>
#include <linux/input.h>
#include <linux/kd.h>
#include <linux/keyctl.h>
#include <linux/loop.h>
#include <linux/nsfs.h>
#include <linux/quota.h>
#include <linux/random.h>
#include <linux/rtc.h>
#include <linux/serial.h>
#include <linux/sockios.h>
#include <linux/vt.h>

#include "stubs/calls.h"

#define LEAST_POINTER 65536

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17 /* include/uapi/asm-generic/fcntl.h, which libc's header excludes */
#endif

/* The kernel's struct termios, where the number of TCGETS does not hold its size. (libc's is
 * larger.) */
struct call_termios {
    uint32_t flags[4];
    uint8_t line, control[19];
};

#define OPTION(level, name)              ((uint32_t)(level) << 16 | (uint16_t)(name))
#define CALL_BY(number, argument, value) ((uint64_t)(number) << 40 | (argument) << 32 | (value))

/* An ioctl by its number: include/uapi/asm-generic/ioctl.h. */
static inline struct call_arg call_by_ioctl(uint32_t request)
{
    static const uint8_t kinds[] = {
        [_IOC_WRITE] = ARG_INS, [_IOC_READ] = ARG_OUTS, [_IOC_READ | _IOC_WRITE] = ARG_INOUTS};
    struct call_arg arg = {kinds[_IOC_DIR(request)], 0, (int32_t)_IOC_SIZE(request)};
    return arg;
}

/* What is not listed. `plain`: the argument is a number. */
static inline struct call_arg call_by_rule(uint32_t number, uint32_t value, int plain)
{
    struct call_arg in = {ARG_IN, 5, 1}, outl = {ARG_OUTL, 5, 1}, none = {ARG_NONE, 0, 0},
                    scalar = {ARG_INT, 0, 0}, event = {ARG_INS, 0, sizeof(struct epoll_event)};
    if (number == __NR_epoll_ctl) /* unknown ones read it, too, before they are refused */
        return event;
    if (number == __NR_ioctl && _IOC_DIR(value) != _IOC_NONE && _IOC_SIZE(value) > 0)
        return call_by_ioctl(value);
    if (number == __NR_setsockopt)
        return in;
    if (number == __NR_getsockopt)
        return outl;
    if (number == __NR_keyctl && value <= KEYCTL_WATCH_KEY)
        return scalar;
    return plain ? scalar : none;
}

/* The value that calls_by.def lists. */
static inline uint32_t call_by_value(uint32_t number, int other, const uint64_t *args)
{
    uint32_t value = (uint32_t)args[other];
    if (number == __NR_setsockopt || number == __NR_getsockopt)
        return OPTION(value, args[other + 1]);
    if (number == __NR_quotactl || number == __NR_quotactl_fd)
        return value >> SUBCMDSHIFT;
    return value;
}

/* The kind of argument `index` (from 0) of the call `number`, whose row has BY there. ARG_NONE: it
 * cannot travel, the call is refused with -EOPNOTSUPP. */
static inline struct call_arg call_by(uint32_t number, const struct call *row, int index,
                                      const uint64_t *args)
{
    uint32_t value = call_by_value(number, row->args[index].other - 1, args);
    switch (CALL_BY(number, (uint64_t)index + 1, value)) {
#define WHEN(call, argument, value, kind)                                                          \
    case CALL_BY(__NR_##call, (uint64_t)(argument), (uint32_t)(value)): {                          \
        struct call_arg arg = kind;                                                                \
        return arg;                                                                                \
    }
#include "stubs/calls.def"
    default:
        return call_by_rule(number, value, args[index] < LEAST_POINTER);
    }
}

#endif
