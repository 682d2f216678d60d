#pragma once

/* What a service does with the sockets of its endpoints: which banks are open, which rule leads to them, and who
 * reads them.
 */

#include "daemon/service/service.h"

/* Makes the rule anew and puts it in force, on all endpoints or on none.  Returns 0 or a negative
 * error, which is logged. */
int service_put_rule(Service *s);

/* Says for every socket that listens who reads it. */
void service_put_readers(Service *s);

/* Makes sure that every endpoint has slots for so many in that bank.  Returns 0 or a negative error. */
int service_grow_bank(Service *s, unsigned bank, unsigned n_workers);

/* Makes a bank without a generation what the settings say, where nobody is led to it. */
int service_renew_bank(Service *s, unsigned bank);

/* Makes a bank ready for another generation.
 *
 * @reterr_why  a sentence, the caller's
 *
 * Returns 0; -EBUSY: every bank is taken; or another negative error. */
int service_find_free_bank(Service *s, unsigned n_workers, unsigned *ret, char **reterr_why);

/* Lets visitors in, or refuses them all; the sockets stay ours.  What fails is logged. */
int service_sockets_listen(Service *s);
void service_sockets_refuse(Service *s);

/* Of one that comes back from before: each is made what the service says. */
void service_sockets_resume(Service *s);
