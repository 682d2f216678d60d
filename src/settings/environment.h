#pragma once

/* The environment of a service's workers, put together from its three keys. */

#include "settings/report.h"

/* Fills service->environment: what passes from ours, then the key environment, then the files.
 *
 * Returns 0, also after a problem, which then is in @report; -ENOMEM. */
int environment_resolve(ServiceSettings *service, Report *report);

/* Reads the text of such a file into *list.  Messages name lines, never what stands in them.
 *
 * Returns as environment_resolve(). */
int environment_parse(const char *text, const char *file, const char *path, Report *report,
                      char ***list);
