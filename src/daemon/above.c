#include "daemon/above.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/timer.h"

#define MESSAGE_SIZE_BYTES 1024
#define STORE_USEC         (100 * USEC_PER_MSEC)
#define STORE_AGAIN_MSEC   1
#define TELL_AGAIN_USEC    (10 * USEC_PER_MSEC)
#define TELL_AGAIN_MAX     USEC_PER_SEC
#define UNTOLD_MAX         16U

struct Above {
        sd_event *event; /* borrowed */
        char *path;      /* as it was written; NULL: there is none */
        int fd;
        struct sockaddr_un address;
        socklen_t length;
        uint64_t watchdog_usec;
        sd_event_source *watchdog;
        char untold[UNTOLD_MAX][MESSAGE_SIZE_BYTES]; /* in their order, until it reads again */
        size_t n_untold;
        sd_event_source *again;
        uint64_t again_usec; /* until it is tried, more each time */
};

/* "/path" or "@abstract". */
static int read_address(const char *text, Above *a) {
        size_t length = strlen(text);

        if ((text[0] != '/' && text[0] != '@') || length < 2 ||
            length >= sizeof(a->address.sun_path))
                return -EINVAL;

        a->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(a->address.sun_path, text, length);
        if (text[0] == '@')
                a->address.sun_path[0] = '\0';
        a->length = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length +
                                 (text[0] == '/' ? 1 : 0));
        return 0;
}

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
        Above *a = userdata;

        above_tell(a, "WATCHDOG=1");
        (void) timer_arm(a->event, &a->watchdog, a->watchdog_usec / 2, on_watchdog, a);
        return 0;
}

int above_new(sd_event *event, Above **ret) {
        _cleanup_(above_freep) Above *a = NULL;
        const char *path = getenv("NOTIFY_SOCKET");
        int r;

        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;

        a->event = event;
        a->fd = -EBADF;

        if (path && read_address(path, a) < 0)
                log_warning("NOTIFY_SOCKET=%s: we speak to a path or an abstract name only, so "
                            "whoever started us hears nothing",
                            path);
        else if (path) {
                a->fd = fd_move_above_stdio(
                                socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
                if (a->fd < 0)
                        return -errno;
                a->path = strdup(path);
                if (!a->path)
                        return -ENOMEM;
        }
        (void) unsetenv("NOTIFY_SOCKET");

        if (sd_watchdog_enabled(/* unset_environment= */ true, &a->watchdog_usec) > 0) {
                r = timer_arm(event, &a->watchdog, a->watchdog_usec / 2, on_watchdog, a);
                if (r < 0)
                        return r;
                /* The program before us, if we were re-executed, may have been about to say it. */
                above_tell(a, "WATCHDOG=1");
        }

        *ret = TAKE_PTR(a);
        return 0;
}

Above *above_free(Above *a) {
        if (!a)
                return NULL;

        a->watchdog = timer_disarm(a->watchdog);
        a->again = timer_disarm(a->again);
        a->fd = fd_close(a->fd);
        free(a->path);
        free(a);
        return NULL;
}

int above_put_environment(const Above *a) {
        char text[32];

        if (a->path && setenv("NOTIFY_SOCKET", a->path, 1) < 0)
                return -errno;
        if (!a->watchdog)
                return 0;

        snprintf(text, sizeof(text), "%" PRIu64, a->watchdog_usec);
        if (setenv("WATCHDOG_USEC", text, 1) < 0)
                return -errno;
        snprintf(text, sizeof(text), "%d", (int) getpid());
        return setenv("WATCHDOG_PID", text, 1) < 0 ? -errno : 0;
}

void above_drop_environment(void) {
        (void) unsetenv("NOTIFY_SOCKET");
        (void) unsetenv("WATCHDOG_USEC");
        (void) unsetenv("WATCHDOG_PID");
}

/* One message, with a descriptor if @fd is one. */
static int send_once(const Above *a, const char *message, int fd) {
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct iovec part = { (char *) message, strlen(message) };
        struct msghdr m = {
                .msg_name = (void *) &a->address,
                .msg_namelen = a->length,
                .msg_iov = &part,
                .msg_iovlen = 1,
        };

        if (fd >= 0) {
                m.msg_control = &control;
                m.msg_controllen = sizeof(control);
                control.align.cmsg_level = SOL_SOCKET;
                control.align.cmsg_type = SCM_RIGHTS;
                control.align.cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(&control.align), &fd, sizeof(int));
        }

        return sendmsg(a->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Whoever reads there has a queue of ten messages or of a few hundred, and is quick.  A moment is allowed,
 * since the alternative is to fail; more is not. */
static int send_in_time(const Above *a, const char *message, int fd) {
        uint64_t deadline_usec = now_usec() + STORE_USEC;
        int r;

        if (a->fd < 0)
                return -ENOTCONN;

        while ((r = send_once(a, message, fd)) == -EAGAIN || r == -EINTR) {
                if (now_usec() >= deadline_usec)
                        return -EAGAIN;
                (void) poll(NULL, 0, STORE_AGAIN_MSEC);
        }

        return r;
}

/* It never blocks: a signal is no more than another reason to come again. */
static int send_now(const Above *a, const char *message, int fd) {
        int r = a->fd >= 0 ? send_once(a, message, fd) : -ENOTCONN;

        return r == -EINTR ? -EAGAIN : r;
}

static const char *say_store(char message[static MESSAGE_SIZE_BYTES], const char *name) {
        snprintf(message, MESSAGE_SIZE_BYTES, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
        return message;
}

static const char *say_unstore(char message[static MESSAGE_SIZE_BYTES], const char *name) {
        snprintf(message, MESSAGE_SIZE_BYTES, "FDSTOREREMOVE=1\nFDNAME=%s", name);
        return message;
}

int above_store(const Above *a, const char *name, int fd) {
        char message[MESSAGE_SIZE_BYTES];

        return send_in_time(a, say_store(message, name), fd);
}

int above_unstore(const Above *a, const char *name) {
        char message[MESSAGE_SIZE_BYTES];

        return send_in_time(a, say_unstore(message, name), -EBADF);
}

int above_try_store(const Above *a, const char *name, int fd) {
        char message[MESSAGE_SIZE_BYTES];

        return send_now(a, say_store(message, name), fd);
}

int above_try_unstore(const Above *a, const char *name) {
        char message[MESSAGE_SIZE_BYTES];

        return send_now(a, say_unstore(message, name), -EBADF);
}

/* Those that wait first.  Returns whether all are told. */
static bool tell_waiting(Above *a) {
        size_t n = 0;
        int r = 0;

        while (n < a->n_untold && (r = send_once(a, a->untold[n], -EBADF)) != -EAGAIN)
                n++; /* any other error is not better later */

        a->n_untold -= n;
        if (n > 0)
                memmove(a->untold, a->untold + n, a->n_untold * sizeof(a->untold[0]));
        return a->n_untold == 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Above *a = userdata;

        if (!tell_waiting(a)) {
                a->again_usec = a->again_usec < TELL_AGAIN_MAX ? a->again_usec * 2 : TELL_AGAIN_MAX;
                (void) timer_arm(a->event, &a->again, a->again_usec, on_again, a);
        }
        return 0;
}

/* The same once more says nothing. */
static void tell_later(Above *a, const char *message) {
        if (a->n_untold > 0 && strcmp(a->untold[a->n_untold - 1], message) == 0)
                return;
        if (a->n_untold >= UNTOLD_MAX) {
                log_debug("The manager above us did not take \"%s\"", message);
                return;
        }

        memcpy(a->untold[a->n_untold++], message, strlen(message) + 1);
        a->again_usec = TELL_AGAIN_USEC;
        (void) timer_arm(a->event, &a->again, a->again_usec, on_again, a);
}

void above_tell(Above *a, const char *format, ...) {
        char message[MESSAGE_SIZE_BYTES];
        va_list arguments;
        int length;

        if (!a || a->fd < 0)
                return;

        va_start(arguments, format);
        length = vsnprintf(message, sizeof(message), format, arguments);
        va_end(arguments);
        if (length < 0 || (size_t) length >= sizeof(message))
                return;

        if (!tell_waiting(a) || send_once(a, message, -EBADF) == -EAGAIN)
                tell_later(a, message);
}
