#include "settings/preset.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"

static const Preset presets[] = {
        {
                        .name = "nginx",
                        .fd_protocol = "nginx",
                        .type = "exec",
                        .kill_signal = "SIGQUIT",
                        .cutting_signals = "SIGTERM SIGINT",
                        .advice = "\"daemon off;\", \"listen\" of exactly the endpoint's address "
                                  "without \"reuseport\", a pid file with %c in its name",
        },
        {
                        .name = "haproxy",
                        .fd_protocol = "args",
                        .type = "notify",
                        .kill_signal = "SIGUSR1",
                        .cutting_signals = "SIGTERM SIGINT",
                        .advice = "\"-Ws\", \"bind fd@…\" with the number from a variable of the "
                                  "environment, %{fd:ENDPOINT}, no \"shards\"",
        },
        {
                        .name = "lighttpd",
                        .fd_protocol = "systemd",
                        .type = "exec",
                        .kill_signal = "SIGINT",
                        .cutting_signals = "SIGTERM",
                        .advice = "server.systemd-socket-activation = \"enable\" and the "
                                  "endpoint's address",
        },
        {
                        .name = "gunicorn",
                        .fd_protocol = "systemd",
                        .type = "notify",
                        .kill_signal = "SIGTERM",
                        .cutting_signals = "SIGQUIT SIGINT",
                        .advice = "nothing",
        },
        {
                        .name = "uvicorn",
                        .fd_protocol = "args",
                        .type = "exec",
                        .kill_signal = "SIGTERM",
                        .advice = "\"--fd\", \"%{fd:ENDPOINT}\"",
        },
        {
                        .name = "uwsgi",
                        .fd_protocol = "systemd",
                        .type = "notify",
                        .kill_signal = "SIGHUP",
                        .cutting_signals = "SIGTERM SIGQUIT SIGINT",
                        .advice = "\"--master\", \"--exit-on-reload\", no \"--http-socket fd://…\"",
        },
        {
                        .name = "puma",
                        .fd_protocol = "systemd",
                        .type = "exec", /* before puma 6 it says READY=1 only with a gem beside it */
                        .kill_signal = "SIGTERM",
                        .advice = "bind of the endpoint's address",
        },
        {
                        .name = "unicorn",
                        .fd_protocol = "systemd",
                        .type = "exec",
                        .kill_signal = "SIGQUIT",
                        .cutting_signals = "SIGTERM SIGINT",
                        .advice = "\"-l\" of the endpoint's address",
        },
        {
                        .name = "node",
                        .fd_protocol = "systemd",
                        .type = "exec",
                        .kill_signal = "SIGTERM",
                        .advice = "listen({fd: 3}), and a handler of SIGTERM that closes the "
                                  "server",
        },
        {
                        .name = "h2o",
                        .fd_protocol = "server-starter",
                        .type = "exec",
                        .kill_signal = "SIGTERM",
                        .advice = "the endpoint's address in \"listen\"",
        },
        {
                        .name = "php-fpm",
                        .fd_protocol = "fpm",
                        .type = "notify",
                        .kill_signal = "SIGQUIT",
                        .cutting_signals = "SIGTERM SIGINT",
                        .advice = "the endpoint's address in \"listen\"",
        },
        {
                        .name = "nghttpx",
                        .fd_protocol = "nghttpx",
                        .type = "exec",
                        .kill_signal = "SIGQUIT",
                        .cutting_signals = "SIGTERM SIGINT",
                        .advice = "a frontend of the endpoint's address; not \"single-process\", which does not "
                                  "end",
        },
        {
                        .name = "unbound",
                        .fd_protocol = "systemd",
                        .type = "notify",
                        .kill_signal = "SIGTERM",
                        .advice = "\"use-systemd: yes\"; the directory /run/systemd/system must "
                                  "exist",
        },
        {
                        .name = "knot-resolver",
                        .fd_protocol = "args",
                        .type = "notify",
                        .kill_signal = "SIGTERM",
                        .advice = "\"-n\", \"-S\", \"%{fd:ENDPOINT}\"",
        },
};

const Preset *preset_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS_OF(presets); i++)
                if (strcmp(presets[i].name, name) == 0)
                        return &presets[i];

        return NULL;
}

const Preset *preset_next(const Preset *after) {
        const Preset *next = after ? after + 1 : presets;

        return next < presets + ELEMENTS_OF(presets) ? next : NULL;
}

const char *preset_list(char *buffer, size_t size_bytes) {
        size_t at = 0;

        buffer[0] = '\0';
        for (size_t i = 0; i < ELEMENTS_OF(presets) && at < size_bytes; i++)
                at += (size_t) snprintf(buffer + at, size_bytes - at, "%s\"%s\"", i > 0 ? ", " : "",
                                        presets[i].name);

        return buffer;
}

const char *preset_value(const Preset *preset, const char *key) {
        if (strcmp(key, "fd_protocol") == 0)
                return preset->fd_protocol;
        if (strcmp(key, "type") == 0)
                return preset->type;
        if (strcmp(key, "kill_signal") == 0)
                return preset->kill_signal;
        return NULL;
}

bool preset_cuts(const Preset *preset, int signal_number) {
        const char *at = preset->cutting_signals ?: "";
        char name[32];
        size_t length;

        format_signal(signal_number, name, sizeof(name));
        length = strlen(name);
        for (; (at = strstr(at, name)); at += length)
                if (at[length] == ' ' || !at[length])
                        return true;

        return false;
}
