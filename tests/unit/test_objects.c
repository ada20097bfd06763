/* test_objects.c - the ELF files of this process, compared with what the dynamic linker says of
 * them. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/objects.h"
#include "driver/proc.h"

#include <cmocka.h> /* last: it defines a macro fail() */

static struct maps maps;
static struct objects *objects;

static void open_own(void)
{
    struct failure f;
    assert_int_equal(maps_read(getpid(), &maps, &f), 0);
    assert_int_equal(objects_open(getpid(), &maps, &objects, &f), 0);
}

static void close_own(void)
{
    objects_free(objects);
    maps_free(&maps);
}

/* Of libc itself: a sanitizer's library has functions of the same names. */
static void *of_libc(const char *name)
{
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void *address = dlsym(libc, name);
    dlclose(libc);
    return address;
}

static int setup(void **state)
{
    (void)state;
    open_own();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_own();
    return 0;
}

static void addresses_are_the_linkers(void **state)
{
    (void)state;
    /* several have old versions besides the default one */
    static const char *const names[] = {"malloc",       "read",    "pthread_cond_wait",
                                        "posix_spawn",  "regexec", "fopen",
                                        "timer_create", "environ", "exit"};
    const struct object *libc = objects_libc(objects);
    assert_non_null(libc);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        taddr address = 0;
        assert_true(object_symbol(objects, libc, names[i], &address));
        assert_true(address == (uintptr_t)of_libc(names[i]));
    }
}

static void no_resolvers_no_nonsense(void **state)
{
    (void)state;
    const struct object *libc = objects_libc(objects);
    taddr address;
    assert_false(
        object_symbol(objects, libc, "memcpy", &address)); /* an IFUNC, old version or not */
    assert_false(object_symbol(objects, libc, "strlen", &address));
    assert_false(object_symbol(objects, libc, "no_such_function", &address));
    assert_false(object_symbol(objects, libc, "", &address));
}

__attribute__((noinline)) static int hidden_function(int x)
{
    return x * 3 + getpid();
}

static void hidden_functions_of_an_unstripped_file(void **state)
{
    (void)state;
    const struct object *self = objects_holding(objects, (uintptr_t)hidden_function);
    struct object_function f;
    taddr address;
    assert_non_null(self);
    assert_true(object_symbol(objects, self, "hidden_function", &address));
    assert_true(address == (uintptr_t)hidden_function);
    assert_true(object_function_at(objects, self, address + 1, &f));
    assert_string_equal(f.name, "hidden_function");
    assert_false(object_function_exported(objects, self, "hidden_function", &f));
    assert_int_equal(hidden_function(0), getpid());
}

struct survey {
    size_t count;
    taddr before;
    const struct object *object;
};

static int look_at(void *context, const struct object_function *f)
{
    struct survey *s = context;
    s->count++;
    assert_true(f->address >= s->before); /* ascending */
    assert_true(f->address + f->size <= s->object->text_used_end);
    s->before = f->address;
    return 0;
}

static void functions_lie_in_the_text(void **state)
{
    (void)state;
    const struct object *libc = objects_libc(objects);
    struct survey s = {.object = libc};
    assert_int_equal(object_functions(objects, libc, look_at, &s), 0);
    assert_true(s.count > 1500);
    assert_true(libc->text_start < libc->text_used_end && libc->text_used_end <= libc->text_end);
}

static void function_at_an_address(void **state)
{
    (void)state;
    const struct object *libc = objects_libc(objects);
    struct object_function f, by_name;
    assert_true(object_function_exported(objects, libc, "read", &by_name));
    assert_true(object_function_at(objects, libc, by_name.address, &f));
    assert_string_equal(f.name, "read"); /* not __read */
    assert_true(object_function_at(objects, libc, by_name.address + by_name.size - 1, &f));
    assert_true(f.address == by_name.address);
    assert_false(object_function_at(objects, libc, libc->text_start, &f));
}

static void text_of_the_file(void **state)
{
    (void)state;
    const struct object *libc = objects_libc(objects);
    char bytes[64];
    taddr address = (uintptr_t)of_libc("write");
    assert_int_equal(object_text(objects, libc, address, bytes, sizeof bytes), 0);
    assert_memory_equal(bytes, (void *)(uintptr_t)address, sizeof bytes);
    assert_int_equal(object_text(objects, libc, libc->text_used_end - 8, bytes, 16), -EFAULT);
    assert_int_equal(object_text(objects, libc, 16, bytes, 16), -EFAULT);
}

static void vdso(void **state)
{
    (void)state;
    const struct object *found = NULL;
    taddr address;
    for (size_t i = 0; i < objects_count(objects); i++)
        if (!strcmp(objects_at(objects, i)->path, "[vdso]"))
            found = objects_at(objects, i);
    assert_non_null(found);
    assert_true(found->text_start == getauxval(AT_SYSINFO_EHDR));
    assert_true(object_symbol(objects, found, "__vdso_clock_gettime", &address));
    assert_ptr_equal(objects_holding(objects, address), found);
}

/* --- files that are gone, or damaged --- */

static void copy_file(const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof command, "cp -L '%s' '%s' && chmod 755 '%s'", from, to, to);
    assert_int_equal(system(command), 0);
}

/* As an ordinary user, who may not use /proc/PID/map_files: 0 when all is right. */
static int look_into_deleted(const char *path, void *function)
{
    taddr address = 0;
    struct object_function f;
    char bytes[32];
    unlink(path);
    open_own();
    const struct object *gone = objects_holding(objects, (uintptr_t)function);
    if (!gone || strcmp(gone->path, path) != 0)
        return 1;
    if (!object_symbol(objects, gone, "cbrt", &address) || address != (uintptr_t)function)
        return 2;
    if (!object_function_at(objects, gone, address + 4, &f) || strcmp(f.name, "cbrt") != 0)
        return 3;
    if (object_text(objects, gone, address, bytes, sizeof bytes) ||
        memcmp(bytes, function, sizeof bytes) != 0)
        return 4;
    close_own();
    return 0;
}

static void deleted_library(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/test_objects.%d.so", (int)getpid());
    copy_file("/lib/x86_64-linux-gnu/libm.so.6", path);
    pid_t pid = fork();
    if (pid == 0) {
        void *library = dlopen(path, RTLD_NOW);
        void *function = library ? dlsym(library, "cbrt") : NULL;
        unlink(path);
        if (!function || (getuid() == 0 && setresuid(65534, 65534, 65534)))
            _exit(10);
        prctl(PR_SET_DUMPABLE, 1);
        _exit(look_into_deleted(path, function));
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int count_function(void *context, const struct object_function *f)
{
    *(size_t *)context += strlen(f->name) < 4096;
    return 0;
}

/* Whatever a file says of itself, nothing outside of it is read: run under ASan as well. */
static void damaged_files(void **state)
{
    (void)state;
    char path[64];
    unsigned seed = 7;
    snprintf(path, sizeof path, "/tmp/test_objects.%d.damaged", (int)getpid());
    for (int round = 0; round < 60; round++) {
        copy_file("/lib/x86_64-linux-gnu/libdl.so.2", path);
        int fd = open(path, O_RDWR);
        struct stat s;
        assert_true(fd >= 0 && !fstat(fd, &s));
        for (int i = 0; i < 40; i++) {
            unsigned char byte = (unsigned char)rand_r(&seed);
            off_t where = i < 8 ? 64 + rand_r(&seed) % 512 : rand_r(&seed) % s.st_size;
            assert_int_equal(pwrite(fd, &byte, 1, where), 1);
        }
        void *place = mmap(NULL, (size_t)s.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
        struct failure f;
        struct maps damaged_maps;
        struct objects *damaged;
        assert_int_equal(maps_read(getpid(), &damaged_maps, &f), 0);
        assert_int_equal(objects_open(getpid(), &damaged_maps, &damaged, &f), 0);
        const struct object *object = objects_holding(damaged, (uintptr_t)place);
        size_t count = 0;
        taddr address;
        if (object) {
            object_functions(damaged, object, count_function, &count);
            object_symbol(damaged, object, "dlopen", &address);
        }
        objects_free(damaged);
        maps_free(&damaged_maps);
        munmap(place, (size_t)s.st_size);
        close(fd);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(addresses_are_the_linkers, setup, teardown),
        cmocka_unit_test_setup_teardown(no_resolvers_no_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(hidden_functions_of_an_unstripped_file, setup, teardown),
        cmocka_unit_test_setup_teardown(functions_lie_in_the_text, setup, teardown),
        cmocka_unit_test_setup_teardown(function_at_an_address, setup, teardown),
        cmocka_unit_test_setup_teardown(text_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(vdso, setup, teardown),
        cmocka_unit_test(deleted_library),
        cmocka_unit_test(damaged_files),
    };
    return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
