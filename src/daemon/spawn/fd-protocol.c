#include "daemon/spawn/fd-protocol.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"
#include "daemon/spawn/spawn.h"

typedef int (*Put)(const PassedSocket *sockets, size_t n_sockets, const FdStore *stored,
                   char ***environment);

/* Writes one socket of a list; @i from 0. */
typedef void (*WriteSocket)(const PassedSocket *socket, size_t i, FILE *to);

int environment_put(char ***environment, const char *format, ...) {
        va_list arguments;
        char *word;
        int n;

        va_start(arguments, format);
        n = vasprintf(&word, format, arguments);
        va_end(arguments);

        return n < 0 ? -ENOMEM : strv_consume_variable(environment, word);
}

static int put_list(const char *name, WriteSocket write, const PassedSocket *sockets,
                    size_t n_sockets, char ***environment) {
        _cleanup_free_ char *list = NULL;
        size_t size;
        FILE *to;

        to = open_memstream(&list, &size);
        if (!to)
                return -ENOMEM;
        for (size_t i = 0; i < n_sockets; i++)
                write(&sockets[i], i, to);
        if (fclose(to) != 0)
                return -ENOMEM;

        return environment_put(environment, "%s=%s", name, list);
}

static void write_address(const PassedSocket *s, FILE *to) {
        char text[REUSE_ADDRESS_TEXT_SIZE];

        fputs(reuse_address_format(s->address, text, sizeof(text)), to);
}

/* ---- sd_listen_fds(3) ---- */

static int put_names(const PassedSocket *sockets, size_t n_sockets, const FdStore *stored,
                     char ***environment) {
        _cleanup_free_ char *list = NULL;
        const char *separator = "";
        size_t size;
        FILE *to;

        to = open_memstream(&list, &size);
        if (!to)
                return -ENOMEM;
        for (size_t i = 0; i < n_sockets; i++) {
                fprintf(to, "%s%s", separator,
                        endpoint_descriptor_name(sockets[i].endpoint->settings));
                separator = ":";
        }
        for (size_t i = 0; i < fd_store_n(stored); i++)
                fprintf(to, ":%s", fd_store_name(stored, i));
        if (fclose(to) != 0)
                return -ENOMEM;

        return environment_put(environment, "LISTEN_FDNAMES=%s", list);
}

static int put_systemd(const PassedSocket *sockets, size_t n_sockets, const FdStore *stored,
                       char ***environment) {
        int r;

        r = environment_put(environment, "LISTEN_FDS=%zu", n_sockets + fd_store_n(stored));
        if (r >= 0)
                r = environment_put(environment, "LISTEN_PID=%s", SPAWN_PID_HOLE);

        return r < 0 ? r : put_names(sockets, n_sockets, stored, environment);
}

/* ---- nginx: what it tells its successor in an upgrade, "3;4;" ---- */

static void write_nginx(const PassedSocket *s, size_t i, FILE *to) {
        fprintf(to, "%d;", s->fd);
}

static int put_nginx(const PassedSocket *sockets, size_t n_sockets, const FdStore *stored,
                     char ***environment) {
        return put_list("NGINX", write_nginx, sockets, n_sockets, environment);
}

/* ---- Server::Starter: "127.0.0.1:80=3;[::1]:80=4" ---- */

static void write_server_starter(const PassedSocket *s, size_t i, FILE *to) {
        fputs(i > 0 ? ";" : "", to);
        write_address(s, to);
        fprintf(to, "=%d", s->fd);
}

static int put_server_starter(const PassedSocket *sockets, size_t n_sockets, const FdStore *stored,
                              char ***environment) {
        return put_list("SERVER_STARTER_PORT", write_server_starter, sockets, n_sockets,
                        environment);
}

/* ---- php-fpm: what it tells itself in a reload, "127.0.0.1:9000=3,[::1]:9000=4" ---- */

static void write_fpm(const PassedSocket *s, size_t i, FILE *to) {
        fputs(i > 0 ? "," : "", to);
        write_address(s, to);
        fprintf(to, "=%d", s->fd);
}

static int put_fpm(const PassedSocket *sockets, size_t n_sockets, const FdStore *stored,
                   char ***environment) {
        return put_list("FPM_SOCKETS", write_fpm, sockets, n_sockets, environment);
}

/* ---- nghttpx: one variable for each, which count from 1 (0 is ignored) ---- */

static int put_nghttpx(const PassedSocket *sockets, size_t n_sockets, const FdStore *stored,
                       char ***environment) {
        for (size_t i = 0; i < n_sockets; i++) {
                int r = environment_put(environment, "NGHTTPX_ACCEPT_%zu=tcp,%d", i + 1,
                                        sockets[i].fd);

                if (r < 0)
                        return r;
        }

        return 0;
}

/* ---- who is told in another way: by its arguments, or by the number 0 ---- */

static int put_nothing(const PassedSocket *sockets, size_t n_sockets, const FdStore *stored,
                       char ***environment) {
        return 0;
}

static const struct FdProtocolRow {
        Put put;
        int first_fd;
        bool is_nonblocking;
} rows[FD_PROTOCOL_MAX] = {
        [FD_PROTOCOL_SYSTEMD] = { put_systemd, SPAWN_FIRST_FD },
        [FD_PROTOCOL_NGINX] = { put_nginx, SPAWN_FIRST_FD, .is_nonblocking = true },
        [FD_PROTOCOL_SERVER_STARTER] = { put_server_starter, SPAWN_FIRST_FD },
        [FD_PROTOCOL_FPM] = { put_fpm, SPAWN_FIRST_FD },
        /* When it is to end it accepts until nobody waits, which must not wait for somebody. */
        [FD_PROTOCOL_NGHTTPX] = { put_nghttpx, SPAWN_FIRST_FD, .is_nonblocking = true },
        [FD_PROTOCOL_INETD] = { put_nothing, 0 },
        [FD_PROTOCOL_ARGS] = { put_nothing, SPAWN_FIRST_FD },
};

int fd_protocol_first_fd(FdProtocol protocol) {
        assert(protocol >= 0 && protocol < FD_PROTOCOL_MAX);
        return rows[protocol].first_fd;
}

bool fd_protocol_is_nonblocking(FdProtocol protocol) {
        assert(protocol >= 0 && protocol < FD_PROTOCOL_MAX);
        return rows[protocol].is_nonblocking;
}

int fd_protocol_put(FdProtocol protocol, const PassedSocket *sockets, size_t n_sockets,
                    const FdStore *stored, char ***environment) {
        assert(protocol >= 0 && protocol < FD_PROTOCOL_MAX);
        return rows[protocol].put(sockets, n_sockets, stored, environment);
}
