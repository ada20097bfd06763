/*
 * sites.c - see sites.h: the instruction `syscall`, 0f 05.
 *
 * The same two bytes also occur within constants and addresses, once in some 300 KB. No table says
 * where instructions begin, but a stream of them falls into step: decoded from a few dozen bytes
 * earlier, and be the first one cut in two, it soon is at the true beginnings. (48 bytes were
 * enough for each of 1300 occurrences in the libraries and programs of a Debian system.)
 */
#include "driver/sites.h"

#include <capstone/capstone.h>
#include <emmintrin.h>
#include <string.h>

#define BEFORE  128
#define LONGEST 15 /* bytes of an instruction */

/* Sixteen places at once: all of a library is looked at while somebody waits. */
static int matches(const uint8_t *at)
{
    __m128i first = _mm_loadu_si128((const __m128i *)at);
    __m128i second = _mm_loadu_si128((const __m128i *)(at + 1));
    return _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(first, _mm_set1_epi8(0x0f)),
                                           _mm_cmpeq_epi8(second, _mm_set1_epi8(0x05))));
}

size_t sites_next(const uint8_t *text, size_t size, size_t from)
{
    size_t at = from;
    for (; at + 17 <= size; at += 16) {
        int found = matches(text + at);
        if (found)
            return at + (size_t)__builtin_ctz((unsigned)found);
    }
    for (; at + 2 <= size; at++)
        if (text[at] == 0x0f && text[at + 1] == 0x05)
            return at;
    return size;
}

/* mov $number,%eax before it: so are most of them, and no constant is. */
long sites_number(const uint8_t *text, size_t site)
{
    const uint8_t *at = text + site;
    bool mov = site >= 5 && at[-5] == 0xb8 && at[-3] < 4 && at[-2] == 0 && at[-1] == 0;
    return mov ? at[-4] + 256L * at[-3] : -1;
}

/* cmp $-4096,%rax behind it. */
static bool has_check(const uint8_t *text, size_t size, size_t site)
{
    return size - site >= 8 && memcmp(text + site + 2, "\x48\x3d\x00\xf0\xff\xff", 6) == 0;
}

static csh disassembler(void)
{
    static csh handle;
    if (!handle)
        cs_open(CS_ARCH_X86, CS_MODE_64, &handle);
    return handle;
}

/* Does an instruction begin at `site`, if some begins at `from`? Bytes that are none are stepped
 * over. */
static bool leads_to(const uint8_t *text, size_t size, size_t from, size_t site)
{
    static cs_insn *insn;
    const uint8_t *at = text + from;
    size_t left = size - site > LONGEST ? site + LONGEST - from : size - from;
    uint64_t offset = from;
    if (!insn)
        insn = cs_malloc(disassembler());
    while (offset < site)
        if (!cs_disasm_iter(disassembler(), &at, &left, &offset, insn))
            at++, left--, offset++;
    return offset == site;
}

bool sites_is_one(const uint8_t *text, size_t size, size_t site)
{
    return sites_number(text, site) >= 0 || has_check(text, size, site) ||
           leads_to(text, size, site > BEFORE ? site - BEFORE : 0, site);
}
