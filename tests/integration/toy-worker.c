/* An ill-mannered worker.
 *
 * Without switches it is a perfect one: it takes its sockets, says READY=1, answers, and on SIGTERM
 * finishes what it has begun.  Each switch takes one good manner away, and some paths do so when a
 * test asks for them, so that the fault happens when the test wants it and not after some time.
 *
 * What it says on standard error ("toy: PID ready") are events that a test may wait for.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "http.h"
#include "toy-report.h"

#define USEC_PER_MSEC 1000ULL
#define FDS_MAX       64

typedef struct Toy {
        sd_event *event;
        HttpServer *server;
        int fds[FDS_MAX]; /* what we were given, also after a socket has got another owner */
        int n_fds;
        const char *version;
        const char *notify; /* sent before READY=1 */
        int64_t ready_msec; /* < 0: never */
        int64_t exit_msec;  /* < 0: never */
        int exit_code;
        uint64_t busy_usec;
        unsigned accept_max;
        bool close_after_answer;
        bool forks_away;
        bool has_grandchild;
        bool is_deaf;  /* SIGTERM and SIGINT are ignored */
        bool is_rude;  /* SIGTERM ends it at once */
        bool is_hasty; /* on SIGTERM it forgets who waits in its queues */
        bool tells_times;
        bool had_visitor;
        char *address; /* "IP:PORT" to bind by itself, as one of several; NULL: it is given sockets */
        char headers[256];
} Toy;

static void say(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

static void say(const char *format, ...) {
        char text[256];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        fprintf(stderr, "toy: %d %s\n", (int) getpid(), text);
}

static uint64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

/* When something happened, for those who compare it with what others did. */
static void say_time(const Toy *t, const char *what) {
        if (t->tells_times)
                say("%s at %llu", what, (unsigned long long) now_usec());
}

/* Work, not waiting: the processor is taken. */
static void be_busy(uint64_t usec) {
        uint64_t end = usec > 0 ? now_usec() + usec : 0;

        while (end > 0 && now_usec() < end)
                ;
}

static void shut_listeners(Toy *t) {
        for (int i = 0; i < t->n_fds; i++)
                if (shutdown(t->fds[i], SHUT_RD) < 0)
                        say("cannot shut %d: %s", t->fds[i], strerror(errno));
        say("has shut its sockets");
}

static bool answer_misdeed(Toy *t, const char *path, HttpAnswer *answer) {
        unsigned number;

        if (sscanf(path, "/exit/%u", &number) == 1)
                _exit((int) number);
        if (sscanf(path, "/signal/%u", &number) == 1)
                (void) raise((int) number);
        else if (sscanf(path, "/status/%u", &number) == 1)
                answer->status = (int) number;
        else if (sscanf(path, "/sleep/%u", &number) == 1)
                answer->delay_usec = number * USEC_PER_MSEC;
        else if (sscanf(path, "/busy/%u", &number) == 1)
                be_busy(number);
        else if (strcmp(path, "/shutdown") == 0)
                shut_listeners(t);
        else if (strncmp(path, "/notify/", 8) == 0)
                (void) sd_notify(false, path + 8);
        else
                return false;
        return true;
}

static void on_request(void *userdata, const char *path, HttpAnswer *answer) {
        Toy *t = userdata;
        int r = 0;

        if (!t->had_visitor)
                say_time(t, "first visitor");
        t->had_visitor = true;
        be_busy(t->busy_usec);
        if (strcmp(path, "/env") == 0)
                r = report_environment(&answer->body);
        else if (strcmp(path, "/fds") == 0)
                r = report_descriptors(&answer->body);
        else if (strcmp(path, "/process") == 0)
                r = report_process(&answer->body);
        else {
                if (!answer_misdeed(t, path, answer) && strcmp(path, "/") != 0)
                        answer->status = 404;
                r = asprintf(&answer->body, "version %s, process %d\n", t->version, (int) getpid());
        }
        if (r < 0) {
                answer->body = NULL;
                answer->status = 500;
        }
}

/* Answers "VERSION PID " and what it was sent. */
static int on_datagram(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Toy *t = userdata;
        struct sockaddr_storage from;
        socklen_t length = sizeof(from);
        char text[2048];
        int n = snprintf(text, sizeof(text), "%s %d ", t->version, (int) getpid());
        ssize_t more = recvfrom(fd, text + n, sizeof(text) - (size_t) n, MSG_DONTWAIT,
                                (struct sockaddr *) &from, &length);

        if (more < 0)
                return 0;
        be_busy(t->busy_usec);
        (void) sendto(fd, text, (size_t) n + (size_t) more, MSG_DONTWAIT, (struct sockaddr *) &from,
                      length);
        return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Toy *t = userdata;

        if (t->is_deaf) {
                say("ignores signal %u", info->ssi_signo);
                return 0;
        }
        http_drain(t->server);
        say_time(t, "asked to stop");
        say("stops"); /* from now on it accepts nobody */
        return 0;
}

static int on_ready(sd_event_source *source, uint64_t usec, void *userdata) {
        Toy *t = userdata;

        if (t->notify)
                (void) sd_notify(false, t->notify);
        say_time(t, "is up");
        (void) sd_notify(false, "READY=1");
        say("ready");
        return 0;
}

static int on_exit_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Toy *t = userdata;

        _exit(t->exit_code);
}

/* As servers do that nobody gives a socket: one of several on its port. */
static int bind_socket(Toy *t) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        char *port = strchr(t->address, ':');
        int fd, one = 1;

        if (!port)
                return -EINVAL;
        *port++ = '\0';
        address.sin_port = htons((uint16_t) atoi(port));
        if (inet_pton(AF_INET, t->address, &address.sin_addr) != 1)
                return -EINVAL;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        t->fds[t->n_fds++] = fd;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
            bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(fd, SOMAXCONN) < 0)
                return -errno;
        return http_add_listener(t->server, fd);
}

/* Given to the server is a duplicate, so that the number we were given stays what it was. */
static int take_sockets(Toy *t) {
        t->n_fds = sd_listen_fds(/* unset_environment= */ false);
        if (t->n_fds < 0 || t->n_fds > FDS_MAX)
                return t->n_fds < 0 ? t->n_fds : -E2BIG;

        for (int i = 0; i < t->n_fds; i++) {
                int fd = SD_LISTEN_FDS_START + i, r;

                t->fds[i] = fd;
                if (sd_is_socket(fd, AF_UNSPEC, SOCK_DGRAM, /* listening= */ -1) > 0)
                        r = sd_event_add_io(t->event, NULL, fd, EPOLLIN, on_datagram, t);
                else
                        r = http_add_listener(t->server, fd);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int arm(Toy *t, int64_t msec, sd_event_time_handler_t handler) {
        if (msec < 0)
                return 0;
        if (msec == 0)
                return handler(NULL, 0, t);
        return sd_event_add_time_relative(t->event, NULL, CLOCK_MONOTONIC,
                                          (uint64_t) msec * USEC_PER_MSEC, 1, handler, t);
}

static int serve(Toy *t) {
        int r = t->address ? bind_socket(t) : take_sockets(t);

        if (r < 0)
                return r;
        for (int i = 0; i < 2 && !t->is_rude; i++) {
                r = sd_event_add_signal(t->event, NULL, i == 0 ? SIGTERM : SIGINT, on_signal, t);
                if (r < 0)
                        return r;
        }
        r = arm(t, t->ready_msec, on_ready);
        if (r < 0)
                return r;
        r = arm(t, t->exit_msec, on_exit_time);
        if (r < 0)
                return r;
        return sd_event_loop(t->event);
}

/* The process that was started ends; its child serves on, with a LISTEN_PID that is still right. */
static void fork_away(void) {
        char pid[32];
        pid_t child = fork();

        if (child > 0)
                _exit(EXIT_SUCCESS);
        (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
        (void) setenv("LISTEN_PID", pid, /* overwrite= */ true);
        say("forked away");
}

/* A process of ours that keeps our descriptors, and which nobody was told of. */
static void leave_grandchild(void) {
        if (fork() > 0)
                return;
        say("is a grandchild");
        for (;;)
                (void) pause();
}

static const struct option switches[] = {
        { "version", required_argument, NULL, 'v' },
        { "ready", required_argument, NULL, 'r' },      /* after MS, or "never" */
        { "exit-after", required_argument, NULL, 'e' }, /* MS */
        { "exit-code", required_argument, NULL, 'c' },
        { "busy", required_argument, NULL, 'b' },   /* µs of work for each request */
        { "accept", required_argument, NULL, 'a' }, /* how many in one wake-up; 0: none ever */
        { "notify", required_argument, NULL, 'n' }, /* a message to send before READY=1 */
        { "close", no_argument, NULL, 'k' },        /* no keep-alive */
        { "fork-away", no_argument, NULL, 'f' },
        { "grandchild", no_argument, NULL, 'g' },
        { "deaf", no_argument, NULL, 'd' },
        { "rude", no_argument, NULL, 'x' },
        { "hasty", no_argument, NULL, 'h' },
        { "times", no_argument, NULL, 't' },      /* tells when what happened */
        { "bind", required_argument, NULL, 'B' }, /* IP:PORT */
        {},
};

static bool read_switch(Toy *t, int letter, char *value) {
        switch (letter) {
        case 'v':
                t->version = value;
                return true;
        case 'r':
                t->ready_msec = strcmp(value, "never") == 0 ? -1 : atoll(value);
                return true;
        case 'e':
                t->exit_msec = atoll(value);
                return true;
        case 'c':
                t->exit_code = atoi(value);
                return true;
        case 'b':
                t->busy_usec = strtoull(value, NULL, 10);
                return true;
        case 'a':
                t->accept_max = (unsigned) strtoul(value, NULL, 10);
                return true;
        case 'n':
                t->notify = value;
                return true;
        case 'k':
                t->close_after_answer = true;
                return true;
        case 'f':
                t->forks_away = true;
                return true;
        case 'g':
                t->has_grandchild = true;
                return true;
        case 'd':
                t->is_deaf = true;
                return true;
        case 'h':
                t->is_hasty = true;
                return true;
        case 't':
                t->tells_times = true;
                return true;
        case 'B':
                t->address = value;
                return true;
        case 'x':
                t->is_rude = true;
                return true;
        default:
                return false;
        }
}

static int toy_prepare(Toy *t) {
        const HttpOptions options = {
                .handler = on_request,
                .userdata = t,
                .headers = t->headers,
                .accept_max = t->accept_max,
                .close_after_answer = t->close_after_answer,
                .is_hasty = t->is_hasty,
        };
        sigset_t signals;
        int r;

        (void) snprintf(t->headers, sizeof(t->headers),
                        "X-Server-Pid: %d\r\nX-Version: %s\r\nX-Worker: %s\r\n", (int) getpid(),
                        t->version, getenv("REUSEPORTD_WORKER") ?: "?");
        sigemptyset(&signals);
        if (!t->is_rude) {
                sigaddset(&signals, SIGTERM);
                sigaddset(&signals, SIGINT);
        }
        if (sigprocmask(SIG_SETMASK, &signals, NULL) < 0)
                return -errno;
        r = sd_event_new(&t->event);
        if (r < 0)
                return r;
        return http_new(t->event, &options, &t->server);
}

int main(int argc, char *argv[]) {
        Toy t = { .version = "1", .accept_max = 64, .exit_msec = -1 };
        int letter, r;

        report_begin();
        while ((letter = getopt_long(argc, argv, "", switches, NULL)) >= 0)
                if (!read_switch(&t, letter, optarg))
                        return 2;

        if (t.forks_away)
                fork_away();
        if (t.has_grandchild)
                leave_grandchild();
        say("starts");
        r = toy_prepare(&t);
        if (r >= 0)
                r = serve(&t);
        if (r < 0)
                say("fails: %s", strerror(-r));
        http_free(t.server);
        sd_event_unref(t.event);
        return r < 0 ? EXIT_FAILURE : t.exit_code;
}
