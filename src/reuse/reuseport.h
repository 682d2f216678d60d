#pragma once

/* libreuseport: many sockets on one port, and a rule in the kernel that says who gets what.
 *
 * The first half is what the Go packages libp2p/go-reuseport and kavu/go_reuseport offer: one socket
 * at a time, which others may join.  It builds on Linux, macOS and the BSDs.
 *
 * The second half is Linux's: a *group* holds all sockets of one address, laid out in banks of slots,
 * and a *rule* (classic BPF, no privilege needed) picks bank and slot of each new connection or
 * datagram.  A socket that leaves a group is replaced by the last one, so none leaves but
 * for a new one that takes its place (reuse_group_renew()); traffic moves only by replacing the rule, which is one setsockopt() and atomic.
 *
 * Errors: functions return 0 or a descriptor, or a negative errno, or one of REUSE_E… below (also
 * negative, outside the range of errno); reuse_strerror() tells all of them.  Whatever fails leaves
 * nothing behind.
 *
 * Descriptors are close-on-exec from birth.  The library neither logs nor keeps global state but the
 * cached answer of reuse_available(); different objects may be used by different threads at once.
 */

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* ---- errors ------------------------------------------------------------------------------------ */

enum {
        REUSE_EFAILED = -10001, /* the system would not let the port be shared */
        REUSE_EPROTOCOL =
                        -10002, /* not a network of this call: "unix", "udp" in reuse_listen(), … */
        REUSE_ESELF = -10003,   /* the dialled socket would be connected to itself */
        REUSE_EADDRESS = -10004, /* the address cannot be read, or its name does not resolve */
};

/* A sentence for any error of this library, errno included; never NULL.
 *
 * The text of an errno may live in a buffer of the calling thread: use it before the next call. */
const char *reuse_strerror(int error);

/* ---- addresses --------------------------------------------------------------------------------- */

/* A resolved address; a plain value. */
typedef struct ReuseAddress {
        union {
                struct sockaddr sa;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_storage storage;
        };
        socklen_t length;
        int type;           /* SOCK_STREAM or SOCK_DGRAM */
        bool is_dual_stack; /* [::] that answers IPv4 too; else IPv6 sockets are IPv6-only */
} ReuseAddress;

#define REUSE_ADDRESS_TEXT_SIZE 80

/* Reads "host:port", ":port", "[ip6]:port", "[ip6%zone]:port"; a host or service name is resolved
 * (getaddrinfo(3), may block), unless @numeric_only.
 *
 * @network  "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6".  With "tcp" and "udp" an empty host is
 *           dual-stack ([::], IPV6_V6ONLY off), and IPv4-only where there is no IPv6: what Go does.
 *           kavu/go_reuseport means IPv4 by it: say "tcp4".
 *
 * Returns 0.  REUSE_EPROTOCOL: unknown network.  REUSE_EADDRESS: no such syntax, name, zone, port, or
 * not of this family. */
int reuse_address_parse(const char *network, const char *address, bool numeric_only,
                        ReuseAddress *ret);

/* Writes "1.2.3.4:80" or "[fe80::1%eth0]:80" and returns @buffer. */
const char *reuse_address_format(const ReuseAddress *address, char *buffer, size_t size_bytes);

/* The port in host order. */
uint16_t reuse_address_port(const ReuseAddress *address);

/* Family, address, zone, port, type and dual-stack are the same. */
bool reuse_address_equal(const ReuseAddress *a, const ReuseAddress *b);

/* ---- socket options ---------------------------------------------------------------------------- */

/* An option of a listening socket, by the name of its key in endpoints.conf(5). */
typedef struct ReuseSockopt {
        const char *name;
        int64_t value;    /* booleans 0 and 1, numbers, times in µs; unused for texts */
        const char *text; /* bind_to_device, tcp_congestion, … ; else NULL */
} ReuseSockopt;

typedef enum ReuseSockoptKind {
        REUSE_SOCKOPT_BOOLEAN,
        REUSE_SOCKOPT_NUMBER,
        REUSE_SOCKOPT_DURATION, /* µs; the kernel's unit is coarser: rounded up */
        REUSE_SOCKOPT_SIZE,     /* bytes */
        REUSE_SOCKOPT_TEXT,
} ReuseSockoptKind;

/* What a caller needs to know in order to check a setting and to explain a failure. */
typedef struct ReuseSockoptInfo {
        const char *name;
        ReuseSockoptKind kind;
        int64_t min, max; /* of numbers, sizes and durations */
        bool for_stream;
        bool for_datagram;
        bool only_before_bind;  /* a change needs new sockets */
        const char *capability; /* "CAP_NET_ADMIN", … that it may need, or NULL */
} ReuseSockoptInfo;

/* NULL when no option is called so.  reuse_sockopt_next(NULL) is the first of all. */
const ReuseSockoptInfo *reuse_sockopt_find(const char *name);
const ReuseSockoptInfo *reuse_sockopt_next(const ReuseSockoptInfo *after);

/* Sets one option on one socket; what it gives is read back.
 *
 * @ret_effective  may be NULL; what the kernel made of a number (it halves, doubles, caps)
 *
 * Returns 0.  -EINVAL: no such option.  -EPERM: needs the capability of its row.  -ENOPROTOOPT: not
 * for this kind of socket, or not in this kernel. */
int reuse_sockopt_set(int fd, const ReuseSockopt *option, int64_t *ret_effective);

/* ---- one socket -------------------------------------------------------------------------------- */

/* NULL and a zeroed struct mean sensible defaults. */
typedef struct ReuseOptions {
        int backlog;           /* 0: as large as the system allows (net.core.somaxconn) */
        uint64_t timeout_usec; /* dial: 0 = as long as the kernel tries */
        int cancel_fd;         /* dial: when this becomes readable, -ECANCELED; 0 = none */
        bool is_async; /* dial: return a non-blocking socket at once; writable when connected, or
                        * when that failed: SO_ERROR tells, connect(2) */
        const ReuseSockopt *sockopts;
        size_t n_sockopts;
} ReuseOptions;

/* Whether ports can be shared here.  Really tries, once; only ENOPROTOOPT means no. */
bool reuse_available(void);

/* The system's backlog: net.core.somaxconn, or SOMAXCONN where it cannot be read. */
int reuse_somaxconn(void);

/* Opens a listening stream socket that others of the same effective uid may join.
 *
 * Sets SO_REUSEADDR and SO_REUSEPORT (FreeBSD: SO_REUSEPORT_LB).  Blocking, close-on-exec; the
 * caller's from now on.
 *
 * @network  "tcp", "tcp4", "tcp6"
 *
 * Returns the descriptor.  REUSE_EPROTOCOL, REUSE_EADDRESS; REUSE_EFAILED: the port cannot be shared
 * here; -EADDRINUSE: held by somebody who does not share it, or by another uid; -EACCES: a port
 * below net.ipv4.ip_unprivileged_port_start without CAP_NET_BIND_SERVICE. */
int reuse_listen(const char *network, const char *address, const ReuseOptions *options);

/* The same for datagrams: "udp", "udp4", "udp6".
 *
 * Never sets SO_REUSEADDR: on Linux two UDP sockets that both have it share a port across uids, and
 * the newest gets everything. */
int reuse_listen_packet(const char *network, const char *address, const ReuseOptions *options);

/* Connects from a port that is being listened on.
 *
 * @network         any of the six
 * @local_address   NULL or "" = any
 *
 * Returns a connected descriptor.  REUSE_EPROTOCOL; REUSE_EADDRESS, also for two families;
 * REUSE_ESELF: source and target are the same socket; -ETIMEDOUT: timeout_usec is over; -ECANCELED;
 * -EADDRNOTAVAIL: this pair of addresses is still in use. */
int reuse_dial(const char *network, const char *local_address, const char *remote_address,
               const ReuseOptions *options);

/* ---- the rule ---------------------------------------------------------------------------------- */

#define REUSE_BANKS_MAX 4U
#define REUSE_SLOTS_MAX 512U /* in one bank */

/* How a slot is picked among the live ones of a bank. */
typedef enum ReuseSteering {
        REUSE_STEERING_HASH,   /* of addresses and ports: a flow stays where it is */
        REUSE_STEERING_RANDOM, /* streams only: a datagram would change place within its flow */
        REUSE_STEERING_CPU,    /* the one the packet arrived on, modulo the number of live slots */
        REUSE_STEERING_MAX,
        REUSE_STEERING_INVALID = -EINVAL,
} ReuseSteering;

/* How it is decided to which bank somebody goes while a share is between 0 and 100. */
typedef enum ReuseShareBy {
        REUSE_SHARE_BY_CONNECTION, /* at random, each time; streams only */
        REUSE_SHARE_BY_SOURCE, /* by address (IPv6: its /64); while a share grows nobody moves back */
        REUSE_SHARE_BY_FLOW,   /* by addresses and ports */
        REUSE_SHARE_BY_MAX,
        REUSE_SHARE_BY_INVALID = -EINVAL,
} ReuseShareBy;

/* A private way in, for checks: who comes from one of two loopback addresses gets to a bank or a slot
 * before any visitor does.  IPv4: by source address alone, 127.83.0.1 (bank) and 127.83.0.2 (slot).
 * IPv6: ::1 *and* one of two source ports.  Both only over the loopback interface: no other machine gets
 * there, whatever it sends.  While no slot of the bank is live, both lead to the slot. */
typedef struct ReuseDoor {
        bool is_open;
        uint8_t bank;
        uint16_t slot; /* for the second address or port; the first goes to the live slots */
        uint16_t bank_port_v6; /* host order; 0 = no door over IPv6 */
        uint16_t slot_port_v6;
} ReuseDoor;

#define REUSE_DOOR_BANK_ADDRESS "127.83.0.1"
#define REUSE_DOOR_SLOT_ADDRESS "127.83.0.2"

/* Which share of the new connections goes to which bank, and which slots are live; a plain value. */
typedef struct ReuseRule {
        ReuseSteering steering;
        ReuseShareBy share_by;
        uint32_t seed;          /* of the hashes; keep it over a restart, or flows move */
        uint8_t from_bank;      /* gets what the other does not */
        uint8_t to_bank;        /* may be the same */
        uint16_t share_percent; /* of to_bank, 0…100 */
        ReuseDoor door;
        uint64_t live[REUSE_BANKS_MAX][REUSE_SLOTS_MAX / 64]; /* bit = slot */
} ReuseRule;

/* Everything to @bank, of which the first @n_slots slots are live. */
ReuseRule reuse_rule_init(unsigned bank, unsigned n_slots);

void reuse_rule_set_live(ReuseRule *rule, unsigned bank, unsigned slot, bool is_live);
bool reuse_rule_is_live(const ReuseRule *rule, unsigned bank, unsigned slot);
unsigned reuse_rule_n_live(const ReuseRule *rule, unsigned bank);
bool reuse_rule_equal(const ReuseRule *a, const ReuseRule *b);

/* ---- groups ------------------------------------------------------------------------------------ */

typedef struct ReuseGroup ReuseGroup;

typedef struct ReuseGroupOptions {
        unsigned n_banks; /* 1…REUSE_BANKS_MAX; 0 = 2 */
        unsigned n_slots; /* in each bank, 1…REUSE_SLOTS_MAX; 0 = 1 */
        int backlog;      /* 0 = net.core.somaxconn */
        bool is_exclusive; /* refuse when anybody has an address that overlaps; else only the same one */
        bool is_inert;    /* adopt: change nothing yet, see reuse_group_resume() */
        bool is_refusing; /* bound, but nobody gets in: see reuse_group_refuse() */
        bool has_owner; /* fchown() the sockets to @owner before bind (needs CAP_CHOWN): from then */
        uid_t owner;    /* on only a process of that effective uid can join, not even root */
        bool has_marks; /* give each bank a colour that sock_diag shows: see reuse_group_mark() */
        const ReuseSockopt *sockopts;
        size_t n_sockopts;
        const ReuseRule *rule; /* NULL: all to bank 0 by hash, every slot live, seed 0 */
} ReuseGroupOptions;

/* Opens all sockets of one address: those that the rule names, then all others, bank by bank and slot by
 * slot.  They are bound first, so that nobody gets in before all are ours.
 *
 * The rule is attached to the first before it is bound, so that it is in force from the first SYN.
 * Port 0: the first socket gets one, all others share it; reuse_group_address() tells which.  The
 * sockets are non-blocking and stay the group's.
 *
 * Returns 0.  Errors as reuse_listen(); -EADDRINUSE also if somebody of our own uid listens at this
 * very address: a rule over his sockets would not be true; -ERANGE: too many banks or slots, or the rule
 * names a slot that does not exist; -EPERM: has_owner without CAP_CHOWN; an error of a socket option.
 *
 * @reterr_sockopt  may be NULL; the name of the option that failed, if it was one */
int reuse_group_open(const ReuseAddress *address, const ReuseGroupOptions *options,
                     ReuseGroup **ret, const char **reterr_sockopt);

/* One socket of a group that comes back from somewhere, by its place. */
typedef struct ReuseMember {
        int fd;
        uint8_t bank;
        uint16_t slot;
} ReuseMember;

/* Takes sockets back that were opened by reuse_group_open(), in the order of their indices, and
 * attaches the rule anew.
 *
 * @members  n_members descriptors; taken on success only.  They may come in any order of place, but
 *           must be all of the group, in the order in which they (last) joined it.
 *
 * They come into the state that @options ask for: refusing, or listening, and who was shut meanwhile is
 * mended.  n_banks, n_slots and is_exclusive of @options are not looked at.
 *
 * Returns 0.  -EINVAL: two in one place, one socket twice, a hole in a bank; -ENOTSOCK; -EPROTOTYPE or
 * -EADDRNOTAVAIL: not all of one type or one address; -EISCONN; REUSE_EFAILED: the port is not shared;
 * -ERANGE. */
int reuse_group_adopt(const ReuseMember *members, size_t n_members,
                      const ReuseGroupOptions *options, ReuseGroup **ret);

/* What reuse_group_adopt() has left undone with is_inert: puts the rule in force and lets all listen, or
 * refuses.  Until then what was in force still is, so that whoever has many groups can first find out what
 * their rules have to be.
 *
 * @rule  NULL: it refuses
 *
 * Returns 0 or an error, as reuse_group_set_rule() and reuse_group_listen(). */
int reuse_group_resume(ReuseGroup *g, const ReuseRule *rule);

/* Closes every socket; @g may be NULL; returns NULL.  What waits in the queues is reset unless a
 * worker still holds the same sockets. */
ReuseGroup *reuse_group_free(ReuseGroup *g);

const ReuseAddress *reuse_group_address(const ReuseGroup *g);
unsigned reuse_group_n_banks(const ReuseGroup *g);
unsigned reuse_group_n_slots(const ReuseGroup *g, unsigned bank);

/* The socket in that place, borrowed; -EBADF if there is none. */
int reuse_group_fd(const ReuseGroup *g, unsigned bank, unsigned slot);

/* The kernel's index of that place now, or -ENOENT while it is not in the group. */
int reuse_group_index(const ReuseGroup *g, unsigned bank, unsigned slot);

/* The members in the order of their indices, for reuse_group_adopt() elsewhere; those that are not
 * in the kernel's group come last.  Descriptors are borrowed.  Returns how many there are. */
size_t reuse_group_members(const ReuseGroup *g, ReuseMember *ret, size_t n_ret);

/* Appends sockets until @bank (an existing one, or the next) has @n_slots.  The rule in force does
 * not name them, so nobody gets there before reuse_group_set_rule() says so.
 *
 * Returns 0, also if it had as many.  On failure those that were opened are closed again: they are
 * the last, so no index moves. */
int reuse_group_grow(ReuseGroup *g, unsigned bank, unsigned n_slots);

/* Puts another rule in force, at once and as a whole, for all connections that begin from now on;
 * those already queued stay.  A CPU in the middle of a SYN may still finish by the old rule: see the
 * drain test in reuseportd(8).
 *
 * Returns 0; -ERANGE: it names a bank or a live slot that does not exist or is not in the group;
 * -EINVAL: no live slot in a bank that gets a share, or a random choice for datagrams; -ENOMEM: longer
 * than net.core.optmem_max allows (before Linux 6.7: about 1,000 instructions); -ENOTCONN: all sockets
 * have been shut, see reuse_group_mend().  Otherwise the kernel's error.  On failure the old rule stays in force. */
int reuse_group_set_rule(ReuseGroup *g, const ReuseRule *rule);

/* Other options for all sockets, those to come included: those that differ are set.  One that was set and
 * is no longer named keeps its value, and one that must stand before bind() is for sockets to come.
 *
 * @backlog  0: net.core.somaxconn
 *
 * Returns 0, or the error of the first that failed; then some sockets may have it. */
int reuse_group_configure(ReuseGroup *g, int backlog, const ReuseSockopt *sockopts,
                          size_t n_sockopts, const char **reterr_sockopt);

/* Puts other sockets into all places of a bank, with the options of today: for what must stand before
 * bind().
 *
 * Each new one joins as the last and, when the one before it leaves, moves to its index, so that nobody
 * else moves.  What waits in those that leave is reset, and streams stop listening whoever holds them;
 * datagram sockets stay in the kernel's group while somebody else does: see that nobody does.
 *
 * Returns 0; -EBUSY: the rule in force leads there; -ERANGE: no such bank; or another error, and then the
 * places that were not reached keep theirs. */
int reuse_group_renew(ReuseGroup *g, unsigned bank, const char **reterr_sockopt);

/* The rule that is in force or, while refusing, the one that will be. */
const ReuseRule *reuse_group_rule(const ReuseGroup *g);

/* Nobody gets in, the port stays ours: stream sockets stop listening (their queues are reset, new
 * connections refused), datagrams are dropped by a socket filter.  Returns 0 or the first error, after
 * having tried all. */
int reuse_group_refuse(ReuseGroup *g);

/* The way back: all listen again in order, with the rule attached to the first.  Returns 0, or the
 * error, and then the group refuses. */
int reuse_group_listen(ReuseGroup *g);
bool reuse_group_is_refusing(const ReuseGroup *g);

/* Puts a group right after somebody who shares a socket has shut it (EPOLLHUP on our descriptor): the
 * kernel has moved the last socket into the hole.  Mends the table, puts the rule in force by it, lets
 * the socket listen again (it is appended), and puts the rule in force anew.  Cheap when all is well.
 *
 * Call it at once: as long as one is mended after the other, nothing else is touched.  If several left in
 * the meantime, it finds out who is where by connecting to each that is uncertain over the slot's door,
 * which is turned for that millisecond; one connection that we have reset stays in each such queue.  Only
 * where nobody can connect, the uncertain ones are shut and listen anew, and their queues are reset.
 *
 * Returns how many sockets had left, or a negative error; then the group may refuse. */
int reuse_group_mend(ReuseGroup *g);

/* How many connections wait in one place.  Streams: exact.  Datagrams: 1 if any waits.
 *
 * @ret_limit  may be NULL; the effective backlog, 0 for datagrams */
int reuse_group_queue(const ReuseGroup *g, unsigned bank, unsigned slot, unsigned *ret_waiting,
                      unsigned *ret_limit);

/* The colour mark of a bank in terms of sock_diag's INET_DIAG_SOCKOPT: which of the two bits without a
 * meaning for TCP, multicast-loop and multicast-all, its connections inherit (Linux 5.10). */
void reuse_group_mark(unsigned bank, bool *ret_multicast_loop, bool *ret_multicast_all);

/* What is attached, one instruction per line, for people; returns how many instructions.  The kernel
 * does not give the program back, so this is our copy. */
size_t reuse_group_print_rule(const ReuseGroup *g, char *buffer, size_t size_bytes);

/* ---- what this kernel does --------------------------------------------------------------------- */

/* Something that groups stand on, which a kernel may do or not. */
typedef struct ReuseFact {
        const char *name; /* "k8" */
        const char *text; /* what it is about, in words */
        int holds;        /* 1: yes; 0: no; negative errno: it could not be tried */
} ReuseFact;

/* Tries them out with a few sockets at free ports of 127.0.0.1; takes about a millisecond.
 *
 * Returns how many there are, of which the first @n_ret are tried and written. */
size_t reuse_facts(ReuseFact *ret, size_t n_ret);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
