/* ckpt_state.c - the checks behind the REFUSED rows of state.def, but for those on memory
 * (ckpt_maps.c). */
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "restart/ckpt.h"
#include "restart/ckpt_rendezvous.h"
#include "restart/fds.h"
#include "stubs/mem.h"
#include "stubs/raw.h"

#define REFUSED    1
#define RESTORED   0
#define DOCUMENTED 0

/* The texts of a row; no table of pointers, which would need relocations. */
static const char *row_what(enum ckpt_row row)
{
    switch (row) {
#define STATE(identifier, disposition, what, hint)                                                 \
    case CKPT_ROW_##identifier:                                                                    \
        return disposition ? what : "";
#include "restart/state.def"
#undef STATE
    }
    return "";
}

static const char *row_hint(enum ckpt_row row)
{
    switch (row) {
#define STATE(identifier, disposition, what, hint)                                                 \
    case CKPT_ROW_##identifier:                                                                    \
        return disposition ? hint : "";
#include "restart/state.def"
#undef STATE
    }
    return "";
}

long ckpt_refused(enum ckpt_row row, const char *found)
{
    text_add(&ckpt_why, "the program has ");
    text_add(&ckpt_why, row_what(row));
    if (*found) {
        text_add(&ckpt_why, " (");
        text_add(&ckpt_why, found);
        text_add(&ckpt_why, ")");
    }
    text_add(&ckpt_why, ", which a checkpoint cannot keep: ");
    text_add(&ckpt_why, row_hint(row));
    return -ENOTSUP;
}

/* The value of a line of /proc/self/status, if `line` is the one named `key`; else NULL. */
static const char *value(const char *line, const char *key)
{
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 && line[length] == ':' ? text_skip(line, 1) : NULL;
}

static long check_status_line(const char *line)
{
    const char *v;
    if ((v = value(line, "Seccomp")) && strcmp(v, "0") != 0)
        return ckpt_refused(CKPT_ROW_seccomp, "");
    if ((v = value(line, "x86_Thread_features")) && strncmp(v, "shstk", 5) == 0)
        return ckpt_refused(CKPT_ROW_shadow_stack, "");
    return 0;
}

static long check_status(void)
{
    static struct lines l;
    long result = lines_open(&l, "/proc/self/status");
    if (result < 0)
        return ckpt_fail(result, "cannot read", "/proc/self/status");
    for (char *line; !result && (line = lines_next(&l));)
        result = check_status_line(line);
    lines_close(&l);
    return result;
}

/* Each child is listed with the thread that made it. */
static void list_children(int32_t tid, struct text *list)
{
    char path[64], some[128];
    struct text t = {path, sizeof path, 0};
    text_add(&t, "/proc/self/task/");
    text_number(&t, tid);
    text_add(&t, "/children");
    if (text_file(path, some, sizeof some) > 0)
        text_add(list, some);
}

static long check_children(void)
{
    siginfo_t info;
    char bytes[128] = "";
    struct text list = {bytes, sizeof bytes, 0};
    if (raw(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, NULL) == -ECHILD)
        return 0;
    for (unsigned i = 0; i < rendezvous_count(); i++)
        list_children(rendezvous_thread(i)->tid, &list);
    return ckpt_refused(CKPT_ROW_children, bytes);
}

/* With MCL_FUTURE a new page is locked at once, and msync(MS_INVALIDATE) says so; or there may be
 * no more locked ones. */
static long check_lock_future(void)
{
    long page = raw(SYS_mmap, 0, IMAGE_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == -EAGAIN)
        return ckpt_refused(CKPT_ROW_lock_future, "");
    if (raw_failed(page))
        return ckpt_fail(page, "cannot map a page", "");
    long result = raw(SYS_msync, page, IMAGE_PAGE, MS_INVALIDATE);
    raw(SYS_munmap, page, IMAGE_PAGE);
    return result == -EBUSY ? ckpt_refused(CKPT_ROW_lock_future, "") : 0;
}

static long check_ldt(void)
{
    uint64_t entry[8];
    return raw(SYS_modify_ldt, 0, entry, sizeof entry) > 0
               ? ckpt_refused(CKPT_ROW_local_descriptors, "")
               : 0;
}

long ckpt_refuse_fds(void)
{
    const struct fds_header *table = (const void *)ckpt.fds;
    for (uint32_t i = 0; ckpt.fds_size && i < table->count; i++)
        if (fds_entries(table)[i].kind == FDS_IO_URING)
            return ckpt_refused(CKPT_ROW_io_uring, "");
    return 0;
}

long ckpt_refuse(void)
{
    long result;
    if (raw(SYS_prctl, PR_GET_DUMPABLE) != 1)
        return ckpt_refused(CKPT_ROW_not_dumpable, "");
    if ((result = check_status()) || (result = check_children()) || (result = check_lock_future()))
        return result;
    return check_ldt();
}
