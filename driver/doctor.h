/* doctor.h - the tables that `gdb-hijack doctor` can print. */
#ifndef DRIVER_DOCTOR_H
#define DRIVER_DOCTOR_H

#include <stdbool.h>

#define DOCTOR_SCHEMA 1 /* of every object that --json prints; documented in gdb-hijack(1) */

/* --calls: every system call, what becomes of it while I/O is remote, and why. On stdout. */
void doctor_calls(bool json);

#endif
