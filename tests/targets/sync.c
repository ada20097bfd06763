/*
 * sync.c - every synchronisation object of pthreads, in use by several threads all the time; the
 * counts, the exclusion and the owners must be right to the last.
 *
 * Usage: sync [THREADS]. Each of the workers (default 4) goes through all objects, round after
 * round, until $STOP exists; each object's rule is checked in every round.
 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "tests/targets/target.h"

#define MAX_WORKERS 64

static size_t workers;
static volatile int stopping;
static atomic_long rounds_done;

#define RIGHT(call, what)                                                                          \
    do {                                                                                           \
        int error_ = (call);                                                                       \
        CHECK(!error_, "%s: %s", what, strerror(error_));                                          \
    } while (0)

/* --- mutexes: a counter under each --- */

static struct counted {
    const char *name;
    int type, protocol, robust, shared;
    pthread_mutex_t mutex;
    long count; /* only changed with the mutex held */
} counters[] = {
    {.name = "a normal mutex", .type = PTHREAD_MUTEX_NORMAL},
    {.name = "a recursive mutex", .type = PTHREAD_MUTEX_RECURSIVE},
    {.name = "an error-checking mutex", .type = PTHREAD_MUTEX_ERRORCHECK},
    {.name = "a priority-inheriting mutex", .protocol = PTHREAD_PRIO_INHERIT},
    {.name = "a robust mutex", .robust = PTHREAD_MUTEX_ROBUST},
    {.name = "a shared mutex", .shared = PTHREAD_PROCESS_SHARED},
};
#define COUNTERS (sizeof counters / sizeof *counters)

static void make_mutex(struct counted *c)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    RIGHT(pthread_mutexattr_settype(&attributes, c->type), c->name);
    RIGHT(pthread_mutexattr_setprotocol(&attributes, c->protocol), c->name);
    RIGHT(pthread_mutexattr_setrobust(&attributes, c->robust), c->name);
    RIGHT(pthread_mutexattr_setpshared(&attributes, c->shared), c->name);
    RIGHT(pthread_mutex_init(&c->mutex, &attributes), c->name);
    pthread_mutexattr_destroy(&attributes);
}

static void count_under(struct counted *c)
{
    long before;

    RIGHT(pthread_mutex_lock(&c->mutex), c->name);
    if (c->type == PTHREAD_MUTEX_RECURSIVE)
        RIGHT(pthread_mutex_lock(&c->mutex), c->name);
    if (c->type == PTHREAD_MUTEX_ERRORCHECK)
        CHECK(pthread_mutex_lock(&c->mutex) == EDEADLK, "%s was locked twice", c->name);
    before = c->count;
    sched_yield();
    CHECK(c->count == before, "%s did not keep others out", c->name);
    c->count = before + 1;
    if (c->type == PTHREAD_MUTEX_RECURSIVE)
        RIGHT(pthread_mutex_unlock(&c->mutex), c->name);
    RIGHT(pthread_mutex_unlock(&c->mutex), c->name);
}

/* --- a robust mutex whose owner ends --- */

static void *die_with(void *mutex)
{
    pthread_mutex_lock(mutex);
    return NULL;
}

static void inherit(void)
{
    struct counted own = {.name = "an orphaned mutex", .robust = PTHREAD_MUTEX_ROBUST};
    pthread_t thread;
    int error;

    make_mutex(&own);
    RIGHT(pthread_create(&thread, NULL, die_with, &own.mutex), "pthread_create");
    RIGHT(pthread_join(thread, NULL), "pthread_join");
    error = pthread_mutex_lock(&own.mutex);
    CHECK(error == EOWNERDEAD, "%s: %s", own.name, strerror(error));
    RIGHT(pthread_mutex_consistent(&own.mutex), own.name);
    RIGHT(pthread_mutex_unlock(&own.mutex), own.name);
    pthread_mutex_destroy(&own.mutex);
}

/* --- a queue of one place, with condition variables --- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t filled, emptied;
    int full;
    long put, taken;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0};

static struct timespec soon(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1000;
    return until;
}

static void put(void)
{
    pthread_mutex_lock(&queue.mutex);
    while (queue.full)
        RIGHT(pthread_cond_wait(&queue.emptied, &queue.mutex), "pthread_cond_wait");
    queue.full = 1;
    queue.put++;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.mutex);
}

static void take(void)
{
    struct timespec until = soon();

    pthread_mutex_lock(&queue.mutex);
    while (!queue.full)
        RIGHT(pthread_cond_timedwait(&queue.filled, &queue.mutex, &until),
              "pthread_cond_timedwait");
    queue.full = 0;
    queue.taken++;
    pthread_cond_signal(&queue.emptied);
    pthread_mutex_unlock(&queue.mutex);
}

/* --- the others --- */

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static long pair[2]; /* equal, whoever reads */
static pthread_spinlock_t spin;
static long spun;
static sem_t two_places;
static atomic_int inside;
static pthread_barrier_t barrier;
static long serial; /* rounds of the barrier */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int initialised;
static pthread_key_t key;
static atomic_long destroyed;
static __thread long own;

static void initialise(void)
{
    initialised++;
}

static void destroy(void *value)
{
    CHECK(value == &workers, "a destructor got another value");
    destroyed++;
}

static void read_and_write(int write)
{
    if (write) {
        RIGHT(pthread_rwlock_wrlock(&lock), "pthread_rwlock_wrlock");
        pair[0]++;
        sched_yield();
        pair[1]++;
    } else {
        RIGHT(pthread_rwlock_rdlock(&lock), "pthread_rwlock_rdlock");
        CHECK(pair[0] == pair[1], "a writer was let in");
    }
    RIGHT(pthread_rwlock_unlock(&lock), "pthread_rwlock_unlock");
}

static void take_a_place(void)
{
    while (sem_wait(&two_places))
        CHECK(errno == EINTR, "sem_wait: %s", strerror(errno));
    CHECK(atomic_fetch_add(&inside, 1) < 2, "a semaphore let too many in");
    sched_yield();
    atomic_fetch_sub(&inside, 1);
    sem_post(&two_places);
}

/* All meet; one is told that it is the last. Returns whether all go on. */
static int meet(void)
{
    static volatile int go_on;
    int result = pthread_barrier_wait(&barrier);

    if (result == PTHREAD_BARRIER_SERIAL_THREAD) {
        serial++;
        go_on = !stopping && !differences;
    }
    CHECK(!result || result == PTHREAD_BARRIER_SERIAL_THREAD, "pthread_barrier_wait: %s",
          strerror(result));
    pthread_barrier_wait(&barrier);
    return go_on;
}

/* --- the workers --- */

static void work_round(size_t worker, long round)
{
    for (size_t i = 0; i < COUNTERS; i++)
        count_under(&counters[i]);
    (worker % 2 ? put : take)();
    read_and_write((worker + (size_t)round) % 4 == 0);
    pthread_spin_lock(&spin);
    spun++;
    pthread_spin_unlock(&spin);
    take_a_place();
    pthread_once(&once, initialise);
    CHECK(++own == round && pthread_getspecific(key) == &workers, "thread-local storage");
    if (worker == 0)
        inherit();
}

static void *work(void *argument)
{
    size_t worker = (size_t)argument;
    long round = 0;

    pthread_setspecific(key, &workers);
    do
        work_round(worker, ++round);
    while (meet());
    atomic_fetch_add(&rounds_done, round);
    return argument;
}

static void make_objects(void)
{
    for (size_t i = 0; i < COUNTERS; i++)
        make_mutex(&counters[i]);
    RIGHT(pthread_spin_init(&spin, 0), "pthread_spin_init");
    RIGHT(pthread_barrier_init(&barrier, NULL, (unsigned)workers), "pthread_barrier_init");
    RIGHT(pthread_key_create(&key, destroy), "pthread_key_create");
    if (sem_init(&two_places, 0, 2))
        cannot("sem_init");
}

static void check_counts(void)
{
    long all = rounds_done;

    for (size_t i = 0; i < COUNTERS; i++)
        CHECK(counters[i].count == all, "%s: %ld instead of %ld", counters[i].name,
              counters[i].count, all);
    CHECK(queue.put == queue.taken && queue.put * 2 == all, "queue: %ld put, %ld taken", queue.put,
          queue.taken);
    CHECK(spun == all, "a spin lock: %ld instead of %ld", spun, all);
    CHECK(serial * (long)workers == all, "a barrier: %ld rounds", serial);
    CHECK(initialised == 1 && destroyed == (long)workers, "once: %d, destructors: %ld", initialised,
          (long)destroyed);
}

int main(int argc, char **argv)
{
    pthread_t threads[MAX_WORKERS];

    workers = argc > 1 ? (size_t)atol(argv[1]) : 4;
    if (workers % 2 || workers > MAX_WORKERS)
        return 2; /* half of them put into the queue */
    make_objects();
    for (size_t i = 0; i < workers; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i))
            cannot("pthread_create");
    ready();
    while (!stop_asked() && !differences)
        rest(5);
    stopping = 1;
    for (size_t i = 0; i < workers; i++)
        RIGHT(pthread_join(threads[i], NULL), "pthread_join");
    check_counts();
    fprintf(stderr, "%ld rounds\n", (long)rounds_done);
    return finish();
}
