/* What it costs to start a process from a daemon with a large heap: our spawn() beside the bare vfork() and
 * exec that it cannot beat, and fork() for comparison; measured alternately.  Goal: at most 2.
 *
 *     bench-spawn [--floor PORT PROGRAM]
 *
 * --floor is the other half of bench-daemon.py: the least that can be done on demand.  It listens, waits with
 * poll(), and executes PROGRAM with the socket, again and again.  The program has a socket to say READY=1 to, so
 * that it does what it does under the daemon; nobody reads that while it runs. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "daemon/spawn/spawn.h"

#define HEAP_SIZE_BYTES (256UL << 20)
#define ROUNDS          101U

typedef pid_t (*Start)(char *const *argv, char *const *environment);

static double now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static void give_up(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

static double median(double *values, size_t n) {
        qsort(values, n, sizeof(*values), compare);
        return values[n / 2];
}

static pid_t by_spawn(char *const *argv, char *const *environment) {
        const SpawnPlan plan = { .argv = argv,
                                 .environment = environment,
                                 .stdin_fd = STDIN_FILENO,
                                 .stdout_fd = STDOUT_FILENO,
                                 .stderr_fd = STDERR_FILENO };
        const char *what;
        int pidfd, r;
        pid_t pid;

        r = spawn(&plan, &pid, &pidfd, &what);
        if (r < 0) {
                errno = -r;
                give_up(what);
        }
        (void) close(pidfd);
        return pid;
}

static pid_t by_vfork(char *const *argv, char *const *environment) {
        pid_t pid = vfork();

        if (pid == 0) {
                (void) execve(argv[0], argv, environment);
                _exit(127);
        }
        return pid;
}

static pid_t by_fork(char *const *argv, char *const *environment) {
        pid_t pid = fork();

        if (pid == 0) {
                (void) execve(argv[0], argv, environment);
                _exit(127);
        }
        return pid;
}

static double measure(Start start) {
        char program[] = "/bin/true";
        char *argv[] = { program, NULL }, *environment[] = { NULL };
        double begun = now_usec(), took;
        pid_t pid = start(argv, environment);

        took = now_usec() - begun;
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
                give_up("start");
        return took;
}

static int compare_starts(void) {
        static const struct {
                const char *name;
                Start start;
        } ways[] = { { "spawn", by_spawn }, { "vfork", by_vfork }, { "fork", by_fork } };
        static double took[ELEMENTS_OF(ways)][ROUNDS];
        double medians[ELEMENTS_OF(ways)];
        char *heap = malloc(HEAP_SIZE_BYTES);

        if (!heap)
                give_up("malloc");
        memset(heap, 1, HEAP_SIZE_BYTES);

        for (unsigned i = 0; i < ROUNDS; i++)
                for (size_t k = 0; k < ELEMENTS_OF(ways); k++)
                        took[k][i] = measure(ways[k].start);

        for (size_t k = 0; k < ELEMENTS_OF(ways); k++) {
                medians[k] = median(took[k], ROUNDS);
                printf("%-6s %8.1f us until the program runs, heap of 256 MiB\n", ways[k].name,
                       medians[k]);
        }
        printf("spawn / vfork %.2f (goal: 2), fork / vfork %.1f\n", medians[0] / medians[1],
               medians[2] / medians[1]);
        free(heap);
        return medians[0] / medians[1] <= 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- the floor ---- */

static int listen_at(uint16_t port) {
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(fd, 128) < 0)
                give_up("listen");
        return fd;
}

/* @word  becomes the variable for it */
static int open_notify(char *word, size_t size_bytes) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/bench-floor-%d",
                        (int) getpid());
        (void) unlink(address.sun_path);
        if (fd < 0 || bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                give_up("notify");
        (void) snprintf(word, size_bytes, "NOTIFY_SOCKET=%s", address.sun_path);
        return fd;
}

static int run_floor(uint16_t port, char *program) {
        static char pid_word[32], fds[] = "LISTEN_FDS=1", quick[] = "--exit-after=30", notify[160];
        char *argv[] = { program, quick, NULL }, *environment[] = { fds, pid_word, notify, NULL };
        struct pollfd p = { .fd = listen_at(port), .events = POLLIN };
        int notify_fd = open_notify(notify, sizeof(notify));
        char message[512];

        printf("floor: listens\n");
        (void) fflush(stdout);
        while (poll(&p, 1, -1) > 0) {
                pid_t pid = vfork();

                if (pid == 0) {
                        (void) snprintf(pid_word, sizeof(pid_word), "LISTEN_PID=%d",
                                        (int) getpid());
                        (void) dup2(p.fd, SPAWN_FIRST_FD + 7);
                        (void) dup2(SPAWN_FIRST_FD + 7, SPAWN_FIRST_FD);
                        (void) fcntl(SPAWN_FIRST_FD, F_SETFD, 0);
                        (void) close(SPAWN_FIRST_FD + 7);
                        (void) execve(program, argv, environment);
                        _exit(127);
                }
                (void) waitpid(pid, NULL, 0);
                while (recv(notify_fd, message, sizeof(message), 0) > 0)
                        ;
                printf("floor: sleeps\n");
                (void) fflush(stdout);
        }
        return EXIT_FAILURE;
}

int main(int argc, char *argv[]) {
        if (argc == 4 && strcmp(argv[1], "--floor") == 0)
                return run_floor((uint16_t) atoi(argv[2]), argv[3]);

        return compare_starts();
}
