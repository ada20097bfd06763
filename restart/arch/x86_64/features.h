/*
 * features.h - the CPU features that a program can have found out about and depend on (Intel SDM
 * volume 2, CPUID).
 *
 * Words: leaf 1 ecx, edx; leaf 7.0 ebx, ecx, edx; leaf 7.1 eax; leaf 0x80000001 ecx, edx; leaf
 * 0xd.1 eax; XCR0. Inline and without libc: the checkpoint and the starter share it.
 */
#ifndef RESTART_FEATURES_H
#define RESTART_FEATURES_H

#include <cpuid.h>
#include <stdint.h>

#include "restart/image.h"

enum {
    FEATURE_1C,
    FEATURE_1D,
    FEATURE_7B,
    FEATURE_7C,
    FEATURE_7D,
    FEATURE_71A,
    FEATURE_EXTC,
    FEATURE_EXTD,
    FEATURE_XSAVE,
    FEATURE_XCR0
};

#define FEATURE_OSXSAVE (1u << 27)

static inline uint32_t features_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static inline void features_read(uint32_t words[IMAGE_FEATURES])
{
    uint32_t a, b, c, d;
    for (unsigned i = 0; i < IMAGE_FEATURES; i++)
        words[i] = 0;
    if (__get_cpuid(1, &a, &b, &c, &d))
        words[FEATURE_1C] = c, words[FEATURE_1D] = d;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        words[FEATURE_7B] = b, words[FEATURE_7C] = c, words[FEATURE_7D] = d;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
        words[FEATURE_71A] = a;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d))
        words[FEATURE_EXTC] = c, words[FEATURE_EXTD] = d;
    if (__get_cpuid_count(0xd, 1, &a, &b, &c, &d))
        words[FEATURE_XSAVE] = a & 0xf;
    if (words[FEATURE_1C] & FEATURE_OSXSAVE)
        words[FEATURE_XCR0] = features_xcr0();
}

#endif
