#include "daemon/worker/notify-message.h"

#include <string.h>

#include "base/parse.h"
#include "daemon/store/fd-store.h"

#define ERRNO_MAX 4095U /* MAX_ERRNO of the kernel */

typedef void (*ReadWord)(const char *value, NotifyMessage *m);

static void read_ready(const char *value, NotifyMessage *m) {
        m->is_ready = strcmp(value, "1") == 0;
}

static void read_stopping(const char *value, NotifyMessage *m) {
        m->is_stopping = strcmp(value, "1") == 0;
}

static void read_reloading(const char *value, NotifyMessage *m) {
        m->is_reloading = strcmp(value, "1") == 0;
}

static void read_barrier(const char *value, NotifyMessage *m) {
        m->is_barrier = strcmp(value, "1") == 0;
}

static void read_watchdog(const char *value, NotifyMessage *m) {
        m->is_watchdog = strcmp(value, "1") == 0;
        m->has_watchdog_failed = strcmp(value, "trigger") == 0;
}

static void read_watchdog_usec(const char *value, NotifyMessage *m) {
        (void) parse_unsigned(value, UINT64_MAX - 1, &m->watchdog_usec);
}

static void read_extend_timeout(const char *value, NotifyMessage *m) {
        (void) parse_unsigned(value, UINT64_MAX - 1, &m->extend_timeout_usec);
}

static void read_main_pid(const char *value, NotifyMessage *m) {
        uint64_t pid;

        if (parse_unsigned(value, INT32_MAX, &pid) >= 0)
                m->main_pid = (pid_t) pid;
}

static void read_errno(const char *value, NotifyMessage *m) {
        uint64_t number;

        if (parse_unsigned(value, ERRNO_MAX, &number) >= 0)
                m->error = (int) number;
}

static void read_status(const char *value, NotifyMessage *m) {
        m->status = value;
}

static void read_store(const char *value, NotifyMessage *m) {
        m->is_store = strcmp(value, "1") == 0;
}

static void read_store_remove(const char *value, NotifyMessage *m) {
        m->is_store_remove = strcmp(value, "1") == 0;
}

static void read_poll(const char *value, NotifyMessage *m) {
        m->is_unpolled = strcmp(value, "0") == 0;
}

static void read_fd_name(const char *value, NotifyMessage *m) {
        m->fd_name = fd_name_is_valid(value) ? value : NULL;
}

static const struct {
        const char *name;
        ReadWord read;
} words[] = {
        { "READY", read_ready },
        { "STOPPING", read_stopping },
        { "RELOADING", read_reloading },
        { "BARRIER", read_barrier },
        { "WATCHDOG", read_watchdog },
        { "WATCHDOG_USEC", read_watchdog_usec },
        { "EXTEND_TIMEOUT_USEC", read_extend_timeout },
        { "MAINPID", read_main_pid },
        { "ERRNO", read_errno },
        { "STATUS", read_status },
        { "FDSTORE", read_store },
        { "FDSTOREREMOVE", read_store_remove },
        { "FDNAME", read_fd_name },
        { "FDPOLL", read_poll },
};

void notify_message_parse(char *text, NotifyMessage *ret) {
        char *rest = text, *line;

        *ret = (NotifyMessage){ 0 };

        while ((line = strsep(&rest, "\n"))) {
                char *value = strchr(line, '=');

                if (!value)
                        continue;

                *value++ = '\0';
                for (size_t i = 0; i < ELEMENTS_OF(words); i++)
                        if (strcmp(words[i].name, line) == 0)
                                words[i].read(value, ret);
        }
}
