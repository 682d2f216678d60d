#include "daemon/timer.h"

#include <time.h>

#include "base/parse.h"

#define ACCURACY_USEC USEC_PER_MSEC

uint64_t now_usec(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

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

        return sd_event_add_time_relative(event, source, CLOCK_MONOTONIC, usec, ACCURACY_USEC,
                                          handler, userdata);
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
