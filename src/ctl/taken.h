#pragma once

/* Sockets that the daemon has handed us. */

#include <stddef.h>

#include "ctl/ctl.h"

#define TAKEN_MAX 253U

typedef struct TakenSockets {
        int fds[TAKEN_MAX]; /* ours */
        char *names[TAKEN_MAX];
        size_t n_fds;
        char **environment; /* "K=V" */
} TakenSockets;

/* Asks for those of some endpoints.  What fails is told. */
CtlResult taken_ask(Ctl *c, char *const *endpoints, bool for_store, TakenSockets *ret);
void taken_done(TakenSockets *t);
