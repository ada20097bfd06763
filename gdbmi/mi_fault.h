/*
 * mi_fault.h - fault injection for tests: who gets a signal at which command of a session.
 *
 * Read from the environment when a session is opened; commands count from 1. SIGKILL goes
 *   HIJACK_FAULT_GDB=N, HIJACK_FAULT_GDB_BEFORE=N      to gdb, right after (before) command N
 *   HIJACK_FAULT_SELF=N, HIJACK_FAULT_SELF_BEFORE=N    to this process, likewise
 *   HIJACK_FAULT_TARGET=N:PID[:SIGNAL]                 to process PID, right after command N; or
 *                                                      this signal instead
 * A fault strikes once: it removes its variable, so that whoever cleans up can start another gdb.
 */
#ifndef GDBMI_MI_FAULT_H
#define GDBMI_MI_FAULT_H

#include <stdbool.h>
#include <sys/types.h>

#define MI_FAULTS 5

struct mi_faults {
    unsigned long at[MI_FAULTS]; /* 0: never */
    pid_t victim;                /* of HIJACK_FAULT_TARGET */
    int signal;                  /* that it gets */
};

void mi_faults_read(struct mi_faults *faults);
/* `command` is about to be written, or has been. */
void mi_faults_strike(const struct mi_faults *faults, unsigned long command, bool before,
                      pid_t gdb);
/* No session that is opened from now on has any. */
void mi_faults_forget(void);

#endif
