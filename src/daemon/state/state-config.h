#pragma once

/* A Settings as the texts that it was made of. */

#include <jansson.h>

#include "settings/settings.h"

/* Returns the object of a record, the caller's; NULL: no memory. */
json_t *state_config_save(const Settings *s);

/* Makes it again.  Returns 0; -EBADMSG: the record is damaged; -ESTALE: what it says makes no sense on this
 * system any more: @problems say why; another negative errno. */
int state_config_load(const json_t *from, Problems *problems, Settings **ret);
