/* The least that a supervisor can do, to compare ours with: it holds one listening socket that all servers
 * share, starts new ones, waits until they are ready, and asks the old ones to stop.  No door, no check, no
 * rule, no drain, no policy.
 *
 *      bench-floor PORT WORKERS PROGRAM ARGUMENT…
 *
 * Says "runs" when the first are ready; for each line on standard input it replaces them, and says
 * "deployed USEC" when the old ones were asked to stop.  Ends with its input. */

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_FD   3 /* where servers look for it, and where we keep it */
#define WORKERS_MAX 64U

typedef struct Floor {
        int notify; /* where servers say READY=1 */
        unsigned n_workers;
        char **argv;
        pid_t pids[WORKERS_MAX];
} Floor;

static _Noreturn void give_up(const char *what) {
        fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static uint64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void say(const char *text) {
        printf("%s\n", text);
        (void) fflush(stdout);
}

static void open_listener(uint16_t port) {
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(fd, SOMAXCONN) < 0)
                give_up("listen");
        if (fd != LISTEN_FD && (dup2(fd, LISTEN_FD) < 0 || close(fd) < 0))
                give_up("dup2");
}

/* An abstract address, which sd_notify() writes with an "@". */
static void open_notify(Floor *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char *name = address.sun_path + 1;
        int length = snprintf(name, sizeof(address.sun_path) - 1, "bench-floor-%d", (int) getpid());
        char variable[128];

        f->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (f->notify < 0 ||
            bind(f->notify, (struct sockaddr *) &address,
                 (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) length)) < 0)
                give_up("notify");
        (void) snprintf(variable, sizeof(variable), "@%s", name);
        (void) setenv("NOTIFY_SOCKET", variable, 1);
        (void) setenv("LISTEN_FDS", "1", 1);
}

static pid_t start(const Floor *f) {
        pid_t pid = fork();

        if (pid < 0)
                give_up("fork");
        if (pid == 0) {
                char text[16];

                (void) snprintf(text, sizeof(text), "%d", (int) getpid());
                (void) setenv("LISTEN_PID", text, 1);
                (void) signal(SIGCHLD, SIG_DFL);
                (void) setsid(); /* as supervisors do; the scheduler shares processors by session */
                (void) execv(f->argv[0], f->argv);
                _exit(127);
        }
        return pid;
}

static void wait_ready(const Floor *f) {
        unsigned n_ready = 0;

        while (n_ready < f->n_workers) {
                char message[256];
                ssize_t n = recv(f->notify, message, sizeof(message) - 1, 0);

                if (n < 0)
                        give_up("recv");
                message[n] = '\0';
                if (strstr(message, "READY=1"))
                        n_ready++;
        }
}

static void stop(const pid_t *pids, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                (void) kill(pids[i], SIGTERM);
}

static void replace(Floor *f) {
        uint64_t begun_usec = now_usec();
        pid_t old[WORKERS_MAX];
        char text[64];

        memcpy(old, f->pids, sizeof(old));
        for (unsigned i = 0; i < f->n_workers; i++)
                f->pids[i] = start(f);
        wait_ready(f);
        stop(old, f->n_workers);
        (void) snprintf(text, sizeof(text), "deployed %llu",
                        (unsigned long long) (now_usec() - begun_usec));
        say(text);
}

int main(int argc, char *argv[]) {
        Floor f = {};
        char line[64];

        if (argc < 4 || atoi(argv[2]) < 1 || (unsigned) atoi(argv[2]) > WORKERS_MAX) {
                fprintf(stderr, "usage: bench-floor PORT WORKERS PROGRAM ARGUMENT…\n");
                return 2;
        }

        (void) signal(SIGCHLD, SIG_IGN); /* nobody waits for them */
        open_listener((uint16_t) atoi(argv[1]));
        open_notify(&f);
        f.n_workers = (unsigned) atoi(argv[2]);
        f.argv = argv + 3;
        for (unsigned i = 0; i < f.n_workers; i++)
                f.pids[i] = start(&f);
        wait_ready(&f);
        say("runs");

        while (fgets(line, sizeof(line), stdin))
                replace(&f);
        stop(f.pids, f.n_workers);
        return EXIT_SUCCESS;
}
