/*
 * conditions.c - threads that wait for a condition while another holds the mutex, which is one
 * whose owner libc looks at: each must get the mutex when it is given, and be its owner.
 */
#include <pthread.h>

#include "tests/targets/target.h"

static struct kind {
    const char *name;
    int type, protocol;
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    pthread_t waiter;
    int waits, over, got, gave;
} kinds[] = {
    {.name = "recursive", .type = PTHREAD_MUTEX_RECURSIVE},
    {.name = "error-checking", .type = PTHREAD_MUTEX_ERRORCHECK},
    {.name = "priority-inheriting", .protocol = PTHREAD_PRIO_INHERIT},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void *wait_for(void *argument)
{
    struct kind *k = argument;
    pthread_mutex_lock(&k->mutex);
    k->waits = 1;
    while (!k->over)
        k->got = pthread_cond_wait(&k->condition, &k->mutex);
    k->gave = pthread_mutex_unlock(&k->mutex);
    return NULL;
}

/* The waiter has given the mutex back when this one can take it. */
static void begin(struct kind *k)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, k->type);
    pthread_mutexattr_setprotocol(&attributes, k->protocol);
    pthread_mutex_init(&k->mutex, &attributes);
    pthread_cond_init(&k->condition, NULL);
    if (pthread_create(&k->waiter, NULL, wait_for, k))
        cannot("pthread_create");
    for (int waits = 0; !waits; rest(1)) {
        pthread_mutex_lock(&k->mutex);
        waits = k->waits;
        if (!waits)
            pthread_mutex_unlock(&k->mutex);
    }
}

int main(void)
{
    for (size_t i = 0; i < KINDS; i++)
        begin(&kinds[i]);
    ready();
    do
        rest(5);
    while (!stop_asked());
    for (size_t i = 0; i < KINDS; i++) {
        struct kind *k = &kinds[i];
        k->over = 1;
        pthread_cond_signal(&k->condition);
        rest(50); /* for the waiter to come for the mutex: the check would only be weaker */
        int gave = pthread_mutex_unlock(&k->mutex);
        pthread_join(k->waiter, NULL);
        CHECK(!gave && !k->got && !k->gave, "%s: %s, %s, %s", k->name, strerror(gave),
              strerror(k->got), strerror(k->gave));
    }
    return finish();
}
