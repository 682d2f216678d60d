#include "daemon/spawn/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/parse.h"
#include "daemon/reserve.h"
#include "daemon/spawn/spawn.h"
#include "daemon/timer.h"

struct Errand {
        ErrandHandler handler;
        void *userdata;
        pid_t pid;
        sd_event_source *child; /* owns the pidfd */
        sd_event_source *timer;
        bool is_over;
        bool is_late;
};

/* Of all that there are. */
static unsigned n_running;

unsigned errand_n_running(void) {
        return n_running;
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata) {
        Errand *c = userdata;
        ErrandResult result = ERRAND_FAILED;
        char how[64], name[32];

        if (c->is_over)
                return 0;

        c->is_over = true;
        n_running--;
        c->timer = timer_disarm(c->timer);
        (void) kill(-c->pid, SIGKILL); /* whom it left behind; its pid is taken until we return */

        if (info->si_code == CLD_EXITED)
                snprintf(how, sizeof(how), "exited with status %d", info->si_status);
        else
                snprintf(how, sizeof(how), "was ended by %s",
                         format_signal(info->si_status, name, sizeof(name)));

        if (c->is_late)
                result = ERRAND_TIMEOUT;
        else if (info->si_code == CLD_EXITED && info->si_status == 0)
                result = ERRAND_OK;

        c->handler(result, c->is_late ? "took too long" : how, c->userdata);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Errand *c = userdata;

        c->is_late = true;
        (void) kill(-c->pid, SIGKILL);
        return 0;
}

int errand_new_by_plan(sd_event *event, const SpawnPlan *plan, uint64_t timeout_usec,
                       ErrandHandler handler, void *userdata, Errand **ret,
                       const char **reterr_what) {
        _cleanup_(errand_freep) Errand *c = NULL;
        _cleanup_close_ int pidfd = -EBADF;
        int r;

        *reterr_what = "start";
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;

        c->handler = handler;
        c->userdata = userdata;
        r = spawn(plan, &c->pid, &pidfd, reterr_what);
        if (r < 0)
                return r;
        n_running++;

        r = sd_event_add_child_pidfd(event, &c->child, pidfd, WEXITED, on_child, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_child_pidfd_own(c->child, 1);
        if (r < 0)
                return r;
        (void) TAKE_FD(pidfd);

        r = timer_arm(event, &c->timer, timeout_usec, on_timer, c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

int errand_new(sd_event *event, char *const *argv, char *const *environment, uint64_t timeout_usec,
               ErrandHandler handler, void *userdata, Errand **ret, const char **reterr_what) {
        _cleanup_close_ int null = -EBADF;
        SpawnPlan plan;

        *reterr_what = "open /dev/null for";
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0)
                return -errno;

        plan = (SpawnPlan){
                .argv = argv,
                .environment = environment,
                .stdin_fd = null,
                .stdout_fd = STDOUT_FILENO,
                .stderr_fd = STDERR_FILENO,
                .death_signal = SIGKILL,
                .files = reserve_given_limit(),
        };
        return errand_new_by_plan(event, &plan, timeout_usec, handler, userdata, ret, reterr_what);
}

Errand *errand_free(Errand *c) {
        if (!c)
                return NULL;

        if (c->pid > 0 && !c->is_over) {
                (void) kill(-c->pid, SIGKILL);
                (void) waitpid(c->pid, NULL, 0);
                n_running--;
        }

        c->child = sd_event_source_disable_unref(c->child);
        c->timer = timer_disarm(c->timer);
        free(c);
        return NULL;
}
