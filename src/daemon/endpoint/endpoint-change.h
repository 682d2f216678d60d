#pragma once

/* An endpoint whose settings want other sockets at an address that stays open.
 *
 * The kernel's group stays, and a bank gets what the settings say when nobody is left in it: the next
 * generation goes into such a bank, the rule moves, and the bank of the old one follows when it is gone.
 *
 * What cannot be had so is another group at the same address: bound to another device, or IPv6-only where
 * it was not.  Which of the two groups gets a visitor is the kernel's choice, before any rule.
 */

#include "daemon/endpoint/endpoint.h"

typedef struct EndpointChange EndpointChange;

/* Whether @e can become @now while it is open. */
bool endpoint_can_change(const Endpoint *e, const EndpointSettings *now);

/* Opens the addresses that are new, on the side; what fails is logged.
 *
 * @n_slots  of each bank
 *
 * Returns 0 or a negative errno. */
int endpoint_change_new(Endpoint *e, const EndpointSettings *now, unsigned n_slots,
                        EndpointChange **ret);

/* Closes them again, unless they have been taken. */
EndpointChange *endpoint_change_free(EndpointChange *c);
DEFINE_CLEANUP(EndpointChange, endpoint_change_free)

/* From now on the endpoint has them.  endpoint_reload() with the same settings follows. */
void endpoint_change_apply(EndpointChange *c);

/* Whether options that must stand before bind() differ. */
bool endpoint_differs_early(const EndpointSettings *before, const EndpointSettings *now);

/* Whether the settings want other sockets in that bank than it has. */
bool endpoint_is_outdated(const Endpoint *e, unsigned bank);

/* Makes a bank that nobody lives in, and nobody is led to, what the settings say, and closes addresses that
 * no bank holds any more.  The caller says afterwards who reads the sockets.
 *
 * Returns 0, -EBUSY: somebody still holds its sockets, or another error; then the bank is as it was, or
 * some of its sockets are new. */
int endpoint_renew(Endpoint *e, unsigned bank);
