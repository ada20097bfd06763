/* main.c - the call surface: waits, runs the cases, tells which rows no case has called. See
 * surface.h. */
#include <stdarg.h>
#include <sys/syscall.h>

#include "surface.h"
#include "tests/targets/target.h"

char base[4096];
int is_root, is_remote, by_function;
char *bad;
unsigned char big[BIG], other[BIG];
volatile int ticks;
static void (*tick_work)(void);

#define EDGE 65536
static char *edge_end;

/* What was called, by number: 0 not at all, 1 with ENOSYS only, 2 with another result. */
static unsigned char called[1024];

/* --- lines --- */

static void put(const char *line, size_t size)
{
    while (size) {
        long done = syscall(SYS_write, STDOUT_FILENO, line, size);
        if (done <= 0)
            _exit(98);
        line += done;
        size -= (size_t)done;
    }
}

void show(const char *format, ...)
{
    char text[8192], line[8192 + 8];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char *at = *base ? strstr(text, base) : NULL;
    if (at)
        *at = 0;
    int n = snprintf(line, sizeof line, "%s%s%s\n", text, at ? "BASE" : "",
                     at ? at + strlen(base) : "");
    put(line, (size_t)n);
}

static uint64_t sum(const unsigned char *at, size_t size)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

void show_bytes(const char *what, const void *at, size_t size)
{
    const unsigned char *from = at;
    char hex[2 * 96 + 1] = "";
    size_t shown = size < 96 ? size : 32;
    for (size_t i = 0; i < shown; i++)
        snprintf(hex + 2 * i, 3, "%02x", from[i]);
    if (shown == size)
        show("    %s: %zu bytes %s", what, size, hex);
    else
        show("    %s: %zu bytes %s... sum %016llx", what, size, hex,
             (unsigned long long)sum(from, size));
}

void show_string(const char *what, const char *s)
{
    show("    %s: \"%s\"", what, s);
}

/* --- calls --- */

static long plain_call(long number, const long a[CALL_ARGS])
{
    return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long surface_call(const char *file, int line, long number, int some, const char *name,
                  const long a[CALL_ARGS])
{
    const char *slash = strrchr(file, '/');
    long result;
    errno = 0;
    int function = by_function && function_call(number, a, &result);
    if (!function)
        result = plain_call(number, a);
    int error = result == -1 ? errno : 0;
    unsigned char seen = error == ENOSYS ? 1 : 2;
    if (called[number] < seen)
        called[number] = seen;
    file = slash ? slash + 1 : file;
    if (error)
        show("%s:%d %s%s = -1 %d %s", file, line, name, function ? "()" : "", error,
             strerror(error));
    else if (some)
        show("%s:%d %s%s = some", file, line, name, function ? "()" : "");
    else
        show("%s:%d %s%s = %ld", file, line, name, function ? "()" : "", result);
    errno = error;
    return result;
}

/* --- memory --- */

static void make_edge(void)
{
    char *at = mmap(NULL, 2 * EDGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mprotect(at + EDGE, EDGE, PROT_NONE))
        cannot("memory");
    edge_end = bad = at + EDGE;
}

void *edge(size_t size)
{
    return memset(edge_end - size, 0xee, size);
}

void fill(void *at, size_t size, unsigned seed)
{
    unsigned char *to = at;
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)((seed = seed * 1103515245u + 12345u) >> 16);
}

/* Before I/O is remote: higher numbers than may be open then are not to be had. */
static void allow_many(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        cannot("limits");
    files.rlim_cur = files.rlim_max < MANY ? files.rlim_max : MANY;
    setrlimit(RLIMIT_NOFILE, &files);
}

int make_file(const char *name, const void *content, size_t size)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || pwrite(fd, content, size, 0) != (ssize_t)size)
        show("make_file %s: %s", name, strerror(errno));
    return fd;
}

/* --- the timer --- */

static void on_alarm(int signal_number)
{
    int error = errno;
    (void)signal_number;
    if (++ticks >= 3 && tick_work) {
        void (*work)(void) = tick_work;
        tick_work = NULL;
        work();
    }
    errno = error;
}

static void set_timer(long microseconds)
{
    const struct itimerval every = {{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &every, NULL);
}

void tick(int flags, void (*on_tick)(void))
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    ticks = 0;
    tick_work = on_tick;
    set_timer(5000);
}

void tick_end(void)
{
    set_timer(0);
    signal(SIGALRM, SIG_IGN);
}

/* --- rows --- */

struct row {
    const char *name;
    int how;
};

static const struct row rows[] = {
#define SYSCALL(name, how, ...) [__NR_##name] = {#name, CALL_##how},
#include "stubs/calls.def"
};

/* The ends are what every target ends with; handlers return by rt_sigreturn; the rest the kernel
 * has only for other processors. */
static int is_elsewhere(long number)
{
    return number == __NR_exit || number == __NR_exit_group || number == __NR_rt_sigreturn ||
           number == __NR_set_thread_area || number == __NR_get_thread_area ||
           number == __NR_map_shadow_stack;
}

static void show_missing(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].name && rows[i].how != CALL_REFUSE && called[i] < 2 && !is_elsewhere((long)i))
            show("%s: %s", called[i] ? "ENOSYS only" : "no case", rows[i].name);
}

/* --- the run --- */

static const struct surface_case *const subjects[] = {
    io_cases,     file_cases,   path_cases,    descriptor_cases, wait_cases,
    signal_cases, socket_cases, message_cases, queue_cases,      identity_cases,
    mount_cases,  memory_cases, local_cases,   terminal_cases,   refused_cases,
};

static int wanted(const char *name, int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (!strcmp(argv[i], name))
            return 1;
    return argc < 3;
}

static void close_others(void)
{
    syscall(SYS_close_range, 3, ~0u, 0);
}

/* Each case begins in an empty directory, with only the standard descriptors open. */
static void run_case(const struct surface_case *c, int number)
{
    char directory[4200];
    snprintf(directory, sizeof directory, "%s/%d.%d", base, by_function, number);
    show("--- %s%s", c->name, by_function ? ", by functions" : "");
    if (mkdir(directory, 0755) || chdir(directory))
        cannot(directory);
    umask(022);
    c->run();
    close_others();
}

static void run_all(int argc, char **argv)
{
    int number = 0;
    for (size_t s = 0; s < sizeof subjects / sizeof *subjects; s++)
        for (const struct surface_case *c = subjects[s]; c->name; c++)
            if (wanted(c->name, argc, argv))
                run_case(c, number++);
}

int main(int argc, char **argv)
{
    if (argc < 2 || !realpath(argv[1], base))
        return 99;
    is_remote = getenv("READY") != NULL;
    is_root = geteuid() == 0;
    make_edge();
    allow_many();
    close_others();
    signal(SIGPIPE, SIG_IGN);
    if (is_remote) {
        ready();
        while (!stop_asked())
            rest(5);
    }
    for (by_function = 0; by_function <= 1; by_function++)
        run_all(argc, argv);
    if (argc == 2)
        show_missing();
    show("end");
    return 0;
}
