/* Address text ↔ resolved addresses, as Go's net package reads them.
 *
 * A literal never goes through getaddrinfo(), which takes more than it should ("127.1", "0x7f.1") and
 * may ask a name server.  Only a name does, and only where names are allowed.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "reuse/address.h"
#include "reuse/socket.h"

typedef struct Network {
        const char *name;
        int type;
        int family; /* AF_UNSPEC: either */
} Network;

static const Network networks[] = {
        { "tcp", SOCK_STREAM, AF_UNSPEC }, { "tcp4", SOCK_STREAM, AF_INET },
        { "tcp6", SOCK_STREAM, AF_INET6 }, { "udp", SOCK_DGRAM, AF_UNSPEC },
        { "udp4", SOCK_DGRAM, AF_INET },   { "udp6", SOCK_DGRAM, AF_INET6 },
};

/* "host:port" in its parts. */
typedef struct Split {
        char host[NI_MAXHOST];
        const char *port; /* into the text */
        bool is_bracketed;
} Split;

static const Network *network_find(const char *name) {
        for (size_t i = 0; name && i < ELEMENTS_OF(networks); i++)
                if (strcmp(networks[i].name, name) == 0)
                        return networks + i;

        return NULL;
}

static int split(const char *text, Split *ret) {
        const char *begin = text, *end, *colon;
        size_t length;

        ret->is_bracketed = *text == '[';
        if (ret->is_bracketed) {
                begin = text + 1;
                end = strchr(begin, ']');
                if (!end || end[1] != ':')
                        return REUSE_EADDRESS;
                colon = end + 1;
        } else {
                end = colon = strchr(text, ':');
                if (!colon)
                        return REUSE_EADDRESS;
        }

        length = (size_t) (end - begin);
        if (length >= sizeof(ret->host) || strchr(colon + 1, ':'))
                return REUSE_EADDRESS;

        memcpy(ret->host, begin, length);
        ret->host[length] = '\0';
        ret->port = colon + 1;
        return 0;
}

static int resolve_port(const char *text, int type, bool numeric_only, uint16_t *ret) {
        const struct addrinfo hints = { .ai_socktype = type, .ai_flags = AI_PASSIVE };
        struct addrinfo *found;
        char *end;
        unsigned long port = strtoul(text, &end, 10); /* ULONG_MAX if it is too long */

        if (*end == '\0') { /* a number; getaddrinfo() would take "+1" and " 1" */
                if (*text < '0' || *text > '9' || port > UINT16_MAX)
                        return REUSE_EADDRESS;
                *ret = (uint16_t) port;
                return 0;
        }

        if (numeric_only || getaddrinfo(NULL, text, &hints, &found) != 0)
                return REUSE_EADDRESS;

        if (found->ai_family == AF_INET6)
                *ret = ntohs(((const struct sockaddr_in6 *) (const void *) found->ai_addr)
                                             ->sin6_port);
        else
                *ret = ntohs(((const struct sockaddr_in *) (const void *) found->ai_addr)
                                             ->sin_port);
        freeaddrinfo(found);
        return 0;
}

static void set_v4(ReuseAddress *a, const struct in_addr *ip) {
        a->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = *ip };
        a->length = sizeof(a->in);
}

static void set_v6(ReuseAddress *a, const struct in6_addr *ip, uint32_t zone) {
        a->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                        .sin6_addr = *ip,
                                        .sin6_scope_id = zone };
        a->length = sizeof(a->in6);
}

/* Whether a socket for both families can be had here. */
static bool dual_stack_is_supported(void) {
        _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM, 0);
        static const int off;

        return fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) >= 0;
}

static bool can_be_dual(unsigned flags) {
        return flags & REUSE_RESOLVE_ASSUME_DUAL || dual_stack_is_supported();
}

static void set_wildcard(ReuseAddress *a, int family, unsigned flags) {
        static const struct in_addr any;

        a->is_dual_stack = family == AF_UNSPEC && can_be_dual(flags);
        if (family == AF_INET6 || a->is_dual_stack)
                set_v6(a, &in6addr_any, 0);
        else
                set_v4(a, &any);
}

/* The index of an interface, by name or by a number that exists; 0 if there is none. */
static uint32_t zone_find(const char *text) {
        unsigned index = if_nametoindex(text);
        char name[IF_NAMESIZE], *end;
        unsigned long number;

        if (index > 0 || *text < '0' || *text > '9')
                return index;

        number = strtoul(text, &end, 10);
        if (*end != '\0' || number > INT32_MAX || !if_indextoname((unsigned) number, name))
                return 0;

        return (uint32_t) number;
}

/* The inside of brackets: an IPv6 address, perhaps with a zone. */
static int set_literal_v6(ReuseAddress *a, char *host, int family, unsigned flags) {
        char *percent = strchr(host, '%');
        struct in6_addr ip;
        uint32_t zone = 0;

        if (percent) {
                *percent = '\0';
                zone = zone_find(percent + 1);
                if (zone == 0)
                        return REUSE_EADDRESS;
        }

        if (inet_pton(AF_INET6, host, &ip) != 1)
                return REUSE_EADDRESS;

        if (IN6_IS_ADDR_V4MAPPED(&ip)) { /* it is an IPv4 address, as in Go */
                struct in_addr v4;

                if (family == AF_INET6 || zone > 0)
                        return REUSE_EADDRESS;
                memcpy(&v4, ip.s6_addr + 12, sizeof(v4));
                set_v4(a, &v4);
                return 1;
        }

        if (family == AF_INET)
                return REUSE_EADDRESS;

        set_v6(a, &ip, zone);
        a->is_dual_stack = family == AF_UNSPEC && zone == 0 && IN6_IS_ADDR_UNSPECIFIED(&ip) &&
                           can_be_dual(flags);
        return 1;
}

static bool set_from_info(ReuseAddress *a, const struct addrinfo *info, int family) {
        if (info->ai_family != family)
                return false;

        if (family == AF_INET)
                set_v4(a, &((const struct sockaddr_in *) (const void *) info->ai_addr)->sin_addr);
        else {
                const struct sockaddr_in6 *in6 = (const void *) info->ai_addr;

                set_v6(a, &in6->sin6_addr, in6->sin6_scope_id);
        }

        return true;
}

/* All addresses of a name, IPv4 before IPv6: a server on "localhost" is looked for there first. */
static int resolve_name(const char *host, const Network *network, const ReuseAddress *template,
                        ReuseAddress *ret, size_t n_ret) {
        static const int order[] = { AF_INET, AF_INET6 };
        const struct addrinfo hints = { .ai_family = network->family,
                                        .ai_socktype = network->type };
        struct addrinfo *found;
        struct in_addr unused;
        size_t n = 0;

        if (inet_aton(host, &unused)) /* "127.1": getaddrinfo() would take it */
                return REUSE_EADDRESS;

        if (getaddrinfo(host, NULL, &hints, &found) != 0)
                return REUSE_EADDRESS;

        for (size_t i = 0; i < ELEMENTS_OF(order); i++)
                for (const struct addrinfo *info = found; info && n < n_ret; info = info->ai_next) {
                        ret[n] = *template;
                        if (set_from_info(ret + n, info, order[i]))
                                n++;
                }

        freeaddrinfo(found);
        return n > 0 ? (int) n : REUSE_EADDRESS;
}

static int resolve_host(Split *split, const Network *network, unsigned flags,
                        const ReuseAddress *template, ReuseAddress *ret, size_t n_ret) {
        struct in_addr ip;

        ret[0] = *template;
        if (split->is_bracketed)
                return set_literal_v6(ret, split->host, network->family, flags);

        if (split->host[0] == '\0') {
                set_wildcard(ret, network->family, flags);
                return 1;
        }

        if (inet_pton(AF_INET, split->host, &ip) == 1) {
                if (network->family == AF_INET6)
                        return REUSE_EADDRESS;
                set_v4(ret, &ip);
                return 1;
        }

        return flags & REUSE_RESOLVE_NUMERIC
                               ? REUSE_EADDRESS
                               : resolve_name(split->host, network, template, ret, n_ret);
}

int reuse_address_resolve(const char *network, const char *address, unsigned flags,
                          ReuseAddress *ret, size_t n_ret) {
        const Network *found = network_find(network);
        ReuseAddress template = { .length = 0 };
        uint16_t port;
        Split parts;
        int r;

        assert(ret && n_ret > 0);

        if (!found)
                return REUSE_EPROTOCOL;

        r = address ? split(address, &parts) : REUSE_EADDRESS;
        if (r < 0)
                return r;

        r = resolve_port(parts.port, found->type, flags & REUSE_RESOLVE_NUMERIC, &port);
        if (r < 0)
                return r;

        template.type = found->type;
        r = resolve_host(&parts, found, flags, &template, ret, n_ret);
        for (int i = 0; i < r; i++)
                reuse_address_set_port(ret + i, port);

        return r;
}

int reuse_address_parse(const char *network, const char *address, bool numeric_only,
                        ReuseAddress *ret) {
        ReuseAddress first;
        int r;

        assert(ret);

        r = reuse_address_resolve(network, address, numeric_only ? REUSE_RESOLVE_NUMERIC : 0,
                                  &first, 1);
        if (r < 0)
                return r;

        *ret = first;
        return 0;
}

int reuse_network_type(const char *network) {
        const Network *found = network_find(network);

        return found ? found->type : REUSE_EPROTOCOL;
}

const char *reuse_address_format(const ReuseAddress *a, char *buffer, size_t size_bytes) {
        char host[INET6_ADDRSTRLEN] = "?", zone[IF_NAMESIZE] = "";

        assert(a && buffer && size_bytes > 0);

        if (a->sa.sa_family == AF_INET) {
                (void) inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
                (void) snprintf(buffer, size_bytes, "%s:%u", host, reuse_address_port(a));
                return buffer;
        }

        if (a->sa.sa_family != AF_INET6) {
                (void) snprintf(buffer, size_bytes, "?");
                return buffer;
        }

        (void) inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
        if (a->in6.sin6_scope_id > 0 && !if_indextoname(a->in6.sin6_scope_id, zone))
                (void) snprintf(zone, sizeof(zone), "%u", a->in6.sin6_scope_id);

        (void) snprintf(buffer, size_bytes, "[%s%s%s]:%u", host, *zone ? "%" : "", zone,
                        reuse_address_port(a));
        return buffer;
}

uint16_t reuse_address_port(const ReuseAddress *a) {
        assert(a);
        return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

void reuse_address_set_port(ReuseAddress *a, uint16_t port) {
        assert(a);

        if (a->sa.sa_family == AF_INET6)
                a->in6.sin6_port = htons(port);
        else
                a->in.sin_port = htons(port);
}

bool reuse_address_equal(const ReuseAddress *a, const ReuseAddress *b) {
        assert(a && b);

        if (a->sa.sa_family != b->sa.sa_family || a->type != b->type ||
            a->is_dual_stack != b->is_dual_stack || reuse_address_port(a) != reuse_address_port(b))
                return false;

        if (a->sa.sa_family == AF_INET)
                return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;

        return a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(struct in6_addr)) == 0;
}

bool reuse_address_is_wildcard(const ReuseAddress *a) {
        assert(a);

        if (a->sa.sa_family == AF_INET)
                return a->in.sin_addr.s_addr == htonl(INADDR_ANY);

        return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

ReuseAddress reuse_address_wildcard(const ReuseAddress *a, int family) {
        ReuseAddress any = { .type = a->type };

        set_wildcard(&any, family, 0);
        reuse_address_set_port(&any, reuse_address_port(a));
        return any;
}

int reuse_address_of_socket(int fd, ReuseAddress *ret) {
        ReuseAddress a = { .length = sizeof(a.storage) };
        socklen_t size = sizeof(int);
        int v6_only = 1;

        assert(ret);

        if (getsockname(fd, &a.sa, &a.length) < 0 ||
            getsockopt(fd, SOL_SOCKET, SO_TYPE, &a.type, &size) < 0)
                return -errno;

        if (a.sa.sa_family == AF_INET6) {
                size = sizeof(v6_only);
                if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &size) < 0)
                        return -errno;
                a.is_dual_stack = !v6_only && reuse_address_is_wildcard(&a);
        }

        *ret = a;
        return 0;
}
