#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#include "http.h"

#define REQUEST_SIZE  4096
#define LISTENERS_MAX 16U

typedef struct Connection Connection;

struct Connection {
        TAILQ_ENTRY(Connection) by_activity;
        HttpServer *server;
        sd_event_source *io;
        sd_event_source *delay; /* armed while an answer waits for its time */
        int fd;
        unsigned n_answered;
        bool is_last; /* no further request after this answer */
        char *answer; /* head and body; NULL: we wait for a request */
        size_t n_answer;
        size_t n_written;
        size_t n_request;
        char request[REQUEST_SIZE];
};

typedef struct Listener {
        HttpServer *server;
        sd_event_source *io;
        int fd;
} Listener;

struct HttpServer {
        sd_event *event;
        HttpOptions options;
        Listener listeners[LISTENERS_MAX];
        size_t n_listeners;
        TAILQ_HEAD(ConnectionList, Connection) connections; /* the one idle longest first */
        unsigned n_connections;
        bool is_draining;
        sd_event_source *fresh; /* while draining: the end of patience with the silent */
};

/* Whether we want to hear of those who wait in the queues. */
static void server_listen(HttpServer *s, bool on) {
        on = on && s->options.accept_max > 0;
        for (size_t i = 0; i < s->n_listeners; i++)
                (void) sd_event_source_set_enabled(s->listeners[i].io,
                                                   on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static Connection *connection_free(Connection *c) {
        HttpServer *s;

        if (!c)
                return NULL;

        s = c->server;
        TAILQ_REMOVE(&s->connections, c, by_activity);
        s->n_connections--;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->delay);
        fd_close(c->fd);
        free(c->answer);
        free(c);

        if (s->n_connections == HTTP_CONNECTIONS_MAX - 1)
                server_listen(s, true);
        if (s->is_draining && s->n_connections == 0)
                (void) sd_event_exit(s->event, 0);
        return NULL;
}

static bool connection_is_idle(const Connection *c) {
        return !c->answer && c->n_request == 0;
}

static bool server_make_room(HttpServer *s) {
        Connection *c;

        if (s->n_connections < HTTP_CONNECTIONS_MAX)
                return true;

        TAILQ_FOREACH(c, &s->connections, by_activity)
                if (connection_is_idle(c)) {
                        connection_free(c);
                        return true;
                }
        server_listen(s, false);
        return false;
}

static const char *status_text(int status) {
        switch (status) {
        case 200:
                return "OK";
        case 400:
                return "Bad Request";
        case 404:
                return "Not Found";
        case 405:
                return "Method Not Allowed";
        case 431:
                return "Request Header Fields Too Large";
        case 503:
                return "Service Unavailable";
        default:
                return "Internal Server Error";
        }
}

/* Makes the bytes of an answer.  Takes answer->body. */
static int connection_set_answer(Connection *c, HttpAnswer *answer, bool has_body) {
        _cleanup_free_ char *body = TAKE_PTR(answer->body);
        const HttpOptions *o = &c->server->options;
        int n;

        c->is_last = c->is_last || answer->close || o->close_after_answer || c->server->is_draining;
        n = asprintf(&c->answer,
                     "HTTP/1.1 %d %s\r\n"
                     "Content-Type: text/plain; charset=utf-8\r\n"
                     "Content-Length: %zu\r\n"
                     "%s%s\r\n%s",
                     answer->status, status_text(answer->status), body ? strlen(body) : 0,
                     c->is_last ? "Connection: close\r\n" : "", o->headers ? o->headers : "",
                     has_body && body ? body : "");
        if (n < 0) {
                c->answer = NULL;
                return -ENOMEM;
        }
        c->n_answer = (size_t) n;
        c->n_written = 0;
        return 0;
}

/* The value of a header in @head, which ends with an empty line, or NULL. */
static const char *find_header(const char *head, const char *name) {
        size_t n = strlen(name);

        for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
                line += 2;
                if (strncasecmp(line, name, n) == 0 && line[n] == ':')
                        return line + n + 1 + strspn(line + n + 1, " \t");
        }
        return NULL;
}

/* Reads the head of a request, a string, and asks the handler.  Returns 0 or a negative errno. */
static int connection_ask(Connection *c, const char *head, HttpAnswer *answer) {
        const char *wanted = find_header(head, "Connection");
        char method[8], path[HTTP_PATH_SIZE];
        unsigned minor;
        int n = 0;

        if (sscanf(head, "%7[A-Z] %255[^ \r\n] HTTP/1.%1u%n", method, path, &minor, &n) != 3 ||
            n == 0 || find_header(head, "Content-Length") ||
            find_header(head, "Transfer-Encoding")) {
                answer->status = 400;
                answer->close = true;
        } else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
                answer->status = 405;
                answer->close = true;
        } else {
                if (minor == 0)
                        c->is_last = !wanted || strncasecmp(wanted, "keep-alive", 10) != 0;
                else
                        c->is_last = wanted && strncasecmp(wanted, "close", 5) == 0;
                c->server->options.handler(c->server->options.userdata, path, answer);
        }
        return connection_set_answer(c, answer, strcmp(method, "HEAD") != 0);
}

static int on_delay_over(sd_event_source *source, uint64_t usec, void *userdata);

static int connection_delay(Connection *c, uint64_t delay_usec) {
        int r = sd_event_source_set_io_events(c->io, 0);

        if (r < 0)
                return r;
        c->delay = sd_event_source_disable_unref(c->delay);
        return sd_event_add_time_relative(c->server->event, &c->delay, CLOCK_MONOTONIC, delay_usec,
                                          1, on_delay_over, c);
}

/* Writes what can be written.  Returns 1 when the answer is out, 0 to wait, or a negative errno. */
static int connection_write(Connection *c) {
        while (c->n_written < c->n_answer) {
                ssize_t n = send(c->fd, c->answer + c->n_written, c->n_answer - c->n_written,
                                 MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return sd_event_source_set_io_events(c->io, EPOLLOUT);
                if (n < 0)
                        return -errno;
                c->n_written += (size_t) n;
        }

        free(c->answer);
        c->answer = NULL;
        c->n_answered++;
        if (c->is_last)
                return -ESHUTDOWN;
        return 1;
}

/* Takes the next request from what was read.  Returns 1 if its answer can be written now, 0 to wait,
 * or a negative errno. */
static int connection_next_request(Connection *c) {
        HttpAnswer answer = { .status = 200 };
        char *end, kept;
        size_t n;
        int r;

        c->request[c->n_request] = '\0';
        end = strstr(c->request, "\r\n\r\n");
        if (end)
                n = (size_t) (end + 4 - c->request);
        else if (c->n_request < REQUEST_SIZE - 1)
                return sd_event_source_set_io_events(c->io, EPOLLIN);
        else
                n = c->n_request;

        kept = c->request[n];
        c->request[n] = '\0';
        if (end)
                r = connection_ask(c, c->request, &answer);
        else
                r = connection_set_answer(c, &(HttpAnswer){ .status = 431, .close = true }, true);
        c->request[n] = kept;
        c->n_request -= n;
        memmove(c->request, c->request + n, c->n_request);
        if (r < 0)
                return r;
        if (answer.delay_usec > 0)
                return connection_delay(c, answer.delay_usec);
        return 1;
}

/* Reads and answers until there is nothing to do now.  Frees the connection when it is over. */
static void connection_serve(Connection *c) {
        for (;;) {
                int r = c->answer ? connection_write(c) : connection_next_request(c);

                if (r == 0)
                        return;
                if (r < 0) {
                        connection_free(c);
                        return;
                }
        }
}

/* Returns whether anything was there; frees the connection when the other side has gone. */
static bool connection_read(Connection *c) {
        size_t space = REQUEST_SIZE - 1 - c->n_request;
        ssize_t n = recv(c->fd, c->request + c->n_request, space, 0);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) {
                connection_free(c);
                return true;
        }

        c->n_request += (size_t) n;
        TAILQ_REMOVE(&c->server->connections, c, by_activity);
        TAILQ_INSERT_TAIL(&c->server->connections, c, by_activity);
        connection_serve(c);
        return true;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Connection *c = userdata;

        if (c->answer && !(events & EPOLLOUT))
                connection_free(c); /* it hung up while we were thinking */
        else if (c->answer)
                connection_serve(c);
        else
                (void) connection_read(c);
        return 0;
}

static int on_delay_over(sd_event_source *source, uint64_t usec, void *userdata) {
        connection_serve(userdata);
        return 0;
}

/* @fd  taken always */
static int connection_new(HttpServer *s, int fd, Connection **ret) {
        Connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c) {
                fd_close(fd);
                return -ENOMEM;
        }
        c->server = s;
        c->fd = fd;
        TAILQ_INSERT_TAIL(&s->connections, c, by_activity);
        s->n_connections++;

        r = sd_event_add_io(s->event, &c->io, fd, EPOLLIN, on_connection, c);
        if (r < 0) {
                connection_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

/* Takes up to @max connections.  Most have sent their request already, so it is read at once. */
static void listener_accept(Listener *l, unsigned max) {
        while (max-- > 0 && server_make_room(l->server)) {
                Connection *c;
                int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0 && errno == ECONNABORTED)
                        continue;
                if (fd < 0)
                        return;
                if (connection_new(l->server, fd, &c) >= 0)
                        (void) connection_read(c);
        }
}

static int on_listener(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Listener *l = userdata;

        listener_accept(l, l->server->options.accept_max);
        return 0;
}

int http_new(sd_event *event, const HttpOptions *options, HttpServer **ret) {
        HttpServer *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->event = event;
        s->options = *options;
        TAILQ_INIT(&s->connections);
        *ret = s;
        return 0;
}

static void server_close_listeners(HttpServer *s) {
        for (size_t i = 0; i < s->n_listeners; i++) {
                sd_event_source_disable_unref(s->listeners[i].io);
                fd_close(s->listeners[i].fd);
        }
        s->n_listeners = 0;
}

HttpServer *http_free(HttpServer *s) {
        Connection *c;

        if (!s)
                return NULL;

        s->is_draining = false;
        while ((c = TAILQ_FIRST(&s->connections)))
                connection_free(c);
        server_close_listeners(s);
        sd_event_source_disable_unref(s->fresh);
        free(s);
        return NULL;
}

int http_add_listener(HttpServer *s, int fd) {
        Listener *l = &s->listeners[s->n_listeners];
        int r;

        if (s->n_listeners == LISTENERS_MAX)
                return -E2BIG;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        r = fd_set_nonblock(fd, true);
        if (r < 0)
                return r;

        *l = (Listener){ .server = s, .fd = fd };
        r = sd_event_add_io(s->event, &l->io, fd, EPOLLIN, on_listener, l);
        if (r < 0)
                return r;
        s->n_listeners++;
        server_listen(s, true);
        return 0;
}

static int on_fresh_over(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpServer *s = userdata;
        Connection *next;

        for (Connection *c = TAILQ_FIRST(&s->connections); c; c = next) {
                next = TAILQ_NEXT(c, by_activity);
                if (!c->answer)
                        connection_free(c);
        }
        return 0;
}

/* An idle connection is closed, unless its next request is here already. */
static void server_close_idle(HttpServer *s) {
        Connection *next;

        for (Connection *c = TAILQ_FIRST(&s->connections); c; c = next) {
                next = TAILQ_NEXT(c, by_activity);
                if (connection_is_idle(c) && c->n_answered > 0 && !connection_read(c))
                        connection_free(c);
        }
}

void http_drain(HttpServer *s) {
        if (s->is_draining)
                return;

        for (size_t i = 0; i < s->n_listeners && !s->options.is_hasty; i++)
                listener_accept(&s->listeners[i], UINT32_MAX);
        server_close_listeners(s);

        s->is_draining = true;
        if (s->n_connections == 0)
                (void) sd_event_exit(s->event, 0);
        server_close_idle(s);
        (void) sd_event_add_time_relative(s->event, &s->fresh, CLOCK_MONOTONIC, HTTP_FRESH_USEC, 0,
                                          on_fresh_over, s);
}
