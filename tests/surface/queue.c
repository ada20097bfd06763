/* queue.c - message queues and semaphores of System V and POSIX, keys. */
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include <linux/keyctl.h>

#include "surface.h"

struct message {
    long type;
    char text[16];
};

static void messages(void)
{
    struct message m = {3, "third"}, got;
    struct msqid_ds ds = {0};
    int q = (int)SOME(msgget, IPC_PRIVATE, 0600);
    CALL(msgget, 0x7f7f0001, 0);
    CALL(msgsnd, q, &m, 6, 0);
    m = (struct message){1, "first"};
    CALL(msgsnd, q, &m, 6, 0);
    CALL(msgsnd, q, &m, 0, 0);
    CALL(msgsnd, q, &m, -1, 0);
    CALL(msgsnd, q, big, 100000, 0);
    CALL(msgsnd, q, BAD, 6, 0);
    CALL(msgsnd, q, NULL, 6, 0);
    m.type = 0;
    CALL(msgsnd, q, &m, 6, 0);
    CALL(msgsnd, 12345678, &m, 6, 0);
    memset(&got, '-', sizeof got);
    CALL(msgrcv, q, &got, 16, 3, 0);
    show_bytes("message", &got, sizeof got);
    CALL(msgrcv, q, &got, 3, 0, 0);
    CALL(msgrcv, q, BAD, 16, 0, IPC_NOWAIT);
    CALL(msgrcv, q, &got, 3, 0, MSG_NOERROR);
    show_bytes("message", &got, sizeof got);
    CALL(msgrcv, q, &got, 16, 0, IPC_NOWAIT);
    CALL(msgrcv, q, &got, 16, 0, IPC_NOWAIT);
    CALL(msgrcv, q, &got, -1, 0, IPC_NOWAIT);
    CALL(msgctl, q, IPC_STAT, &ds);
    show("    %ld messages, %ld bytes at most, mode %o, sent by us %d", (long)ds.msg_qnum,
         (long)ds.msg_qbytes, ds.msg_perm.mode, ds.msg_lspid == getpid());
    ds.msg_perm.mode = 0640;
    CALL(msgctl, q, IPC_SET, &ds);
    CALL(msgctl, q, IPC_SET, BAD);
    CALL(msgctl, q, IPC_STAT, BAD);
    CALL(msgctl, q, 99, NULL);
    CALL(msgctl, q, IPC_RMID, NULL);
    CALL(msgctl, q, IPC_RMID, NULL);
}

static void semaphores(void)
{
    unsigned short values[3] = {1, 2, 3};
    struct semid_ds ds;
    struct sembuf ops[2] = {{0, 2, 0}, {2, -1, 0}}, stuck = {1, -9, IPC_NOWAIT}, far = {9, 1, 0},
                  later = {1, -9, 0};
    const struct timespec brief = {0, 1000000}, wrong = {0, -1};
    int s = (int)SOME(semget, IPC_PRIVATE, 3, 0600);
    CALL(semget, 0x7f7f0001, 3, 0);
    CALL(semget, IPC_PRIVATE, 100000000, 0600);
    CALL(semctl, s, 0, SETALL, values);
    CALL(semctl, s, 1, SETVAL, 7);
    CALL(semctl, s, 1, GETVAL);
    CALL(semctl, s, 9, GETVAL);
    CALL(semctl, s, 1, SETVAL, 100000);
    CALL(semop, s, ops, 2);
    CALL(semop, s, &stuck, 1);
    CALL(semop, s, &far, 1);
    CALL(semop, s, BAD, 1);
    CALL(semop, s, ops, 0);
    CALL(semop, s, ops, 100000);
    CALL(semop, 12345678, ops, 1);
    CALL(semtimedop, s, &later, 1, &brief);
    CALL(semtimedop, s, &later, 1, &wrong);
    CALL(semtimedop, s, &later, 1, BAD);
    memset(values, 0, sizeof values);
    CALL(semctl, s, 0, GETALL, values);
    show("    %d %d %d", values[0], values[1], values[2]);
    CALL(semctl, s, 0, GETALL, BAD);
    CALL(semctl, s, 0, SETALL, BAD);
    SOME(semctl, s, 2, GETPID) == getpid() ? show("    ours") : show("    other");
    CALL(semctl, s, 2, GETNCNT);
    CALL(semctl, s, 2, GETZCNT);
    CALL(semctl, s, 0, IPC_STAT, &ds);
    show("    %ld semaphores, mode %o", (long)ds.sem_nsems, ds.sem_perm.mode);
    CALL(semctl, s, 0, IPC_STAT, BAD);
    CALL(semctl, s, 0, 99, NULL);
    CALL(semctl, s, 0, IPC_RMID);
    CALL(semctl, s, 0, GETALL, values);
}

/* The names are the kernel's, without a slash. */
static void posix_queues(void)
{
    char name[64], text[64];
    unsigned priority = 99;
    struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 32}, got = {0};
    const struct timespec past = {1, 0}, wrong = {1, -1};
    snprintf(name, sizeof name, "surface-%d-%d", is_remote, (int)getpid());
    int q = CALL(mq_open, name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
    CALL(mq_open, name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
    CALL(mq_open, "none-of-these", O_RDWR, 0, NULL);
    CALL(mq_open, BAD, O_RDWR, 0, NULL);
    CALL(mq_open, "bad-attributes", O_RDWR | O_CREAT, 0600, BAD);
    CALL(mq_timedsend, q, "low", 3, 1, NULL);
    CALL(mq_timedsend, q, "high", 4, 7, &past);
    CALL(mq_timedsend, q, big, 33, 1, NULL);
    CALL(mq_timedsend, q, BAD, 3, 1, NULL);
    CALL(mq_timedsend, q, "x", 1, 1, &wrong);
    CALL(mq_timedsend, q, "x", 1, 100000, NULL);
    CALL(mq_timedsend, -1, "x", 1, 1, NULL);
    CALL(mq_timedsend, q, "last", 4, 0, NULL);
    CALL(mq_timedsend, q, "more", 4, 0, NULL);
    CALL(mq_timedreceive, q, text, 31, &priority, NULL);
    CALL(mq_timedreceive, q, text, 64, &priority, NULL);
    show_bytes("message", text, 4);
    show("    priority %u", priority);
    CALL(mq_timedreceive, q, text, 64, NULL, NULL);
    CALL(mq_timedreceive, q, BAD, 64, NULL, NULL);
    CALL(mq_timedreceive, q, text, 64, NULL, NULL);
    CALL(mq_timedreceive, -1, text, 64, NULL, NULL);
    CALL(mq_getsetattr, q, NULL, &got);
    show("    flags %lx, %ld of %ld of size %ld", got.mq_flags, got.mq_curmsgs, got.mq_maxmsg,
         got.mq_msgsize);
    got.mq_flags = 0;
    CALL(mq_getsetattr, q, &got, NULL);
    CALL(mq_getsetattr, q, BAD, NULL);
    CALL(mq_getsetattr, -1, NULL, &got);
    CALL(mq_timedreceive, q, text, 64, NULL, &past);
    CALL(mq_unlink, name);
    CALL(mq_unlink, name);
    CALL(mq_unlink, BAD);
}

static void keys(void)
{
    char text[64];
    long ring = KEY_SPEC_PROCESS_KEYRING;
    long key = SOME(add_key, "user", "surface", "payload", 7, ring);
    CALL(add_key, "none", "surface", "payload", 7, ring);
    CALL(add_key, "user", "surface", BAD, 7, ring);
    CALL(add_key, BAD, "surface", "payload", 7, ring);
    CALL(request_key, "user", "none of these", NULL, 0);
    show("    found %d", SOME(request_key, "user", "surface", NULL, 0) == key);
    CALL(keyctl, KEYCTL_READ, key, memset(text, '-', sizeof text), sizeof text);
    show_bytes("payload", text, 16);
    CALL(keyctl, KEYCTL_READ, key, NULL, 0);
    CALL(keyctl, KEYCTL_READ, key, BAD, 64);
    CALL(keyctl, KEYCTL_UPDATE, key, "other", 5);
    CALL(keyctl, KEYCTL_READ, key, memset(text, '-', sizeof text), 3);
    show_bytes("payload", text, 16);
    SOME(keyctl, KEYCTL_SEARCH, ring, "user", "surface", 0);
    CALL(keyctl, KEYCTL_SEARCH, ring, "user", "none", 0);
    SOME(keyctl, KEYCTL_DESCRIBE, key, text, sizeof text);
    CALL(keyctl, KEYCTL_SETPERM, key, 0x3f3f0000);
    CALL(keyctl, KEYCTL_REVOKE, key);
    CALL(keyctl, KEYCTL_READ, key, text, sizeof text);
    CALL(keyctl, KEYCTL_UNLINK, key, ring);
    CALL(keyctl, 9999, 0);
}

const struct surface_case queue_cases[] = {
    {"System V messages", messages},
    {"System V semaphores", semaphores},
    {"POSIX queues", posix_queues},
    {"keys", keys},
    {NULL, NULL},
};
