/* server_arch.h - layout shared by server.S and driver/server.c: struct server_request, and the
 * architecture's figures. */
#ifndef SERVER_ARCH_H
#define SERVER_ARCH_H

#define SERVER_KIND         0
#define SERVER_FUNCTION     8
#define SERVER_ARGUMENT     16
#define SERVER_RESULT       64
#define SERVER_STACK        72 /* of a function; of a system call one of those below */
#define SERVER_REQUEST_SIZE 80
#define SERVER_REQUESTS     16 /* at once, the last one SERVER_LEAVE */

#define SERVER_LEAVE   -1
#define SERVER_SYSCALL 0
#define SERVER_FUNCALL 1

/* What a system call has to do with others; larger than these: its result is memory of that many
 * bytes, to unmap when the server leaves. */
#define SERVER_PLAIN      0
#define SERVER_KEPT_FIRST 1 /* the result that was kept is its first argument */
#define SERVER_KEPT_FIFTH 2
#define SERVER_KEEP       3 /* its result is kept */

/* A system call that no kernel has (it answers ENOSYS): where the tracer stops the server. */
#define SERVER_CALL 26729

/* Bytes of the system call instruction: how far the kernel sets the pc back to restart a call. */
#define SERVER_RESTART_BYTES 2

/* In the frame (rsi at SERVER_CALL), the saved signal mask: UC_SIGMASK of server.S. */
#define SERVER_FRAME_MASK 296

#endif
