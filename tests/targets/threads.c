/*
 * threads.c - threads that use every synchronisation object all the time, and threads that hold
 * one from the start to the end.
 *
 * What a lock protects must add up in the end; what was held must be there to be given back by its
 * owner, and by nobody else; a robust mutex must notice that its owner has ended; signals, timers
 * and attributes of one thread must still be that one's. With an argument: so many more threads
 * that only wait.
 */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/targets/rseq.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile int stopping;

static void must(int error, const char *what)
{
    errno = error;
    if (error)
        cannot(what);
}

static pthread_t make(void *(*function)(void *), void *argument)
{
    static pthread_attr_t attributes;
    static int once;
    pthread_t thread;

    if (!once++) {
        must(pthread_attr_init(&attributes), "pthread_attr_init");
        must(pthread_attr_setstacksize(&attributes, 256 * 1024), "pthread_attr_setstacksize");
    }
    must(pthread_create(&thread, &attributes, function, argument), "pthread_create");
    return thread;
}

/* --- mutexes, of every kind, that two threads fight for --- */

static struct {
    const char *name;
    int type, robust, protocol;
    pthread_mutex_t mutex, held; /* `held` by one thread from the start */
    long counter, counted[2];
    pthread_t fighters[2];
} kinds[] = {
    {.name = "normal", .type = PTHREAD_MUTEX_NORMAL},
    {.name = "recursive", .type = PTHREAD_MUTEX_RECURSIVE},
    {.name = "errorcheck", .type = PTHREAD_MUTEX_ERRORCHECK},
    {.name = "robust", .type = PTHREAD_MUTEX_ERRORCHECK, .robust = 1},
    {.name = "inheriting", .type = PTHREAD_MUTEX_ERRORCHECK, .protocol = PTHREAD_PRIO_INHERIT},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void *fight(void *argument)
{
    size_t kind = (size_t)argument / 2, which = (size_t)argument % 2;
    while (!stopping) {
        int error = pthread_mutex_lock(&kinds[kind].mutex);
        kinds[kind].counter++;
        kinds[kind].counted[which]++;
        CHECK(!error, "%s mutex: lock: %s", kinds[kind].name, strerror(error));
        if (kinds[kind].counter % 8 == 0)
            rest(1);
        error = pthread_mutex_unlock(&kinds[kind].mutex);
        CHECK(!error, "%s mutex: unlock: %s", kinds[kind].name, strerror(error));
    }
    return NULL;
}

static void make_mutexes(void)
{
    pthread_mutexattr_t a;
    for (size_t k = 0; k < KINDS; k++) {
        must(pthread_mutexattr_init(&a), "pthread_mutexattr_init");
        must(pthread_mutexattr_settype(&a, kinds[k].type), "settype");
        if (kinds[k].robust)
            must(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST), "setrobust");
        if (kinds[k].protocol)
            must(pthread_mutexattr_setprotocol(&a, kinds[k].protocol), "setprotocol");
        must(pthread_mutex_init(&kinds[k].mutex, &a), "pthread_mutex_init");
        must(pthread_mutex_init(&kinds[k].held, &a), "pthread_mutex_init");
        for (size_t n = 0; n < 2; n++)
            kinds[k].fighters[n] = make(fight, (void *)(2 * k + n));
    }
}

static void check_mutexes(void)
{
    for (size_t k = 0; k < KINDS; k++) {
        for (int n = 0; n < 2; n++)
            pthread_join(kinds[k].fighters[n], NULL);
        CHECK(kinds[k].counter == kinds[k].counted[0] + kinds[k].counted[1],
              "%s mutex: %ld is not %ld + %ld", kinds[k].name, kinds[k].counter,
              kinds[k].counted[0], kinds[k].counted[1]);
    }
}

/* --- held from the start to the end --- */

static pthread_mutex_t abandoned;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER;
static sem_t held, give_back, given_back;
static pthread_t holder, waiter;
static volatile int waited = -1;

static void *hold(void *unused)
{
    for (size_t k = 0; k < KINDS; k++)
        must(pthread_mutex_lock(&kinds[k].held), kinds[k].name);
    must(pthread_mutex_lock(&kinds[1].held), "recursive");
    must(pthread_rwlock_wrlock(&written), "pthread_rwlock_wrlock");
    must(pthread_mutex_lock(&abandoned), "robust");
    CHECK(!call_rseq(1), "rseq: unregister: %s", strerror(errno)); /* as before libc registers it */
    sem_post(&held);
    while (sem_wait(&give_back))
        ;
    CHECK(!call_rseq(0), "rseq, which was not registered: %s", strerror(errno));
    for (size_t k = 1; k < KINDS; k++) {
        int error = pthread_mutex_lock(&kinds[k].held), again = k == 1 ? 0 : EDEADLK;
        CHECK(error == again, "held %s mutex: lock: %s", kinds[k].name, strerror(error));
    }
    for (size_t k = 0; k < KINDS; k++)
        for (int n = k == 1 ? 3 : 1; n; n--) {
            int error = pthread_mutex_unlock(&kinds[k].held);
            CHECK(!error, "held %s mutex: unlock: %s", kinds[k].name, strerror(error));
        }
    pthread_rwlock_unlock(&written);
    sem_post(&given_back);
    return unused; /* with `abandoned` */
}

/* Blocked in pthread_mutex_lock() all the time, on a mutex that notices its owner's end. */
static void *wait_for_abandoned(void *unused)
{
    waited = pthread_mutex_lock(&abandoned);
    return unused;
}

static void make_holder(void)
{
    pthread_mutexattr_t a;
    must(pthread_mutexattr_init(&a), "pthread_mutexattr_init");
    must(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST), "setrobust");
    must(pthread_mutex_init(&abandoned, &a), "pthread_mutex_init");
    sem_init(&held, 0, 0), sem_init(&give_back, 0, 0), sem_init(&given_back, 0, 0);
    holder = make(hold, NULL);
    while (sem_wait(&held))
        ;
    waiter = make(wait_for_abandoned, NULL);
}

static void check_holder(void)
{
    for (size_t k = 0; k < KINDS; k++)
        CHECK(pthread_mutex_trylock(&kinds[k].held) == EBUSY, "held %s mutex is free",
              kinds[k].name);
    CHECK(pthread_rwlock_tryrdlock(&written) == EBUSY, "a write lock is free");
    CHECK(waited == -1, "a robust mutex was given away: %d", waited);
    sem_post(&give_back);
    while (sem_wait(&given_back))
        ;
    for (size_t k = 0; k < KINDS; k++)
        CHECK(pthread_mutex_trylock(&kinds[k].held) == 0, "%s mutex: not given back",
              kinds[k].name);
    CHECK(pthread_rwlock_tryrdlock(&written) == 0, "a write lock: not given back");
    pthread_join(holder, NULL);
    pthread_join(waiter, NULL);
    CHECK(waited == EOWNERDEAD, "a robust mutex did not see its owner's end: %d", waited);
}

/* --- the other objects --- */

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t pair_mutex = PTHREAD_MUTEX_INITIALIZER;
static long produced, consumed;

static void *produce(void *unused)
{
    while (!stopping) {
        pthread_mutex_lock(&pair_mutex);
        if (produced - consumed < 8)
            produced++;
        pthread_cond_signal(&condition);
        pthread_mutex_unlock(&pair_mutex);
        rest(1);
    }
    return unused;
}

static void *consume(void *unused)
{
    struct timespec limit;
    pthread_mutex_lock(&pair_mutex);
    while (!stopping || consumed < produced) {
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += 1;
        while (consumed == produced && !stopping)
            pthread_cond_timedwait(&condition, &pair_mutex, &limit);
        if (consumed < produced)
            consumed++;
    }
    pthread_mutex_unlock(&pair_mutex);
    return unused;
}

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static volatile long left, right;

static void *write_both(void *unused)
{
    while (!stopping) {
        pthread_rwlock_wrlock(&lock);
        left++;
        sched_yield();
        right++;
        pthread_rwlock_unlock(&lock);
        rest(1);
    }
    return unused;
}

static void *read_both(void *unused)
{
    while (!stopping) {
        pthread_rwlock_rdlock(&lock);
        CHECK(left == right, "read lock: %ld and %ld", left, right);
        pthread_rwlock_unlock(&lock);
        rest(1);
    }
    return unused;
}

static pthread_barrier_t barrier;
static volatile long laps[3];
static volatile int last_lap;

static void *run_laps(void *argument)
{
    size_t i = (size_t)argument;
    do {
        laps[i]++;
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            last_lap = stopping;
        CHECK(laps[0] == laps[1] && laps[1] == laps[2], "barrier: laps %ld %ld %ld", laps[0],
              laps[1], laps[2]);
        pthread_barrier_wait(&barrier);
        rest(1);
    } while (!last_lap);
    return NULL;
}

static sem_t ping, pong;
static long pings, pongs;
static volatile int last_ping;

static void *send_pings(void *unused)
{
    while (!stopping) {
        struct timespec limit;
        pings++;
        sem_post(&ping);
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += 3600;
        while (sem_timedwait(&pong, &limit))
            CHECK(errno == EINTR, "sem_timedwait: %s", strerror(errno));
        rest(1);
    }
    last_ping = 1;
    pings++;
    sem_post(&ping);
    return unused;
}

static void *answer_pings(void *unused)
{
    for (;;) {
        while (sem_wait(&ping))
            ;
        pongs++;
        if (last_ping && pongs == pings)
            return unused;
        sem_post(&pong);
    }
}

/* --- threads that begin and end --- */

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long begun, destroyed, key_made;
static __thread int tls = 42;

static void make_key(void)
{
    key_made++;
    must(pthread_key_create(&key, (void (*)(void *))free), "pthread_key_create");
}

static void count_destroyed(void *unused)
{
    (void)unused;
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
}

static void *be_short(void *argument)
{
    pthread_once(&once, make_key);
    pthread_setspecific(key, malloc(100));
    CHECK(tls == 42, "thread-local: %d", tls);
    tls++;
    pthread_cleanup_push(count_destroyed, NULL);
    sched_yield();
    pthread_cleanup_pop(1);
    return argument;
}

static void *begin_others(void *unused)
{
    while (!stopping) {
        void *result;
        pthread_t thread = make(be_short, &begun);
        begun++;
        pthread_join(thread, &result);
        CHECK(result == &begun, "pthread_join: another result");
        rest(1);
    }
    return unused;
}

/* --- what belongs to one thread --- */

#define SLACK 123456

static volatile int own_ready, own_check, own_kicked, own_ticks, strange;
static sem_t own_checked;
static pthread_t own_thread;
static char own_stack[65536];
static cpu_set_t own_cpus;

static void on_kick(int signal)
{
    (void)signal;
    if (pthread_equal(pthread_self(), own_thread))
        own_kicked++;
    else
        strange++;
}

static void on_tick(int signal)
{
    (void)signal;
    if (pthread_equal(pthread_self(), own_thread))
        own_ticks++;
    else
        strange++;
}

static void send_self(int signal, int value)
{
    siginfo_t info = {.si_signo = signal, .si_code = SI_QUEUE};
    info.si_value.sival_int = value;
    info.si_pid = getpid();
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), signal, &info))
        cannot("rt_tgsigqueueinfo");
}

static void set_own(void)
{
    stack_t stack = {.ss_sp = own_stack, .ss_size = sizeof own_stack};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 2};
    struct itimerspec often = {{0, 2000000}, {0, 2000000}};
    timer_t timer;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int n = 0; n < 3; n++)
        send_self(SIGRTMIN + 1, 100 + n);
    CPU_ZERO(&own_cpus);
    CPU_SET(0, &own_cpus);
    sched_setaffinity(0, sizeof own_cpus, &own_cpus);
    sched_getaffinity(0, sizeof own_cpus, &own_cpus);
    prctl(PR_SET_NAME, "one of a kind");
    prctl(PR_SET_TIMERSLACK, SLACK);
    setpriority(PRIO_PROCESS, 0, 7);
    sigaltstack(&stack, NULL);
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &often, NULL))
        cannot("timer_create");
}

static void check_own_signals(void)
{
    const struct timespec now = {0, 0};
    siginfo_t info;
    sigset_t set, mask;

    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    CHECK(sigismember(&mask, SIGRTMIN + 1) && !sigismember(&mask, SIGUSR1), "another mask");
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    for (int n = 0; n < 3; n++) {
        memset(&info, 0, sizeof info);
        CHECK(sigtimedwait(&set, &info, &now) == SIGRTMIN + 1 && info.si_code == SI_QUEUE &&
                  info.si_value.sival_int == 100 + n,
              "pending signal %d: value %d, code %d", n, info.si_value.sival_int, info.si_code);
    }
    CHECK(sigtimedwait(&set, &info, &now) < 0, "one more pending signal");
}

static void check_own(void)
{
    char name[16] = "";
    stack_t stack;
    cpu_set_t cpus;

    check_own_signals();
    prctl(PR_GET_NAME, name);
    CHECK(!strcmp(name, "one of a kind"), "name '%s'", name);
    CHECK(prctl(PR_GET_TIMERSLACK) == SLACK, "timer slack %d", prctl(PR_GET_TIMERSLACK));
    CHECK(getpriority(PRIO_PROCESS, 0) == 7, "nice %d", getpriority(PRIO_PROCESS, 0));
    sigaltstack(NULL, &stack);
    CHECK(stack.ss_sp == own_stack && !stack.ss_flags, "another alternate stack");
    sched_getaffinity(0, sizeof cpus, &cpus);
    CHECK(CPU_EQUAL(&cpus, &own_cpus), "another affinity");
    check_rseq();
}

static void *be_own(void *unused)
{
    own_thread = pthread_self();
    set_own();
    own_ready = 1;
    while (!own_check)
        pause();
    check_own();
    own_ticks = 0;
    while (own_ticks < 3)
        pause();
    sem_post(&own_checked);
    return unused;
}

static void handle(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    if (sigaction(signal, &action, NULL))
        cannot("sigaction");
}

static void make_own(void)
{
    handle(SIGUSR1, on_kick);
    handle(SIGRTMIN + 2, on_tick);
    sem_init(&own_checked, 0, 0);
    own_thread = make(be_own, NULL);
    while (!own_ready)
        rest(1);
}

static void finish_own(void)
{
    int error = pthread_kill(own_thread, SIGUSR1);
    CHECK(!error, "pthread_kill: %s", strerror(error));
    own_check = 1;
    while (sem_wait(&own_checked))
        ;
    pthread_join(own_thread, NULL);
    CHECK(own_kicked == 1, "kicked %d times", own_kicked);
    CHECK(!strange, "%d signals in another thread", strange);
    handle(SIGUSR1, SIG_IGN);
    CHECK(raise(SIGUSR1) == 0, "raise: %s", strerror(errno));
}

/* --- threads that only wait, to be cancelled --- */

static void *sleep_long(void *unused)
{
    rest(3600 * 1000L);
    return unused;
}

static void give_mutex_back(void *mutex)
{
    pthread_mutex_unlock(mutex);
}

static void *wait_long(void *unused)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    struct timespec limit;
    (void)unused;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 3600;
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(give_mutex_back, &mutex);
    while (!pthread_cond_timedwait(&never, &mutex, &limit))
        ;
    pthread_cleanup_pop(1);
    return NULL;
}

static pthread_t *idle;
static int idle_count = 2;

static void make_idle(void)
{
    if (!(idle = calloc((size_t)idle_count, sizeof *idle)))
        cannot("calloc");
    for (int n = 0; n < idle_count; n++)
        idle[n] = make(n % 2 ? sleep_long : wait_long, NULL);
}

static void check_idle(void)
{
    for (int n = 0; n < idle_count; n++) {
        void *result = NULL;
        int error = pthread_cancel(idle[n]);
        CHECK(!error, "pthread_cancel: %s", strerror(error));
        pthread_join(idle[n], &result);
        CHECK(result == PTHREAD_CANCELED, "an idle thread has ended by itself");
    }
}

/* --- all of it --- */

static void *(*const workers[])(void *) = {produce,      consume,    write_both,  read_both,
                                           read_both,    run_laps,   run_laps,    run_laps,
                                           answer_pings, send_pings, begin_others};
#define WORKERS   (sizeof workers / sizeof *workers)
#define FIRST_LAP 5

static void check_sums(void)
{
    CHECK(produced == consumed && produced, "condition: %ld produced, %ld consumed", produced,
          consumed);
    CHECK(left == right && left, "write lock: %ld and %ld", left, right);
    CHECK(pings == pongs && pings, "semaphores: %ld pings, %ld pongs", pings, pongs);
    CHECK(begun == destroyed && begun, "%ld threads begun, %ld ended", begun, destroyed);
    CHECK(key_made == 1, "pthread_once: %ld times", key_made);
}

int main(int argc, char **argv)
{
    pthread_t threads[WORKERS];

    if (argc > 1)
        idle_count = atoi(argv[1]);
    must(pthread_barrier_init(&barrier, NULL, 3), "pthread_barrier_init");
    sem_init(&ping, 0, 0), sem_init(&pong, 0, 0);
    make_mutexes();
    make_holder();
    make_own();
    make_idle();
    for (size_t n = 0; n < WORKERS; n++)
        threads[n] = make(workers[n], (void *)(n - FIRST_LAP));
    ready();
    while (!stop_asked())
        rest(1);
    finish_own();
    check_holder();
    stopping = 1;
    pthread_cond_broadcast(&condition);
    for (size_t n = 0; n < WORKERS; n++)
        pthread_join(threads[n], NULL);
    check_mutexes();
    check_idle();
    check_sums();
    return finish();
}
