#include "daemon/worker/worker-end.h"

#include <errno.h>
#include <stdio.h>

#include "base/parse.h"
#include "base/text.h"
#include "daemon/spawn/fd-protocol.h"

static bool is_in(const ExitStatusSet *set, int code, int status) {
        if (code == 0) /* nobody knows */
                return false;
        if (code == CLD_EXITED)
                return set->codes[status / 64] & (UINT64_C(1) << (status % 64));

        return status <= 64 && set->signals & (UINT64_C(1) << (status - 1));
}

bool worker_ended_well(const Worker *w) {
        if (w->why_not_started)
                return false;
        if (is_in(&w->build->service->success_exit_status, w->end.si_code, w->end.si_status))
                return true;
        if (w->end.si_code == CLD_EXITED)
                return w->end.si_status == 0;

        return w->end.si_code != 0 && w->was_asked && !w->was_cut &&
               w->end.si_status == w->build->service->kill_signal;
}

void worker_describe_end(const Worker *w, char *buffer, size_t size_bytes) {
        const char *when = w->has_been_ready ? "" : " before it was ready";
        char name[32];

        if (w->unit)
                worker_unit_describe_end(w->unit, buffer, size_bytes);
        else if (w->why_not_started)
                snprintf(buffer, size_bytes, "worker %u was not started: %s", w->slot,
                         w->why_not_started);
        else if (w->end.si_code == 0)
                snprintf(buffer, size_bytes, "worker %u (pid %d) has ended, nobody knows how%s",
                         w->slot, (int) w->pid, when);
        else if (w->end.si_code == CLD_EXITED)
                snprintf(buffer, size_bytes, "worker %u (pid %d) exited with status %d%s", w->slot,
                         (int) w->pid, w->end.si_status, when);
        else
                snprintf(buffer, size_bytes, "worker %u (pid %d) was ended by %s%s", w->slot,
                         (int) w->pid, format_signal(w->end.si_status, name, sizeof(name)), when);
}

/* The words of systemd.exec(5). */
static const char *result_of(const Worker *w) {
        if (worker_ended_well(w))
                return "success";
        if (w->result)
                return w->result;

        switch (w->end.si_code) {
        case CLD_EXITED:
                return "exit-code";
        case CLD_DUMPED:
                return "core-dump";
        default:
                return "signal";
        }
}

int worker_put_end(const Worker *w, char ***variables) {
        const char *code = w->end.si_code == CLD_EXITED   ? "exited"
                           : w->end.si_code == CLD_DUMPED ? "dumped"
                                                          : "killed";
        char name[32];
        int r;

        r = environment_put(variables, "SERVICE_RESULT=%s", result_of(w));
        if (r < 0 || w->why_not_started || w->end.si_code == 0)
                return r;

        r = environment_put(variables, "EXIT_CODE=%s", code);
        if (r < 0)
                return r;
        if (w->end.si_code == CLD_EXITED)
                return environment_put(variables, "EXIT_STATUS=%d", w->end.si_status);

        /* "KILL" there, "SIGKILL" everywhere else */
        return environment_put(variables, "EXIT_STATUS=%s",
                               format_signal(w->end.si_status, name, sizeof(name)) + 3);
}
