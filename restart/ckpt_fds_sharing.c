/* ckpt_fds_sharing.c - which descriptors are one open file description: sorted in the kernel's own
 * order (kcmp(2)), equal ones stand side by side. */
#include <linux/kcmp.h>

#include "restart/fds.h"
#include "stubs/raw.h"

static struct fds_entry *entry;
static int pid;
static int order[FDS_MAX];

/* Negative, 0, positive as the kernel orders the two open file descriptions; 0 also when it would
 * not say. */
static long compare(int a, int b)
{
    long result = raw(SYS_kcmp, pid, pid, KCMP_FILE, entry[a].number, entry[b].number);
    return result == 1 ? -1 : result > 1 ? 1 : 0;
}

static void sift_down(uint32_t root, uint32_t count)
{
    for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(order[child], order[child + 1]) < 0)
            child++;
        if (compare(order[root], order[child]) >= 0)
            return;
        int swapped = order[root];
        order[root] = order[child];
        order[child] = swapped;
    }
}

/* Heap sort: no recursion, no memory, no bad case among 64 Ki descriptors. */
static void sort_by_description(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        order[i] = (int)i;
    for (uint32_t i = count / 2; i-- > 0;)
        sift_down(i, count);
    for (uint32_t end = count; end-- > 1;) {
        int last = order[end];
        order[end] = order[0];
        order[0] = last;
        sift_down(0, end);
    }
}

void fds_find_sharing(struct fds_header *h, struct fds_entry *entries)
{
    entry = entries;
    pid = (int)raw(SYS_getpid);
    if (!h->count || raw(SYS_kcmp, pid, pid, KCMP_FILE, entry[0].number, entry[0].number) != 0) {
        h->flags |= h->count ? FDS_SHARING_UNKNOWN : 0;
        return;
    }
    sort_by_description(h->count);
    for (uint32_t begin = 0, end; begin < h->count; begin = end) {
        int32_t lowest = entry[order[begin]].number;
        for (end = begin + 1; end < h->count && compare(order[begin], order[end]) == 0; end++)
            if (entry[order[end]].number < lowest)
                lowest = entry[order[end]].number;
        for (uint32_t i = begin; i < end; i++)
            entry[order[i]].shares = lowest;
    }
}
