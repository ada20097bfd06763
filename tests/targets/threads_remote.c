/*
 * threads_remote.c - threads in calls about descriptors: one waits for its pipe and holds up
 * nobody; a signal to the process interrupts the call of the one thread that handles it; a canceled
 * thread leaves its read; new threads begin all the time. The same whoever makes the calls.
 */
#include <pthread.h>
#include <signal.h>

#include "tests/targets/target.h"

#define READERS 4
#define SIGNALS 50

static int shared[2]; /* the pipe of the readers */
static volatile int handled, interrupted;

/* Makes a call with every signal blocked. */
static void on_signal(int signal)
{
    int saved = errno;
    (void)signal;
    CHECK(close(-1) == -1 && errno == EBADF, "close(-1): %s", strerror(errno));
    errno = saved;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
}

static void *read_on(void *unused)
{
    char byte;
    (void)unused;
    while (read(shared[0], &byte, 1) < 0 && errno == EINTR)
        __atomic_add_fetch(&interrupted, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Waits, a second at most, until the counter is there. */
static void await(volatile int *counter, int value)
{
    const struct timespec nap = {.tv_nsec = 100000};
    for (int i = 0; i < 10000 && *counter < value; i++)
        nanosleep(&nap, NULL);
}

static void signal_readers(void)
{
    pthread_t readers[READERS];
    sigset_t set;
    handled = interrupted = 0;
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_on, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    usleep(20000); /* the readers read; if not yet, a signal would find them running */
    for (int i = 1; i <= SIGNALS; i++) {
        kill(getpid(), SIGUSR1);
        await(&handled, i);
    }
    CHECK(handled == SIGNALS, "%d signals handled of %d", handled, SIGNALS);
    CHECK(interrupted <= handled, "%d calls interrupted by %d signals", interrupted, handled);
    for (int i = 0; i < READERS; i++)
        CHECK(write(shared[1], "x", 1) == 1, "write: %s", strerror(errno));
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *read_for_ever(void *unused)
{
    char byte;
    (void)unused;
    CHECK(read(shared[0], &byte, 1) == -2, "a canceled read returned");
    return NULL;
}

static void cancel_reader(void)
{
    pthread_t reader;
    void *result;
    pthread_create(&reader, NULL, read_for_ever, NULL);
    usleep(1000);
    pthread_cancel(reader);
    pthread_join(reader, &result);
    CHECK(result == PTHREAD_CANCELED, "the reader was not canceled");
}

static void *write_file(void *name)
{
    char text[64];
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 20; i++)
        CHECK(write(fd, "line of text\n", 13) == 13, "write: %s", strerror(errno));
    CHECK(pread(fd, text, 13, 13 * 19) == 13 && memcmp(text, "line of text\n", 13) == 0,
          "not what was written");
    CHECK(close(fd) == 0 && unlink(name) == 0, "close, unlink: %s", strerror(errno));
    return NULL;
}

static void write_files(void)
{
    pthread_t writers[READERS];
    char names[READERS][32];
    for (int i = 0; i < READERS; i++) {
        snprintf(names[i], sizeof names[i], "file.%d", i);
        pthread_create(&writers[i], NULL, write_file, names[i]);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(writers[i], NULL);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART */
    sigfillset(&action.sa_mask);
    if (pipe(shared) || sigaction(SIGUSR1, &action, NULL))
        cannot("pipe, sigaction");
    ready();
    do {
        signal_readers();
        cancel_reader();
        write_files();
    } while (!stop_asked());
    return finish();
}
