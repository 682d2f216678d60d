/* The socket options that an endpoint may ask for, one row each.
 *
 * A row says how its key is called, what it takes, when it must be set and what it may need.  Rows
 * that a system does not have are not compiled in: then the name is unknown there.
 */

#include <assert.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/cleanup.h"
#include "reuse/socket.h"

#define USEC_PER_SEC INT64_C(1000000)

typedef struct Row Row;

/* Sets a row's option and reads it back; *effective holds the value and becomes what it gave. */
typedef int (*Setter)(const Row *row, int fd, const ReuseSockopt *option, int64_t *effective);

struct Row {
        ReuseSockoptInfo info;
        Setter set;
        int level, option;
        int option_v6; /* of IPPROTO_IPV6, for IPv6 sockets; 0: the same as above */
};

static int get_int(int fd, int level, int option, int *ret) {
        socklen_t size = sizeof(*ret);

        return getsockopt(fd, level, option, ret, &size) < 0 ? -errno : 0;
}

static int set_int(int fd, int level, int option, int value) {
        return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static bool is_v6(int fd) {
        ReuseAddress a = { .length = sizeof(a.storage) };

        return getsockname(fd, &a.sa, &a.length) >= 0 && a.sa.sa_family == AF_INET6;
}

/* Numbers and booleans.  What has an IPv6 twin is set there, too: a dual-stack socket needs both. */
static int set_number(const Row *row, int fd, const ReuseSockopt *option, int64_t *effective) {
        /* marks are unsigned in the kernel: 0xffffffff arrives as it should */
        int value = (int) (uint32_t) *effective, r;

        if (row->option_v6 > 0 && is_v6(fd)) {
                r = set_int(fd, IPPROTO_IPV6, row->option_v6, value);
                if (r < 0)
                        return r;
#ifndef __linux__
                return get_int(fd, IPPROTO_IPV6, row->option_v6, &value); /* no twin there */
#endif
        }

        r = set_int(fd, row->level, row->option, value);
        if (r >= 0)
                r = get_int(fd, row->level, row->option, &value);
        if (r < 0)
                return r;

        if (row->info.kind == REUSE_SOCKOPT_BOOLEAN)
                *effective = value != 0; /* some systems answer with a bit mask */
        else
                *effective = row->info.max > INT_MAX ? (int64_t) (uint32_t) value : value;
        return 0;
}

/* Whole seconds in the kernel. */
static int set_duration(const Row *row, int fd, const ReuseSockopt *option, int64_t *effective) {
        int value = (int) ((*effective + USEC_PER_SEC - 1) / USEC_PER_SEC), r;

        r = set_int(fd, row->level, row->option, value);
        if (r >= 0)
                r = get_int(fd, row->level, row->option, &value);
        if (r < 0)
                return r;

        *effective = value * USEC_PER_SEC;
        return 0;
}

/* Linux doubles what is asked, for its own book-keeping, and says the double.  Beyond the limit of
 * everybody, net.core.rmem_max, we try the way of the privileged. */
static int set_buffer(const Row *row, int fd, const ReuseSockopt *option, int64_t *effective) {
        int wanted = (int) *effective, value, r;

        r = set_int(fd, SOL_SOCKET, row->option, wanted);
        if (r >= 0)
                r = get_int(fd, SOL_SOCKET, row->option, &value);
        if (r < 0)
                return r;

#ifdef __linux__
        if (value / 2 < wanted) {
                int force = row->option == SO_RCVBUF ? SO_RCVBUFFORCE : SO_SNDBUFFORCE;

                if (set_int(fd, SOL_SOCKET, force, wanted) >= 0) {
                        r = get_int(fd, SOL_SOCKET, row->option, &value);
                        if (r < 0)
                                return r;
                }
        }
        value /= 2;
#endif
        *effective = value;
        return 0;
}

#if defined(SO_BINDTODEVICE) || defined(TCP_CONGESTION)
static int set_text(const Row *row, int fd, const ReuseSockopt *option, int64_t *effective) {
        size_t length = strlen(option->text);

        if (setsockopt(fd, row->level, row->option, option->text, (socklen_t) length + 1) < 0)
                return -errno;
        return 0;
}
#endif

#ifdef SO_TIMESTAMPNS
static int set_timestamping(const Row *row, int fd, const ReuseSockopt *option,
                            int64_t *effective) {
        static const struct {
                const char *name;
                int option, value;
        } ways[] = {
                { "off", SO_TIMESTAMP, 0 },  { "us", SO_TIMESTAMP, 1 },
                { "usec", SO_TIMESTAMP, 1 }, { "\u00b5s", SO_TIMESTAMP, 1 },
                { "ns", SO_TIMESTAMPNS, 1 }, { "nsec", SO_TIMESTAMPNS, 1 },
        };

        for (size_t i = 0; i < ELEMENTS_OF(ways); i++)
                if (strcmp(ways[i].name, option->text) == 0)
                        return set_int(fd, SOL_SOCKET, ways[i].option, ways[i].value);

        return -EINVAL;
}
#endif

/* name, kind, min, max */
#define FLAG(n)         .name = n, .kind = REUSE_SOCKOPT_BOOLEAN, .min = 0, .max = 1
#define NUMBER(n, a, b) .name = n, .kind = REUSE_SOCKOPT_NUMBER, .min = a, .max = b
#define SECONDS(n, a, b)                                                     \
        .name = n, .kind = REUSE_SOCKOPT_DURATION, .min = (a) *USEC_PER_SEC, \
        .max = (b) *USEC_PER_SEC
#define SIZE(n)  .name = n, .kind = REUSE_SOCKOPT_SIZE, .min = 1, .max = INT_MAX / 2
#define TEXT(n)  .name = n, .kind = REUSE_SOCKOPT_TEXT
#define STREAM   .for_stream = true
#define DATAGRAM .for_datagram = true
#define BOTH     .for_stream = true, .for_datagram = true
#define EARLY    .only_before_bind = true
#define NEEDS(c) .capability = c

static const Row rows[] = {
        { { FLAG("no_delay"), STREAM }, set_number, IPPROTO_TCP, TCP_NODELAY },
        { { FLAG("keep_alive"), STREAM }, set_number, SOL_SOCKET, SO_KEEPALIVE },
#ifdef TCP_KEEPIDLE
        { { SECONDS("keep_alive_time", 1, 32767), STREAM },
          set_duration,
          IPPROTO_TCP,
          TCP_KEEPIDLE },
#endif
#ifdef TCP_KEEPINTVL
        { { SECONDS("keep_alive_interval", 1, 32767), STREAM },
          set_duration,
          IPPROTO_TCP,
          TCP_KEEPINTVL },
#endif
#ifdef TCP_KEEPCNT
        { { NUMBER("keep_alive_probes", 1, 127), STREAM }, set_number, IPPROTO_TCP, TCP_KEEPCNT },
#endif
#ifdef TCP_DEFER_ACCEPT
        { { SECONDS("defer_accept", 0, 3600), STREAM },
          set_duration,
          IPPROTO_TCP,
          TCP_DEFER_ACCEPT },
#endif
        { { SIZE("receive_buffer"), BOTH, NEEDS("CAP_NET_ADMIN") },
          set_buffer,
          SOL_SOCKET,
          SO_RCVBUF },
        { { SIZE("send_buffer"), BOTH, NEEDS("CAP_NET_ADMIN") },
          set_buffer,
          SOL_SOCKET,
          SO_SNDBUF },
        { { NUMBER("ip_tos", 0, 255), BOTH }, set_number, IPPROTO_IP, IP_TOS, IPV6_TCLASS },
        { { NUMBER("ip_ttl", 1, 255), BOTH }, set_number, IPPROTO_IP, IP_TTL, IPV6_UNICAST_HOPS },
#ifdef SO_MARK
        { { NUMBER("mark", 0, UINT32_MAX), BOTH, NEEDS("CAP_NET_ADMIN") },
          set_number,
          SOL_SOCKET,
          SO_MARK },
#endif
#ifdef SO_PRIORITY
        { { NUMBER("priority", 0, INT_MAX), BOTH, NEEDS("CAP_NET_ADMIN") },
          set_number,
          SOL_SOCKET,
          SO_PRIORITY },
#endif
#ifdef SO_BINDTODEVICE
        { { TEXT("bind_to_device"), BOTH, EARLY, NEEDS("CAP_NET_RAW") },
          set_text,
          SOL_SOCKET,
          SO_BINDTODEVICE },
#endif
#ifdef IP_FREEBIND
        { { FLAG("free_bind"), BOTH, EARLY }, set_number, IPPROTO_IP, IP_FREEBIND },
#endif
#ifdef IP_TRANSPARENT
        { { FLAG("transparent"), BOTH, EARLY, NEEDS("CAP_NET_ADMIN") },
          set_number,
          IPPROTO_IP,
          IP_TRANSPARENT },
#endif
        { { FLAG("broadcast"), DATAGRAM }, set_number, SOL_SOCKET, SO_BROADCAST },
#if defined(IP_PKTINFO) && defined(IPV6_RECVPKTINFO)
        { { FLAG("pass_packet_info"), DATAGRAM },
          set_number,
          IPPROTO_IP,
          IP_PKTINFO,
          IPV6_RECVPKTINFO },
#endif
#ifdef SO_TIMESTAMPNS
        { { TEXT("timestamping"), BOTH }, set_timestamping },
#endif
#ifdef TCP_CONGESTION
        { { TEXT("tcp_congestion"), STREAM, NEEDS("CAP_NET_ADMIN") },
          set_text,
          IPPROTO_TCP,
          TCP_CONGESTION },
#endif
#ifdef TCP_FASTOPEN
        { { NUMBER("fast_open", 0, INT_MAX), STREAM }, set_number, IPPROTO_TCP, TCP_FASTOPEN },
#endif
};

static const Row *row_find(const char *name) {
        for (size_t i = 0; name && i < ELEMENTS_OF(rows); i++)
                if (strcmp(rows[i].info.name, name) == 0)
                        return rows + i;

        return NULL;
}

const ReuseSockoptInfo *reuse_sockopt_find(const char *name) {
        const Row *row = row_find(name);

        return row ? &row->info : NULL;
}

const ReuseSockoptInfo *reuse_sockopt_next(const ReuseSockoptInfo *after) {
        const Row *row;

        if (!after)
                return &rows[0].info;

        row = row_find(after->name);
        return row && row + 1 < rows + ELEMENTS_OF(rows) ? &row[1].info : NULL;
}

/* TCP options on a datagram socket, SO_BROADCAST on a stream: the kernel takes some in silence. */
static int check_kind(const ReuseSockoptInfo *info, int fd) {
        int type, r;

        r = get_int(fd, SOL_SOCKET, SO_TYPE, &type);
        if (r < 0)
                return r;

        return (type == SOCK_STREAM ? info->for_stream : info->for_datagram) ? 0 : -ENOPROTOOPT;
}

int reuse_sockopt_set(int fd, const ReuseSockopt *option, int64_t *ret_effective) {
        const Row *row;
        int64_t effective;
        int r;

        assert(option);

        row = row_find(option->name);
        if (!row)
                return -EINVAL;

        if (row->info.kind == REUSE_SOCKOPT_TEXT) {
                if (!option->text)
                        return -EINVAL;
        } else if (option->value < row->info.min || option->value > row->info.max)
                return -ERANGE;

        r = check_kind(&row->info, fd);
        if (r < 0)
                return r;

        effective = option->value;
        r = row->set(row, fd, option, &effective);
        if (r < 0)
                return r;

        if (ret_effective)
                *ret_effective = effective;
        return 0;
}

int reuse_sockopts_apply(int fd, const ReuseSockopt *options, size_t n, const char **reterr_name) {
        for (size_t i = 0; i < n; i++) {
                int r = reuse_sockopt_set(fd, options + i, NULL);

                if (r < 0) {
                        const ReuseSockoptInfo *info = reuse_sockopt_find(options[i].name);

                        if (reterr_name)
                                *reterr_name = info ? info->name : options[i].name;
                        return r;
                }
        }

        return 0;
}
