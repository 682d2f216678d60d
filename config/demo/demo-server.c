/* The service of the quick start: a web page that says which worker answered.
 *
 * It is also a page to copy from.  A service under reuseportd takes its sockets with sd_listen_fds(3),
 * says READY=1 when it can answer, and on SIGTERM finishes what it has begun; nothing more is asked.
 *
 * Its whole environment is plain text too: VERSION is shown, so that a deploy can be seen.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "http.h"

#define SLOW_USEC UINT64_C(2000000)

static const char *get(const char *variable, const char *otherwise) {
        const char *value = getenv(variable);

        return value && *value ? value : otherwise;
}

static void on_request(void *userdata, const char *path, HttpAnswer *answer) {
        int r;

        if (strcmp(path, "/healthz") == 0) {
                answer->body = strdup("ok\n");
                return;
        }
        if (strcmp(path, "/slow") == 0)
                answer->delay_usec = SLOW_USEC;
        else if (strcmp(path, "/") != 0)
                answer->status = 404;

        r = asprintf(&answer->body,
                     "Hello from version %s: worker %s of generation %s (%s), process %d.\n",
                     get("VERSION", "1"), get("REUSEPORTD_WORKER", "?"),
                     get("REUSEPORTD_GENERATION", "?"), get("REUSEPORTD_COLOR", "no colour"),
                     (int) getpid());
        if (r < 0)
                answer->body = NULL;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        (void) sd_notify(false, "STOPPING=1");
        http_drain(userdata);
        return 0;
}

static int take_sockets(HttpServer *server) {
        int n = sd_listen_fds(/* unset_environment= */ false);

        if (n <= 0) {
                fprintf(stderr, "demo-server: start me with reuseportd -c config/quickstart.conf; "
                                "I take sockets and open none\n");
                return n < 0 ? n : -ENOTCONN;
        }
        for (int i = 0; i < n; i++) {
                int r = http_add_listener(server, SD_LISTEN_FDS_START + i);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int serve(sd_event *event, HttpServer *server) {
        int r = take_sockets(server);

        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGTERM, on_signal, server);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGINT, on_signal, server);
        if (r < 0)
                return r;

        (void) sd_notify(false, "READY=1");
        return sd_event_loop(event);
}

int main(void) {
        const HttpOptions options = { .handler = on_request, .accept_max = 64 };
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(http_freep) HttpServer *server = NULL;
        sigset_t signals;
        int r;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return EXIT_FAILURE;

        r = sd_event_new(&event);
        if (r >= 0)
                r = http_new(event, &options, &server);
        if (r >= 0)
                r = serve(event, server);
        if (r < 0)
                fprintf(stderr, "demo-server: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
