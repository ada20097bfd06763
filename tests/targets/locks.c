/*
 * usage: locks [THREADS]   THREADS (1) threads that do nothing but take and give locks whose owner
 * libc looks at, and threads that wait for such ones and have their own id in variables, where libc
 * has it, too.
 *
 * Wherever a checkpoint finds the first ones, they must be the owners of what they have taken; the
 * others must get what they wait for, be its owner, and find their variables as they were.
 */
#include <pthread.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

static struct kind {
    const char *name;
    int type, robust, protocol, limited; /* limited: it waits with a time limit */
    pthread_mutex_t busy, awaited;
    pthread_t waiter;
    volatile int waits; /* the waiter's id */
} kinds[] = {
    {.name = "recursive", .type = PTHREAD_MUTEX_RECURSIVE, .limited = 1},
    {.name = "error-checking", .type = PTHREAD_MUTEX_ERRORCHECK, .limited = 1},
    {.name = "robust", .type = PTHREAD_MUTEX_ERRORCHECK, .robust = PTHREAD_MUTEX_ROBUST},
    {.name = "inheriting", .type = PTHREAD_MUTEX_ERRORCHECK, .protocol = PTHREAD_PRIO_INHERIT},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static volatile int stopping;

static void make(struct kind *k, pthread_mutex_t *mutex)
{
    pthread_mutexattr_t a;
    if (pthread_mutexattr_init(&a) || pthread_mutexattr_settype(&a, k->type) ||
        pthread_mutexattr_setrobust(&a, k->robust) ||
        pthread_mutexattr_setprotocol(&a, k->protocol) || pthread_mutex_init(mutex, &a))
        cannot("pthread_mutex_init");
}

/* Takes it twice where it may be. */
static void use(struct kind *k)
{
    int again = k->type == PTHREAD_MUTEX_RECURSIVE ? 0 : EDEADLK;
    int first = pthread_mutex_lock(&k->busy), second = pthread_mutex_lock(&k->busy);
    int third = second ? 0 : pthread_mutex_unlock(&k->busy);
    int last = pthread_mutex_unlock(&k->busy);
    CHECK(!first && second == again && !third && !last, "%s: lock %s, again %s, unlock %s, last %s",
          k->name, strerror(first), strerror(second), strerror(third), strerror(last));
}

static void *be_busy(void *unused)
{
    while (!stopping && !differences)
        for (size_t i = 0; i < KINDS; i++)
            use(&kinds[i]);
    return unused;
}

static void *wait_for(void *argument)
{
    struct kind *k = argument;
    const struct timespec never = {.tv_sec = 1L << 40};
    long before = syscall(SYS_gettid);
    volatile int copies[8];
    for (int i = 0; i < 8; i++)
        copies[i] = (int)before;
    k->waits = (int)before;
    int took =
        k->limited ? pthread_mutex_timedlock(&k->awaited, &never) : pthread_mutex_lock(&k->awaited);
    for (int i = 0; i < 8; i++)
        CHECK(copies[i] == before, "%s: word %d was %ld, is %d", k->name, i, before, copies[i]);
    int again = pthread_mutex_lock(&k->awaited);
    CHECK(again == (k->type == PTHREAD_MUTEX_RECURSIVE ? 0 : EDEADLK), "%s: again: %s", k->name,
          strerror(again));
    int gave = again ? 0 : pthread_mutex_unlock(&k->awaited);
    int last = pthread_mutex_unlock(&k->awaited);
    CHECK(!took && !gave && !last, "%s: took %s, gave %s, last %s", k->name, strerror(took),
          strerror(gave), strerror(last));
    return NULL;
}

static int is_waiting(int thread)
{
    char path[64];
    int number = -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%d", &number) != 1)
        number = -1; /* "running" */
    if (file)
        fclose(file);
    return number == SYS_futex;
}

static void begin(struct kind *k)
{
    make(k, &k->busy);
    make(k, &k->awaited);
    if (pthread_mutex_lock(&k->awaited))
        cannot("pthread_mutex_lock");
    if (pthread_create(&k->waiter, NULL, wait_for, k))
        cannot("pthread_create");
    while (!k->waits || !is_waiting(k->waits))
        rest(1);
}

int main(int argc, char **argv)
{
    pthread_t busy[8];
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    for (size_t i = 0; i < KINDS; i++)
        begin(&kinds[i]);
    for (int i = 0; i < threads; i++)
        if (i == 8 || pthread_create(&busy[i], NULL, be_busy, NULL))
            cannot("pthread_create");
    ready();
    do
        rest(5);
    while (!stop_asked());
    stopping = 1;
    for (int i = 0; i < threads; i++)
        pthread_join(busy[i], NULL);
    for (size_t i = 0; i < KINDS; i++) {
        int gave = pthread_mutex_unlock(&kinds[i].awaited);
        CHECK(!gave, "%s: gave %s", kinds[i].name, strerror(gave));
        pthread_join(kinds[i].waiter, NULL);
    }
    return finish();
}
