#include <errno.h>

#include "settings/diff.h"

#include "settings-load.h"

static const char before_text[] = "endpoints: { web: { listen_stream = 80; backlog = 5; };\n"
                                  "  old: { listen_stream = 81; };\n"
                                  "  dns: { listen_datagram = 53; }; };\n"
                                  "services: { site: { endpoints = \"web\";\n"
                                  "  exec_start = [\"/bin/true\"]; workers = 2; };\n"
                                  "  gone: { endpoints = \"old\"; exec_start = [\"/bin/true\"]; "
                                  "}; };\n";

static SettingsDiff diff(const Settings *before, const Settings *after) {
        SettingsDiff d;

        assert_int_equal(settings_diff(before, after, &d), 0);
        return d;
}

static void assert_change(const SettingsDiff *d, size_t i, SettingsChangeKind kind,
                          const char *object, const char *key, const char *applies,
                          const char *old_text, const char *new_text) {
        const SettingsChange *c = &d->changes[i];

        assert_true(i < d->n_changes);
        assert_int_equal(c->kind, kind);
        if (object)
                assert_string_equal(c->object, object);
        else
                assert_null(c->object);
        if (!key)
                return;
        assert_string_equal(c->row->name, key);
        assert_string_equal(setting_applies_text(c->applies), applies);
        if (old_text)
                assert_string_equal(c->before, old_text);
        else
                assert_null(c->before);
        if (new_text)
                assert_string_equal(c->after, new_text);
        else
                assert_null(c->after);
}

static void the_same_has_no_changes(void **state) {
        _cleanup_(settings_unrefp) Settings *a = load_text(before_text),
                                            *b = load_text(before_text);
        SettingsDiff d = diff(a, b);

        assert_int_equal(d.n_changes, 0);
        assert_int_equal(settings_diff_applies(&d, SETTING_GROUP_SERVICE, "site"), -ENOENT);
        settings_diff_done(&d);
}

/* Lines, order of keys, and a value said that is the default, are no change. */
static void how_it_is_said_does_not_matter(void **state) {
        _cleanup_(settings_unrefp) Settings *
                        a = load_text(before_text),
                       *b = load_text("services: { gone: { exec_start = [\"/bin/true\"]; endpoints = [\"old\"]; "
                                      "};\n\n"
                                      "  site: { timeout_stop = \"1min 30s\"; workers = 2; endpoints = "
                                      "[\"web\"];\n"
                                      "  exec_start = (\"/bin/true\"); }; };\n"
                                      "endpoints: { dns: { listen_datagram = \":53\"; }; old: { listen_stream = "
                                      "\"81\"; };\n"
                                      "  web: { backlog = 5; listen_stream = [80]; shared = false; }; };\n");
        SettingsDiff d = diff(a, b);

        assert_int_equal(d.n_changes, 0);
        settings_diff_done(&d);
}

static void every_change_is_told_with_when_it_applies(void **state) {
        _cleanup_(settings_unrefp) Settings *
                        a = load_text(before_text),
                       *b = load_text("daemon: { log_level = \"debug\"; };\n"
                                      "endpoints: { web: { listen_stream = [80, 82]; no_delay = true; };\n"
                                      "  dns: { listen_datagram = 53; bind_to_device = \"lo\"; };\n"
                                      "  new: { listen_stream = 81; }; };\n"
                                      "services: { site: { endpoints = \"web\"; restart = \"no\";\n"
                                      "  exec_start = [\"/bin/true\", \"x\"]; workers = 4; };\n"
                                      "  fresh: { endpoints = \"new\"; exec_start = [\"/bin/true\"]; }; };\n");
        SettingsDiff d = diff(a, b);
        size_t i = 0;

        assert_change(&d, i++, SETTINGS_REMOVED, "old", NULL, NULL, NULL, NULL);
        assert_change(&d, i++, SETTINGS_CHANGED, "web", "listen_stream", "o", "[\"[::]:80\"]",
                      "[\"[::]:80\", \"[::]:82\"]");
        assert_change(&d, i++, SETTINGS_CHANGED, "web", "backlog", "n", "5", NULL);
        assert_change(&d, i++, SETTINGS_CHANGED, "web", "no_delay", "n", NULL, "true");
        assert_change(&d, i++, SETTINGS_CHANGED, "dns", "bind_to_device", "o", NULL, "\"lo\"");
        assert_change(&d, i++, SETTINGS_ADDED, "new", NULL, NULL, NULL, NULL);
        assert_change(&d, i++, SETTINGS_REMOVED, "gone", NULL, NULL, NULL, NULL);
        assert_change(&d, i++, SETTINGS_CHANGED, "site", "exec_start", "x", "[\"/bin/true\"]",
                      "[\"/bin/true\", \"x\"]");
        assert_change(&d, i++, SETTINGS_CHANGED, "site", "workers", "x", "2", "4");
        assert_change(&d, i++, SETTINGS_CHANGED, "site", "restart", "n", "\"always\"", "\"no\"");
        assert_change(&d, i++, SETTINGS_ADDED, "fresh", NULL, NULL, NULL, NULL);
        assert_change(&d, i++, SETTINGS_CHANGED, NULL, "log_level", "n", "\"info\"", "\"debug\"");
        assert_int_equal(d.n_changes, i);

        assert_int_equal(settings_diff_applies(&d, SETTING_GROUP_ENDPOINT, "web"),
                         APPLIES_BY_NEW_SOCKETS);
        assert_int_equal(settings_diff_applies(&d, SETTING_GROUP_SERVICE, "site"),
                         APPLIES_TO_NEW_WORKERS);
        assert_int_equal(settings_diff_applies(&d, SETTING_GROUP_DAEMON, NULL), APPLIES_NOW);
        assert_int_equal(settings_diff_applies(&d, SETTING_GROUP_SERVICE, "fresh"), -ENOENT);
        settings_diff_done(&d);
}

/* What a file of variables says is part of what a worker is started with, and not told. */
static void another_content_of_environment_file_is_a_change(void **state) {
        _cleanup_(settings_unrefp) Settings *a = NULL, *b = NULL;
        _cleanup_free_ char *full = NULL;
        Problems problems = { 0 };
        SettingsDiff d;
        Workplace w;

        workplace_open(&w);
        assert_true(asprintf(&full,
                             "endpoints: { web: { listen_stream = 80; }; };\n"
                             "services: { site: { endpoints = \"web\";\n"
                             "  exec_start = [\"/bin/true\"];\n"
                             "  environment_file = \"%s/env\"; }; };\n",
                             w.path) > 0);
        write_text("x.conf", full);
        write_text("env", "PASSWORD=old\n");
        assert_int_equal(settings_load("x.conf", &problems, &a), 0);
        write_text("env", "PASSWORD=new\n");
        assert_int_equal(settings_load("x.conf", &problems, &b), 0);
        workplace_close(&w);

        d = diff(a, b);
        assert_int_equal(d.n_changes, 1);
        assert_change(&d, 0, SETTINGS_CHANGED, "site", "environment_file", "x", NULL, NULL);
        settings_diff_done(&d);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(the_same_has_no_changes),
                UNIT_TEST(how_it_is_said_does_not_matter),
                UNIT_TEST(every_change_is_told_with_when_it_applies),
                UNIT_TEST(another_content_of_environment_file_is_a_change),
        };

        return UNIT_RUN(tests);
}
