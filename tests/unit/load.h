#pragma once

/* Full load on a group: threads that visit as fast as they can, one that serves all slots, and an account
 * of who met whom under which rule.
 *
 * The rules of a run are numbered.  Before rule n is attached, load_begin_rule(n); after, load_end_rule(n).
 * A visitor that began when rule a was in force and ended when rule b had begun must have met a slot that
 * one of a…b allows: is_allowed() is asked.
 */

#include <pthread.h>
#include <stdbool.h>

#include "reuse/reuseport.h"

#define LOAD_THREADS 4U

/* A count that can be waited for. */
typedef struct LoadCounter {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        unsigned n;
} LoadCounter;

#define LOAD_COUNTER_INIT \
        { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

void load_counter_add(LoadCounter *c);

/* Waits until it is larger by @n; fails after half a minute. */
void load_counter_wait(LoadCounter *c, unsigned n);

typedef struct Load {
        const ReuseGroup *group;
        bool (*is_allowed)(unsigned rule, unsigned bank, unsigned slot);

        ReuseAddress target;
        unsigned begun, ended; /* numbers of rules */
        bool stop;
        int epoll, stop_fd;
        pthread_t server, visitors[LOAD_THREADS];
        unsigned n_lost, n_wrong;
        LoadCounter visits;
} Load;

/* @group  its slots are served by then; slots that come later by load_serve() */
void load_start(Load *l, const ReuseGroup *group,
                bool (*is_allowed)(unsigned rule, unsigned bank, unsigned slot));
void load_serve(Load *l, unsigned bank, unsigned slot);
void load_begin_rule(Load *l, unsigned rule);
void load_end_rule(Load *l, unsigned rule);

/* Waits until @n more visits have been made. */
void load_wait_visits(Load *l, unsigned n);

/* Ends it; asserts that nobody was lost or met a wrong one. */
void load_stop(Load *l);

/* One visit: connects, reads two bytes.  Returns 0, or what went wrong. */
int load_visit(const ReuseAddress *target, unsigned char ret[2]);

/* Serves listening sockets until @stop_fd is readable: whoever comes reads the two bytes of its socket.
 *
 * @to_the_end  and until all clients have left, who are no more by then */
void load_serve_until(int epoll, int stop_fd, bool to_the_end);
void load_add(int epoll, int fd, unsigned bank, unsigned slot);
