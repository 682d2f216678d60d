#include "daemon/state/reexec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/reserve.h"
#include "daemon/spawn/errand.h"
#include "daemon/state/state-fields.h"
#include "daemon/timer.h"
#include "daemon/why.h"

#define WAIT_USEC    (60 * USEC_PER_SEC)
#define CHECK_USEC   (20 * USEC_PER_SEC)
#define VARIABLE     "REUSEPORTD_STATE" /* "FD:PID" */
#define FDS_MAX      1000000U
#define DROPPED      "dropped" /* key of a record */
#define CHECK_OPTION "--can-adopt"
#define WHY_SIZE     1024U
#define ANSWER_SIZE  512U

struct Reexec {
        Manager *manager;
        ReexecHandler handler;
        void *userdata;
        sd_event_source *begin; /* one turn there is for sure */
        sd_event_source *idle;  /* after each turn of the loop */
        sd_event_source *timer; /* it takes too long */
        Errand *check;
        int answer_fd; /* what the other program says against it: its standard output */
        bool is_checked;
};

/* May be the caller's end. */
static void refuse(Reexec *x, const char *why) {
        ReexecHandler handler = x->handler;
        Manager *m = x->manager;
        void *userdata = x->userdata;

        log_note(LOG_ERR, MESSAGE_REEXEC_REFUSED, "Not executed anew, all goes on: %s", why);
        m->reexec = reexec_free(x);
        handler(why, userdata);
}

/* ---- exec ---- */

static int set_cloexec(int fd, bool is_on) {
        return fcntl(fd, F_SETFD, is_on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

/* For all, or until the first that fails. */
static int set_all_cloexec(const int *fds, size_t n, bool is_on) {
        int r = 0;

        for (size_t i = 0; i < n && (r >= 0 || is_on); i++)
                r = set_cloexec(fds[i], is_on);

        return r;
}

static int set_variable(int fd) {
        char text[64];

        snprintf(text, sizeof(text), "%d:%d", fd, (int) getpid());
        return setenv(VARIABLE, text, /* overwrite= */ 1) < 0 ? -errno : 0;
}

/* A descriptor that is no object's. */
typedef struct OtherFd {
        const char *name;
        int fd;
} OtherFd;

/* Writes the record "fds", which says under which numbers a successor finds all that have names.
 *
 * @ret_fds  all of them, the caller's list
 *
 * Returns 0 or a negative errno. */
static int write_fds(State *st, const OtherFd *others, size_t n_others, int **ret_fds,
                     size_t *ret_n_fds) {
        _cleanup_free_ int *fds = calloc(st->n_fds + n_others, sizeof(int));
        json_t *object = json_object();
        size_t n = 0;
        int r = fds && object ? 0 : -ENOMEM;

        for (size_t fd = 0; fd < st->n_fds && r >= 0; fd++) {
                char name[STATE_NAME_SIZE];

                if (st->names[fd] == 0)
                        continue;
                state_unpack_name(st->names[fd], name);
                if (json_object_get(object, name)) /* the same open file */
                        continue;
                r = state_put_json(object, name, json_integer((json_int_t) fd));
                fds[n++] = (int) fd;
        }
        for (size_t i = 0; i < n_others && r >= 0; i++) {
                r = state_put_json(object, others[i].name, json_integer(others[i].fd));
                fds[n++] = others[i].fd;
        }
        if (r < 0) {
                json_decref(object);
                return r;
        }

        r = state_put(st, "fds", object);
        if (r < 0)
                return r;
        *ret_fds = TAKE_PTR(fds);
        *ret_n_fds = n;
        return 0;
}

static int append_names(json_t *to, const StateNames *names) {
        char text[STATE_NAME_SIZE];
        int r = 0;

        for (size_t i = 0; i < names->n && r >= 0; i++) {
                state_unpack_name(names->items[i], text);
                r = json_array_append_new(to, json_string(text)) < 0 ? -ENOMEM : 0;
        }

        return r;
}

/* What is still to be taken out of the store above us: the successor by exec is not given it, and so would
 * not know. */
static int write_dropped(State *st) {
        json_t *object = json_object(), *names = json_array();
        int r = names ? append_names(names, &st->released) : -ENOMEM;

        if (r >= 0)
                r = append_names(names, &st->unstored);
        if (r < 0 || !object) {
                json_decref(names);
                json_decref(object);
                return -ENOMEM;
        }

        r = state_put_json(object, "names", names);
        if (r < 0) {
                json_decref(object);
                return r;
        }
        return state_put(st, DROPPED, object);
}

/* Returns only if it fails, with a negative errno, and then all is as it was. */
static int become(Manager *m) {
        const OtherFd others[] = {
                { REEXEC_LOCK, m->lock_fd },
                { REEXEC_CONTROL, m->bus->fd },
        };
        _cleanup_free_ int *fds = NULL;
        int log_fd = state_log_fd(m->state->log), r;
        size_t n_fds = 0;

        r = state_write_all(m->state);
        if (r >= 0)
                r = write_dropped(m->state);
        if (r >= 0)
                r = write_fds(m->state, others, ELEMENTS_OF(others), &fds, &n_fds);
        if (r >= 0)
                r = set_variable(log_fd);
        if (r >= 0)
                r = set_all_cloexec(fds, n_fds, /* is_on= */ false);
        if (r >= 0)
                r = set_cloexec(log_fd, false);
        if (r >= 0)
                r = above_put_environment(m->above);
        if (r >= 0) {
                above_tell(m->above, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_usec());
                reserve_restore_limit();
                (void) execv(m->program, m->arguments);
                r = -errno;
                reserve_raise_limit();
                above_tell(m->above, "READY=1");
        }

        above_drop_environment();
        (void) unsetenv(VARIABLE);
        (void) set_cloexec(log_fd, true);
        (void) set_all_cloexec(fds, n_fds, true);
        return r;
}

static void execute(Reexec *x) {
        Manager *m = x->manager;
        char why[WHY_SIZE];
        int r;

        log_note(LOG_NOTICE, MESSAGE_DAEMON_EXECUTES, "Executing %s", m->program);
        x->handler(NULL, x->userdata);
        r = become(m);

        snprintf(why, sizeof(why), "%s cannot be executed: %s", m->program, reuse_strerror(r));
        log_note(LOG_ERR, MESSAGE_REEXEC_REFUSED, "Not executed anew, all goes on: %s", why);
        bus_tell(m->bus, "daemon", "", "not-reexecuted", why);
        m->reexec = reexec_free(x);
}

/* ---- the way there ---- */

/* A line; "" if it says nothing there, as one that is not ours. */
static void read_answer(int fd, char *ret, size_t size_bytes) {
        ssize_t n = pread(fd, ret, size_bytes - 1, 0);

        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
}

static void on_checked(ErrandResult result, const char *how, void *userdata) {
        Reexec *x = userdata;
        char why[WHY_SIZE], answer[ANSWER_SIZE];

        x->check = errand_free(x->check);
        if (result == ERRAND_OK) {
                x->is_checked = true; /* and the next turn goes on */
                return;
        }

        read_answer(x->answer_fd, answer, sizeof(answer));
        if (answer[0])
                snprintf(why, sizeof(why), "%s cannot go on from our state: %s",
                         x->manager->program, answer);
        else
                snprintf(why, sizeof(why),
                         "%s cannot go on from our state: it %s; the log may say more",
                         x->manager->program, how);
        refuse(x, why);
}

static int check(Reexec *x) {
        Manager *m = x->manager;
        char *arguments[] = { (char *) m->program, (char *) CHECK_OPTION, (char *) "3", NULL };
        int fds[] = { state_log_fd(m->state->log) };
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        const char *what;
        SpawnPlan plan = {
                .argv = arguments,
                .environment = environ,
                .fds = fds,
                .n_fds = ELEMENTS_OF(fds),
                .stdin_fd = null,
                .stdout_fd = x->answer_fd,
                .stderr_fd = STDERR_FILENO,
                .death_signal = SIGKILL,
        };
        int r = null < 0 ? -errno : x->answer_fd < 0 ? x->answer_fd : state_write_all(m->state);

        return r < 0 ? r
                     : errand_new_by_plan(m->event, &plan, CHECK_USEC, on_checked, x, &x->check,
                                          &what);
}

static int on_idle(sd_event_source *source, void *userdata) {
        Reexec *x = userdata;
        char why[WHY_SIZE];
        int r;

        if (x->check || errand_n_running() > 0)
                return 0;
        if (x->is_checked) {
                execute(x);
                return 0;
        }

        r = check(x);
        if (r < 0) {
                snprintf(why, sizeof(why), "%s cannot be asked whether it can go on: %s",
                         x->manager->program, reuse_strerror(r));
                refuse(x, why);
        }
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        refuse(userdata, "hooks or commands of workers did not end in time");
        return 0;
}

/* What comes after others comes after this, also where nothing else goes on. */
static int on_begin(sd_event_source *source, void *userdata) {
        return 0;
}

int reexec_new(Manager *m, ReexecHandler handler, void *userdata, char **reterr_why) {
        _cleanup_(reexec_freep) Reexec *x = NULL;
        int r;

        if (m->is_stopping)
                return why_say(reterr_why, -ESHUTDOWN, "reuseportd is stopping");
        if (m->reexec)
                return why_say(reterr_why, -EBUSY, "it is being prepared already");
        if (!m->program)
                return why_say(reterr_why, -ENOENT, "our own program file is not known: no /proc");

        x = calloc(1, sizeof(*x));
        if (!x)
                return -ENOMEM;

        x->manager = m;
        x->handler = handler;
        x->userdata = userdata;
        x->answer_fd = fd_open_memory("reuseportd-answer");
        r = sd_event_add_post(m->event, &x->idle, on_idle, x);
        if (r >= 0)
                r = sd_event_add_defer(m->event, &x->begin, on_begin, x);
        if (r >= 0)
                r = timer_arm(m->event, &x->timer, WAIT_USEC, on_timer, x);
        if (r < 0)
                return r;

        m->reexec = TAKE_PTR(x);
        return 0;
}

Reexec *reexec_free(Reexec *x) {
        if (!x)
                return NULL;

        x->begin = sd_event_source_disable_unref(x->begin);
        x->idle = sd_event_source_disable_unref(x->idle);
        x->timer = timer_disarm(x->timer);
        x->check = errand_free(x->check);
        x->answer_fd = fd_close(x->answer_fd);
        free(x);
        return NULL;
}

/* ---- on the other side ---- */

int reexec_check_state(int fd) {
        _cleanup_(legacy_done) Legacy legacy = { 0 };
        _cleanup_free_ char *why = NULL;
        int r;

        r = state_log_open(fd, &legacy.log, &why);
        if (r >= 0)
                r = legacy_check(&legacy, &why);
        if (r < 0)
                printf("%s\n", why ?: reuse_strerror(r));

        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* "FD:PID", of which the pid must be ours: else somebody's child has inherited it. */
static int read_variable(int *ret_fd) {
        const char *text = getenv(VARIABLE);
        int fd, pid;
        bool is_ours;

        if (!text)
                return 0;

        is_ours = sscanf(text, "%d:%d", &fd, &pid) == 2 && pid == getpid() && fd > STDERR_FILENO;
        (void) unsetenv(VARIABLE);
        if (!is_ours)
                return 0;

        *ret_fd = fd;
        return 1;
}

static int take_fds(Legacy *l) {
        _cleanup_state_json_ json_t *object = NULL;
        const char *name;
        json_t *value;
        int r;

        r = legacy_get(l, "fds", &object);
        if (r < 0)
                return r;

        l->fds = calloc(json_object_size(object) + 1, sizeof(AdoptedFd));
        if (!l->fds)
                return -ENOMEM;

        json_object_foreach(object, name, value) {
                AdoptedFd *place = &l->fds[l->n_fds];
                int fd = (int) json_integer_value(value);

                if (strlen(name) >= STATE_NAME_SIZE || fd <= STDERR_FILENO ||
                    set_cloexec(fd, true) < 0)
                        return -EBADMSG;
                *place = (AdoptedFd){ .fd = fd };
                memcpy(place->name, name, strlen(name));
                l->n_fds++;
        }

        return 0;
}

int legacy_from_exec(Legacy *ret) {
        _cleanup_(legacy_done) Legacy l = { 0 };
        _cleanup_free_ char *why = NULL;
        int r, fd = -EBADF;

        r = read_variable(&fd);
        if (r <= 0)
                return r;

        r = set_cloexec(fd, true);
        if (r >= 0)
                r = state_log_open(fd, &l.log, &why);
        if (r >= 0)
                r = take_fds(&l);
        if (r < 0)
                return legacy_give_up(r, why);

        l.is_from_exec = true;
        *ret = l;
        l = (Legacy){ 0 };
        return 1;
}

void reexec_drop_rest(State *st, const Legacy *legacy) {
        _cleanup_state_json_ json_t *object = NULL;
        Legacy l = { .log = st->log };
        const json_t *names;

        if (!legacy->is_from_exec || legacy_get(&l, DROPPED, &object) < 0 ||
            state_get_array(object, "names", &names) < 0)
                return;

        for (size_t i = 0; i < json_array_size(names); i++) {
                const char *name = json_string_value(json_array_get(names, i));

                if (name && state_read_name(name) != 0)
                        state_drop_name(st, name);
        }
}
