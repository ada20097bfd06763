/* mount.c - mounts, quotas, the kernel's log, I/O priorities. What root mounts is taken away again
 * or was never attached. */
#include <sys/mount.h>
#include <sys/quota.h>

#include "surface.h"

static void mounts(void)
{
    mkdir("m", 0755);
    CALL(mount, "none", "m", "no-such-type", 0, NULL);
    CALL(mount, "none", "none", "tmpfs", 0, NULL);
    CALL(mount, BAD, "m", "tmpfs", 0, NULL);
    CALL(mount, "none", "m", "tmpfs", 0, "size=64k,nonsense");
    CALL(umount2, "m", 0);
    CALL(umount2, "none", 0);
    CALL(umount2, BAD, 0);
    CALL(umount2, "m", 1 << 20);
    CALL(pivot_root, "none", "m");
    CALL(pivot_root, BAD, "m");
    CALL(pivot_root, "m", "m");
    CALL(mount, "none", "m", "tmpfs", 0, "size=64k");
    CALL(open, "m/file", O_RDWR | O_CREAT, 0600);
    CALL(open, "m", O_RDONLY);
    close(4);
    close(3);
    CALL(umount2, "m", MNT_DETACH);
    CALL(open, "m/file", O_RDONLY);
}

static void detached(void)
{
    struct {
        uint64_t set, clear, propagation, userns;
    } attr = {1 /* MOUNT_ATTR_RDONLY */, 0, 0, 0};
    int fs = CALL(fsopen, "tmpfs", 1);
    CALL(fsopen, "no-such-type", 0);
    CALL(fsopen, BAD, 0);
    CALL(fsopen, "tmpfs", 77);
    CALL(fsconfig, fs, 1 /* SET_STRING */, "size", "64k", 0);
    CALL(fsconfig, fs, 1, "nonsense", "1", 0);
    CALL(fsconfig, fs, 0 /* SET_FLAG */, "ro", NULL, 0);
    CALL(fsconfig, fs, 1, BAD, "64k", 0);
    CALL(fsconfig, fs, 99, NULL, NULL, 0);
    CALL(fsconfig, -1, 6, NULL, NULL, 0);
    CALL(fsconfig, fs, 6 /* CMD_CREATE */, NULL, NULL, 0);
    int m = CALL(fsmount, fs, 1, 0);
    CALL(fsmount, fs, 99, 0);
    CALL(fsmount, -1, 0, 0);
    CALL(mount_setattr, m, "", AT_EMPTY_PATH, &attr, sizeof attr);
    CALL(mount_setattr, m, "", AT_EMPTY_PATH, &attr, 3);
    CALL(mount_setattr, m, "", AT_EMPTY_PATH, BAD, sizeof attr);
    CALL(openat, m, "file", O_RDWR | O_CREAT, 0600);
    CALL(open_tree, AT_FDCWD, ".", 1 | O_CLOEXEC);
    CALL(open_tree, AT_FDCWD, "none", O_CLOEXEC);
    CALL(open_tree, AT_FDCWD, ".", 2);
    CALL(open_tree_attr, AT_FDCWD, ".", 1, &attr, sizeof attr);
    CALL(open_tree_attr, AT_FDCWD, "none", 0, NULL, 0);
    CALL(move_mount, m, "", AT_FDCWD, "none", 4 /* F_EMPTY_PATH */);
    CALL(move_mount, -1, "", AT_FDCWD, ".", 4);
    CALL(fspick, AT_FDCWD, "none", 0);
    CALL(fspick, AT_FDCWD, "/proc", 99);
}

static void statistics(void)
{
    struct {
        uint32_t size, spare;
        uint64_t id, param, namespace;
    } ask = {32, 0, ~0ull, 0, 0}; /* LSMT_ROOT */
    uint64_t ids[64];
    SOME(listmount, &ask, ids, 64, 0);
    CALL(listmount, &ask, BAD, 64, 0);
    CALL(listmount, BAD, ids, 64, 0);
    CALL(listmount, &ask, ids, 64, 99);
    ask.size = 3;
    CALL(listmount, &ask, ids, 64, 0);
    ask.size = 32;
    ask.id = 12345;
    CALL(listmount, &ask, ids, 64, 0);
    CALL(statmount, &ask, other, 4096, 0);
    ask.id = ids[0];
    ask.param = 2; /* STATMOUNT_MNT_BASIC */
    SOME(statmount, &ask, other, 4096, 0);
    CALL(statmount, &ask, other, 3, 0);
    CALL(statmount, BAD, other, 4096, 0);
    CALL(statmount, &ask, other, 4096, 99);
}

static void quotas(void)
{
    int fd = make_file("file", "", 0);
    struct dqblk q;
    CALL(quotactl, QCMD(Q_GETQUOTA, USRQUOTA), "none", 0, &q);
    CALL(quotactl, QCMD(Q_GETQUOTA, USRQUOTA), BAD, 0, &q);
    CALL(quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL);
    CALL(quotactl, QCMD(Q_GETQUOTA, 9), "none", 0, &q);
    CALL(quotactl_fd, fd, QCMD(Q_GETQUOTA, USRQUOTA), 0, &q);
    CALL(quotactl_fd, -1, QCMD(Q_GETQUOTA, USRQUOTA), 0, &q);
}

static void the_rest(void)
{
    CALL(syslog, 10, NULL, 0); /* SYSLOG_ACTION_SIZE_BUFFER */
    CALL(syslog, 3, other, -1);
    CALL(syslog, 3, NULL, 10);
    CALL(syslog, 99, NULL, 0);
    CALL(vhangup);
    CALL(ioprio_get, 1, 0);
    CALL(ioprio_set, 1, 0, 2 << 13 | 5);
    CALL(ioprio_get, 1, getpid());
    CALL(ioprio_get, 1, 999999);
    CALL(ioprio_get, 99, 0);
    CALL(ioprio_set, 1, 0, 9 << 13);
}

const struct surface_case mount_cases[] = {
    {"mounts", mounts},
    {"detached mounts", detached},
    {"statistics of mounts", statistics},
    {"quotas", quotas},
    {"the kernel's log, I/O priorities", the_rest},
    {NULL, NULL},
};
