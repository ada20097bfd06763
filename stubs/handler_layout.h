/* handler_layout.h - what the handler's C and its assembler must agree on: see handler.h. Only
 * #defines. */
#ifndef STUBS_HANDLER_LAYOUT_H
#define STUBS_HANDLER_LAYOUT_H

#define HANDLER_STACK_SIZE  262144 /* the leader's stack */
#define HANDLER_SLOT_SHIFT  14     /* a slot of any other thread: its stack, and above it ... */
#define HANDLER_THREAD_SIZE 2048   /* ... its struct handler_thread */

/* handler_phase */
#define HANDLER_IDLE      0
#define HANDLER_LEADING   1 /* a thread has the leader's stack */
#define HANDLER_GATHERING 2 /* and others may join it */
#define HANDLER_CLOSED    3 /* no longer */

#define HANDLER_PARAMS_PID 12 /* offset in struct hijack_params */

#endif
