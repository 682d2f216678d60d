#include "daemon/service/service-ahead.h"

#include "daemon/manager.h"
#include "daemon/service/build.h"
#include "daemon/service/service.h"
#include "daemon/worker/notify.h"
#include "daemon/worker/worker-plan.h"

static bool sleeps(const Service *s) {
        return s->settings->activation == ACTIVATION_ON_DEMAND && s->is_listening &&
               !service_current(s);
}

void service_ahead_prepare(Service *s) {
        ServiceAhead *a = &s->ahead;
        _cleanup_free_ char *path = NULL;

        if (!sleeps(s))
                return;

        if (!a->build)
                (void) build_new(s->manager->settings, s->settings, NULL, NULL, &a->build);
        if (a->notify || s->settings->unit)
                return;

        a->notify_uid = worker_uid(s->settings);
        path = manager_notify_path(s->manager);
        if (path)
                (void) notify_open(s->manager->event, path, a->notify_uid, &a->notify);
}

void service_ahead_drop(Service *s) {
        s->ahead.build = build_unref(s->ahead.build);
        s->ahead.notify = notify_free(s->ahead.notify);
}

Build *service_ahead_take_build(Service *s) {
        _cleanup_(build_unrefp) Build *b = TAKE_PTR(s->ahead.build);

        return b && build_is_current(b, s->manager->settings, s->settings) ? TAKE_PTR(b) : NULL;
}

Notify *service_ahead_take_notify(Service *s, uid_t uid) {
        _cleanup_(notify_freep) Notify *n = TAKE_PTR(s->ahead.notify);

        return s->ahead.notify_uid == uid ? TAKE_PTR(n) : NULL;
}
