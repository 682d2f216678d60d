/* What must hold under full load: rules replaced, groups grown, processes that leave. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/membarrier.h>

#include "load.h"
#include "reuse/address.h"
#include "reuse/group.h"
#include "traffic.h"
#include "unit.h"

#define N_SLOTS_GROWN 64U

/* After this every packet is steered by the last rule: RULES §2. */
static void wait_for_grace_period(void) {
        if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
                fail_msg("membarrier: %s", strerror(errno));
}

/* Rule n leads to one place of eight, never the same twice in a row. */
static unsigned place_of(unsigned rule) {
        return rule * 5 % 8;
}

static bool is_place_of(unsigned rule, unsigned bank, unsigned slot) {
        return place_of(rule) == bank * 4 + slot;
}

static ReuseRule one_place(unsigned place) {
        ReuseRule rule = reuse_rule_init(place / 4, 0);

        reuse_rule_set_live(&rule, place / 4, place % 4, true);
        return rule;
}

/* issue 3 must show 3; fact k4: no connection outside the slots of the rule before or after */
static void a_rule_replaced_under_load_is_exact(void **state) {
        unsigned n_rules = unit_count(1000, 10000);
        ReuseRule rule = one_place(place_of(0));
        const ReuseGroupOptions options = { .n_slots = 4, .rule = &rule };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        Load load;

        load_start(&load, g, is_place_of);
        for (unsigned n = 1; n <= n_rules; n++) {
                rule = one_place(place_of(n));
                load_begin_rule(&load, n);
                assert_ok(reuse_group_set_rule(g, &rule));
                load_end_rule(&load, n);
                load_wait_visits(&load, 1);
        }
        printf("# %u rules\n", n_rules);
        load_stop(&load);
}

/* Rule n: the first @n_live slots of a growing group, but one. */
typedef struct Step {
        unsigned n_live;
        int out; /* the one that is left out, or -1 */
} Step;

static Step steps[8 * N_SLOTS_GROWN];

static bool is_live_in_step(unsigned rule, unsigned bank, unsigned slot) {
        return bank == 0 && slot < steps[rule].n_live && (int) slot != steps[rule].out;
}

static void make_step(Load *load, ReuseGroup *g, unsigned n, Step step) {
        ReuseRule rule = reuse_rule_init(0, step.n_live);

        if (step.out >= 0)
                reuse_rule_set_live(&rule, 0, (unsigned) step.out, false);
        steps[n] = step;
        load_begin_rule(load, n);
        assert_ok(reuse_group_set_rule(g, &rule));
        load_end_rule(load, n);
        load_wait_visits(load, unit_count(5, 50));
}

/* issue 3 must show 4: grown from 1 to 64, each slot taken out once and back */
static void a_group_grows_under_load(void **state) {
        const ReuseGroupOptions options = { .n_banks = 1, .n_slots = 1 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        unsigned n = 0;
        Load load;

        steps[0] = (Step){ .n_live = 1, .out = -1 };
        load_start(&load, g, is_live_in_step);
        for (unsigned size = 2; size <= N_SLOTS_GROWN; size++) {
                assert_ok(reuse_group_grow(g, 0, size));
                load_wait_visits(&load, 2); /* nobody may be there yet */
                load_serve(&load, 0, size - 1);
                make_step(&load, g, ++n, (Step){ size, -1 });
                make_step(&load, g, ++n, (Step){ size, (int) (size * 7 % size) });
                make_step(&load, g, ++n, (Step){ size, -1 });
        }
        for (unsigned slot = 0; slot < N_SLOTS_GROWN; slot++) {
                make_step(&load, g, ++n, (Step){ N_SLOTS_GROWN, (int) slot });
                make_step(&load, g, ++n, (Step){ N_SLOTS_GROWN, -1 });
        }
        load_stop(&load);
}

/* A slot that is taken out empties: nobody comes after the grace period, and who waited is served. */
static void a_slot_taken_out_empties(void **state) {
        const ReuseGroupOptions options = { .n_banks = 1, .n_slots = 4 };
        _cleanup_(reuse_group_freep) ReuseGroup *g = traffic_open("tcp4", "127.0.0.1:0", &options);
        unsigned n = 0;
        Load load;

        steps[0] = (Step){ .n_live = 4, .out = -1 };
        load_start(&load, g, is_live_in_step);
        for (unsigned round = 0; round < unit_count(4, 40); round++) {
                unsigned slot = round % 4, waiting = 1;

                make_step(&load, g, ++n, (Step){ 4, (int) slot });
                wait_for_grace_period();
                while (waiting > 0) {
                        assert_ok(reuse_group_queue(g, 0, slot, &waiting, NULL));
                        load_wait_visits(&load, 1);
                }
                load_wait_visits(&load, 20);
                assert_ok(reuse_group_queue(g, 0, slot, &waiting, NULL));
                assert_int_equal(waiting, 0);
                make_step(&load, g, ++n, (Step){ 4, -1 });
        }
        load_stop(&load);
}

/* A process that serves sockets until it is told to stop, and then closes them at once. */
typedef struct Process {
        pid_t pid;
        int stop_fd;
} Process;

static Process process_start(const int *fds, unsigned n, unsigned char name) {
        Process p = { .stop_fd = assert_ok(eventfd(0, EFD_CLOEXEC)) };

        p.pid = fork();
        if (p.pid == 0) {
                int epoll = epoll_create1(EPOLL_CLOEXEC);

                for (unsigned i = 0; i < n; i++)
                        load_add(epoll, fds[i], name, i);
                load_serve_until(epoll, p.stop_fd, /* to_the_end= */ false);
                _exit(0);
        }
        return p;
}

static void process_stop(Process *p) {
        static const uint64_t one = 1;
        int status;

        assert_int_equal(write(p->stop_fd, &one, sizeof(one)), sizeof(one));
        assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
        p->stop_fd = fd_close(p->stop_fd);
}

/* Visitors of something that is not a group. */
typedef struct Visitors {
        ReuseAddress target;
        bool stop;
        unsigned n_lost, n_of[2];
        LoadCounter visits;
        pthread_t threads[LOAD_THREADS];
} Visitors;

static void *visit_for_long(void *userdata) {
        Visitors *v = userdata;

        while (!__atomic_load_n(&v->stop, __ATOMIC_ACQUIRE)) {
                unsigned char who[2];

                if (load_visit(&v->target, who) < 0)
                        __atomic_fetch_add(&v->n_lost, 1, __ATOMIC_RELAXED);
                else
                        __atomic_fetch_add(v->n_of + (who[0] & 1), 1, __ATOMIC_RELAXED);
                load_counter_add(&v->visits);
        }
        return NULL;
}

static void visitors_start(Visitors *v, const ReuseAddress *target) {
        *v = (Visitors){ .target = *target, .visits = LOAD_COUNTER_INIT };
        for (unsigned i = 0; i < LOAD_THREADS; i++)
                assert_int_equal(pthread_create(v->threads + i, NULL, visit_for_long, v), 0);
}

static void visitors_wait(Visitors *v, unsigned n) {
        load_counter_wait(&v->visits, n);
}

static void visitors_stop(Visitors *v) {
        __atomic_store_n(&v->stop, true, __ATOMIC_RELEASE);
        for (unsigned i = 0; i < LOAD_THREADS; i++)
                assert_int_equal(pthread_join(v->threads[i], NULL), 0);
}

/* case 30; issue 3 must show 1: two servers on one port, by themselves: both answer; when one has left,
 * the other answers all; what it costs is printed */
static void two_processes_share_a_port_until_one_leaves(void **state) {
        unsigned n_lost = 0, n_visits = 0;

        for (unsigned round = 0; round < unit_count(5, 50); round++) {
                int one = assert_ok(reuse_listen("tcp4", "127.0.0.1:0", NULL)), two;
                char text[REUSE_ADDRESS_TEXT_SIZE];
                ReuseAddress a;
                Process first, second;
                Visitors visitors;

                assert_ok(reuse_address_of_socket(one, &a));
                (void) fd_set_nonblock(one, true);
                first = process_start(&one, 1, 0);
                one = fd_close(one); /* nobody holds what another serves: it would not be closed */

                two = assert_ok(reuse_listen("tcp4", reuse_address_format(&a, text, sizeof(text)),
                                             NULL));
                (void) fd_set_nonblock(two, true);
                second = process_start(&two, 1, 1);
                two = fd_close(two);

                visitors_start(&visitors, &a);
                visitors_wait(&visitors, 300);
                process_stop(&second);
                visitors_stop(&visitors);
                assert_true(visitors.n_of[0] > 0 && visitors.n_of[1] > 0);
                n_lost += visitors.n_lost;
                n_visits += visitors.visits.n;

                visitors_start(&visitors, &a); /* who comes from now on is answered by the first */
                visitors_wait(&visitors, 100);
                visitors_stop(&visitors);
                assert_int_equal(visitors.n_of[1], 0);
                assert_int_equal(visitors.n_lost, 0);
                process_stop(&first);
                n_visits += visitors.visits.n;
        }

        printf("# two processes by themselves: %u of %u lost when one left\n", n_lost, n_visits);
}

/* The same through a group: the slot is taken out, empties, and then its process leaves.  None is lost. */
static void through_a_group_nobody_is_lost(void **state) {
        unsigned n_visits = 0;

        for (unsigned round = 0; round < unit_count(5, 50); round++) {
                const ReuseGroupOptions options = { .n_banks = 1, .n_slots = 2 };
                _cleanup_(reuse_group_freep) ReuseGroup *g = NULL;
                Process processes[2];
                Visitors visitors;
                ReuseRule rule = reuse_rule_init(0, 1);
                unsigned waiting = 1;

                g = traffic_open("tcp4", "127.0.0.1:0", &options);
                for (unsigned slot = 0; slot < 2; slot++) {
                        int fd = reuse_group_fd(g, 0, slot);

                        processes[slot] = process_start(&fd, 1, (unsigned char) slot);
                }

                visitors_start(&visitors, reuse_group_address(g));
                visitors_wait(&visitors, 300);
                assert_true(__atomic_load_n(visitors.n_of + 1, __ATOMIC_ACQUIRE) > 0);
                assert_ok(reuse_group_set_rule(g, &rule));
                wait_for_grace_period();
                while (waiting > 0)
                        assert_ok(reuse_group_queue(g, 0, 1, &waiting, NULL));
                visitors_wait(&visitors, LOAD_THREADS + 1); /* its last answers have been read */
                process_stop(processes + 1);
                visitors_wait(&visitors, 100);
                visitors_stop(&visitors);
                process_stop(processes);
                n_visits += visitors.visits.n;
                assert_int_equal(visitors.n_lost, 0);
        }

        printf("# the same through a group: 0 of %u lost\n", n_visits);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(a_rule_replaced_under_load_is_exact),
                UNIT_TEST(a_group_grows_under_load),
                UNIT_TEST(a_slot_taken_out_empties),
                UNIT_TEST(two_processes_share_a_port_until_one_leaves),
                UNIT_TEST(through_a_group_nobody_is_lost),
        };

        return UNIT_RUN(tests);
}
