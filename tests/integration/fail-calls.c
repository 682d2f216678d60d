/* Runs a program for which some system calls fail while a test wants them to.
 *
 *      fail-calls FILE CALL=ERROR… PROGRAM [ARGUMENT…]
 *
 * As refuse(), but FILE, which is shared with the test, says which of the calls fail: see Counters.  The kernel
 * asks a process of ours about each of them (SECCOMP_RET_USER_NOTIF) before it does anything, so that what the
 * program sees is what it would see on a disk with a bad block or in a full table of files.
 *
 * Calls count that the program makes itself, and its children until they execute another program.  "pidfd" is
 * clone() with CLONE_PIDFD; "dup" is fcntl() that makes a descriptor; of "@CALL" only those count whose first
 * argument is a descriptor of a file.  The process that is asked is nobody's
 * child of the test's and ends with the last one who could ask. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_MAX 64U

typedef struct Counters {
        uint64_t first;    /* the call that fails first, counted in n_asked; 0: none does */
        uint64_t last;     /* and the last */
        uint64_t n_asked;  /* since the test has set that to 0 */
        uint64_t n_failed; /* the same */
        uint64_t which;    /* a bit for each CALL, in their order: only those are counted */
        uint64_t pid;      /* only this process; 0: its children as well */
        uint64_t failed;   /* which CALL failed last */
        int32_t listener;  /* from the one who becomes the program to the one who is asked */
} Counters;

typedef struct Call {
        int number;
        int error;
        bool is_of_file;
        bool has_condition;
        unsigned argument;
        uint64_t mask, value;
} Call;

typedef struct Failing {
        Counters *counters;
        Call calls[CALLS_MAX];
        unsigned n_calls;
        char program[PATH_MAX];
        int listener;
} Failing;

/* ---- which calls ---- */

static int read_call(const char *name, int error, Call *ret) {
        *ret = (Call){ .error = error };

        if (strcmp(name, "pidfd") == 0) {
                ret->number = SCMP_SYS(clone);
                ret->has_condition = true;
                ret->mask = ret->value = CLONE_PIDFD;
        } else if (strcmp(name, "dup") == 0) {
                ret->number = SCMP_SYS(fcntl);
                ret->has_condition = true;
                ret->argument = 1;
                ret->mask = UINT64_MAX;
                ret->value = F_DUPFD_CLOEXEC;
        } else {
                ret->is_of_file = name[0] == '@';
                ret->number = seccomp_syscall_resolve_name(name + ret->is_of_file);
        }

        return ret->number == __NR_SCMP_ERROR ? -ENOSYS : 0;
}

static int add_to_filter(scmp_filter_ctx filter, const Call *c) {
        return c->has_condition ? seccomp_rule_add(filter, SCMP_ACT_NOTIFY, c->number, 1,
                                                   SCMP_CMP64(c->argument, SCMP_CMP_MASKED_EQ,
                                                              c->mask, c->value))
                                : seccomp_rule_add(filter, SCMP_ACT_NOTIFY, c->number, 0);
}

/* Returns the place among the calls of that which is being made, or the number of calls. */
static unsigned find_call(const Failing *f, const struct seccomp_data *data) {
        unsigned i;

        for (i = 0; i < f->n_calls; i++) {
                const Call *c = &f->calls[i];

                if (c->number == data->nr &&
                    (!c->has_condition || (data->args[c->argument] & c->mask) == c->value))
                        break;
        }

        return i;
}

/* ---- who is asked ---- */

static bool read_path(const char *link, char path[static PATH_MAX]) {
        ssize_t n = readlink(link, path, PATH_MAX - 1);

        path[n > 0 ? n : 0] = '\0';
        return n > 0;
}

static bool is_program(const Failing *f, int pid) {
        char link[64], path[PATH_MAX];

        snprintf(link, sizeof(link), "/proc/%d/exe", pid);
        return read_path(link, path) && strcmp(path, f->program) == 0;
}

/* One that has a path, or could have: memfds begin with a slash, too. */
static bool is_file(int pid, int fd) {
        char link[64], path[PATH_MAX];

        snprintf(link, sizeof(link), "/proc/%d/fd/%d", pid, fd);
        return read_path(link, path) && path[0] == '/';
}

/* The error with which it fails; 0: it does not. */
static int decide(const Failing *f, const struct seccomp_notif *question) {
        Counters *c = f->counters;
        unsigned i = find_call(f, &question->data);
        uint64_t n, first = __atomic_load_n(&c->first, __ATOMIC_ACQUIRE);

        if (i == f->n_calls || !(c->which & UINT64_C(1) << i) ||
            (c->pid != 0 && c->pid != question->pid) || !is_program(f, (int) question->pid))
                return 0;
        if (f->calls[i].is_of_file && !is_file((int) question->pid, (int) question->data.args[0]))
                return 0;

        n = __atomic_add_fetch(&c->n_asked, 1, __ATOMIC_RELAXED);
        if (first == 0 || n < first || n > c->last)
                return 0;

        c->failed = i;
        (void) __atomic_add_fetch(&c->n_failed, 1, __ATOMIC_RELEASE);
        return f->calls[i].error;
}

static void answer(const Failing *f, struct seccomp_notif *question,
                   struct seccomp_notif_resp *reply) {
        int error;

        memset(question, 0, sizeof(*question));
        if (seccomp_notify_receive(f->listener, question) < 0)
                return; /* it was killed meanwhile */

        error = decide(f, question);
        memset(reply, 0, sizeof(*reply));
        reply->id = question->id;
        reply->error = -error;
        if (error == 0)
                reply->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        (void) seccomp_notify_respond(f->listener, reply);
}

/* The table of descriptors is that of the one who becomes the program, until we have the listener. */
static void wait_listener(Failing *f) {
        int32_t *place = &f->counters->listener;

        while ((f->listener = __atomic_load_n(place, __ATOMIC_ACQUIRE)) < 0)
                (void) syscall(SYS_futex, place, FUTEX_WAIT, f->listener, NULL, NULL, 0);

        if (f->listener == INT32_MAX || unshare(CLONE_FILES) < 0)
                _exit(EXIT_FAILURE);
        (void) close_range(0, (unsigned) f->listener - 1, 0);
        (void) close_range((unsigned) f->listener + 1, ~0U, 0);
}

_Noreturn static void be_asked(Failing *f) {
        struct seccomp_notif_resp *reply;
        struct seccomp_notif *question;
        struct pollfd listener;

        (void) setsid(); /* signals of a terminal are for the program */
        wait_listener(f);
        if (seccomp_notify_alloc(&question, &reply) < 0)
                _exit(EXIT_FAILURE);

        listener = (struct pollfd){ .fd = f->listener, .events = POLLIN };
        while (poll(&listener, 1, -1) >= 0 || errno == EINTR) {
                if (listener.revents & POLLIN)
                        answer(f, question, reply);
                else if (listener.revents & POLLHUP)
                        break;
        }

        _exit(EXIT_SUCCESS);
}

/* ---- from us to the program ---- */

/* As fork(), but descriptors that are opened afterwards are both's. */
static pid_t fork_with_files(void) {
        return (pid_t) syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
}

/* A grandchild, so that it is no child of the program. */
static int start_asked(Failing *f) {
        int status;
        pid_t pid;

        f->counters->listener = -1;
        pid = fork_with_files();
        if (pid == 0) {
                pid = fork_with_files();
                if (pid == 0)
                        be_asked(f);
                _exit(pid < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        }

        return pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0 ? -EAGAIN : 0;
}

static void give_listener(Counters *c, int listener) {
        __atomic_store_n(&c->listener, listener >= 0 ? listener : INT32_MAX, __ATOMIC_RELEASE);
        (void) syscall(SYS_futex, &c->listener, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int map_counters(const char *path, Counters **ret) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *map = MAP_FAILED;

        if (fd >= 0)
                map = mmap(NULL, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return -errno;

        (void) close(fd);
        *ret = map;
        return 0;
}

static int load_filter(Failing *f) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int r = filter ? 0 : -ENOMEM;

        for (unsigned i = 0; i < f->n_calls && r >= 0; i++)
                r = add_to_filter(filter, &f->calls[i]);
        if (r >= 0)
                r = start_asked(f);
        if (r < 0)
                return r;

        r = seccomp_load(filter);
        give_listener(f->counters, r < 0 ? -1 : seccomp_notify_fd(filter));
        return r;
}

int main(int argc, char *argv[]) {
        static Failing f;
        int i, r = argc > 2 ? map_counters(argv[1], &f.counters) : -EINVAL;
        char *error;

        for (i = 2; i < argc && r >= 0 && f.n_calls < CALLS_MAX && (error = strchr(argv[i], '='));
             i++) {
                *error++ = '\0';
                r = read_call(argv[i], atoi(error), &f.calls[f.n_calls++]);
        }
        if (r >= 0 && i < argc && !realpath(argv[i], f.program))
                r = -errno;
        if (r >= 0)
                r = load_filter(&f);
        if (r < 0 || i >= argc) {
                fprintf(stderr, "fail-calls: %s\n", r < 0 ? strerror(-r) : "no program");
                return 125;
        }

        (void) execv(argv[i], argv + i);
        perror(argv[i]);
        return 127;
}
