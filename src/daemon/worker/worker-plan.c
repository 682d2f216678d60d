#include "daemon/worker/worker-plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/manager.h"
#include "daemon/reserve.h"
#include "daemon/service/generation.h"
#include "daemon/service/service.h"
#include "daemon/spawn/journal-stream.h"
#include "daemon/spawn/reuseport-lock.h"
#include "daemon/worker/worker.h"

/* Workers do not outlive us while there is no store that could give them back to a successor: they are
 * asked to end, as many a server that forks can end its own children only then. */
#define DEATH_SIGNAL SIGTERM

/* ---- outputs ---- */

uid_t worker_uid(const ServiceSettings *s) {
        return s->has_user ? s->uid : geteuid();
}

static int open_file(const char *path, int flags) {
        int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | flags, 0644);

        return fd < 0 ? -errno : fd_move_above_stdio(fd);
}

/* Where there is no journal, or it does not answer, lines come where ours do. */
static int open_journal(const Output *output, const ServiceSettings *s) {
        LogFields fields = { .service = s->name };
        int fd = journal_stream_open(s->name, LOG_INFO);

        if (fd < 0 && output->kind == OUTPUT_JOURNAL)
                log_fields(LOG_WARNING, &fields,
                           "%s: the journal cannot be reached: %s; output goes where ours goes",
                           s->name, strerror(-fd));
        return fd;
}

/* @null, @inherited  descriptors that are there already
 * @ret               the descriptor to use
 *
 * Returns one of the caller's, which is @ret then; -EBADF: none was opened; or another negative errno. */
static int open_output(const Output *output, const ServiceSettings *s, int null, int inherited,
                       int *ret) {
        int fd = -EBADF;

        *ret = inherited;
        switch (output->kind) {
        case OUTPUT_NULL:
                *ret = null;
                break;
        case OUTPUT_FILE:
        case OUTPUT_APPEND:
                fd = open_file(output->path,
                               O_CREAT | (output->kind == OUTPUT_APPEND ? O_APPEND : 0));
                if (fd < 0)
                        return fd == -EBADF ? -EIO : fd;
                break;
        case OUTPUT_JOURNAL:
        case OUTPUT_AUTO:
                fd = open_journal(output, s);
                break;
        case OUTPUT_INHERIT:
        case OUTPUT_KIND_MAX:
        case OUTPUT_KIND_INVALID:
                break;
        }

        if (fd < 0)
                return -EBADF;
        *ret = fd;
        return fd;
}

static int open_standard(WorkerPlan *p, const ServiceSettings *s, int null) {
        p->spawn.stdin_fd = null;
        p->output = open_output(&s->standard_output, s, null, STDOUT_FILENO, &p->spawn.stdout_fd);
        if (p->output < 0 && p->output != -EBADF)
                return p->output;

        p->error = open_output(&s->standard_error, s, null, STDERR_FILENO, &p->spawn.stderr_fd);
        return p->error < 0 && p->error != -EBADF ? p->error : 0;
}

/* ---- the rest ---- */

/* The n-th CPU that we may use ourselves, around again. */
static int choose_cpu(unsigned n, cpu_set_t *ret) {
        cpu_set_t ours;

        if (sched_getaffinity(0, sizeof(ours), &ours) < 0)
                return -errno;

        n %= (unsigned) CPU_COUNT(&ours);
        CPU_ZERO(ret);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, &ours) && n-- == 0) {
                        CPU_SET(cpu, ret);
                        break;
                }

        return 0;
}

static int put_affinity(WorkerPlan *p, const Worker *w) {
        const CpuAffinity *affinity = &w->build->service->cpu_affinity;
        int r;

        switch (affinity->kind) {
        case CPU_AFFINITY_INHERIT:
                return 0;
        case CPU_AFFINITY_SET:
                p->cpus = affinity->cpus;
                break;
        case CPU_AFFINITY_SLOT:
                r = choose_cpu(w->slot, &p->cpus);
                if (r < 0)
                        return r;
                break;
        }

        p->spawn.cpus = &p->cpus;
        return 0;
}

static void put_user(SpawnPlan *plan, const ServiceSettings *s) {
        plan->has_user = s->has_user;
        plan->uid = s->uid;
        plan->gid = s->gid;
        plan->groups = s->groups;
        plan->n_groups = s->n_groups;
        plan->ambient_capabilities = s->ambient_capabilities;
        plan->no_new_privileges = s->no_new_privileges;
}

static void put_surroundings(WorkerPlan *p, const ServiceSettings *s) {
        SpawnPlan *plan = &p->spawn;

        plan->root_directory = s->root_directory;
        plan->working_directory = p->handoff.working_directory;
        plan->limits = s->limits;
        plan->files = reserve_given_limit();
        plan->has_nice = s->nice != SETTING_UNSET;
        plan->nice = plan->has_nice ? s->nice : 0;
        plan->has_umask = s->umask != SETTING_UNSET;
        plan->umask = plan->has_umask ? (mode_t) s->umask : 0;
        if (s->oom_score_adjust != SETTING_UNSET) {
                snprintf(p->oom_score_adjust, sizeof(p->oom_score_adjust), "%d",
                         s->oom_score_adjust);
                plan->oom_score_adjust = p->oom_score_adjust;
        }
}

/* The program is resolved where we see it; within another root its own name is what counts. */
static void put_program(SpawnPlan *plan, const Worker *w, const Handoff *h, char *const *command) {
        plan->argv = command ?: h->arguments;
        if (!command && !w->build->service->root_directory)
                plan->program = w->build->program;
}

int worker_plan_init(WorkerPlan *ret, const Worker *w, char *const *command, char *const *variables,
                     const char **reterr_what) {
        const ServiceSettings *s = w->build->service;
        WorkerPlan *p = ret;
        int r;

        *p = (WorkerPlan){ .output = -EBADF, .error = -EBADF };
        p->handoff.stdin_fd = -EBADF;

        *reterr_what = "open the outputs of";
        r = open_standard(p, s, w->generation->service->manager->null_fd);
        if (r < 0)
                return r;

        *reterr_what = "prepare";
        r = handoff_init(w->generation, w->build, w->slot, command ? NULL : notify_path(w->notify),
                         &p->handoff);
        STRV_FOREACH(word, variables)
                r = r < 0 ? r : strv_consume_variable(&p->handoff.environment, strdup(*word));
        if (r >= 0 && s->reuseport_lock)
                r = reuseport_lock_init(&p->lock);
        if (r >= 0)
                r = put_affinity(p, w);
        if (r < 0)
                return r;

        p->spawn.environment = p->handoff.environment;
        p->spawn.fds = p->handoff.fds;
        p->spawn.n_fds = p->handoff.n_fds;
        if (p->handoff.stdin_fd >= 0)
                p->spawn.stdin_fd = p->handoff.stdin_fd;
        p->spawn.outlives_us = !command && state_has_store(w->generation->service->manager->state);
        p->spawn.death_signal = p->spawn.outlives_us || command ? SIGKILL : DEATH_SIGNAL;
        p->spawn.system_calls = p->lock.filter ? &p->lock : NULL;
        put_program(&p->spawn, w, &p->handoff, command);
        put_user(&p->spawn, s);
        put_surroundings(p, s);
        return 0;
}

void worker_plan_done(WorkerPlan *p) {
        p->output = fd_close(p->output);
        p->error = fd_close(p->error);
        handoff_done(&p->handoff);
        reuseport_lock_done(&p->lock);
}
