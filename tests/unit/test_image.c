/* test_image.c - the checksum of images, and what is refused as an image before anything else is
 * looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restart/checksum.h"
#include "restart/starter.h"

static void every_bit_counts(void **state)
{
    uint64_t words[40];
    unsigned char *bytes = (void *)words;
    (void)state;
    for (size_t i = 0; i < sizeof words; i++)
        bytes[i] = (unsigned char)(i * 7);
    uint64_t sum = checksum(words, sizeof words - 3);
    for (size_t bit = 0; bit < 8 * (sizeof words - 3); bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true(checksum(words, sizeof words - 3) != sum);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(checksum(words, sizeof words - 3) == sum);
}

static void length_and_place_count(void **state)
{
    static uint64_t zeros[1024], page[1024];
    (void)state;
    assert_true(checksum(zeros, 4096) != checksum(zeros, 8192));
    assert_true(checksum(zeros, 0) != checksum(zeros, 1));
    page[0] = 1;
    uint64_t first = checksum(page, sizeof page);
    page[0] = 0, page[512] = 1; /* the same page content, one page further */
    assert_true(checksum(page, sizeof page) != first);
}

static void pieces_make_the_whole(void **state)
{
    static uint64_t words[512];
    struct checksum c;
    (void)state;
    for (size_t i = 0; i < 512; i++)
        words[i] = i * i;
    checksum_start(&c);
    checksum_add(&c, words, 1024);
    checksum_add(&c, words + 128, 64);
    checksum_add(&c, words + 136, sizeof words - 1088);
    assert_true(checksum_end(&c) == checksum(words, sizeof words));
}

/* Opens a file with these contents as an image. */
static int open_bytes(const void *bytes, size_t size, struct image *image)
{
    char path[] = "/tmp/test_image.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
    int result = image_open(image, path);
    unlink(path);
    image_close(image);
    return result;
}

static void refused(const void *bytes, size_t size, const char *why)
{
    static struct image image;
    assert_int_equal(open_bytes(bytes, size, &image), -EBADMSG);
    if (!strstr(image.error, why))
        fail_msg("'%s' instead of '%s'", image.error, why);
}

static void no_image(void **state)
{
    Elf64_Ehdr e = {.e_ident = ELFMAG "\2\1\1", .e_type = ET_CORE, .e_phoff = sizeof e};
    struct {
        Elf64_Ehdr e;
        Elf64_Phdr p;
        Elf64_Nhdr n;
        char name[8];
    } core = {e, {.p_type = PT_NOTE, .p_offset = 120, .p_filesz = 20}, {5, 0, 1}, "CORE"};
    (void)state;
    refused("", 0, "not a 64-bit ELF core file");
    refused("#!/bin/sh\n", 10, "not a 64-bit ELF core file");
    refused(&e, sizeof e, "a core file of another kind");
    refused(&core, sizeof core, "a core file of another program");
    core.p.p_filesz = 4000;
    refused(&core, sizeof core, "cut short");
    core.p.p_filesz = UINT64_MAX;
    refused(&core, sizeof core, "damaged");
    core.p.p_filesz = 20, core.n.n_descsz = 0xffffffff;
    refused(&core, sizeof core, "a core file of another program");
    e.e_type = ET_EXEC;
    refused(&e, sizeof e, "not a 64-bit ELF core file");
}

static void missing_file(void **state)
{
    static struct image image;
    (void)state;
    assert_int_equal(image_open(&image, "/nonexistent/image"), -ENOENT);
    assert_non_null(strstr(image.error, "'/nonexistent/image'"));
    image_close(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_counts),      cmocka_unit_test(length_and_place_count),
        cmocka_unit_test(pieces_make_the_whole), cmocka_unit_test(no_image),
        cmocka_unit_test(missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
