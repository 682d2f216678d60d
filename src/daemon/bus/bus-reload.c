#include "daemon/bus/bus-reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "daemon/bus/bus-client.h"
#include "daemon/bus/bus-error.h"
#include "daemon/manager.h"
#include "daemon/reload.h"

static const char *const kinds[SETTINGS_CHANGE_KIND_MAX] = {
        [SETTINGS_ADDED] = "added",
        [SETTINGS_REMOVED] = "removed",
        [SETTINGS_CHANGED] = "changed",
};

static const char *const applies[APPLIES_MAX] = {
        [APPLIES_NOW] = "now",
        [APPLIES_TO_NEW_WORKERS] = "pending",
        [APPLIES_BY_NEW_SOCKETS] = "new sockets",
};

static const char *group_name(SettingGroup group) {
        SettingGroup outermost = setting_outermost(group);

        return outermost == SETTING_GROUP_ENDPOINT  ? "endpoints"
               : outermost == SETTING_GROUP_SERVICE ? "services"
                                                    : "daemon";
}

static int append_change(const SettingsChange *c, sd_bus_message *m) {
        bool is_key = c->kind == SETTINGS_CHANGED;

        return sd_bus_message_append(m, "(sssssss)", kinds[c->kind], group_name(c->group),
                                     c->object ? c->object : "", is_key ? c->row->name : "",
                                     is_key ? applies[c->applies] : "", c->before ? c->before : "",
                                     c->after ? c->after : "");
}

static int append_changes(const SettingsDiff *diff, sd_bus_message *m) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(sssssss)");
        for (size_t i = 0; i < diff->n_changes && r >= 0; i++)
                r = append_change(&diff->changes[i], m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_reload_on_reload(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusClient *c = userdata;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(settings_unrefp) Settings *before = NULL;
        _cleanup_(settings_diff_done) SettingsDiff diff = { 0 };
        _cleanup_free_ char *waits_for = NULL, *why = NULL;
        int r;

        r = reload(c->bus->manager, &diff, &before, &waits_for, &why);
        if (r < 0)
                return bus_error_set(reterr, r, why);

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "s", waits_for ? waits_for : "");
        if (r >= 0)
                r = append_changes(&diff, reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static char *join(const char *file, const Problems *p) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        if (!stream)
                return NULL;

        fprintf(stream, "%s has problems", file);
        STRV_FOREACH(line, p->lines)
                fprintf(stream, "\n%s", *line);
        return fclose(stream) == 0 ? TAKE_PTR(text) : NULL;
}

int bus_reload_on_diff(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        BusClient *c = userdata;
        const Manager *manager = c->bus->manager;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(settings_unrefp) Settings *settings = NULL;
        _cleanup_(settings_diff_done) SettingsDiff diff = { 0 };
        _cleanup_(problems_done) Problems problems = { 0 };
        _cleanup_free_ char *why = NULL;
        const char *file;
        int r;

        r = sd_bus_message_read(m, "s", &file);
        if (r < 0)
                return r;
        if (*file && c->uid != 0 && c->uid != geteuid())
                return bus_error_set(reterr, -EACCES, "Only root may name another file");
        if (!*file)
                file = manager->settings->files[0];

        r = settings_load(file, &problems, &settings);
        if (r < 0) {
                why = r == -EBADMSG ? join(file, &problems) : NULL;
                return bus_error_set(reterr, r, why);
        }

        r = settings_diff(manager->settings, settings, &diff);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = append_changes(&diff, reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
