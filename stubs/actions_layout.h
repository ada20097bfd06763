/* actions_layout.h - what actions.c and its assembler must agree on. */
#ifndef STUBS_ACTIONS_LAYOUT_H
#define STUBS_ACTIONS_LAYOUT_H

#define ACTIONS_REMOTE_PID 4 /* offset in struct remote */

#endif
