/*
 * message.h - one frame as one SOCK_SEQPACKET message, with descriptors: the shadow's peers, and
 * the door between shadow and executor.
 *
 * Every call is -errno on failure, never blocks unless said, and keeps no state.
 */
#ifndef SHADOW_MESSAGE_H
#define SHADOW_MESSAGE_H

#include "shadow/shadow.h"

/* Sends header->length bytes of payload; `flags` of send(2) (MSG_DONTWAIT). 0 or -errno. */
int message_send(int fd, const struct frame_header *header, const void *payload, const int *fds,
                 uint32_t fd_count, int flags);

/* Receives into *f, checks the header (frame_check()). The descriptors that came are the caller's.
 * 0; -EPIPE: the end; -EMFILE: not all descriptors came; another -errno. */
int message_receive(int fd, struct frame *f, int flags);

/* Closes the descriptors that came and that nobody took. */
void message_close_descriptors(struct frame *f);

#endif
