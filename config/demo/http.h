#pragma once

/* A small HTTP/1.1 server on sockets that somebody else opened: enough for the demo service and for
 * the toy worker of the tests, and an example of the manners that make a service easy to replace.
 *
 * It reads GET and HEAD without bodies, keeps connections alive, and answers at once or after a delay.
 * When the last of HTTP_CONNECTIONS_MAX connections is taken, the one that was idle longest makes room.
 *
 * http_drain() is how it lets go: everybody who waits in a queue is still accepted, the listening
 * sockets are closed, whatever was asked is answered, idle connections are closed, and then the event
 * loop ends.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

#define HTTP_CONNECTIONS_MAX 4096U
#define HTTP_PATH_SIZE       256

/* How long a connection that was accepted and never asked anything holds up the end. */
#define HTTP_FRESH_USEC (5 * UINT64_C(1000000))

typedef struct HttpServer HttpServer;

typedef struct HttpAnswer {
        int status;          /* 200 unless the handler says otherwise */
        char *body;          /* from malloc(); the server frees it.  NULL: an empty one */
        uint64_t delay_usec; /* the answer is written that much later; others are served meanwhile */
        bool close;          /* after the answer */
} HttpAnswer;

/* Says what to answer to a request for @path. */
typedef void (*HttpHandler)(void *userdata, const char *path, HttpAnswer *answer);

typedef struct HttpOptions {
        HttpHandler handler;
        void *userdata;
        const char *headers; /* lines for each answer, each ending in \r\n; borrowed; NULL: none */
        unsigned accept_max; /* connections taken in one wake-up */
        bool close_after_answer; /* no keep-alive */
        bool is_hasty; /* leaves who waits in a queue: most servers close their sockets just so */
} HttpOptions;

/* @event  borrowed until http_free() */
int http_new(sd_event *event, const HttpOptions *options, HttpServer **ret);
HttpServer *http_free(HttpServer *s);
DEFINE_CLEANUP(HttpServer, http_free)

/* @fd  a listening stream socket; taken on success, made non-blocking and close-on-exec */
int http_add_listener(HttpServer *s, int fd);

/* Ends the event loop with 0 once everybody has an answer.  A second call changes nothing. */
void http_drain(HttpServer *s);
