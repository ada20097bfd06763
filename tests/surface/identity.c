/* identity.c - who the process is: ids, groups, capabilities, names of the host. */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "surface.h"

static void processes(void)
{
    long pid = SOME(getpid), parent = SOME(getppid), group = SOME(getpgrp),
         session = SOME(getsid, 0);
    show("    thread %d, parent %d", SOME(gettid) == pid, parent == getppid());
    show("    group %d, leads %d", SOME(getpgid, pid) == group, group == pid);
    show("    session %d", SOME(getsid, pid) == session);
    SOME(getpgid, parent);
    CALL(getpgid, 999999);
    CALL(getpgid, -1);
    CALL(getsid, 999999);
    CALL(setpgid, 0, 999999);
    CALL(setpgid, 999999, 0);
    CALL(setpgid, 0, -1);
    CALL(setpgid, 0, group);
    if (by_function)
        CALL(setpgid, pid, pid); /* the cases behind it do without the old group */
    show("    leads %d", getpgrp() == pid);
}

static void sessions(void)
{
    if (by_function)
        CALL(setsid); /* the process leads its group by now */
    else
        show("    leader %d", SOME(getsid, 0) == getpid());
    CALL(getsid, -1);
}

static void show_ids(void)
{
    unsigned r = 9, e = 9, s = 9;
    CALL(getresuid, &r, &e, &s);
    show("    users: own %d %d %d", r == getuid(), e == geteuid(), s == geteuid());
    CALL(getresgid, &r, &e, &s);
    show("    groups: own %d %d %d", r == getgid(), e == getegid(), s == getegid());
}

static void users(void)
{
    unsigned id = 0;
    gid_t groups[64];
    CALL(getuid);
    CALL(geteuid);
    CALL(getgid);
    CALL(getegid);
    show_ids();
    CALL(getresuid, BAD, &id, &id);
    CALL(getresgid, &id, &id, BAD);
    long count = CALL(getgroups, 0, NULL);
    CALL(getgroups, 64, groups);
    CALL(getgroups, count > 0 ? count - 1 : 0, groups);
    CALL(getgroups, -1, groups);
    CALL(getgroups, 64, BAD);
    CALL(setuid, getuid());
    CALL(setgid, getgid());
    CALL(setreuid, -1, -1);
    CALL(setregid, -1, -1);
    CALL(setresuid, -1, -1, -1);
    CALL(setresgid, -1, -1, -1);
    CALL(setfsuid, -1);
    CALL(setfsgid, -1);
    CALL(setuid, -1);
    if (!is_root) {
        CALL(setuid, 0);
        CALL(setgid, 0);
        CALL(setreuid, 0, 0);
        CALL(setresgid, 0, 0, 0);
        CALL(setgroups, 0, NULL);
        return;
    }
    CALL(setgroups, count, groups);
    CALL(setgroups, 1, BAD);
    CALL(setgroups, 1 << 30, groups);
    CALL(setresgid, 12345, 12345, 0);
    CALL(setresuid, 12345, 12345, 0);
    show("    ids %d %d %d %d", getuid(), geteuid(), getgid(), getegid());
    CALL(open, "/etc/shadow", O_RDONLY);
    CALL(setresuid, 0, 0, 0);
    CALL(setresgid, 0, 0, 0);
    CALL(setfsuid, 12345);
    CALL(open, "/etc/shadow", O_RDONLY);
    CALL(setfsuid, 0);
    CALL(setfsgid, 0);
}

static void capabilities(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0}, old = {1, 0},
                                    own = {_LINUX_CAPABILITY_VERSION_3, getpid()},
                                    none = {_LINUX_CAPABILITY_VERSION_3, 999999};
    struct __user_cap_data_struct data[2];
    memset(data, 7, sizeof data);
    CALL(capget, &head, data);
    show_bytes("capabilities", data, sizeof data);
    CALL(capset, &head, data);
    CALL(capget, &own, data);
    show_bytes("capabilities", data, sizeof data);
    CALL(capget, &old, data);
    show("    version %x", old.version);
    CALL(capget, &none, data);
    CALL(capget, BAD, data);
    CALL(capget, &head, BAD);
    CALL(capset, &none, data);
    CALL(capset, &head, BAD);
}

static void hosts(void)
{
    struct utsname u = {0};
    CALL(uname, &u);
    show("    %s %s %s", u.sysname, u.nodename, u.release);
    CALL(uname, BAD);
    CALL(sethostname, u.nodename, strlen(u.nodename));
    CALL(sethostname, u.nodename, -1);
    CALL(sethostname, BAD, 5);
    CALL(setdomainname, u.domainname, strlen(u.domainname));
    CALL(setdomainname, u.domainname, 1000);
    CALL(setdomainname, BAD, 5);
}

static void security(void)
{
    uint32_t size = 4096;
    CALL(lsm_list_modules, other, &size, 0);
    show_bytes("modules", other, size < 64 ? size : 0);
    size = 0;
    CALL(lsm_list_modules, other, &size, 0);
    show("    size %u", size);
    CALL(lsm_list_modules, BAD, &size, 0);
    CALL(lsm_list_modules, other, &size, 7);
    size = 4096;
    CALL(lsm_get_self_attr, 100, other, &size, 0);
    CALL(lsm_get_self_attr, 99, other, &size, 0);
    CALL(lsm_get_self_attr, 100, other, BAD, 0);
    CALL(lsm_set_self_attr, 100, other, 3, 0);
    CALL(lsm_set_self_attr, 100, other, 3, 7);
}

const struct surface_case identity_cases[] = {
    {"processes, groups", processes},
    {"sessions", sessions},
    {"users", users},
    {"capabilities", capabilities},
    {"the host's names", hosts},
    {"security modules", security},
    {NULL, NULL},
};
