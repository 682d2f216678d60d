#include "ctl/client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "base/runtime.h"
#include "base/text.h"
#include "ctl/message.h"

#define CALL_USEC            (30 * USEC_PER_SEC) /* without --timeout */
#define COME_BACK_USEC       (10 * USEC_PER_SEC)
#define COME_BACK_AGAIN_MSEC 20
#define NAMES_MAX            100000U
#define SHARED_DIRECTORY     "/run/reuseportd"
#define PUBLIC_NAME          "org.reuseportd" /* on the system's bus */

/* ---- errors ---- */

/* What is not here is CTL_FAILED. */
static const struct {
        const char *name;
        CtlResult result;
} results[] = {
        { "org.reuseportd.Error.NoSuchName", CTL_NO_SUCH_NAME },
        { "org.reuseportd.Error.InvalidArgument", CTL_USAGE },
        { "org.reuseportd.Error.BadConfiguration", CTL_BAD_CONFIG },
        { "org.reuseportd.Error.TimedOut", CTL_TIMED_OUT },
        { SD_BUS_ERROR_UNKNOWN_OBJECT, CTL_NO_SUCH_NAME },
        { SD_BUS_ERROR_ACCESS_DENIED, CTL_ACCESS_DENIED },
        { SD_BUS_ERROR_TIMEOUT, CTL_TIMED_OUT },
        { SD_BUS_ERROR_NO_REPLY, CTL_TIMED_OUT },
        { SD_BUS_ERROR_DISCONNECTED, CTL_NOT_REACHABLE },
};

/* The daemon closes at once on those who may not speak to it, and on one too many. */
static CtlResult tell_disconnected(const Ctl *c) {
        struct ucred daemon = { 0 };
        socklen_t size = sizeof(daemon);
        int fd = sd_bus_get_fd(c->bus);

        if (fd >= 0)
                (void) getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &daemon, &size);
        if (geteuid() != 0 && geteuid() != daemon.uid) {
                ctl_error("access denied: only root, uid %u and members of control_group may",
                          daemon.uid);
                return CTL_ACCESS_DENIED;
        }

        ctl_error("the daemon has closed the connection: it has ended, or has too many clients");
        return CTL_NOT_REACHABLE;
}

static CtlResult tell_call_error(const Ctl *c, int error, const sd_bus_error *bus_error) {
        if (c->is_lenient)
                return CTL_NOT_REACHABLE;
        if (error == -ECONNRESET || error == -EPIPE || error == -ENOTCONN || error == -ESHUTDOWN)
                return c->may_come_back ? CTL_NOT_REACHABLE : tell_disconnected(c);
        if (error == -ETIMEDOUT) {
                ctl_error("no answer from the daemon in time");
                return CTL_TIMED_OUT;
        }

        ctl_error("%s", bus_error->message ? bus_error->message : strerror(-error));
        for (size_t i = 0; i < ELEMENTS_OF(results); i++)
                if (bus_error->name && strcmp(results[i].name, bus_error->name) == 0)
                        return results[i].result;

        return CTL_FAILED;
}

/* ---- the way there ---- */

static uint64_t now_usec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

uint64_t client_deadline(const Ctl *c) {
        return c->timeout_usec == USEC_INFINITY ? USEC_INFINITY : now_usec() + c->timeout_usec;
}

static uint64_t call_usec(const Ctl *c) {
        return c->timeout_usec == USEC_INFINITY ? CALL_USEC : c->timeout_usec;
}

/* A daemon of our own first, then the system's.  Within a unit RUNTIME_DIRECTORY is that unit's, and may have
 * nothing to do with us. */
static char *usual_path(void) {
        _cleanup_free_ char *directory = runtime_directory();
        char *path;

        if (directory && asprintf(&path, "%s/control", directory) < 0)
                return NULL;
        if (directory && access(path, F_OK) == 0)
                return path;

        if (directory)
                free(path);
        return strdup(SHARED_DIRECTORY "/control");
}

static int open_socket(const Ctl *c, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const struct timeval limit = {
                .tv_sec = (time_t) (call_usec(c) / USEC_PER_SEC),
                .tv_usec = (suseconds_t) (call_usec(c) % USEC_PER_SEC),
        };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));

        fd = fd_move_above_stdio(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (fd < 0)
                return -errno;

        /* A daemon that does not accept leaves its backlog full. */
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;

        return TAKE_FD(fd);
}

static CtlResult tell_unreachable(const Ctl *c, const char *path, int error) {
        if (c->is_lenient)
                return CTL_NOT_REACHABLE;
        if (error == -EACCES || error == -EPERM) {
                ctl_error("%s: access denied; root and members of control_group may", path);
                return CTL_ACCESS_DENIED;
        }
        if (error == -EAGAIN) {
                ctl_error("%s: the daemon does not answer", path);
                return CTL_TIMED_OUT;
        }

        ctl_error("%s: no daemon is there (%s); start reuseportd, or say --control SOCKET", path,
                  strerror(-error));
        return CTL_NOT_REACHABLE;
}

/* Whether it is the event of a change of that service as a whole; its workers have their own. */
static bool is_event_of(sd_bus_message *m, const char *service) {
        const char *type, *name;

        return sd_bus_message_is_signal(m, CLIENT_MANAGER, "Event") > 0 &&
               sd_bus_message_read(m, "ttss", NULL, NULL, &type, &name) > 0 &&
               strcmp(type, "service") == 0 && strcmp(name, service) == 0;
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Ctl *c = userdata;
        uint8_t type;

        if (sd_bus_message_get_type(m, &type) >= 0 && type == SD_BUS_MESSAGE_SIGNAL &&
            (!c->news_of || is_event_of(m, c->news_of)))
                c->has_news = true;
        return 0;
}

/* sd_bus_call() would wait for the authentication for ever, or nearly. */
static CtlResult wait_ready(Ctl *c) {
        uint64_t deadline_usec = now_usec() + call_usec(c);

        while (sd_bus_is_ready(c->bus) <= 0) {
                uint64_t now = now_usec();
                int r;

                if (now >= deadline_usec)
                        return tell_call_error(c, -ETIMEDOUT, &SD_BUS_ERROR_NULL);

                r = sd_bus_process(c->bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(c->bus, deadline_usec - now);
                if (r < 0 && r != -EINTR)
                        return tell_call_error(c, r, &SD_BUS_ERROR_NULL);
        }

        return CTL_OK;
}

/* @fd  taken always */
static int open_bus(Ctl *c, int fd, bool takes) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_close_ int own = fd;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_fd(bus, own, own);
        if (r >= 0) {
                (void) TAKE_FD(own);
                r = sd_bus_negotiate_fds(bus, takes);
        }
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, call_usec(c));
        if (r >= 0)
                r = sd_bus_add_filter(bus, NULL, on_signal, c);
        if (r < 0)
                return r;

        c->bus = TAKE_PTR(bus);
        return sd_bus_start(c->bus);
}

/* @takes  whether descriptors shall come over it */
static CtlResult connect_to(Ctl *c, const char *path, bool takes) {
        int fd = open_socket(c, path), r;

        if (fd < 0)
                return tell_unreachable(c, path, fd);

        r = open_bus(c, fd, takes);
        return r < 0 ? tell_call_error(c, r, &SD_BUS_ERROR_NULL) : wait_ready(c);
}

/* Whoever may not open the control socket may still be somebody whom polkit allows something.  Returns
 * whether the system's daemon is there to be asked. */
static bool connect_to_system(Ctl *c) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_get_name_creds(bus, PUBLIC_NAME, 0, NULL);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, call_usec(c));
        if (r >= 0)
                r = sd_bus_set_allow_interactive_authorization(bus, isatty(STDIN_FILENO));
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, PUBLIC_NAME, NULL, NULL, NULL, on_signal, c);
        if (r < 0)
                return false;

        c->bus = TAKE_PTR(bus);
        c->destination = PUBLIC_NAME;
        return true;
}

CtlResult client_connect(Ctl *c) {
        _cleanup_free_ char *usual = c->control ? NULL : usual_path();
        const char *path = c->control ? c->control : usual;

        if (c->bus)
                return CTL_OK;
        if (!path)
                return tell_unreachable(c, "", -ENOMEM);
        if (!c->control && access(path, F_OK) == 0 && access(path, W_OK) < 0 && errno == EACCES &&
            connect_to_system(c))
                return CTL_OK;

        return connect_to(c, path, /* takes= */ false);
}

/* A daemon that is executed anew, or ended by accident, is there again in a moment; nothing tells when. */
CtlResult client_come_back(Ctl *c, uint64_t deadline_usec) {
        uint64_t limit_usec = now_usec() + COME_BACK_USEC;
        CtlResult r;

        if (deadline_usec < limit_usec)
                limit_usec = deadline_usec;

        c->is_lenient = true;
        do {
                c->bus = sd_bus_close_unref(c->bus);
                r = client_connect(c);
                if (r == CTL_OK)
                        r = client_call_manager(c, "Subscribe", NULL, NULL);
                if (r != CTL_OK)
                        (void) poll(NULL, 0, COME_BACK_AGAIN_MSEC);
        } while (r == CTL_NOT_REACHABLE && now_usec() < limit_usec);
        c->is_lenient = false;

        if (r == CTL_NOT_REACHABLE)
                ctl_error("the daemon has closed the connection and does not come back");
        return r;
}

/* ---- calls ---- */

static CtlResult tell_no_such_object(Ctl *c, const char *path);

static CtlResult call(Ctl *c, sd_bus_message *m, json_t **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call(c->bus, m, call_usec(c), &error, &reply);
        if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT))
                return tell_no_such_object(c, sd_bus_message_get_path(m));
        if (r < 0)
                return tell_call_error(c, r, &error);
        if (!ret)
                return CTL_OK;

        *ret = message_to_json(reply);
        if (!*ret) {
                ctl_error("the daemon's answer cannot be read");
                return CTL_FAILED;
        }

        return CTL_OK;
}

static CtlResult callv(Ctl *c, const char *path, const char *interface, const char *member,
                       json_t **ret, const char *types, va_list arguments) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        CtlResult result;
        int r;

        result = client_connect(c);
        if (result != CTL_OK)
                return result;

        r = sd_bus_message_new_method_call(c->bus, &m, c->destination, path, interface, member);
        if (r >= 0 && types)
                r = sd_bus_message_appendv(m, types, arguments);
        if (r < 0) {
                ctl_error("%s: %s", member, strerror(-r));
                return r == -ENOTCONN ? CTL_NOT_REACHABLE : CTL_FAILED;
        }

        return call(c, m, ret);
}

CtlResult client_call_manager(Ctl *c, const char *member, json_t **ret, const char *types, ...) {
        CtlResult result;
        va_list arguments;

        va_start(arguments, types);
        result = callv(c, CLIENT_PATH, CLIENT_MANAGER, member, ret, types, arguments);
        va_end(arguments);
        return result;
}

/* Says which name might have been meant. */
static CtlResult tell_no_such_name(Ctl *c, const char *list, const char *what, const char *name) {
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ const char **names = NULL;
        const char *nearest = NULL;
        const json_t *rows;
        size_t n;

        if (client_call_manager(c, list, &reply, NULL) == CTL_OK) {
                rows = json_array_get(reply, 1);
                n = json_array_size(rows) < NAMES_MAX ? json_array_size(rows) : NAMES_MAX;
                names = calloc(n + 1, sizeof(char *));
                for (size_t i = 0; names && i < n; i++)
                        names[i] = json_string_value(json_array_get(json_array_get(rows, i), 0));
                nearest = names ? text_nearest(names, n, name) : NULL;
        }

        ctl_error("there is no %s \"%s\"%s%s%s", what, name, nearest ? ", perhaps \"" : "",
                  nearest ? nearest : "", nearest ? "\"" : "");
        return CTL_NO_SUCH_NAME;
}

static CtlResult tell_no_such_object(Ctl *c, const char *path) {
        _cleanup_free_ char *name = NULL;

        if (sd_bus_path_decode(path, CLIENT_PATH "/service", &name) > 0)
                return tell_no_such_name(c, "ListServices", "service", name);
        if (sd_bus_path_decode(path, CLIENT_PATH "/endpoint", &name) > 0)
                return tell_no_such_name(c, "ListEndpoints", "endpoint", name);

        ctl_error("the daemon has no object %s", path);
        return CTL_FAILED;
}

/* A name that no setting could have is no path either. */
static CtlResult object_path(const char *interface, const char *name, char **ret) {
        const char *prefix = strcmp(interface, CLIENT_SERVICE) == 0 ? CLIENT_PATH "/service"
                                                                    : CLIENT_PATH "/endpoint";

        if (sd_bus_path_encode(prefix, name, ret) < 0) {
                ctl_error("no memory");
                return CTL_FAILED;
        }

        return CTL_OK;
}

CtlResult client_call_service(Ctl *c, const char *name, const char *member, json_t **ret,
                              const char *types, ...) {
        _cleanup_free_ char *path = NULL;
        CtlResult result;
        va_list arguments;

        result = object_path(CLIENT_SERVICE, name, &path);
        if (result != CTL_OK)
                return result;

        va_start(arguments, types);
        result = callv(c, path, CLIENT_SERVICE, member, ret, types, arguments);
        va_end(arguments);
        return result;
}

CtlResult client_new_call(Ctl *c, const char *name, const char *member, sd_bus_message **ret) {
        _cleanup_free_ char *path = NULL;
        CtlResult result;
        int r;

        result = client_connect(c);
        if (result == CTL_OK)
                result = object_path(CLIENT_SERVICE, name, &path);
        if (result != CTL_OK)
                return result;

        r = sd_bus_message_new_method_call(c->bus, ret, c->destination, path, CLIENT_SERVICE,
                                           member);
        if (r < 0) {
                ctl_error("%s: %s", member, strerror(-r));
                return CTL_FAILED;
        }

        return CTL_OK;
}

CtlResult client_send(Ctl *c, sd_bus_message *m, json_t **ret) {
        return call(c, m, ret);
}

/* Whoever may not open the control socket may ask at the one beside it. */
static CtlResult connect_to_take(Ctl *c) {
        _cleanup_free_ char *usual = c->control ? NULL : usual_path(), *beside = NULL;
        const char *path = c->control ? c->control : usual;

        if (!path || asprintf(&beside, "%s-take", path) < 0)
                return tell_unreachable(c, "", -ENOMEM);

        return connect_to(c, access(path, W_OK) < 0 && access(beside, W_OK) == 0 ? beside : path,
                          /* takes= */ true);
}

CtlResult client_take(Ctl *c, char *const *endpoints, bool for_store, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        CtlResult result = connect_to_take(c);
        int r;

        if (result != CTL_OK)
                return result;

        r = sd_bus_message_new_method_call(c->bus, &m, NULL, CLIENT_PATH, CLIENT_MANAGER, "Take");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, (char **) endpoints);
        if (r >= 0)
                r = sd_bus_message_append(m, "b", for_store);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, call_usec(c), &error, ret);
        return r < 0 ? tell_call_error(c, r, &error) : CTL_OK;
}

/* @property  NULL: all */
static CtlResult get(Ctl *c, const char *interface, const char *name, const char *property,
                     json_t **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ char *path = NULL;
        CtlResult result;
        int r;

        result = client_connect(c);
        if (result == CTL_OK && strcmp(interface, CLIENT_MANAGER) != 0)
                result = object_path(interface, name, &path);
        if (result != CTL_OK)
                return result;

        r = sd_bus_message_new_method_call(c->bus, &m, c->destination, path ? path : CLIENT_PATH,
                                           "org.freedesktop.DBus.Properties",
                                           property ? "Get" : "GetAll");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", interface);
        if (r >= 0 && property)
                r = sd_bus_message_append(m, "s", property);
        if (r < 0) {
                ctl_error("%s", strerror(-r));
                return CTL_FAILED;
        }

        result = call(c, m, &reply);
        if (result == CTL_OK)
                *ret = json_incref(json_array_get(reply, 0));
        return result;
}

CtlResult client_get(Ctl *c, const char *interface, const char *name, json_t **ret) {
        return get(c, interface, name, NULL, ret);
}

CtlResult client_get_property(Ctl *c, const char *service, const char *property, json_t **ret) {
        return get(c, CLIENT_SERVICE, service, property, ret);
}

const char *client_text(const json_t *properties, const char *name) {
        const char *text = json_string_value(json_object_get(properties, name));

        return text ? text : "";
}

json_int_t client_number(const json_t *properties, const char *name) {
        return json_integer_value(json_object_get(properties, name));
}

/* ---- news ---- */

CtlResult client_subscribe(Ctl *c) {
        return client_call_manager(c, "Subscribe", NULL, NULL);
}

CtlResult client_wait_news(Ctl *c, uint64_t deadline_usec) {
        for (;;) {
                uint64_t now = now_usec();
                int r = sd_bus_process(c->bus, NULL);

                if (r < 0)
                        return tell_call_error(c, r, &SD_BUS_ERROR_NULL);
                if (r > 0)
                        continue;
                if (c->has_news)
                        return CTL_OK;
                if (now >= deadline_usec) {
                        ctl_error("timed out");
                        return CTL_TIMED_OUT;
                }

                r = sd_bus_wait(c->bus,
                                deadline_usec == USEC_INFINITY ? UINT64_MAX : deadline_usec - now);
                if (r == -EINTR)
                        return CTL_OK; /* somebody may have pressed Ctrl-C */
                if (r < 0)
                        return tell_call_error(c, r, &SD_BUS_ERROR_NULL);
        }
}
