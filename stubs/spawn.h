/* spawn.h - a process that shares our memory until it execs. The one part of the spawner that is
 * the architecture's. */
#ifndef STUBS_SPAWN_H
#define STUBS_SPAWN_H

/* clone(2) with `flags` onto the stack that ends at `stack_end` (aligned to 16), where the new
 * process calls function(argument) and then exits with its result. Returns the child's pid in the
 * caller, or -errno. */
long spawn_clone(unsigned long flags, void *stack_end, long (*function)(void *), void *argument);

#endif
