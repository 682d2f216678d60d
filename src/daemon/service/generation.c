#include "daemon/service/generation.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/parse.h"
#include "daemon/endpoint/endpoint.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/reserve.h"
#include "daemon/service/service.h"
#include "daemon/spawn/fd-protocol.h"
#include "daemon/spawn/scope.h"
#include "daemon/timer.h"
#include "daemon/worker/worker-end.h"

/* In one turn of the loop: a few milliseconds. */
#define N_STARTS_MAX 8U

static const char *const colors[REUSE_BANKS_MAX] = { "blue", "green", "amber", "violet" };

const char *bank_color(unsigned bank) {
        assert(bank < REUSE_BANKS_MAX);
        return colors[bank];
}

const char *generation_color(const Generation *g) {
        return bank_color(g->bank);
}

int generation_new(Service *s, Build *build, unsigned number, unsigned bank, Generation **ret) {
        _cleanup_(generation_freep) Generation *g = NULL;

        g = calloc(1, sizeof(*g));
        if (!g)
                return -ENOMEM;

        g->service = s;
        g->build = build_ref(build);
        g->settings = build->service;
        g->number = number;
        g->bank = bank;
        g->slots = calloc(WORKERS_MAX, sizeof(GenerationSlot));
        g->endpoints = calloc(s->n_endpoints, sizeof(Endpoint *));
        if (!g->slots || !g->endpoints)
                return -ENOMEM;

        for (size_t i = 0; i < s->n_endpoints; i++)
                g->endpoints[g->n_endpoints++] = s->endpoints[i];

        g->n_slots = g->n_places = service_n_wanted(s);
        for (unsigned i = 0; i < WORKERS_MAX; i++) {
                g->slots[i].generation = g;
                g->slots[i].number = i;
        }

        *ret = TAKE_PTR(g);
        return 0;
}

/* That of workers which are older than we. */
static void find_scope(Generation *g) {
        for (unsigned i = 0; i < g->n_places && !g->scope; i++)
                if (g->slots[i].worker && g->slots[i].worker->pid > 0)
                        (void) scope_find(g->service->manager, g->slots[i].worker->pid, &g->scope);
}

Scope *generation_scope(Generation *g) {
        if (g->scope || g->has_no_scope)
                return g->scope;

        find_scope(g);
        if (!g->scope)
                g->has_no_scope = scope_new(g->service->manager, g->settings->name, g->number,
                                            &g->scope) < 0;
        return g->scope;
}

Generation *generation_free(Generation *g) {
        if (!g)
                return NULL;

        g->start_more = sd_event_source_disable_unref(g->start_more);
        for (unsigned i = 0; i < g->n_places; i++) {
                g->slots[i].restart = timer_disarm(g->slots[i].restart);
                g->slots[i].worker = worker_free(g->slots[i].worker);
        }
        g->scope = scope_free(g->scope, g->settings->kill_mode != KILL_MODE_PROCESS &&
                                                        !g->service->manager->is_adopting);
        free(g->slots);
        free(g->endpoints);
        g->build = build_unref(g->build);
        free(g);
        return NULL;
}

unsigned generation_n_workers(const Generation *g) {
        unsigned n = 0;

        for (unsigned i = 0; i < g->n_places; i++)
                n += g->slots[i].worker ? 1 : 0;

        return n;
}

static bool slot_is_ready(const GenerationSlot *slot) {
        return slot->worker && slot->worker->state == WORKER_READY;
}

unsigned generation_n_ready(const Generation *g) {
        unsigned n = 0;

        for (unsigned i = 0; i < g->n_slots; i++)
                n += slot_is_ready(&g->slots[i]) ? 1 : 0;

        return n;
}

bool generation_has_all_been_ready(const Generation *g) {
        for (unsigned i = 0; i < g->n_slots && !g->was_complete; i++)
                if (!g->slots[i].has_been_ready)
                        return false;

        return true;
}

bool generation_is_failing(const Generation *g) {
        for (unsigned i = 0; i < g->n_slots; i++)
                if (slot_is_ready(&g->slots[i]) || g->slots[i].n_failures == 0)
                        return false;

        return true;
}

void generation_put_live(const Generation *g, ReuseRule *rule) {
        bool any = generation_n_ready(g) > 0;

        for (unsigned i = 0; i < g->n_slots; i++)
                reuse_rule_set_live(rule, g->bank, i, !any || slot_is_ready(&g->slots[i]));
}

bool generation_holds(const Generation *g, const Endpoint *e) {
        for (size_t i = 0; i < g->n_endpoints; i++)
                if (g->endpoints[i] == e)
                        return true;

        return false;
}

bool generation_has_reader(const Generation *g, unsigned slot) {
        const GenerationSlot *s = &g->slots[slot];

        return slot < g->n_places && (s->worker || s->restart || s->is_due);
}

/* A visitor who waits is served by the next, at once: his wait must not be the back-off.  One that
 * never was ready is not hurried by that, or it would spin. */
static uint64_t restart_delay_usec(const GenerationSlot *slot, const Worker *gone) {
        const Generation *g = slot->generation;
        const ServiceSettings *s = g->service->settings; /* a reload counts at once */
        uint64_t delay_usec = s->restart_delay_usec;

        if (gone && gone->has_been_ready) {
                for (size_t i = 0; i < g->n_endpoints; i++)
                        if (endpoint_queue(g->endpoints[i], g->bank, slot->number) > 0)
                                return 0;
                return delay_usec;
        }

        for (unsigned i = 1; i < slot->n_failures && delay_usec < s->restart_max_delay_usec; i++)
                delay_usec *= 2;

        return delay_usec < s->restart_max_delay_usec ? delay_usec : s->restart_max_delay_usec;
}

static int on_restart(sd_event_source *source, uint64_t usec, void *userdata);

static void schedule_restart(GenerationSlot *slot, const Worker *gone) {
        Generation *g = slot->generation;
        LogFields fields = { .service = g->settings->name, .generation = g->number };
        char duration[DURATION_TEXT_SIZE];
        uint64_t delay_usec;
        int r;

        slot->n_failures = gone && gone->has_been_ready ? 0 : slot->n_failures + 1;
        delay_usec = restart_delay_usec(slot, gone);

        r = timer_arm(g->service->manager->event, &slot->restart, delay_usec, on_restart, slot);
        if (r < 0)
                log_fields(LOG_ERR, &fields, "%s/%u worker %u cannot be replaced: %s",
                           g->settings->name, g->number, slot->number, reuse_strerror(r));
        else {
                fields.message_id = slot->n_failures > 0 ? MESSAGE_WORKER_DELAYED : NULL;
                log_fields(LOG_INFO, &fields, "%s/%u worker %u will be replaced in %s",
                           g->settings->name, g->number, slot->number,
                           format_duration(delay_usec, duration, sizeof(duration)));
        }
}

/* Sockets of a place that nobody reads are as the next reader expects them, whatever the last one made of
 * them. */
static int prepare_sockets(const GenerationSlot *slot, const Build *build) {
        const Generation *g = slot->generation;
        bool nonblock = fd_protocol_is_nonblocking(build->service->fd_protocol);

        for (size_t i = 0; i < g->n_endpoints; i++) {
                const Endpoint *e = g->endpoints[i];
                int r;

                if (endpoint_is_shared(e, g->bank) && generation_n_workers(g) > 0)
                        continue;
                r = endpoint_set_nonblock(e, g->bank, slot->number, nonblock);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Returns 0 or a negative errno, which is logged. */
static int try_slot(GenerationSlot *slot, Build *build) {
        Generation *g = slot->generation;
        int r;

        r = prepare_sockets(slot, build);
        if (r < 0)
                return r;

        r = worker_start(g, slot->number, build, &slot->worker);
        if (reserve_lend(r)) {
                r = worker_start(g, slot->number, build, &slot->worker);
                (void) reserve_fill();
        }
        return r;
}

static void start_slot(GenerationSlot *slot) {
        if (try_slot(slot, slot->generation->build) < 0)
                schedule_restart(slot, NULL);
}

static bool may_start(GenerationSlot *slot) {
        const ServiceSettings *s =
                        slot->generation->service->settings; /* a reload counts at once */

        return start_limit_take(&slot->starts, s->start_limit_interval_usec,
                                (unsigned) s->start_limit_burst, now_usec());
}

static void give_up(GenerationSlot *slot) {
        Generation *g = slot->generation;
        const ServiceSettings *s = g->service->settings;
        LogFields fields = { .service = s->name, .generation = g->number };
        char duration[DURATION_TEXT_SIZE];

        fields.message_id = MESSAGE_START_LIMIT;
        log_fields(LOG_ERR, &fields,
                   "%s/%u worker %u was started %d times within start_limit_interval = %s; the "
                   "service fails",
                   s->name, g->number, slot->number, s->start_limit_burst,
                   format_duration(s->start_limit_interval_usec, duration, sizeof(duration)));
        g->has_failed = true;
        service_on_generation_failed(g->service, g);
}

static int on_restart(sd_event_source *source, uint64_t usec, void *userdata) {
        GenerationSlot *slot = userdata;
        Generation *g = slot->generation;

        slot->restart = timer_disarm(slot->restart);
        if (!may_start(slot)) {
                give_up(slot);
                return 0;
        }

        g->n_restarts++;
        start_slot(slot);
        service_on_generation_changed(g->service, g);
        return 0;
}

int generation_restart_at(GenerationSlot *slot, uint64_t deadline_usec) {
        return timer_arm_at(slot->generation->service->manager->event, &slot->restart,
                            deadline_usec, on_restart, slot);
}

static bool shares_sockets(const Generation *g) {
        for (size_t i = 0; i < g->n_endpoints; i++)
                if (endpoint_is_shared(g->endpoints[i], g->bank))
                        return true;

        return false;
}

void generation_on_stored(const Generation *g) {
        for (unsigned i = 0; i < g->n_places; i++)
                if (g->slots[i].worker)
                        worker_on_stored(g->slots[i].worker);
}

bool generation_has_future(const Generation *g) {
        for (unsigned i = 0; i < g->n_places; i++)
                if (generation_has_reader(g, i))
                        return true;

        return false;
}

/* Tells what became of us, which may be the end. */
static void report(Generation *g) {
        if (generation_has_future(g))
                service_on_generation_changed(g->service, g);
        else
                service_on_generation_gone(g->service, g);
}

/* Returns 0 or a negative errno: one on trial is lost if a worker cannot be started. */
static int start_first(GenerationSlot *slot) {
        Generation *g = slot->generation;
        char why[128];
        int r;

        slot->is_due = false;
        if (!g->is_on_trial) {
                (void) may_start(slot); /* the first of all, which counts */
                start_slot(slot);
                return 0;
        }

        r = try_slot(slot, g->build);
        if (r >= 0)
                return 0;

        for (unsigned i = 0; i < g->n_slots; i++)
                g->slots[i].is_due = false;
        snprintf(why, sizeof(why), "worker %u could not be started: %s", slot->number,
                 reuse_strerror(r));
        service_on_worker_lost(g->service, g, why);
        return r;
}

static int on_start_more(sd_event_source *source, void *userdata);

/* So many may be started in this turn; all, if there is no memory for another. */
static unsigned n_starts_max(Generation *g) {
        if (!g->start_more && g->n_slots > N_STARTS_MAX &&
            sd_event_add_defer(g->service->manager->event, &g->start_more, on_start_more, g) < 0)
                return UINT_MAX;

        return N_STARTS_MAX;
}

/* May free the generation if it is on trial. */
static void start_due(Generation *g) {
        unsigned n_left = n_starts_max(g);
        int r = 0;

        for (unsigned i = 0; i < g->n_slots && r >= 0; i++) {
                GenerationSlot *slot = &g->slots[(g->first_due + i) % g->n_slots];

                if (!slot->is_due)
                        continue;
                if (n_left-- == 0) {
                        (void) sd_event_source_set_enabled(g->start_more, SD_EVENT_ONESHOT);
                        break;
                }
                r = start_first(slot);
        }

        report(g);
}

static int on_start_more(sd_event_source *source, void *userdata) {
        start_due(userdata);
        return 0;
}

void generation_start(Generation *g, unsigned first) {
        g->first_due = first;
        for (unsigned i = 0; i < g->n_slots; i++)
                g->slots[i].is_due = true;
        start_due(g);
}

void generation_resume(Generation *g) {
        bool is_any_due = false;

        for (unsigned i = 0; i < g->n_places; i++) {
                if (g->slots[i].worker)
                        worker_resume(g->slots[i].worker);
                is_any_due |= g->slots[i].is_due;
        }

        if (is_any_due && !g->start_more)
                (void) sd_event_add_defer(g->service->manager->event, &g->start_more, on_start_more,
                                          g);
}

void generation_begin_trial(Generation *g) {
        g->is_on_trial = true;
}

void generation_end_trial(Generation *g) {
        g->is_on_trial = false;
        for (unsigned i = 0; i < g->n_slots; i++)
                if (!generation_has_reader(g, i))
                        start_slot(&g->slots[i]);

        service_on_generation_changed(g->service, g);
}

void generation_rescue(Generation *g, Build *build) {
        for (unsigned i = 0; i < g->n_slots; i++)
                if (!generation_has_reader(g, i))
                        (void) try_slot(&g->slots[i], build); /* else they are reset, and counted */

        service_on_generation_changed(g->service, g);
}

void generation_wake(Generation *g, unsigned slot) {
        for (unsigned i = 0; i < g->n_slots; i++)
                if (!generation_has_reader(g, i) && (i == slot || shares_sockets(g)))
                        start_slot(&g->slots[i]);

        service_on_generation_changed(g->service, g);
}

void generation_set_n_slots(Generation *g, unsigned n_slots) {
        bool sleeps = g->service->settings->activation == ACTIVATION_ON_DEMAND;

        assert(n_slots > 0 && n_slots <= WORKERS_MAX);

        g->n_slots = n_slots;
        g->n_places = g->n_places > n_slots ? g->n_places : n_slots;
        for (unsigned i = 0; i < n_slots && !sleeps; i++)
                g->slots[i].is_due |= !generation_has_reader(g, i);

        start_due(g);
}

void generation_reload(Generation *g) {
        for (unsigned i = 0; i < g->n_places; i++)
                if (g->slots[i].worker)
                        worker_reload(g->slots[i].worker);
}

/* Places at the end that nobody is in. */
static void trim(Generation *g) {
        while (g->n_places > g->n_slots && !generation_has_reader(g, g->n_places - 1))
                g->n_places--;
}

void generation_let_go(Generation *g, uint64_t timeout_usec) {
        for (unsigned i = g->n_slots; i < g->n_places; i++) {
                GenerationSlot *slot = &g->slots[i];

                slot->is_due = false;
                slot->restart = timer_disarm(slot->restart);
                slot->has_been_ready = false;
                if (!slot->worker)
                        continue;
                slot->is_let_go = true;
                worker_stop(slot->worker, timeout_usec);
        }

        trim(g);
}

void generation_stop(Generation *g, uint64_t timeout_usec) {
        if (g->is_stopping)
                return;

        find_scope(g); /* while there is anybody in it */
        g->is_stopping = true;
        for (unsigned i = 0; i < g->n_places; i++) {
                g->slots[i].is_due = false;
                g->slots[i].restart = timer_disarm(g->slots[i].restart);
                if (g->slots[i].worker)
                        worker_stop(g->slots[i].worker, timeout_usec);
        }

        if (generation_n_workers(g) == 0)
                service_on_generation_gone(g->service, g);
}

void generation_kill(Generation *g) {
        for (unsigned i = 0; i < g->n_places; i++)
                if (g->slots[i].worker)
                        worker_kill(g->slots[i].worker);
}

unsigned generation_signal(const Generation *g, int signal_number) {
        unsigned n = 0;

        for (unsigned i = 0; i < g->n_places; i++)
                if (g->slots[i].worker && worker_signal(g->slots[i].worker, signal_number) >= 0)
                        n++;

        return n;
}

void generation_forget_failures(Generation *g) {
        for (unsigned i = 0; i < g->n_places; i++) {
                GenerationSlot *slot = &g->slots[i];

                slot->n_failures = 0;
                slot->starts = (StartLimit){ 0 };
                if (slot->restart)
                        (void) timer_arm(g->service->manager->event, &slot->restart,
                                         g->service->settings->restart_delay_usec, on_restart,
                                         slot);
        }
}

void generation_on_worker_cut(Generation *g) {
        if (g->is_cut)
                return;

        g->is_cut = true;
        service_on_generation_cut(g->service, g);
}

void generation_on_worker_ready(Generation *g, Worker *w) {
        GenerationSlot *slot = &g->slots[w->slot];

        slot->has_been_ready = true;
        slot->n_failures = 0;
        g->was_complete = generation_has_all_been_ready(g);
        service_on_generation_changed(g->service, g);
}

static bool is_wanted_again(const Generation *g, const Worker *w) {
        /* Nobody missed it: it sleeps until somebody comes. */
        if (g->service->settings->activation == ACTIVATION_ON_DEMAND &&
            w->end.si_code == CLD_EXITED && w->end.si_status == 0)
                return false;

        switch (g->service->settings->restart) {
        case RESTART_ALWAYS:
                return true;
        case RESTART_ON_FAILURE:
                return !worker_ended_well(w);
        case RESTART_NO:
                return false;
        case RESTART_MAX:
        case RESTART_INVALID:
                break;
        }

        assert(false);
        return false;
}

void generation_on_worker_ended(Generation *g, Worker *w) {
        service_on_generation_changed(g->service, g);
}

void generation_on_worker_gone(Generation *g, Worker *w) {
        GenerationSlot *slot = &g->slots[w->slot];
        char why[128];

        assert(slot->worker == w);
        g->n_cut += w->was_cut ? 1 : 0;
        worker_describe_end(w, why, sizeof(why));

        if (slot->is_let_go) {
                if (!g->is_stopping && slot->number < g->n_slots) /* it is wanted again */
                        schedule_restart(slot, w);
        } else if (!g->is_stopping && !g->is_on_trial) {
                if (is_wanted_again(g, w))
                        schedule_restart(slot, w);
                else if (!worker_ended_well(w))
                        g->has_failed = true;
        }

        slot->worker = worker_free(w);
        slot->is_let_go = false;
        trim(g);
        if (g->is_on_trial && !g->is_stopping)
                service_on_worker_lost(g->service, g, why);

        report(g);
}
