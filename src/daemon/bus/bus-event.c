#include "daemon/bus/bus-event.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/text.h"
#include "daemon/bus/bus-client.h"
#include "daemon/bus/bus-object.h"
#include "daemon/bus/bus-public.h"
#include "daemon/manager.h"
#include "daemon/service/service-summary.h"
#include "daemon/timer.h"

const BusEvent *bus_event_find(const Bus *b, uint64_t sequence) {
        const BusEvent *e = &b->events[sequence % BUS_EVENTS_MAX];

        return sequence > 0 && e->sequence == sequence ? e : NULL;
}

int bus_event_append(const BusEvent *e, sd_bus_message *m) {
        return sd_bus_message_append(m, BUS_EVENT_SIGNATURE, e->sequence, e->realtime_usec, e->type,
                                     e->name, e->generation, e->color, e->state, e->worker,
                                     (uint32_t) e->pid, e->detail);
}

static int send_event(BusClient *c, const BusEvent *e) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_signal(c->peer, &m, BUS_PATH, BUS_MANAGER, "Event");
        if (r >= 0)
                r = bus_event_append(e, m);
        return r < 0 ? r : sd_bus_send(c->peer, m, NULL);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Bus *b = userdata;

        for (size_t i = 0; i < b->manager->n_services; i++)
                b->manager->services[i]->is_untold = true;
        b->tells_again = true;
        (void) sd_event_source_set_enabled(b->flush, SD_EVENT_ONESHOT);
        return 0;
}

/* Somebody has missed something for want of memory, and may wait for just that: in a moment how everything is
 * now is told once more. */
static void tell_again(Bus *b) {
        if (!b->again || timer_deadline(b->again) == USEC_INFINITY)
                (void) timer_arm(b->manager->event, &b->again, BUS_PAUSE_USEC, on_again, b);
}

void bus_event_publish(Bus *b, BusEvent *e) {
        BusEvent *kept = &b->events[(b->sequence + 1) % BUS_EVENTS_MAX];
        struct timespec now;
        BusClient *c;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        e->realtime_usec = (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
        e->sequence = ++b->sequence;
        *kept = *e;

        TAILQ_FOREACH(c, &b->clients, others)
                if (bus_client_wants_signals(c) && send_event(c, e) == -ENOMEM)
                        tell_again(b);
        bus_public_send_event(b->public, e);
}

/* ---- services ---- */

/* The names of the properties that differ, and NULL. */
static void list_changes(const ServiceSummary *a, const ServiceSummary *b, char *names[static 9]) {
        size_t n = 0;

        if (a->state != b->state)
                names[n++] = (char *) "State";
        if (a->generation != b->generation)
                names[n++] = (char *) "Generation";
        if (strcmp(a->color, b->color) != 0)
                names[n++] = (char *) "Color";
        if (a->n_ready != b->n_ready)
                names[n++] = (char *) "WorkersReady";
        if (a->n_wanted != b->n_wanted)
                names[n++] = (char *) "WorkersWanted";
        if (a->n_restarts != b->n_restarts)
                names[n++] = (char *) "Restarts";
        if (a->is_pending != b->is_pending)
                names[n++] = (char *) "Pending";
        if (a->deploy_state != b->deploy_state || a->share_percent != b->share_percent ||
            a->step != b->step)
                names[n++] = (char *) "Deploy";
        names[n] = NULL;
}

static void emit_properties(Bus *b, const Service *s, char **names) {
        _cleanup_free_ char *path = NULL;
        BusClient *c;

        (void) sd_bus_path_encode(BUS_SERVICES_PATH, s->settings->name, &path);
        TAILQ_FOREACH(c, &b->clients, others)
                if (bus_client_wants_signals(c) &&
                    (!path || sd_bus_emit_properties_changed_strv(c->peer, path, BUS_SERVICE,
                                                                  names) == -ENOMEM))
                        tell_again(b);
        if (path)
                bus_public_emit_properties(b->public, path, names);
}

static void tell_service(Bus *b, Service *s, bool is_again) {
        ServiceSummary now = service_summarize(s);
        BusEvent e = { .type = "service", .generation = now.generation, .color = now.color };
        char *names[9];

        if (!s->told) {
                s->told = calloc(1, sizeof(*s->told));
                if (!s->told) {
                        tell_again(b);
                        return;
                }
                *s->told = (ServiceSummary){ .state = SERVICE_STATE_INVALID, .color = "" };
        }
        if (service_summary_equal(&now, s->told) && !is_again)
                return;

        list_changes(s->told, &now, names);
        *s->told = now;
        (void) snprintf(e.name, sizeof(e.name), "%s", s->settings->name);
        (void) snprintf(e.state, sizeof(e.state), "%s", service_state_to_string(now.state));
        if (now.deploy_state)
                (void) snprintf(e.detail, sizeof(e.detail), "%s, %u %% to the new generation",
                                now.deploy_state, now.share_percent);
        else
                (void) snprintf(e.detail, sizeof(e.detail), "%u of %u workers are ready",
                                now.n_ready, now.n_wanted);
        bus_event_publish(b, &e);
        if (names[0])
                emit_properties(b, s, names);
}

static int on_flush(sd_event_source *source, void *userdata) {
        Bus *b = userdata;
        Manager *m = b->manager;
        bool is_again = b->tells_again;

        b->tells_again = false;
        for (size_t i = 0; i < m->n_services; i++) {
                if (!m->services[i]->is_untold)
                        continue;
                m->services[i]->is_untold = false;
                tell_service(b, m->services[i], is_again);
        }

        return 0;
}

void bus_on_service_changed(Bus *b, Service *s) {
        if (!b)
                return;

        s->is_untold = true;
        if (!b->flush && sd_event_add_defer(b->manager->event, &b->flush, on_flush, b) < 0) {
                tell_again(b);
                return;
        }
        (void) sd_event_source_set_enabled(b->flush, SD_EVENT_ONESHOT);
}

/* ---- others ---- */

void bus_on_worker_changed(Bus *b, const Worker *w, const char *state, const char *detail) {
        const Generation *g = w->generation;
        BusEvent e = {
                .type = "worker",
                .generation = g->number,
                .color = generation_color(g),
                .worker = w->slot,
                .pid = worker_pid(w),
        };

        if (!b)
                return;

        (void) snprintf(e.name, sizeof(e.name), "%s", g->settings->name);
        (void) snprintf(e.state, sizeof(e.state), "%s", state);
        text_escape(detail, e.detail, sizeof(e.detail));
        bus_event_publish(b, &e);
        bus_on_service_changed(b, g->service);
}

void bus_tell(Bus *b, const char *type, const char *name, const char *state, const char *detail) {
        BusEvent e = { .type = type, .color = "" };

        if (!b)
                return;

        (void) snprintf(e.name, sizeof(e.name), "%s", name);
        (void) snprintf(e.state, sizeof(e.state), "%s", state);
        text_escape(detail, e.detail, sizeof(e.detail));
        bus_event_publish(b, &e);
}
