/* starter_cpu.c - x86-64: refuses by name an image that needs CPU features this machine has not. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "restart/arch/x86_64/features.h"
#include "restart/starter.h"

/* Features that programs use without asking the kernel, by the names of /proc/cpuinfo. */
static const struct {
    unsigned char word, bit;
    const char *name;
} features[] = {
    {FEATURE_1C, 0, "pni"},
    {FEATURE_1C, 1, "pclmulqdq"},
    {FEATURE_1C, 9, "ssse3"},
    {FEATURE_1C, 12, "fma"},
    {FEATURE_1C, 13, "cx16"},
    {FEATURE_1C, 19, "sse4_1"},
    {FEATURE_1C, 20, "sse4_2"},
    {FEATURE_1C, 22, "movbe"},
    {FEATURE_1C, 23, "popcnt"},
    {FEATURE_1C, 25, "aes"},
    {FEATURE_1C, 26, "xsave"},
    {FEATURE_1C, 27, "osxsave"},
    {FEATURE_1C, 28, "avx"},
    {FEATURE_1C, 29, "f16c"},
    {FEATURE_1C, 30, "rdrand"},
    {FEATURE_7B, 0, "fsgsbase"},
    {FEATURE_7B, 3, "bmi1"},
    {FEATURE_7B, 4, "hle"},
    {FEATURE_7B, 5, "avx2"},
    {FEATURE_7B, 8, "bmi2"},
    {FEATURE_7B, 9, "erms"},
    {FEATURE_7B, 11, "rtm"},
    {FEATURE_7B, 16, "avx512f"},
    {FEATURE_7B, 17, "avx512dq"},
    {FEATURE_7B, 18, "rdseed"},
    {FEATURE_7B, 19, "adx"},
    {FEATURE_7B, 21, "avx512ifma"},
    {FEATURE_7B, 23, "clflushopt"},
    {FEATURE_7B, 24, "clwb"},
    {FEATURE_7B, 28, "avx512cd"},
    {FEATURE_7B, 29, "sha_ni"},
    {FEATURE_7B, 30, "avx512bw"},
    {FEATURE_7B, 31, "avx512vl"},
    {FEATURE_7C, 1, "avx512vbmi"},
    {FEATURE_7C, 5, "waitpkg"},
    {FEATURE_7C, 6, "avx512_vbmi2"},
    {FEATURE_7C, 8, "gfni"},
    {FEATURE_7C, 9, "vaes"},
    {FEATURE_7C, 10, "vpclmulqdq"},
    {FEATURE_7C, 11, "avx512_vnni"},
    {FEATURE_7C, 12, "avx512_bitalg"},
    {FEATURE_7C, 14, "avx512_vpopcntdq"},
    {FEATURE_7C, 22, "rdpid"},
    {FEATURE_7C, 27, "movdiri"},
    {FEATURE_7C, 28, "movdir64b"},
    {FEATURE_7D, 4, "fsrm"},
    {FEATURE_7D, 8, "avx512_vp2intersect"},
    {FEATURE_7D, 14, "serialize"},
    {FEATURE_7D, 22, "amx_bf16"},
    {FEATURE_7D, 23, "avx512_fp16"},
    {FEATURE_7D, 24, "amx_tile"},
    {FEATURE_7D, 25, "amx_int8"},
    {FEATURE_71A, 4, "avx_vnni"},
    {FEATURE_71A, 5, "avx512_bf16"},
    {FEATURE_EXTC, 0, "lahf_lm"},
    {FEATURE_EXTC, 5, "abm"},
    {FEATURE_EXTC, 6, "sse4a"},
    {FEATURE_EXTC, 11, "xop"},
    {FEATURE_EXTC, 16, "fma4"},
    {FEATURE_EXTC, 21, "tbm"},
    {FEATURE_EXTD, 27, "rdtscp"},
    {FEATURE_XSAVE, 0, "xsaveopt"},
    {FEATURE_XSAVE, 1, "xsavec"},
    {FEATURE_XSAVE, 2, "xgetbv1"},
};

static void missing(const struct image *image, const uint32_t here[IMAGE_FEATURES], char *list,
                    size_t size)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        uint32_t bit = 1u << features[i].bit;
        if (!(image->header.features[features[i].word] & bit) || here[features[i].word] & bit)
            continue;
        strncat(list, " ", size - strlen(list) - 1);
        strncat(list, features[i].name, size - strlen(list) - 1);
    }
}

int starter_check_cpu(struct image *image)
{
    uint32_t here[IMAGE_FEATURES];
    char list[1024] = "";
    if (strcmp(image->header.machine, "x86_64") != 0)
        return image_fail(image, -ENOEXEC, "the image '%s' is of a machine of another kind (%.15s)",
                          image->path, image->header.machine);
    features_read(here);
    missing(image, here, list, sizeof list);
    if (*list)
        return image_fail(image, -ENOTSUP,
                          "the program of '%s' may use CPU features that this machine has not:%s",
                          image->path, list);
    uint32_t state = image->header.features[FEATURE_XCR0] & ~here[FEATURE_XCR0];
    if (state)
        return image_fail(
            image, -ENOTSUP,
            "the image '%s' holds extended registers that this machine has not (0x%x)", image->path,
            state);
    return 0;
}
