#pragma once

/* The method of the manager that becomes another program. */

#include <systemd/sd-bus.h>

/* Answers just before it happens, or when it was refused. */
int bus_reexec_on_reexec(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
