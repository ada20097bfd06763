/*
 * blocked.h - for how long has a process been blocked?
 *
 * The kernel keeps when a task ran last (se.exec_start of /proc/PID/sched), by its processor's own
 * clock, which leaves out time that the processor was not ours (interrupts, a hypervisor). That
 * clock is read, too, as the time that this very process runs, on the same processor. So the answer
 * never is too long; it can be too short, when the process was woken for nothing in between or the
 * clock left something out.
 */
#ifndef DRIVER_BLOCKED_H
#define DRIVER_BLOCKED_H

#include <stdint.h>
#include <sys/types.h>

/* What the process waited for is the same as long as its count of voluntary switches is:
 * getrusage's ru_nvcsw. 0, or -errno: it is not blocked, or the kernel does not tell. */
int blocked_for(pid_t pid, uint64_t *nanoseconds, uint64_t *switches);

#endif
