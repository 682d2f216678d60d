#pragma once

/* A group from the inside, for the files that make it: open, adopt, mend and the rest. */

#include "reuse/rule.h"
#include "reuse/socket.h"

struct ReuseGroup {
        ReuseAddress address;
        ReuseTable table;
        ReuseRule rule;       /* in force, or to be while refusing */
        ReuseProgram program; /* what is attached; none while a group of streams refuses */
        int backlog;          /* 0: net.core.somaxconn, looked up each time */
        bool is_refusing;
        bool has_owner, has_marks;
        uid_t owner;
        ReuseSockopt *sockopts; /* for sockets to come; their texts are ours */
        size_t n_sockopts;
};

DEFINE_CLEANUP(ReuseGroup, reuse_group_free)

/* Room for a group with what lasts of @options; no socket yet.  Returns 0, -ENOMEM, or -EINVAL: there
 * is no such socket option. */
int reuse_group_new(const ReuseGroupOptions *options, ReuseGroup **ret,
                    const char **reterr_sockopt);

/* The rule that @options or their absence ask for. */
ReuseRule reuse_group_first_rule(const ReuseGroupOptions *options, unsigned n_slots_of_bank_0);

/* A socket made ready for its bind(): owner, mark, options, sharing, and deaf if we refuse datagrams.
 * Returns the descriptor or an error. */
int reuse_group_new_socket(const ReuseGroup *g, unsigned bank, ReuseSharing sharing,
                           const char **reterr_sockopt);

/* One more socket, bound beside those that are.  Returns the descriptor or an error. */
int reuse_group_bind_next(const ReuseGroup *g, unsigned bank, const char **reterr_sockopt);

/* Attaches @p to the group that @fd is in or will found.  Returns 0 or a negative errno. */
int reuse_program_attach(const ReuseProgram *p, int fd);

/* Compiles the group's rule over those who have joined and attaches it through the first of them, or
 * through @founder_fd if that is not negative.  Returns 0, or an error and the old rule. */
int reuse_group_apply_rule(ReuseGroup *g, const ReuseRule *rule, int founder_fd);

/* Whether a stream socket that is bound and does not listen can be bound beside, by anybody who has
 * SO_REUSEADDR too: then he could listen there.  While it listens it must be so, since connections inherit
 * it and the port is theirs as well.  Returns 0 or a negative errno. */
int reuse_socket_set_open(int fd, bool is_open);

/* Lets a socket of a stream group listen.  Returns 0 or a negative errno. */
int reuse_group_listen_fd(const ReuseGroup *g, int fd);

/* All streams of a group in which nobody listens begin to, with its rule.  Returns 0 or an error, and
 * then some may listen. */
int reuse_group_listen_streams(ReuseGroup *g);

/* Gives all places an index, those first whom the rule names: then, while one after the other joins,
 * everybody who is in the group already is one of them.
 *
 * @founder  NULL, or who is to be the very first */
void reuse_group_plan(ReuseTable *t, const ReuseRule *rule, const ReuseJoined *founder);

/* The program that drops every datagram, on or off.  Returns 0 or a negative errno. */
int reuse_socket_set_deaf(int fd, bool is_deaf);
