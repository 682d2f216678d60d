#pragma once

/* From errno to the name of a D-Bus error: the one place. */

#include <systemd/sd-bus.h>

/* Sets the error of a method call.
 *
 * @error  negative
 * @why    a sentence, or NULL: the error's own words
 *
 * Returns a negative errno, for the method to return. */
int bus_error_set(sd_bus_error *reterr, int error, const char *why);
