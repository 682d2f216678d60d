#pragma once

/* Other settings for a daemon that runs.
 *
 * Everything that can fail comes first, on the side: reading, checking, opening what is new.  Then the new
 * settings count: sockets of endpoints that stay are the very same, what applies now is applied, what is
 * no longer named lets go, and services whose sockets are others get a new generation on them.
 *
 * While a deploy goes on that can still be taken back, a reload waits for its end.
 */

#include <stdbool.h>

#include "daemon/manager.h"
#include "settings/diff.h"

/* Reads the configuration again and applies it, or keeps it until it can be.
 *
 * @ret_diff       what changes; names are borrowed from *ret_before and the manager's settings
 * @ret_before     a reference to the settings before
 * @ret_waits_for  the service whose deploy or workers it waits for, the caller's; NULL: it is done
 *
 * Returns 0.  -EBADMSG: the configuration has problems; other negative errors; then nothing has changed,
 * it is logged, and *reterr_why says why. */
int reload(Manager *m, SettingsDiff *ret_diff, Settings **ret_before, char **ret_waits_for,
           char **reterr_why);

/* The same if the files say something else than the settings in force; what fails is only logged. */
void reload_if_changed(Manager *m);

/* Does what had to wait, if it need not any more. */
void reload_go_on(Manager *m);
