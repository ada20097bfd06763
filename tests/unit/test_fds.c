/* The descriptor table: what the checkpoint writes is what is open; what is damaged is refused. The
 * in-target source is compiled into this program. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "restart/ckpt_fds.c"
#include "restart/ckpt_fds_leave.c"
#include "restart/ckpt_fds_sharing.c"
#include "restart/ckpt_text.c"

static struct fds_table table;

static const struct fds_header *collect(void)
{
    if (table.data)
        fds_free(&table);
    assert_int_equal(fds_collect(&table, NULL, 0), 0);
    assert_true(fds_valid(table.data, table.size));
    return table.data;
}

static const struct fds_entry *find(const struct fds_header *h, int number)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (fds_entries(h)[i].number == number)
            return fds_entries(h) + i;
    return NULL;
}

static int temporary_file(char *name)
{
    strcpy(name, "/tmp/test_fds.XXXXXX");
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    return fd;
}

static void lists_a_file(void **state)
{
    (void)state;
    char name[32];
    int fd = temporary_file(name);
    assert_int_equal(write(fd, "hello", 5), 5);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    const struct fds_header *h = collect();
    const struct fds_entry *e = find(h, fd);
    assert_non_null(e);
    assert_int_equal(e->kind, FDS_REGULAR);
    assert_int_equal(e->flags, FDS_CLOEXEC);
    assert_int_equal(e->offset, 3);
    assert_int_equal(e->size, 5);
    assert_int_equal(e->status & O_ACCMODE, O_RDWR);
    assert_string_equal(fds_string(h, e->path), name);
    unlink(name);
    h = collect();
    assert_int_equal(find(h, fd)->flags, FDS_CLOEXEC | FDS_DELETED);
    assert_string_equal(fds_string(h, find(h, fd)->path), name);
    close(fd);
}

static void leaves_nothing_open_and_itself_out(void **state)
{
    (void)state;
    const struct fds_header *h = collect();
    for (uint32_t i = 0; i < h->count; i++)
        assert_true(fcntl(fds_entries(h)[i].number, F_GETFD) >= 0);
    uint32_t count = h->count;
    int own = dup(0);
    fds_free(&table);
    assert_int_equal(fds_collect(&table, &own, 1), 0);
    h = table.data;
    assert_int_equal(h->count, count);
    close(own);
}

static void tells_duplicates_from_second_opens(void **state)
{
    (void)state;
    char name[32];
    int a = temporary_file(name), b = open(name, O_RDWR), c = dup(a), d = dup(b);
    const struct fds_header *h = collect();
    assert_int_equal(find(h, a)->shares, a);
    assert_int_equal(find(h, b)->shares, b);
    assert_int_equal(find(h, c)->shares, a);
    assert_int_equal(find(h, d)->shares, b);
    unlink(name);
    close(a), close(b), close(c), close(d);
}

static void lists_each_lock_once(void **state)
{
    (void)state;
    char name[32];
    int a = temporary_file(name), b = dup(a), c = open(name, O_RDONLY);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
    assert_int_equal(fcntl(a, F_SETLK, &lock), 0);
    assert_int_equal(flock(c, LOCK_SH), 0);
    const struct fds_header *h = collect();
    int posix = 0, flocks = 0;
    for (uint32_t i = 0; i < h->locks; i++) {
        const struct fds_lock *l = fds_locks(h) + i;
        if (l->kind == FDS_POSIX) {
            posix++;
            assert_true(l->number == a || l->number == b); /* c cannot carry a write lock */
            assert_true(l->write && l->start == 5 && l->end == 14);
        }
        if (l->kind == FDS_FLOCK) {
            flocks++;
            assert_true(l->number == c && !l->write && l->end == INT64_MAX);
        }
    }
    assert_int_equal(posix, 1);
    assert_int_equal(flocks, 1);
    lock.l_len = 1;
    lock.l_start = 5;
    unlink(name);
    close(a), close(b), close(c);
}

static void knows_the_kinds(void **state)
{
    (void)state;
    int pipes[2], sockets[2];
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
    int event = eventfd(3, 0), memory = memfd_create("m", 0), directory = open("/", O_RDONLY);
    int null = open("/dev/null", O_RDONLY), self = open("/proc/self/maps", O_RDONLY);
    assert_int_equal(write(pipes[1], "four", 4), 4);
    const struct fds_header *h = collect();
    assert_int_equal(find(h, pipes[0])->kind, FDS_PIPE);
    assert_int_equal(find(h, pipes[0])->size, 4);
    assert_int_equal(find(h, sockets[0])->kind, FDS_SOCKET);
    assert_int_equal(find(h, sockets[0])->type, SOCK_DGRAM);
    assert_int_equal(find(h, event)->kind, FDS_EVENTFD);
    assert_non_null(strstr(fds_string(h, find(h, event)->extra), "eventfd-count:"));
    assert_int_equal(find(h, memory)->kind, FDS_MEMFD);
    assert_int_equal(find(h, directory)->kind, FDS_DIRECTORY);
    assert_int_equal(find(h, null)->kind, FDS_CHARACTER);
    assert_int_equal(find(h, self)->kind, FDS_BOUND);
    char why[256] = "";
    assert_int_equal(fds_check_leaving(&table, why, sizeof why), -ENOTSUP);
    assert_non_null(strstr(why, "/maps"));
    close(pipes[0]), close(pipes[1]), close(sockets[0]), close(sockets[1]);
    close(event), close(memory), close(directory), close(null), close(self);
}

static void refuses_a_damaged_table(void **state)
{
    (void)state;
    const struct fds_header *h = collect();
    char *copy = malloc(table.size);
    assert_non_null(copy);
    for (size_t size = 0; size < table.size; size++) {
        memcpy(copy, h, size);
        assert_false(fds_valid(copy, size));
    }
    memcpy(copy, h, table.size);
    ((struct fds_header *)copy)->count = UINT32_MAX;
    assert_false(fds_valid(copy, table.size));
    memcpy(copy, h, table.size);
    ((struct fds_entry *)((struct fds_header *)copy + 1))->path = h->strings;
    assert_false(fds_valid(copy, table.size));
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_a_file),
        cmocka_unit_test(leaves_nothing_open_and_itself_out),
        cmocka_unit_test(tells_duplicates_from_second_opens),
        cmocka_unit_test(lists_each_lock_once),
        cmocka_unit_test(knows_the_kinds),
        cmocka_unit_test(refuses_a_damaged_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
