/* mi_fault.c - see mi_fault.h. */
#include "gdbmi/mi_fault.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum victim { GDB, SELF, TARGET };

static const struct {
    const char *variable;
    enum victim victim;
    bool before;
} kinds[MI_FAULTS] = {
    {"HIJACK_FAULT_GDB", GDB, false},       {"HIJACK_FAULT_GDB_BEFORE", GDB, true},
    {"HIJACK_FAULT_SELF", SELF, false},     {"HIJACK_FAULT_SELF_BEFORE", SELF, true},
    {"HIJACK_FAULT_TARGET", TARGET, false},
};

void mi_faults_read(struct mi_faults *faults)
{
    faults->signal = SIGKILL;
    for (int i = 0; i < MI_FAULTS; i++) {
        const char *value = getenv(kinds[i].variable);

        faults->at[i] = 0;
        if (value &&
            sscanf(value, "%lu:%d:%d", &faults->at[i], &faults->victim, &faults->signal) < 2 &&
            kinds[i].victim == TARGET)
            faults->at[i] = 0;
    }
}

void mi_faults_strike(const struct mi_faults *faults, unsigned long command, bool before, pid_t gdb)
{
    const pid_t victims[] = {[GDB] = gdb, [SELF] = getpid(), [TARGET] = faults->victim};

    for (int i = 0; i < MI_FAULTS; i++) {
        if (faults->at[i] != command || kinds[i].before != before)
            continue;
        unsetenv(kinds[i].variable);
        kill(victims[kinds[i].victim], kinds[i].victim == TARGET ? faults->signal : SIGKILL);
    }
}

void mi_faults_forget(void)
{
    for (int i = 0; i < MI_FAULTS; i++)
        unsetenv(kinds[i].variable);
}
