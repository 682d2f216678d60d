#include <limits.h>
#include <stddef.h>

#include "settings/settings-table.h"
#include "settings/value.h"

static const char *const bind_ipv6_only_names[BIND_IPV6_ONLY_MAX] = {
        [BIND_IPV6_ONLY_DEFAULT] = "default",
        [BIND_IPV6_ONLY_BOTH] = "both",
        [BIND_IPV6_ONLY_IPV6_ONLY] = "ipv6-only",
};

static const char *const steering_names[REUSE_STEERING_MAX] = {
        [REUSE_STEERING_HASH] = "hash",
        [REUSE_STEERING_RANDOM] = "random",
        [REUSE_STEERING_CPU] = "cpu",
};

static const char *const flows_names[FLOWS_MAX] = {
        [FLOWS_NONE] = "none",
};

#define AT(field) .offset = offsetof(EndpointSettings, field)

static const SettingRow rows[] = {
        {
                        .name = "listen_stream",
                        .kind = &value_kind_addresses,
                        .min = SOCK_STREAM,
                        .default_words = "this or listen_datagram is required",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "TCP addresses, one or an array: \"PORT\", \":PORT\", \"IP:PORT\", "
                                "\"[IP6]:PORT\", \"[IP6%ZONE]:PORT\"; a port alone may be an "
                                "integer.\n"
                                "A port without an address is dual-stack, and IPv4-only where "
                                "there is no IPv6.\n"
                                "Port 0 lets the kernel pick one, which all sockets of the "
                                "endpoint share.\n"
                                "Host names are refused, since addresses must not depend on DNS "
                                "at boot.",
        },
        {
                        .name = "listen_datagram",
                        .kind = &value_kind_addresses,
                        .min = SOCK_DGRAM,
                        .default_words = "this or listen_stream is required",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "UDP addresses, written in the same way.",
        },
        {
                        .name = "shared",
                        .kind = &value_kind_boolean,
                        AT(is_shared),
                        .default_text = "false",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "If true, all workers of a generation hold the same socket and "
                                "take from one queue, which halves the longest waits when there "
                                "are few clients.\n"
                                "If false, each worker has a socket of its own.",
        },
        {
                        .name = "backlog",
                        .kind = &value_kind_integer,
                        AT(backlog),
                        .min = 1,
                        .max = INT_MAX,
                        .default_words = "net.core.somaxconn",
                        .applies = APPLIES_NOW,
                        .help = "How many connections may wait in the queue of one socket.\n"
                                "The kernel allows at most net.core.somaxconn.",
        },
        {
                        .name = "bind_ipv6_only",
                        .kind = &value_kind_enum,
                        AT(bind_ipv6_only),
                        SETTING_NAMES(bind_ipv6_only_names),
                        .default_text = "default",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "Whether [::] answers IPv4 too: \"both\", \"ipv6-only\", or "
                                "\"default\", which is both.",
        },
        {
                        .name = "exclusive",
                        .kind = &value_kind_boolean,
                        AT(is_exclusive),
                        .default_text = "true",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "Refuse to open the address when anybody else already listens "
                                "there, even if it could be shared.",
        },
        {
                        .name = "file_descriptor_name",
                        .kind = &value_kind_descriptor_name,
                        AT(file_descriptor_name),
                        .default_words = "the endpoint's name",
                        .applies = APPLIES_TO_NEW_WORKERS,
                        .help = "Its name in LISTEN_FDNAMES, see sd_listen_fds_with_names(3).",
        },
        {
                        .name = "allow_users",
                        .kind = &value_kind_identities,
                        AT(allow_users),
                        .default_words = "root and the daemon's own user",
                        .applies = APPLIES_NOW,
                        .help = "Names or numbers of users who may take the endpoint by "
                                "\"reuseportctl exec\" and \"reuseportctl store\", beside root and "
                                "the daemon's own user.",
        },
        {
                        .name = "steering",
                        .kind = &value_kind_enum,
                        AT(steering),
                        SETTING_NAMES(steering_names),
                        .default_text = "hash",
                        .applies = APPLIES_NOW,
                        .help = "How the kernel picks a worker: \"hash\" of addresses and ports, "
                                "\"random\" (not for datagrams, whose flows it would tear apart), "
                                "or \"cpu\", the one that the packet arrived on.",
        },
        {
                        .name = "flows",
                        .kind = &value_kind_enum,
                        AT(flows),
                        SETTING_NAMES(flows_names),
                        .default_text = "none",
                        .applies = APPLIES_BY_NEW_SOCKETS,
                        .help = "Datagrams: what keeps a flow with its worker over a deploy; "
                                "\"none\" is all there is.",
        },
};

const SettingTable setting_endpoint_table = {
        .title = "endpoints.NAME",
        .rows = rows,
        .n_rows = ELEMENTS_OF(rows),
        .keys_offset = offsetof(EndpointSettings, keys),
};
