/* The group deploy of a service, and the health_check in it. */

#include "base/parse.h"
#include "settings/diff.h"

#include "settings-load.h"

/* A service on an endpoint for streams and one for datagrams, with more keys. */
static char *site_with(const char *keys) {
        char *text;

        assert_true(asprintf(&text,
                             "endpoints: { web: { listen_stream = 80; };\n"
                             "  dns: { listen_datagram = 53; }; };\n"
                             "services: { site: { endpoints = [\"dns\", \"web\"];\n"
                             "  exec_start = [\"/bin/true\"];\n"
                             "%s }; };\n",
                             keys) > 0);
        return text;
}

static Settings *load_site(const char *keys) {
        _cleanup_free_ char *text = site_with(keys);

        return load_text(text);
}

static void assert_argv(char *const *argv, const char *program, const char *argument) {
        assert_int_equal(strv_length(argv), argument ? 2 : 1);
        assert_string_equal(argv[0], program);
        if (argument)
                assert_string_equal(argv[1], argument);
}

static void assert_defaults(const DeploySettings *d) {
        assert_int_equal(d->n_canary, 0);
        assert_null(d->canary);
        assert_int_equal(d->step_usec, 30 * USEC_PER_SEC);
        assert_int_equal(d->canary_by, REUSE_SHARE_BY_CONNECTION);
        assert_int_equal(d->min_healthy_time_usec, 0);
        assert_int_equal(d->progress_deadline_usec, 300 * USEC_PER_SEC);
        assert_int_equal(d->drain_delay_usec, 10 * USEC_PER_SEC);
        assert_int_equal(d->drain_timeout_usec, 90 * USEC_PER_SEC);
        assert_null(d->hook_pre);
        assert_null(d->hook_post);
        assert_null(d->hook_failed);
}

static void assert_check_defaults(const HealthCheck *h) {
        assert_null(h->endpoint);
        assert_int_equal(h->interval_usec, USEC_PER_SEC);
        assert_int_equal(h->timeout_usec, USEC_PER_SEC);
        assert_int_equal(h->healthy, 1);
        assert_int_equal(h->unhealthy, 3);
}

static void defaults_hold_without_the_group_and_in_an_empty_one(void **state) {
        static const char *const texts[] = { "", "deploy: { };" };

        for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
                _cleanup_(settings_unrefp) Settings *s = load_site(texts[i]);
                const DeploySettings *d = &s->services[0]->deploy;

                assert_defaults(d);
                assert_check_defaults(&d->health_check);
                assert_null(d->health_check.http);
                assert_false(d->health_check.is_tcp);
                assert_null(d->health_check.exec);
        }
}

static void every_key_is_read(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_site(
                        "deploy: { canary = [5, 25, 100]; step = \"1min\"; canary_by = \"source\";\n"
                        "  min_healthy_time = \"10s\"; progress_deadline = \"infinity\";\n"
                        "  drain_delay = 0; drain_timeout = \"infinity\";\n"
                        "  hook_pre = [\"/bin/a\", \"x y\"]; hook_post = [\"/bin/b\"];\n"
                        "  hook_failed = [\"/bin/c\"]; };");
        const DeploySettings *d = &s->services[0]->deploy;

        assert_int_equal(d->n_canary, 3);
        assert_int_equal(d->canary[0], 5);
        assert_int_equal(d->canary[1], 25);
        assert_int_equal(d->canary[2], 100);
        assert_int_equal(d->step_usec, 60 * USEC_PER_SEC);
        assert_int_equal(d->canary_by, REUSE_SHARE_BY_SOURCE);
        assert_int_equal(d->min_healthy_time_usec, 10 * USEC_PER_SEC);
        assert_true(d->progress_deadline_usec == USEC_INFINITY);
        assert_int_equal(d->drain_delay_usec, 0);
        assert_true(d->drain_timeout_usec == USEC_INFINITY);
        assert_argv(d->hook_pre, "/bin/a", "x y");
        assert_argv(d->hook_post, "/bin/b", NULL);
        assert_argv(d->hook_failed, "/bin/c", NULL);
}

static void one_share_needs_no_array(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_site("deploy: { canary = 10; };");

        assert_int_equal(s->services[0]->deploy.n_canary, 1);
        assert_int_equal(s->services[0]->deploy.canary[0], 10);
}

static void no_shares_are_none(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_site("deploy: { canary = []; };");

        assert_defaults(&s->services[0]->deploy);
}

static void the_longest_path_of_http(void **state) {
        static const char form[] = "deploy: { health_check: { http = \"/%0*d\"; }; };";
        char good[HTTP_PATH_LENGTH + sizeof(form)], bad[sizeof(good)];
        _cleanup_(settings_unrefp) Settings *s = NULL;
        _cleanup_free_ char *text = NULL;
        Problems problems = { 0 };

        snprintf(good, sizeof(good), form, (int) HTTP_PATH_LENGTH - 1, 0);
        snprintf(bad, sizeof(bad), form, (int) HTTP_PATH_LENGTH, 0);
        s = load_site(good);
        assert_int_equal(strlen(s->services[0]->deploy.health_check.http), HTTP_PATH_LENGTH);

        text = site_with(bad);
        assert_null(try_text(text, &problems));
        assert_int_equal(strv_length(problems.lines), 1);
        assert_string_equal(problems.lines[0],
                            "x.conf:5: services.site.deploy.health_check.http: a path too long, "
                            "expected at most 1024 bytes");
        problems_done(&problems);
}

/* It goes by flow there, whatever is said. */
static void shares_of_datagrams_may_be_by_anything(void **state) {
        static const char *const words[] = { "source", "connection" };

        for (size_t i = 0; i < ELEMENTS_OF(words); i++) {
                _cleanup_(settings_unrefp) Settings *s = NULL;
                _cleanup_free_ char *text = NULL;

                assert_true(asprintf(&text,
                                     "endpoints: { dns: { listen_datagram = 53; }; };\n"
                                     "services: { dns: { endpoints = \"dns\";\n"
                                     "  exec_start = [\"/bin/true\"];\n"
                                     "  deploy: { canary = 5; canary_by = \"%s\";\n"
                                     "    health_check: { exec = [\"/bin/true\"]; }; }; }; };\n",
                                     words[i]) > 0);
                s = load_text(text);
                assert_int_equal(s->services[0]->deploy.canary_by,
                                 i == 0 ? REUSE_SHARE_BY_SOURCE : REUSE_SHARE_BY_CONNECTION);
        }
}

/* It may come with its package; it is looked for where the daemon will, not in root_directory. */
static void a_program_that_is_not_there_is_a_warning(void **state) {
        _cleanup_free_ char *text = site_with(
                        "root_directory = \"/proc/self/cwd\";\n"
                        "deploy: { hook_pre = [\"/bin/true\"];\n"
                        "  hook_post = [\"/nonexistent/a\"];\n"
                        "  hook_failed = [\"/proc\"];\n"
                        "  health_check: { exec = [\"/proc/self/status\"]; }; };");
        _cleanup_(settings_unrefp) Settings *s = NULL;
        Problems problems = { 0 };
        unsigned n = 0;

        s = try_text(text, &problems);
        assert_non_null(s);
        STRV_FOREACH(line, problems.warnings)
                n += strstr(*line, ".deploy.") != NULL;
        assert_int_equal(n, 3);
        assert_true(strv_contains(
                        problems.warnings,
                        "x.conf:7: services.site.deploy.hook_post: /nonexistent/a: No such "
                        "file or directory, expected an executable file before a deploy"));
        assert_true(strv_contains(
                        problems.warnings,
                        "x.conf:8: services.site.deploy.hook_failed: /proc: not a regular "
                        "file, expected an executable file before a deploy"));
        assert_true(strv_contains(problems.warnings,
                                  "x.conf:9: services.site.deploy.health_check.exec: "
                                  "/proc/self/status: not executable, expected an executable file "
                                  "before a deploy"));
        problems_done(&problems);
}

static void each_form_of_health_check_is_read(void **state) {
        _cleanup_(settings_unrefp) Settings
                        *http = load_site(
                                        "deploy: { health_check: { http = \"/a?b=%20\";\n"
                                        "  endpoint = \"web\"; interval = \"250ms\"; timeout = 3;\n"
                                        "  healthy = 100; unhealthy = 1; tcp = false; }; };"),
                        *tcp = load_site("deploy: { health_check: { tcp = true; }; };"),
                        *exec = load_site("deploy: { health_check: { endpoint = \"dns\";\n"
                                          "  exec = [\"/bin/true\", \"x\"]; }; };");
        const HealthCheck *h = &http->services[0]->deploy.health_check;

        assert_string_equal(h->http, "/a?b=%20");
        assert_false(h->is_tcp);
        assert_string_equal(h->endpoint, "web");
        assert_int_equal(h->interval_usec, 250 * USEC_PER_MSEC);
        assert_int_equal(h->timeout_usec, 3 * USEC_PER_SEC);
        assert_int_equal(h->healthy, 100);
        assert_int_equal(h->unhealthy, 1);

        h = &tcp->services[0]->deploy.health_check;
        assert_true(h->is_tcp);
        assert_check_defaults(h);

        h = &exec->services[0]->deploy.health_check;
        assert_argv(h->exec, "/bin/true", "x");
        assert_string_equal(h->endpoint, "dns");
}

/* ---- printing -------------------------------------------------------------------------------- */

/* Leaves one space of those between a value and its comment. */
static char *squeeze(char *text) {
        char *to = text;

        for (const char *from = text; *from; from++) {
                if (*from == ' ' && from > text && from[-1] == ';')
                        from += strspn(from, " ") - 1;
                *to++ = *from;
        }

        *to = '\0';
        return text;
}

static void what_is_printed_says_where_it_comes_from(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_site("deploy: { canary = 7;\n"
                                                           "  health_check: { tcp = true;\n"
                                                           "    healthy = 2; }; };");
        _cleanup_free_ char *text = squeeze(printed(s));

        assert_non_null(strstr(text, "\n    deploy: { # x.conf:5\n"
                                     "      canary = [7]; # x.conf:5\n"
                                     "      step = \"30s\"; # default\n"));
        assert_non_null(strstr(text, "\n      # hook_failed: none\n"
                                     "      health_check: { # x.conf:6\n"
                                     "        # http: none\n"
                                     "        tcp = true; # x.conf:6\n"));
        assert_non_null(strstr(text, "\n        healthy = 2; # x.conf:7\n"
                                     "        unhealthy = 3; # default\n"
                                     "      };\n"
                                     "    };\n"
                                     "  };\n"));
}

/* A group of defaults without what is checked would be no good file. */
static void a_health_check_that_was_not_said_is_printed_as_none(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_site(""), *again = NULL;
        _cleanup_free_ char *text = printed(s);

        assert_non_null(strstr(text, "\n    deploy: { # default\n"));
        assert_non_null(strstr(text, "\n      # health_check: none\n    };\n"));
        assert_null(strstr(text, "health_check: {"));
        again = load_text(text);
        assert_defaults(&again->services[0]->deploy);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void assert_change(const SettingsChange *c, SettingGroup group, const char *key,
                          const char *before, const char *after) {
        assert_int_equal(c->kind, SETTINGS_CHANGED);
        assert_int_equal(c->group, group);
        assert_string_equal(c->object, "site");
        assert_string_equal(c->row->name, key);
        assert_int_equal(c->applies, APPLIES_NOW);
        if (before)
                assert_string_equal(c->before, before);
        else
                assert_null(c->before);
        if (after)
                assert_string_equal(c->after, after);
        else
                assert_null(c->after);
}

static void changes_in_groups_are_the_services(void **state) {
        _cleanup_(settings_unrefp) Settings
                        *a = load_site("deploy: { step = 30; canary = [5, 10]; };"),
                        *b = load_site("deploy: { canary = [5, 20]; drain_timeout = \"2min\";\n"
                                       "  health_check: { http = \"/\"; healthy = 2; }; };");
        SettingsDiff d;

        assert_int_equal(settings_diff(a, b, &d), 0);
        assert_int_equal(d.n_changes, 4);
        assert_change(&d.changes[0], SETTING_GROUP_DEPLOY, "canary", "[5, 10]", "[5, 20]");
        assert_change(&d.changes[1], SETTING_GROUP_DEPLOY, "drain_timeout", "\"1min 30s\"",
                      "\"2min\"");
        assert_change(&d.changes[2], SETTING_GROUP_HEALTH_CHECK, "http", NULL, "\"/\"");
        assert_change(&d.changes[3], SETTING_GROUP_HEALTH_CHECK, "healthy", "1", "2");
        assert_int_equal(settings_diff_applies(&d, SETTING_GROUP_SERVICE, "site"), APPLIES_NOW);
        settings_diff_done(&d);
}

static void defaults_said_are_no_change(void **state) {
        _cleanup_(settings_unrefp) Settings
                        *a = load_site(""),
                        *b = load_site("deploy: { step = \"30s\"; canary_by = \"connection\";\n"
                                       "  progress_deadline = 300; };");
        SettingsDiff d;

        assert_int_equal(settings_diff(a, b, &d), 0);
        assert_int_equal(d.n_changes, 0);
        settings_diff_done(&d);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(defaults_hold_without_the_group_and_in_an_empty_one),
                UNIT_TEST(every_key_is_read),
                UNIT_TEST(one_share_needs_no_array),
                UNIT_TEST(no_shares_are_none),
                UNIT_TEST(the_longest_path_of_http),
                UNIT_TEST(shares_of_datagrams_may_be_by_anything),
                UNIT_TEST(a_program_that_is_not_there_is_a_warning),
                UNIT_TEST(each_form_of_health_check_is_read),
                UNIT_TEST(what_is_printed_says_where_it_comes_from),
                UNIT_TEST(a_health_check_that_was_not_said_is_printed_as_none),
                UNIT_TEST(changes_in_groups_are_the_services),
                UNIT_TEST(defaults_said_are_no_change),
        };

        return UNIT_RUN(tests);
}
