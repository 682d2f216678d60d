/* Every key: read, printed, read again. */

#include <errno.h>
#include <grp.h>
#include <signal.h>

#include "base/parse.h"
#include "settings/preset.h"
#include "settings/settings-table.h"
#include "settings/value.h"

#include "settings-load.h"

static const char full[] =
                "daemon: { log_level = \"debug\"; log_target = \"stderr\"; control_socket = \"/run/x/control\";\n"
                "  control_group = \"0\"; control_mode = \"0640\"; dbus = \"no\";\n"
                "  fd_store = \"keeper\"; store_max = 2000; };\n"
                "endpoints: {\n"
                "  web: { listen_stream = [\":8080\", \"127.0.0.1:81\"]; shared = true;\n"
                "    backlog = 128; bind_ipv6_only = \"ipv6-only\"; exclusive = false;\n"
                "    file_descriptor_name = \"http port\"; steering = \"cpu\"; flows = \"none\";\n"
                "    allow_users = [\"0\", \"root\", \"4711\"];\n"
                "    no_delay = true; keep_alive = false; keep_alive_time = \"1min 30s\";\n"
                "    keep_alive_interval = 10; keep_alive_probes = 3; defer_accept = \"2s\";\n"
                "    receive_buffer = \"64K\"; send_buffer = 4096; ip_tos = 16; ip_ttl = 64;\n"
                "    mark = 4294967295L; priority = 6; bind_to_device = \"lo\"; free_bind = true;\n"
                "    transparent = false; timestamping = \"ns\"; tcp_congestion = \"cubic\";\n"
                "    fast_open = 16; };\n"
                "  dns: { listen_datagram = \"[::]:5300\"; bind_ipv6_only = \"both\";\n"
                "    broadcast = true; pass_packet_info = true; };\n"
                "  tls: { listen_stream = 443; }; raw: { listen_stream = 70; };\n"
                "  box: { listen_stream = 71; };\n"
                "};\n"
                "services: { site: {\n"
                "  endpoints = [\"web\", \"dns\"]; exec_start = [\"/bin/true\", \"%{fd:web.1}\"];\n"
                "  preset = \"nginx\"; fd_protocol = \"args\"; type = \"notify\"; workers = 3;\n"
                "  activation = \"on-demand\"; restart = \"no\"; restart_delay = \"2s\";\n"
                "  restart_max_delay = \"1min\"; start_limit_interval = \"1min\";\n"
                "  start_limit_burst = 7; timeout_start = 5; timeout_stop = 0; watchdog = "
                "\"10s\";\n"
                "  kill_signal = \"SIGRTMIN+3\"; final_kill_signal = \"SIGABRT\";\n"
                "  kill_mode = \"process\"; user = 0; group = 12; supplementary_groups = [13, "
                "14];\n"
                "  ambient_capabilities = [\"CAP_NET_BIND_SERVICE\", \"cap_chown\"];\n"
                "  no_new_privileges = false; reuseport_lock = true; working_directory = \"/%c\";\n"
                "  root_directory = \"/\"; umask = \"0027\"; nice = -5; oom_score_adjust = 500;\n"
                "  cpu_affinity = \"0-2,5\"; limit_nofile = \"1024:4096\"; limit_core = 0;\n"
                "  limit_as = \"1G\"; limit_stack = \"infinity\"; limit_cpu = \"1500ms\";\n"
                "  limit_rttime = \"1s\"; limit_data = 1; limit_fsize = 2; limit_locks = 3;\n"
                "  limit_memlock = 4; limit_msgqueue = 5; limit_nice = 6; limit_nproc = 7;\n"
                "  limit_rss = 8; limit_rtprio = 9; limit_sigpending = 10;\n"
                "  environment = [\"A=%n\", \"B=\\\"x\\\"\"]; environment_file = "
                "\"-/nonexistent\";\n"
                "  pass_environment = \"HOME\"; standard_output = \"journal\";\n"
                "  standard_error = \"file:/tmp/x\"; success_exit_status = [\"3\", \"SIGUSR1\"];\n"
                "  exec_start_pre = ([\"-/bin/true\", \"x\"], [\"/bin/false\"]);\n"
                "  exec_stop_post = [\"/bin/true\"]; idle_timeout = \"infinity\";\n"
                "  fd_store_max = 0;\n"
                "  deploy: { canary = [5, 25, 100]; step = \"1min\"; canary_by = \"source\";\n"
                "    min_healthy_time = \"10s\"; progress_deadline = \"infinity\";\n"
                "    drain_delay = \"5s\"; drain_timeout = \"1h\"; hook_pre = [\"/bin/true\"];\n"
                "    hook_post = [\"/bin/echo\", \"%n\"]; hook_failed = [\"/bin/false\"];\n"
                "    health_check: { http = \"/healthz?a=b\"; endpoint = \"web\";\n"
                "      interval = \"500ms\"; timeout = 2; healthy = 2; unhealthy = 5; }; };\n"
                "  };\n"
                "  door: { endpoints = \"tls\"; exec_start = [\"/bin/true\"];\n"
                "    fd_store_max = 16;\n"
                "    deploy: { health_check: { exec = [\"/bin/true\", \"-k\"]; }; }; };\n"
                "  boxed: { endpoints = \"box\"; unit = \"boxed@%c-%i.service\"; workers = 2; };\n"
                "  plain: { endpoints = \"raw\"; exec_start = [\"/bin/true\"];\n"
                "    deploy: { canary = 10; health_check: { tcp = true; }; }; };\n"
                "};\n";

static void endpoint_keys_are_read(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_text(full);
        const EndpointSettings *e = settings_find_endpoint(s, "web");
        unsigned n = 0;

        assert_int_equal(s->daemon.log_level, LOG_DEBUG);
        assert_int_equal(s->daemon.log_target, LOG_TARGET_STDERR);
        assert_string_equal(s->daemon.control_socket, "/run/x/control");
        assert_string_equal(s->daemon.control_group, "0");
        assert_int_equal(s->daemon.control_gid, 0);
        assert_int_equal(s->daemon.control_mode, 0640);
        assert_int_equal(e->bind_ipv6_only, BIND_IPV6_ONLY_IPV6_ONLY);
        assert_false(e->addresses[0].is_dual_stack);
        assert_string_equal(endpoint_descriptor_name(e), "http port");
        assert_int_equal(e->steering, REUSE_STEERING_CPU);
        assert_int_equal(e->flows, FLOWS_NONE);
        assert_int_equal(e->n_allow_uids, 3);
        assert_int_equal(e->allow_uids[1], 0);
        assert_int_equal(e->allow_uids[2], 4711);
        for (size_t i = 0; i < e->n_sockopts; i++) {
                const ReuseSockopt *o = &e->sockopts[i];

                assert_non_null(reuse_sockopt_find(o->name));
                n += strcmp(o->name, "keep_alive_time") == 0 && o->value == 90000000;
                n += strcmp(o->name, "receive_buffer") == 0 && o->value == 65536;
                n += strcmp(o->name, "mark") == 0 && o->value == UINT32_MAX;
                n += strcmp(o->name, "no_delay") == 0 && o->value == 1;
                n += strcmp(o->name, "tcp_congestion") == 0 && strcmp(o->text, "cubic") == 0;
        }
        assert_int_equal(n, 5);
        assert_int_equal(e->n_sockopts, 18);
        assert_string_equal(endpoint_descriptor_name(settings_find_endpoint(s, "dns")), "dns");
}

static void service_keys_are_read(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_text(full);
        const ServiceSettings *v = settings_find_service(s, "site");

        assert_string_equal(v->preset, "nginx");
        assert_int_equal(v->fd_protocol, FD_PROTOCOL_ARGS); /* the key wins over the preset */
        assert_int_equal(v->type, SERVICE_TYPE_NOTIFY);
        assert_int_equal(v->n_workers, 3);
        assert_int_equal(v->activation, ACTIVATION_ON_DEMAND);
        assert_int_equal(v->idle_timeout_usec, USEC_INFINITY);
        assert_int_equal(v->restart, RESTART_NO);
        assert_int_equal(v->start_limit_interval_usec, 60 * USEC_PER_SEC);
        assert_int_equal(v->start_limit_burst, 7);
        assert_int_equal(v->timeout_stop_usec, 0);
        assert_int_equal(v->watchdog_usec, 10 * USEC_PER_SEC);
        assert_int_equal(v->kill_signal, SIGRTMIN + 3);
        assert_int_equal(v->kill_mode, KILL_MODE_PROCESS);
        assert_int_equal(v->groups[v->n_groups - 2], 13);
        assert_int_equal(v->groups[v->n_groups - 1], 14);
        assert_int_equal(v->ambient_capabilities, 1 << 10 | 1 << 0);
        assert_false(v->no_new_privileges);
        assert_true(v->reuseport_lock);
        assert_int_equal(v->fd_store_max, 0);
        assert_int_equal(settings_find_service(s, "door")->fd_store_max, 16);
        assert_null(v->unit);
        v = settings_find_service(s, "boxed");
        assert_string_equal(v->unit, "boxed@%c-%i.service");
        assert_null(v->exec_start);
}

static void surroundings_are_read(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_text(full);
        const ServiceSettings *v = settings_find_service(s, "site");

        assert_int_equal(v->umask, 027);
        assert_int_equal(v->nice, -5);
        assert_int_equal(v->oom_score_adjust, 500);
        assert_int_equal(v->cpu_affinity.kind, CPU_AFFINITY_SET);
        assert_int_equal(CPU_COUNT(&v->cpu_affinity.cpus), 4);
        assert_true(CPU_ISSET(5, &v->cpu_affinity.cpus));
        assert_int_equal(v->limits[RLIMIT_NOFILE].limit.rlim_cur, 1024);
        assert_int_equal(v->limits[RLIMIT_NOFILE].limit.rlim_max, 4096);
        assert_true(v->limits[RLIMIT_CORE].is_set);
        assert_int_equal(v->limits[RLIMIT_AS].limit.rlim_cur, 1 << 30);
        assert_true(v->limits[RLIMIT_STACK].limit.rlim_max == RLIM_INFINITY);
        assert_int_equal(v->limits[RLIMIT_CPU].limit.rlim_cur, 2); /* rounded up */
        assert_int_equal(v->limits[RLIMIT_RTTIME].limit.rlim_cur, 1000000);
        for (int i = 0; i < RLIMIT_NLIMITS; i++)
                assert_true(v->limits[i].is_set); /* there is a key for each */
        assert_int_equal(v->standard_output.kind, OUTPUT_JOURNAL);
        assert_int_equal(v->success_exit_status.codes[0], 1 << 3);
        assert_int_equal(v->success_exit_status.signals, 1 << (SIGUSR1 - 1));
        assert_int_equal(v->exec_start_pre.n_commands, 2);
        assert_true(v->exec_start_pre.commands[0].may_fail);
        assert_string_equal(v->exec_start_pre.commands[0].argv[0], "/bin/true");
        assert_false(v->exec_start_pre.commands[1].may_fail);
        assert_int_equal(v->exec_stop_post.n_commands, 1);
}

/* The sample says every key there is, or the other that excludes it. */
static void no_key_is_forgotten_here(void **state) {
        for (SettingGroup group = 0; group < SETTING_GROUP_MAX; group++) {
                const SettingTable *table = setting_table(group);

                for (size_t i = 0; i < table->n_rows; i++) {
                        char key[80];

                        snprintf(key, sizeof(key), " %s = ", table->rows[i].name);
                        if (!strstr(full, key))
                                fail_msg("%s is not tried", table->rows[i].name);
                }
                if (table->key && !strstr(full, table->key))
                        fail_msg("%s is not tried", table->title);
        }
}

static void rows_are_complete(void **state) {
        for (SettingGroup group = 0; group < SETTING_GROUP_MAX; group++) {
                const SettingTable *table = setting_table(group);

                for (size_t i = 0; i < table->n_rows; i++) {
                        const SettingRow *row = &table->rows[i];

                        assert_ptr_equal(setting_find(group, row->name), row);
                        assert_non_null(row->kind->print);
                        assert_non_null(row->kind->expected);
                        assert_true(row->help || row->sockopt);
                        assert_true(row->default_text || row->default_words);
                        assert_int_equal(setting_find_inside(group, row->name),
                                         SETTING_GROUP_INVALID);
                }
                if (table->key) {
                        assert_int_equal(setting_find_inside(table->parent, table->key), group);
                        assert_non_null(table->help);
                }
        }
}

static void what_is_printed_reads_as_the_same(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_text(full), *again = NULL;
        _cleanup_free_ char *once = printed(s), *twice = NULL;

        again = load_text(once);
        twice = printed(again);
        for (char *a = once, *b = twice; *a || *b;) { /* but for the comments */
                size_t n = strcspn(a, "#\n"), m = strcspn(b, "#\n");

                assert_int_equal(n, m);
                assert_memory_equal(a, b, n);
                a += strcspn(a, "\n") + 1;
                b += strcspn(b, "\n") + 1;
        }
}

static void printed_values_say_where_they_come_from(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_text(
                        "endpoints: { web: { listen_stream = 80; }; };\n"
                        "services: { site: { endpoints = \"web\";\n"
                        "  exec_start = [\"/bin/true\"]; preset = \"nginx\";\n"
                        "  type = \"notify\"; }; };\n");
        _cleanup_free_ char *text = printed(s);

        assert_non_null(strstr(text, "    shared = false;                                      # "
                                     "default\n"));
        assert_non_null(strstr(text, "    kill_signal = \"SIGQUIT\";                             "
                                     "# preset \"nginx\"\n"));
        assert_non_null(strstr(text, "    type = \"notify\";                                     "
                                     "# x.conf:4\n"));
        assert_non_null(strstr(text, "    # backlog: net.core.somaxconn\n"));
}

static void a_preset_sets_three_keys_and_a_key_beside_it_wins(void **state) {
        for (const Preset *p = NULL; (p = preset_next(p));) {
                _cleanup_(settings_unrefp) Settings *s = NULL;
                _cleanup_free_ char *text = NULL;
                int number;

                assert_true(asprintf(&text,
                                     "endpoints: { web: { listen_stream = 80; }; };\n"
                                     "services: {\n site: { endpoints = \"web\";\n"
                                     "  exec_start = [\"/bin/true\"]; kill_mode = "
                                     "\"mixed\";\n"
                                     "  preset = \"%s\"; }; };\n",
                                     p->name) > 0);
                s = load_text(text);
                assert_int_equal(parse_signal(p->kill_signal, &number), 0);
                assert_int_equal(s->services[0]->kill_signal, number);
                assert_int_equal(s->services[0]->type == SERVICE_TYPE_NOTIFY,
                                 strcmp(p->type, "notify") == 0);
                assert_false(preset_cuts(p, number));
                assert_ptr_equal(preset_find(p->name), p);
        }
}

static void a_signal_that_cuts_is_a_warning(void **state) {
        _cleanup_(settings_unrefp) Settings *s = NULL;
        Problems problems = { 0 };

        s = try_text("endpoints: { web: { listen_stream = 80; }; };\n"
                     "services: { site: { endpoints = \"web\"; exec_start = [\"/bin/true\"];\n"
                     "  kill_signal = \"SIGTERM\"; preset = \"nginx\"; }; };\n",
                     &problems);
        assert_non_null(s);
        assert_int_equal(strv_length(problems.warnings), 1);
        assert_string_equal(problems.warnings[0],
                            "x.conf:3: services.site.kill_signal: SIGTERM makes nginx cut its "
                            "requests, expected SIGQUIT");
        problems_done(&problems);
}

static char *site_with(const char *keys) {
        char *text;

        assert_true(asprintf(&text,
                             "endpoints: { web: { listen_stream = 80; }; };\n"
                             "services: { site: { endpoints = \"web\";\n"
                             "  exec_start = [\"/bin/true\"]; %s }; };\n",
                             keys) > 0);
        return text;
}

static void half_a_start_limit_brings_the_other(void **state) {
        _cleanup_free_ char *burst = site_with("start_limit_burst = 3;");
        _cleanup_free_ char *interval = site_with("start_limit_interval = 60;");
        _cleanup_free_ char *none = site_with("");
        _cleanup_(settings_unrefp) Settings *a = load_text(burst), *b = load_text(interval),
                                            *c = load_text(none);

        assert_int_equal(a->services[0]->start_limit_interval_usec, 10 * USEC_PER_SEC);
        assert_int_equal(b->services[0]->start_limit_burst, 5);
        assert_int_equal(c->services[0]->start_limit_interval_usec, 0);
        assert_int_equal(c->services[0]->start_limit_burst, 0);
}

static void cpus_and_slots(void **state) {
        _cleanup_free_ char *text = site_with("workers = \"cpus\"; cpu_affinity = \"slot\";");
        _cleanup_(settings_unrefp) Settings *s = load_text(text);
        cpu_set_t cpus;

        assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
        assert_int_equal(s->services[0]->n_workers, CPU_COUNT(&cpus));
        assert_int_equal(s->services[0]->cpu_affinity.kind, CPU_AFFINITY_SLOT);
}

/* Rows that differ in what they print must not be equal, and the other way round. */
static void compare_rows(SettingGroup group, const void *a, const void *b) {
        const SettingTable *table = setting_table(group);
        SettingGroup inside = SETTING_GROUP_INVALID;

        for (size_t i = 0; i < table->n_rows; i++) {
                _cleanup_free_ char *x = NULL, *y = NULL;
                bool print_the_same;

                assert_int_equal(value_format(&table->rows[i], a, &x), 0);
                assert_int_equal(value_format(&table->rows[i], b, &y), 0);
                print_the_same = x && y ? strcmp(x, y) == 0 : x == y;
                if (value_equal(&table->rows[i], a, b) != print_the_same)
                        fail_msg("%s: %s and %s", table->rows[i].name, x ?: "unset", y ?: "unset");
        }

        while ((inside = setting_next_inside(group, inside)) != SETTING_GROUP_INVALID)
                compare_rows(inside, a, b);
}

static void values_are_equal_if_they_print_the_same(void **state) {
        _cleanup_(settings_unrefp) Settings *s = load_text(full), *again = load_text(full);

        for (size_t i = 0; i < s->n_endpoints; i++)
                for (size_t k = 0; k < again->n_endpoints; k++)
                        compare_rows(SETTING_GROUP_ENDPOINT, s->endpoints[i], again->endpoints[k]);
        for (size_t i = 0; i < s->n_services; i++)
                for (size_t k = 0; k < again->n_services; k++)
                        compare_rows(SETTING_GROUP_SERVICE, s->services[i], again->services[k]);
        compare_rows(SETTING_GROUP_DAEMON, &s->daemon, &again->daemon);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(endpoint_keys_are_read),
                UNIT_TEST(service_keys_are_read),
                UNIT_TEST(surroundings_are_read),
                UNIT_TEST(no_key_is_forgotten_here),
                UNIT_TEST(rows_are_complete),
                UNIT_TEST(what_is_printed_reads_as_the_same),
                UNIT_TEST(values_are_equal_if_they_print_the_same),
                UNIT_TEST(printed_values_say_where_they_come_from),
                UNIT_TEST(a_preset_sets_three_keys_and_a_key_beside_it_wins),
                UNIT_TEST(a_signal_that_cuts_is_a_warning),
                UNIT_TEST(half_a_start_limit_brings_the_other),
                UNIT_TEST(cpus_and_slots),
        };

        return UNIT_RUN(tests);
}
