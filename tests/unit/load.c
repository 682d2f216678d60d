#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "traffic.h"
#include "unit.h"

#define WAIT_MAX_SEC 30

/* What an epoll entry is about. */
#define KIND_STOP     UINT64_C(0)
#define KIND_LISTENER (UINT64_C(1) << 62)
#define KIND_CLIENT   (UINT64_C(1) << 63)

void load_counter_add(LoadCounter *c) {
        (void) pthread_mutex_lock(&c->mutex);
        c->n++;
        (void) pthread_cond_signal(&c->changed); /* one waits */
        (void) pthread_mutex_unlock(&c->mutex);
}

void load_counter_wait(LoadCounter *c, unsigned n) {
        struct timespec deadline;
        unsigned begin;
        int r = 0;

        (void) clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += WAIT_MAX_SEC;

        (void) pthread_mutex_lock(&c->mutex);
        begin = c->n;
        while (c->n - begin < n && r == 0)
                r = pthread_cond_timedwait(&c->changed, &c->mutex, &deadline);
        n -= c->n - begin < n ? c->n - begin : n;
        (void) pthread_mutex_unlock(&c->mutex);

        if (n > 0)
                fail_msg("%u visits are missing after %d s", n, WAIT_MAX_SEC);
}

static void watch(int epoll, int fd, uint64_t what) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = what };

        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                fail_msg("epoll_ctl: %s", strerror(errno));
}

void load_add(int epoll, int fd, unsigned bank, unsigned slot) {
        watch(epoll, fd,
              KIND_LISTENER | (uint64_t) bank << 48 | (uint64_t) slot << 32 | (unsigned) fd);
}

/* Returns how many came. */
static unsigned serve(int epoll, uint64_t what) {
        unsigned char answer[2] = { (unsigned char) (what >> 48), (unsigned char) (what >> 32) };

        for (unsigned n = 0;; n++) {
                int fd = accept4((int) (uint32_t) what, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd < 0)
                        return n;
                (void) send(fd, answer, sizeof(answer), MSG_NOSIGNAL);
                watch(epoll, fd, KIND_CLIENT | (unsigned) fd);
        }
}

void load_serve_until(int epoll, int stop_fd, bool to_the_end) {
        unsigned n_clients = 0;
        bool stop = false;

        watch(epoll, stop_fd, KIND_STOP);
        while (!stop || (to_the_end && n_clients > 0)) {
                struct epoll_event events[64];
                int n = epoll_wait(epoll, events, 64, -1);

                for (int i = 0; i < n; i++) {
                        uint64_t what = events[i].data.u64;

                        if (what == KIND_STOP)
                                stop = true;
                        else if (what & KIND_LISTENER)
                                n_clients += serve(epoll, what & ~KIND_LISTENER);
                        else {
                                (void) close((int) (uint32_t) what); /* the client has left */
                                n_clients--;
                        }
                }
        }
}

int load_visit(const ReuseAddress *target, unsigned char ret[2]) {
        static const struct timeval five_seconds = { .tv_sec = 5 };
        _cleanup_reset_ int fd = socket(target->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        size_t n = 0;

        if (fd < 0)
                return -errno;

        (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &five_seconds, sizeof(five_seconds));
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &five_seconds, sizeof(five_seconds));
        if (connect(fd, &target->sa, target->length) < 0)
                return -errno;

        while (n < 2) {
                ssize_t got = recv(fd, ret + n, 2 - n, 0);

                if (got <= 0)
                        return got < 0 ? -errno : -EPIPE;
                n += (size_t) got;
        }

        return 0;
}

static bool was_allowed(const Load *l, unsigned first, unsigned last, const unsigned char who[2]) {
        for (unsigned rule = first; rule <= last; rule++)
                if (l->is_allowed(rule, who[0], who[1]))
                        return true;

        return false;
}

static void *visitor_main(void *userdata) {
        Load *l = userdata;

        while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
                unsigned first = __atomic_load_n(&l->ended, __ATOMIC_SEQ_CST), last;
                unsigned char who[2];
                int r = load_visit(&l->target, who);

                last = __atomic_load_n(&l->begun, __ATOMIC_SEQ_CST);
                if (r < 0)
                        __atomic_fetch_add(&l->n_lost, 1, __ATOMIC_RELAXED);
                else if (!was_allowed(l, first, last, who))
                        __atomic_fetch_add(&l->n_wrong, 1, __ATOMIC_RELAXED);
                load_counter_add(&l->visits);
        }

        return NULL;
}

static void *server_main(void *userdata) {
        Load *l = userdata;

        load_serve_until(l->epoll, l->stop_fd, /* to_the_end= */ true);
        return NULL;
}

void load_serve(Load *l, unsigned bank, unsigned slot) {
        load_add(l->epoll, reuse_group_fd(l->group, bank, slot), bank, slot);
}

void load_start(Load *l, const ReuseGroup *group,
                bool (*is_allowed)(unsigned rule, unsigned bank, unsigned slot)) {
        *l = (Load){ .group = group, .is_allowed = is_allowed, .visits = LOAD_COUNTER_INIT };
        l->target = traffic_target(group, false);
        l->epoll = assert_ok(epoll_create1(EPOLL_CLOEXEC));
        l->stop_fd = assert_ok(eventfd(0, EFD_CLOEXEC));
        for (unsigned bank = 0; bank < reuse_group_n_banks(group); bank++)
                for (unsigned slot = 0; slot < reuse_group_n_slots(group, bank); slot++)
                        load_serve(l, bank, slot);

        assert_int_equal(pthread_create(&l->server, NULL, server_main, l), 0);
        for (unsigned i = 0; i < LOAD_THREADS; i++)
                assert_int_equal(pthread_create(l->visitors + i, NULL, visitor_main, l), 0);
}

void load_begin_rule(Load *l, unsigned rule) {
        __atomic_store_n(&l->begun, rule, __ATOMIC_SEQ_CST);
}

void load_end_rule(Load *l, unsigned rule) {
        __atomic_store_n(&l->ended, rule, __ATOMIC_SEQ_CST);
}

void load_wait_visits(Load *l, unsigned n) {
        load_counter_wait(&l->visits, n);
}

void load_stop(Load *l) {
        static const uint64_t one = 1;

        __atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
        for (unsigned i = 0; i < LOAD_THREADS; i++)
                assert_int_equal(pthread_join(l->visitors[i], NULL), 0);
        assert_int_equal(write(l->stop_fd, &one, sizeof(one)), sizeof(one));
        assert_int_equal(pthread_join(l->server, NULL), 0);

        printf("# %u connections, %u lost, %u at a wrong slot\n", l->visits.n, l->n_lost,
               l->n_wrong);
        l->epoll = fd_close(l->epoll);
        l->stop_fd = fd_close(l->stop_fd);
        assert_int_equal(l->n_lost, 0);
        assert_int_equal(l->n_wrong, 0);
        assert_true(l->visits.n > 0);
}
