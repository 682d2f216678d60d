#include "daemon/service/service-verbs.h"

#include <errno.h>
#include <signal.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/service/service-sockets.h"
#include "daemon/why.h"

static const char *name_of(const Service *s) {
        return s->settings->name;
}

static int check_not_ending(const Service *s, char **reterr_why) {
        if (s->manager->is_stopping)
                return why_say(reterr_why, -ESHUTDOWN, "reuseportd is stopping");

        return 0;
}

/* The generation that stops keeps its bank; the next one needs another. */
static int find_free_front(Service *s, char **reterr_why) {
        const Generation *current = service_current(s);

        if (!current || !current->is_stopping)
                return 0;

        return service_find_free_bank(s, service_n_wanted(s), &s->front, reterr_why);
}

int service_verb_start(Service *s, char **reterr_why) {
        unsigned front = s->front;
        int r;

        r = check_not_ending(s, reterr_why);
        if (r >= 0)
                r = find_free_front(s, reterr_why);
        if (r < 0)
                return r;

        r = service_start(s);
        if (r >= 0)
                r = service_wake(s, /* slot= */ 0);
        if (r < 0) {
                s->front = front;
                return why_say(reterr_why, r, "%s cannot be started: %s; the log says more",
                               name_of(s), reuse_strerror(r));
        }

        manager_on_service_changed(s->manager, s);
        return 0;
}

int service_verb_stop(Service *s, char **reterr_why) {
        LogFields fields = { .message_id = MESSAGE_SERVICE_STOPPED, .service = name_of(s) };
        bool was_listening;
        int r;

        r = check_not_ending(s, reterr_why);
        if (r < 0)
                return r;

        was_listening = s->is_listening;
        service_refuse(s);
        if (was_listening)
                log_fields(LOG_NOTICE, &fields,
                           "%s: stopped by request; its ports refuse from now on", name_of(s));
        service_stop(s);
        manager_on_service_changed(s->manager, s);
        return 0;
}

/* Whether the generation in that bank is one that leaves. */
static bool is_old(const Service *s, unsigned bank) {
        return bank != s->front || s->banks[bank]->is_stopping;
}

int service_verb_kill(Service *s, int signal_number, bool of_old, char **reterr_why) {
        LogFields fields = { .service = name_of(s) };
        char text[32];
        unsigned n = 0;

        if (signal_number <= 0 || signal_number > SIGRTMAX)
                return why_say(reterr_why, -EINVAL, "%d is no signal", signal_number);

        for (unsigned bank = 0; bank < REUSE_BANKS_MAX; bank++)
                if (s->banks[bank] && is_old(s, bank) == of_old)
                        n += generation_signal(s->banks[bank], signal_number);
        /* One that stops is all that there is. */
        if (n == 0 && !of_old && service_current(s))
                n += generation_signal(service_current(s), signal_number);
        if (n == 0)
                return why_say(reterr_why, -EBUSY, "%s has no %sworker now", name_of(s),
                               of_old ? "leaving " : "");

        log_fields(LOG_NOTICE, &fields, "%s: %u workers were sent %s by request", name_of(s), n,
                   format_signal(signal_number, text, sizeof(text)));
        return 0;
}

int service_verb_reset_failed(Service *s, char **reterr_why) {
        int r;

        r = check_not_ending(s, reterr_why);
        if (r < 0)
                return r;

        service_forget_failures(s);
        if (s->has_failed) {
                s->has_failed = false;
                r = s->settings->activation == ACTIVATION_ON_DEMAND ? service_start(s) : 0;
        }
        if (r < 0)
                return why_say(reterr_why, r, "%s cannot listen again: %s; the log says more",
                               name_of(s), reuse_strerror(r));

        manager_on_service_changed(s->manager, s);
        return 0;
}
