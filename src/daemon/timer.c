#include "daemon/timer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/parse.h"

#define ACCURACY_USEC USEC_PER_MSEC
#define SPARES_MAX    16U

uint64_t now_usec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

/* ---- timers that are put by ---- */

typedef struct Spare {
        sd_event_source *source;
        sd_event_time_handler_t handler;
        void *userdata;
} Spare;

static sd_event *spares_event; /* borrowed; NULL: none are put by */
static Spare *spares[SPARES_MAX];
static unsigned n_spares;

static int on_spare(sd_event_source *source, uint64_t usec, void *userdata) {
        const Spare *s = userdata;

        return s->handler(source, usec, s->userdata);
}

/* One at a time, whenever there is memory. */
static void fill_spares(sd_event *event) {
        Spare *s;

        if (event != spares_event || n_spares >= SPARES_MAX)
                return;

        s = calloc(1, sizeof(*s));
        if (!s)
                return;
        if (sd_event_add_time_relative(event, &s->source, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
                                       on_spare, s) < 0) {
                free(s);
                return;
        }

        (void) sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
        (void) sd_event_source_set_destroy_callback(s->source, free); /* of its userdata */
        spares[n_spares++] = s;
}

void timer_keep_spares(sd_event *event) {
        while (n_spares > 0)
                (void) sd_event_source_disable_unref(spares[--n_spares]->source);
        spares_event = event;
        for (unsigned i = 0; event && i < SPARES_MAX; i++)
                fill_spares(event);
}

static int arm_spare(sd_event *event, sd_event_source **ret, uint64_t usec,
                     sd_event_time_handler_t handler, void *userdata) {
        Spare *s;

        if (event != spares_event || n_spares == 0)
                return -ENOMEM;

        s = spares[--n_spares];
        s->handler = handler;
        s->userdata = userdata;
        *ret = s->source;
        (void) sd_event_source_set_time_relative(s->source, usec);
        return sd_event_source_set_enabled(s->source, SD_EVENT_ONESHOT);
}

/* ---- any timer ---- */

int timer_arm(sd_event *event, sd_event_source **source, uint64_t usec,
              sd_event_time_handler_t handler, void *userdata) {
        int r;

        if (usec == USEC_INFINITY) {
                *source = timer_disarm(*source);
                return 0;
        }

        if (*source) {
                r = sd_event_source_set_time_relative(*source, usec);
                if (r < 0)
                        return r;
                return sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
        }

        r = sd_event_add_time_relative(event, source, CLOCK_MONOTONIC, usec, ACCURACY_USEC, handler,
                                       userdata);
        if (r == -ENOMEM)
                return arm_spare(event, source, usec, handler, userdata);

        fill_spares(event);
        return r;
}

int timer_arm_at(sd_event *event, sd_event_source **source, uint64_t deadline_usec,
                 sd_event_time_handler_t handler, void *userdata) {
        uint64_t now = now_usec();
        uint64_t usec = deadline_usec == USEC_INFINITY ? USEC_INFINITY
                        : deadline_usec > now          ? deadline_usec - now
                                                       : 0;

        return timer_arm(event, source, usec, handler, userdata);
}

uint64_t timer_deadline(sd_event_source *source) {
        uint64_t usec;
        int enabled;

        if (!source || sd_event_source_get_enabled(source, &enabled) < 0 ||
            enabled == SD_EVENT_OFF || sd_event_source_get_time(source, &usec) < 0)
                return USEC_INFINITY;

        return usec;
}

sd_event_source *timer_disarm(sd_event_source *source) {
        return sd_event_source_disable_unref(source);
}
