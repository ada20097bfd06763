/* commands.h - the commands of gdb-hijack. Each gets its own name as argv[0], prints, and returns
 * the exit status: 0 done; 1 refused, nothing touched; 2 usage; 3 failed and rolled back; 4 the
 * target was lost. */
#ifndef DRIVER_COMMANDS_H
#define DRIVER_COMMANDS_H

#define EXIT_USAGE 2

int cmd_hijack(int argc, char **argv);
int cmd_release(int argc, char **argv);
int cmd_checkpoint(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_restart(int argc, char **argv);

#endif
