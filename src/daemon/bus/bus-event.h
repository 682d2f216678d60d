#pragma once

/* What happened, numbered without gaps: kept for those who ask later, sent to those who have
 * subscribed. */

#include <systemd/sd-bus.h>

#include "daemon/bus/bus.h"

#define BUS_EVENT_TEXT_SIZE 192

struct BusEvent {
        uint64_t sequence;
        uint64_t realtime_usec;
        const char *type;               /* "service", "worker", "endpoint", "daemon"; constant */
        char name[BUS_EVENT_TEXT_SIZE]; /* of the object */
        unsigned generation;            /* 0: none */
        const char *color;              /* constant */
        char state[BUS_EVENT_TEXT_SIZE];
        unsigned worker; /* its number, if pid is not 0 */
        pid_t pid;
        char detail[BUS_EVENT_TEXT_SIZE];
};

/* sequence, realtime in µs, type, name, generation, colour, state, worker, pid, detail */
#define BUS_EVENT_SIGNATURE "ttssussuus"
#define BUS_EVENT_NAMES          \
        SD_BUS_PARAM(sequence)   \
        SD_BUS_PARAM(time_usec)  \
        SD_BUS_PARAM(type)       \
        SD_BUS_PARAM(name)       \
        SD_BUS_PARAM(generation) \
        SD_BUS_PARAM(color)      \
        SD_BUS_PARAM(state)      \
        SD_BUS_PARAM(worker)     \
        SD_BUS_PARAM(pid)        \
        SD_BUS_PARAM(detail)

/* Gives it a number and a time, keeps and sends it. */
void bus_event_publish(Bus *b, BusEvent *e);

/* The one of that number, or NULL if it is not kept. */
const BusEvent *bus_event_find(const Bus *b, uint64_t sequence);

/* Appends its fields. */
int bus_event_append(const BusEvent *e, sd_bus_message *m);
