/* A load generator that counts what visitors would lose.
 *
 * It knows nothing of the server but its address, and tells apart what other generators sum up:
 * refused, reset, closed before the whole answer, no answer in time.  Two kinds of visitors:
 *
 *   connect     one connection for each request.  Closed by RST once the answer is whole, so that no
 *               port of the generator is left in TIME_WAIT and 20,000 connections/s can go on.
 *   keep-alive  one connection for many requests.  One that the server closes before the first byte
 *               of an answer, and which has answered before, is tried once more on a new connection,
 *               as browsers do: counted as retried, and lost only if that fails too.
 *
 * Each client asks again as soon as it has its answer, or at --rate requests/s in all.  "load: runs"
 * on standard error tells that the first answer is there, and "load: waited FROM TO", in µs of CLOCK_MONOTONIC,
 * that somebody had to wait longer than --tell-slow µs for his.  After --seconds or --count, or at SIGTERM,
 * it waits for what is in flight and prints one JSON object.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

#include "load-report.h"

#define CLIENTS_MAX    10000U
#define HEAD_SIZE      2048
#define EVENTS_MAX     256
#define TIMEOUT_USEC   UINT64_C(5000000) /* what DESIGN calls lost */
#define SCAN_USEC      UINT64_C(100000)
#define USEC_PER_SEC   UINT64_C(1000000)
#define LENGTH_UNKNOWN UINT64_MAX /* until the connection ends */

typedef struct Client {
        int fd;
        bool is_asking;    /* a request is begun and not yet ended */
        bool is_sent;      /* and is out */
        bool is_retry;     /* and is so for the second time */
        bool has_head;     /* of the answer */
        bool is_last;      /* the server will close */
        bool is_good;      /* 2xx or 3xx */
        unsigned n_before; /* answers on this connection */
        uint64_t begun_usec;
        uint64_t n_body_left;
        size_t n_head;
        int pid;
        char version[VERSION_SIZE];
        char head[HEAD_SIZE];
} Client;

typedef struct Load {
        struct sockaddr_storage address;
        socklen_t address_length;
        char request[512];
        size_t n_request;
        bool is_keep_alive;
        unsigned n_clients;
        uint64_t rate; /* requests/s; 0: as fast as they are answered */
        uint64_t duration_usec;
        uint64_t count_max; /* 0: no limit */
        uint64_t slow_usec; /* 0: nothing is told */
        Client *clients;
        int epoll;
        uint64_t begun_usec;
        uint64_t n_begun;
        unsigned n_asking;
        bool is_over;
        LoadReport report;
} Load;

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number) {
        is_interrupted = 1;
}

static uint64_t now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* A fault of ours, not of the server: no result is better than a wrong one. */
static void give_up(const char *what) {
        fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static void client_close(Client *c, bool by_reset) {
        const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

        if (c->fd >= 0 && by_reset)
                (void) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        c->fd = fd_close(c->fd);
        c->n_before = 0;
}

static void client_end(Load *l, Client *c, Outcome outcome) {
        uint64_t now = now_usec();

        if (l->slow_usec > 0 && now - c->begun_usec > l->slow_usec)
                fprintf(stderr, "load: waited %" PRIu64 " %" PRIu64 "\n", c->begun_usec, now);
        if (outcome == OUTCOME_ANSWERED && l->report.n_outcomes[OUTCOME_ANSWERED] == 0)
                fprintf(stderr, "load: runs\n");
        load_report_count(&l->report, outcome, now - c->begun_usec);
        if (c->has_head)
                load_report_count_server(&l->report, c->pid, c->version);
        c->is_asking = false;
        l->n_asking--;
        if (outcome != OUTCOME_ANSWERED || c->is_last || !l->is_keep_alive)
                client_close(c, /* by_reset= */ true);
        else
                c->n_before++;
}

/* Returns 0 or an errno. */
static int client_connect(Load *l, Client *c) {
        struct epoll_event wanted = {
                .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                .data.ptr = c,
        };

        c->fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->fd < 0)
                give_up("socket");
        l->report.n_connections++;
        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &wanted) < 0)
                give_up("epoll_ctl");
        if (connect(c->fd, (struct sockaddr *) &l->address, l->address_length) < 0 &&
            errno != EINPROGRESS)
                return errno;
        return 0;
}

static void client_begin(Load *l, Client *c);

/* The connection is of no use any more. */
static void client_broken(Load *l, Client *c, Outcome outcome) {
        bool may_retry = c->n_before > 0 && c->n_head == 0 && !c->is_retry;

        if (!c->is_asking) {
                l->report.n_closed_idle++;
                client_close(c, /* by_reset= */ true);
        } else if (may_retry) {
                l->report.n_retried++;
                client_close(c, /* by_reset= */ true);
                c->is_retry = true;
                c->is_sent = false;
                client_begin(l, c);
        } else
                client_end(l, c, outcome);
}

static void client_failed(Load *l, Client *c, int error) {
        int pending = 0;
        socklen_t length = sizeof(pending);

        if (error == EPIPE && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &pending, &length) == 0 &&
            pending != 0)
                error = pending;
        if (error == ECONNREFUSED)
                client_broken(l, c, OUTCOME_REFUSED);
        else if (error == ECONNRESET || error == EPIPE)
                client_broken(l, c, OUTCOME_RESET);
        else if (error == ETIMEDOUT)
                client_broken(l, c, OUTCOME_TIMED_OUT);
        else {
                errno = error;
                give_up("connection");
        }
}

static void client_send(Load *l, Client *c) {
        ssize_t n = send(c->fd, l->request, l->n_request, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n < 0)
                client_failed(l, c, errno);
        else
                c->is_sent = true; /* a few bytes into an empty buffer go as a whole */
}

static void client_begin(Load *l, Client *c) {
        int error = c->fd < 0 ? client_connect(l, c) : 0;

        if (error > 0)
                client_failed(l, c, error);
        else
                client_send(l, c);
}

static void client_ask(Load *l, Client *c) {
        c->is_asking = true;
        c->is_sent = c->is_retry = c->has_head = c->is_last = c->is_good = false;
        c->n_head = 0;
        c->begun_usec = now_usec();
        l->n_asking++;
        l->n_begun++;
        client_begin(l, c);
}

static const char *header(const char *head, const char *name) {
        size_t n = strlen(name);

        for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
                line += 2;
                if (strncasecmp(line, name, n) == 0 && line[n] == ':')
                        return line + n + 1 + strspn(line + n + 1, " ");
        }
        return NULL;
}

static bool client_read_head(Client *c) {
        const char *value;
        unsigned status;

        if (sscanf(c->head, "HTTP/1.%*1u %3u", &status) != 1 ||
            header(c->head, "Transfer-Encoding"))
                return false;
        c->is_good = status >= 200 && status < 400;
        value = header(c->head, "Content-Length");
        c->n_body_left = value ? strtoull(value, NULL, 10) : LENGTH_UNKNOWN;
        value = header(c->head, "Connection");
        c->is_last = !header(c->head, "Content-Length") || strncmp(c->head, "HTTP/1.0", 8) == 0 ||
                     (value && strncasecmp(value, "close", 5) == 0);
        value = header(c->head, "X-Server-Pid");
        c->pid = value ? atoi(value) : 0;
        value = header(c->head, "X-Version");
        if (!value || sscanf(value, "%31[A-Za-z0-9._-]", c->version) != 1)
                c->version[0] = '\0';
        c->has_head = true;
        return true;
}

static void client_take(Load *l, Client *c, const char *bytes, size_t n) {
        if (!c->has_head) {
                size_t space = HEAD_SIZE - 1 - c->n_head, taken = n < space ? n : space;
                const char *end;

                memcpy(c->head + c->n_head, bytes, taken);
                c->n_head += taken;
                c->head[c->n_head] = '\0';
                end = strstr(c->head, "\r\n\r\n");
                if (!end && c->n_head < HEAD_SIZE - 1)
                        return;
                if (!end || !client_read_head(c)) {
                        client_end(l, c, OUTCOME_BAD_ANSWER);
                        return;
                }
                /* What is in these bytes behind the head, is of the body. */
                n -= taken - (c->n_head - (size_t) (end + 4 - c->head));
        }

        if (c->n_body_left != LENGTH_UNKNOWN)
                c->n_body_left -= n < c->n_body_left ? n : c->n_body_left;
        if (c->n_body_left > 0)
                return;
        client_end(l, c, c->is_good ? OUTCOME_ANSWERED : OUTCOME_BAD_ANSWER);
}

/* Edge-triggered: reads until nothing is left. */
static void client_receive(Load *l, Client *c) {
        static char bytes[65536];

        while (c->fd >= 0) {
                ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0)
                        client_failed(l, c, errno);
                else if (n > 0 && c->is_asking)
                        client_take(l, c, bytes, (size_t) n);
                else if (n > 0)
                        client_broken(l, c, OUTCOME_BAD_ANSWER); /* nobody asked */
                else if (c->is_asking && c->has_head && c->n_body_left == LENGTH_UNKNOWN)
                        client_end(l, c, c->is_good ? OUTCOME_ANSWERED : OUTCOME_BAD_ANSWER);
                else
                        client_broken(l, c, OUTCOME_CLOSED_EARLY);
        }
}

static void on_client(Load *l, Client *c, uint32_t events) {
        if (c->is_asking && !c->is_sent && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
                client_send(l, c);
        if (c->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
                client_receive(l, c);
}

/* Those who have nothing to do ask, if it is time. */
static void ask_more(Load *l, uint64_t now) {
        static unsigned next;
        uint64_t due = UINT64_MAX;

        if (l->rate > 0)
                due = (now - l->begun_usec) * l->rate / USEC_PER_SEC;
        if (l->count_max > 0 && due > l->count_max)
                due = l->count_max;
        for (unsigned i = 0; i < l->n_clients && l->n_begun < due; i++) {
                Client *c = &l->clients[next];

                next = (next + 1) % l->n_clients;
                if (!c->is_asking)
                        client_ask(l, c);
        }
        if (l->count_max > 0 && l->n_begun >= l->count_max)
                l->is_over = true;
}

static void end_late(Load *l) {
        uint64_t now = now_usec();

        for (unsigned i = 0; i < l->n_clients; i++) {
                Client *c = &l->clients[i];

                if (c->is_asking && now - c->begun_usec > TIMEOUT_USEC)
                        client_end(l, c, OUTCOME_TIMED_OUT);
        }
}

static void run(Load *l) {
        struct epoll_event events[EVENTS_MAX];
        uint64_t scanned_usec = 0;

        l->begun_usec = now_usec();
        for (;;) {
                uint64_t now = now_usec();
                int n;

                if (is_interrupted || now - l->begun_usec >= l->duration_usec)
                        l->is_over = true;
                if (!l->is_over)
                        ask_more(l, now);
                if (now - scanned_usec > SCAN_USEC) {
                        end_late(l);
                        scanned_usec = now;
                }
                if (l->is_over && l->n_asking == 0)
                        return;

                n = epoll_wait(l->epoll, events, EVENTS_MAX, l->rate > 0 ? 1 : 20);
                for (int i = 0; i < n; i++)
                        on_client(l, events[i].data.ptr, events[i].events);
        }
}

static bool read_address(Load *l, char *text) {
        const struct addrinfo hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
                .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
        };
        char *port = strrchr(text, ':');
        struct addrinfo *found;

        if (!port)
                return false;
        *port++ = '\0';
        if (text[0] == '[' && text[strlen(text) - 1] == ']') {
                text[strlen(text) - 1] = '\0';
                text++;
        }
        if (getaddrinfo(text, port, &hints, &found) != 0)
                return false;
        memcpy(&l->address, found->ai_addr, found->ai_addrlen);
        l->address_length = found->ai_addrlen;
        freeaddrinfo(found);
        return true;
}

static const struct option switches[] = {
        { "address", required_argument, NULL, 'a' }, /* IP:PORT or [IP6]:PORT */
        { "path", required_argument, NULL, 'p' },
        { "keep-alive", no_argument, NULL, 'k' },
        { "clients", required_argument, NULL, 'c' },
        { "rate", required_argument, NULL, 'r' }, /* requests/s */
        { "seconds", required_argument, NULL, 's' },
        { "count", required_argument, NULL, 'n' },     /* requests */
        { "tell-slow", required_argument, NULL, 't' }, /* µs */
        {},
};

static bool read_switches(Load *l, int argc, char *argv[]) {
        const char *path = "/";
        int letter;

        while ((letter = getopt_long(argc, argv, "", switches, NULL)) >= 0) {
                uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;

                if (letter == 'a' && !read_address(l, optarg))
                        return false;
                else if (letter == 'p')
                        path = optarg;
                else if (letter == 'k')
                        l->is_keep_alive = true;
                else if (letter == 'c')
                        l->n_clients = number < CLIENTS_MAX ? (unsigned) number : CLIENTS_MAX;
                else if (letter == 'r')
                        l->rate = number;
                else if (letter == 's')
                        l->duration_usec = number * USEC_PER_SEC;
                else if (letter == 'n')
                        l->count_max = number;
                else if (letter == 't')
                        l->slow_usec = number;
                else if (letter == '?')
                        return false;
        }

        l->n_request = (size_t) snprintf(l->request, sizeof(l->request),
                                         "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", path,
                                         l->is_keep_alive ? "" : "Connection: close\r\n");
        return l->address_length > 0 && l->n_clients > 0 && l->n_request < sizeof(l->request);
}

static void prepare(Load *l) {
        struct rlimit limit = { .rlim_cur = l->n_clients + 64, .rlim_max = l->n_clients + 64 };
        const struct sigaction action = { .sa_handler = on_interrupt };

        if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0)
                give_up("sigaction");
        if (l->n_clients > 512 && setrlimit(RLIMIT_NOFILE, &limit) < 0)
                give_up("setrlimit");
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (l->epoll < 0)
                give_up("epoll_create1");
        l->clients = calloc(l->n_clients, sizeof(*l->clients));
        if (!l->clients)
                give_up("clients");
        for (unsigned i = 0; i < l->n_clients; i++)
                l->clients[i].fd = -EBADF;
}

int main(int argc, char *argv[]) {
        static Load l = { .n_clients = 16, .duration_usec = 10 * USEC_PER_SEC, .epoll = -EBADF };

        if (!read_switches(&l, argc, argv)) {
                fprintf(stderr, "usage: load --address=IP:PORT [--path=/] [--keep-alive] "
                                "[--clients=N] [--rate=N] [--seconds=N] [--count=N]\n");
                return 2;
        }
        prepare(&l);
        run(&l);
        load_report_print(&l.report, now_usec() - l.begun_usec, stdout);

        for (unsigned i = 0; i < l.n_clients; i++)
                client_close(&l.clients[i], /* by_reset= */ false);
        free(l.clients);
        fd_close(l.epoll);
        return EXIT_SUCCESS;
}
