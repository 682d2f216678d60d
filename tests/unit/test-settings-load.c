/* What good files become. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/settings.h"

#include "files.h"

static Settings *load_text(const char *text, Problems *problems) {
        Settings *settings = NULL;
        Workplace w;
        int r;

        workplace_open(&w);
        write_text("x.conf", text);
        r = settings_load("x.conf", problems, &settings);
        STRV_FOREACH(line, problems->lines)
                print_error("%s\n", *line);
        assert_ok(r);
        workplace_close(&w);
        return settings;
}

static Settings *load_good(const char *text) {
        Problems problems = { 0 };
        Settings *settings = load_text(text, &problems);

        assert_null(problems.lines);
        problems_done(&problems);
        return settings;
}

static void an_empty_file_is_good(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_good("");

        assert_int_equal(s->n_endpoints, 0);
        assert_int_equal(s->n_services, 0);
        assert_null(settings_find_endpoint(s, "web"));
        assert_null(settings_find_service(s, "web"));
        assert_int_equal(strv_length(s->files), 1);
}

static void defaults_are_those_of_the_table(void **state) {
        _cleanup_(settings_unrefp)
                        Settings *s = load_good("endpoints: { web: { listen_stream = 8080; } }\n"
                                                "services: { site: { endpoints = \"web\";\n"
                                                "  exec_start = [\"/bin/true\"]; } }\n");
        const EndpointSettings *e = settings_find_endpoint(s, "web");
        const ServiceSettings *v = settings_find_service(s, "site");

        assert_int_equal(e->type, SOCK_STREAM);
        assert_int_equal(e->n_addresses, 1);
        assert_int_equal(reuse_address_port(&e->addresses[0]), 8080);
        assert_false(e->is_shared);
        assert_int_equal(e->backlog, 0);
        assert_true(e->is_exclusive);
        assert_ptr_equal(e->service, v);
        assert_int_equal(e->place.line, 1);

        assert_int_equal(v->n_endpoints, 1);
        assert_ptr_equal(v->endpoints[0], e);
        assert_int_equal(v->type, SERVICE_TYPE_EXEC);
        assert_int_equal(v->n_workers, 1);
        assert_int_equal(v->restart, RESTART_ALWAYS);
        assert_int_equal(v->restart_delay_usec, 100 * USEC_PER_MSEC);
        assert_int_equal(v->restart_max_delay_usec, 30 * USEC_PER_SEC);
        assert_int_equal(v->timeout_start_usec, 90 * USEC_PER_SEC);
        assert_int_equal(v->timeout_stop_usec, 90 * USEC_PER_SEC);
        assert_int_equal(v->kill_signal, SIGTERM);
        assert_int_equal(v->final_kill_signal, SIGKILL);
        assert_false(v->has_user);
        assert_null(v->environment);
        assert_null(v->working_directory);
        assert_int_equal(v->place.line, 2);
}

static void every_form_of_address_is_read(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_good(
                        "endpoints: {\n"
                        "  a: { listen_stream = [\"1\", \":2\", \"127.0.0.1:3\",\n"
                        "       \"[::1]:4\", \"[fe80::1%lo]:5\"]; };\n"
                        "  b: { listen_datagram = 6; };\n"
                        "  c: { listen_datagram = [ 7, 8 ]; };\n"
                        "  d: { listen_stream = 0; };\n"
                        "  e: { listen_stream = 0; };\n"
                        "  f: { listen_datagram = \"127.0.0.1:3\"; };\n"
                        "};\n");
        const EndpointSettings *a = settings_find_endpoint(s, "a");

        assert_int_equal(s->n_endpoints, 6);
        assert_int_equal(a->n_addresses, 5);
        for (unsigned i = 0; i < 5; i++) {
                assert_int_equal(reuse_address_port(&a->addresses[i]), i + 1);
                assert_int_equal(a->addresses[i].type, SOCK_STREAM);
        }
        assert_int_equal(a->addresses[2].sa.sa_family, AF_INET);
        assert_int_equal(a->addresses[3].sa.sa_family, AF_INET6);
        assert_false(a->addresses[3].is_dual_stack);
        assert_int_equal(a->addresses[4].in6.sin6_scope_id, 1);
        assert_int_equal(settings_find_endpoint(s, "b")->type, SOCK_DGRAM);
        assert_int_equal(settings_find_endpoint(s, "c")->n_addresses, 2);
        assert_int_equal(settings_find_endpoint(s, "c")->addresses[1].type, SOCK_DGRAM);
}

static void every_key_is_read(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_good(
                        "endpoints: { web: { listen_stream = 8080; shared = true; backlog = 17;\n"
                        "  exclusive = false; }; dns: { listen_datagram = 53; }; };\n"
                        "services: { site: {\n"
                        "  endpoints = (\"dns\", \"web\"); exec_start = [\"/bin/true\", \"\", \"x "
                        "y\"];\n"
                        "  type = \"notify\"; workers = 4; restart = \"on-failure\";\n"
                        "  restart_delay = \"1s\"; restart_max_delay = 60; timeout_start = "
                        "\"infinity\";\n"
                        "  timeout_stop = \"1min 30s\"; kill_signal = \"SIGQUIT\";\n"
                        "  final_kill_signal = \"SIGABRT\"; environment = [\"A=1\", \"B=2\", "
                        "\"A=3\"];\n"
                        "  working_directory = \"/\"; standard_output = \"null\";\n"
                        "  standard_error = \"append:/var/log/x\"; }; };\n");
        const EndpointSettings *e = settings_find_endpoint(s, "web");
        const ServiceSettings *v = settings_find_service(s, "site");

        assert_true(e->is_shared);
        assert_int_equal(e->backlog, 17);
        assert_false(e->is_exclusive);
        assert_string_equal(v->endpoints[0]->name, "dns");
        assert_string_equal(v->endpoints[1]->name, "web");
        assert_int_equal(strv_length(v->exec_start), 3);
        assert_string_equal(v->exec_start[1], "");
        assert_string_equal(v->exec_start[2], "x y");
        assert_int_equal(v->type, SERVICE_TYPE_NOTIFY);
        assert_int_equal(v->n_workers, 4);
        assert_int_equal(v->restart, RESTART_ON_FAILURE);
        assert_int_equal(v->restart_delay_usec, USEC_PER_SEC);
        assert_int_equal(v->restart_max_delay_usec, 60 * USEC_PER_SEC);
        assert_int_equal(v->timeout_start_usec, USEC_INFINITY);
        assert_int_equal(v->timeout_stop_usec, 90 * USEC_PER_SEC);
        assert_int_equal(v->kill_signal, SIGQUIT);
        assert_int_equal(v->final_kill_signal, SIGABRT);
        assert_int_equal(strv_length(v->environment), 2);
        assert_string_equal(v->environment[0], "A=3"); /* the later counts */
        assert_string_equal(v->environment[1], "B=2");
        assert_string_equal(v->working_directory, "/");
        assert_int_equal(v->standard_output.kind, OUTPUT_NULL);
        assert_int_equal(v->standard_error.kind, OUTPUT_APPEND);
        assert_string_equal(v->standard_error.path, "/var/log/x");
}

static char *service_with(const char *keys) {
        char *text;

        assert_true(asprintf(&text,
                             "endpoints: { web: { listen_stream = 8080; }; };\n"
                             "services: { site: { endpoints = \"web\";\n"
                             "  exec_start = [\"/bin/true\"]; %s }; };\n",
                             keys) > 0);
        return text;
}

static void a_user_has_its_groups_and_home(void **state) {
        _cleanup_free_ char *text = service_with("user = \"daemon\";");
        _cleanup_(settings_unrefp) Settings *s = NULL;
        const struct passwd *entry = getpwnam("daemon");
        const ServiceSettings *v;

        if (!entry)
                unit_skip("a user: there is no \"daemon\" here");

        s = load_good(text);
        v = s->services[0];
        assert_true(v->has_user);
        assert_int_equal(v->uid, entry->pw_uid);
        assert_int_equal(v->gid, entry->pw_gid);
        assert_string_equal(v->user_name, "daemon");
        assert_string_equal(v->home, entry->pw_dir);
        assert_true(v->n_groups >= 1);
        assert_int_equal(v->groups[0], entry->pw_gid);
}

static void numbers_do_for_user_and_group(void **state) {
        _cleanup_free_ char *text = service_with("user = 4000000L; group = \"4000001\";");
        _cleanup_(settings_unrefp) Settings *s = load_good(text);
        const ServiceSettings *v = s->services[0];

        assert_true(v->has_user);
        assert_int_equal(v->uid, 4000000);
        assert_int_equal(v->gid, 4000001);
        assert_null(v->user_name);
        assert_null(v->home);
        assert_int_equal(v->n_groups, 1);
        assert_int_equal(v->groups[0], 4000001);
}

static void a_group_alone_leaves_the_user(void **state) {
        _cleanup_free_ char *text = service_with("group = 4000001;");
        _cleanup_(settings_unrefp) Settings *s = load_good(text);
        const ServiceSettings *v = s->services[0];

        assert_true(v->has_user);
        assert_int_equal(v->uid, geteuid());
        assert_int_equal(v->gid, 4000001);
        assert_int_equal(v->n_groups, 1);
}

static void what_may_come_later_is_a_warning(void **state) {
        _cleanup_(settings_unrefp) Settings *s = NULL;
        Problems problems = { 0 };

        s = load_text("endpoints: { web: { listen_stream = 8080; backlog = 2147483647; }; };\n"
                      "services: { site: { endpoints = \"web\";\n"
                      "  exec_start = [\"/nonexistent/program\"];\n"
                      "  working_directory = \"/nonexistent\"; }; };\n",
                      &problems);
        assert_int_equal(strv_length(problems.warnings), 3);
        assert_non_null(strstr(problems.warnings[0],
                               "x.conf:1: endpoints.web.backlog: 2147483647 is more than "
                               "net.core.somaxconn, effective are "));
        assert_string_equal(
                        problems.warnings[1],
                        "x.conf:3: services.site.exec_start: /nonexistent/program: No such file "
                        "or directory, expected an executable file before a worker starts");
        assert_string_equal(problems.warnings[2],
                            "x.conf:4: services.site.working_directory: /nonexistent is not there, "
                            "expected a directory before a worker starts");
        problems_done(&problems);
}

static void ten_thousand_endpoints_are_found_by_name(void **state) {
        _cleanup_(settings_unrefp) Settings *s = NULL;
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        fputs("endpoints: {\n", f);
        for (unsigned i = 0; i < 10000; i++)
                fprintf(f, "e%u: { listen_stream = \"127.0.0.1:%u\"; };\n", i, 1 + i);
        fputs("};\n", f);
        fclose(f);

        s = load_good(text);
        assert_int_equal(s->n_endpoints, 10000);
        for (unsigned i = 0; i < 10000; i++) {
                char name[16];

                snprintf(name, sizeof(name), "e%u", i);
                assert_ptr_equal(settings_find_endpoint(s, name), s->endpoints[i]);
                assert_string_equal(s->endpoints[i]->name, name);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(an_empty_file_is_good),
                UNIT_TEST(defaults_are_those_of_the_table),
                UNIT_TEST(every_form_of_address_is_read),
                UNIT_TEST(every_key_is_read),
                UNIT_TEST(a_user_has_its_groups_and_home),
                UNIT_TEST(numbers_do_for_user_and_group),
                UNIT_TEST(a_group_alone_leaves_the_user),
                UNIT_TEST(what_may_come_later_is_a_warning),
                UNIT_TEST(ten_thousand_endpoints_are_found_by_name),
        };

        return UNIT_RUN(tests);
}
