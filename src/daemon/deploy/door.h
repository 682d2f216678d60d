#pragma once

/* The private way to a slot, one at a time.
 *
 * From 127.83.0.2 a connection reaches the slot that the door points at, whatever share its bank has; from
 * 127.83.0.1 the live slots of the bank that a deploy checks.  IPv6 has no such addresses: there it is ::1
 * and one of two ports below ip_local_port_range, which nobody is given by chance.
 *
 * Who wants to dial takes a turn, in line.  A turn lasts until the connection is made: then it is in the
 * queue of that slot, and the door may point elsewhere.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/cleanup.h"
#include "daemon/endpoint/endpoint.h"

typedef struct Service Service;
typedef struct DoorTurn DoorTurn;
typedef TAILQ_HEAD(DoorLine, DoorTurn) DoorLine;

/* @error  0: the door is yours; or the rule could not be replaced: a negative errno, and it is not */
typedef void (*DoorHandler)(int error, void *userdata);

/* Gets in line.  @handler is called once, from the loop.  Returns 0 or a negative errno. */
int door_turn_new(Service *s, unsigned bank, unsigned slot, DoorHandler handler, void *userdata,
                  DoorTurn **ret);

/* Gives the door to the next, or leaves the line. */
DoorTurn *door_turn_free(DoorTurn *t);
DEFINE_CLEANUP(DoorTurn, door_turn_free)

/* Writes the door of this moment into the rule of @s. */
void door_put(const Service *s, ReuseRule *rule);

/* Begins to connect to an address of a service through the door to the slot.  Returns a non-blocking
 * descriptor that becomes writable, or a negative error. */
int door_dial(const ReuseAddress *a);

/* What a person says to curl in order to come through the door to the bank: "--interface 127.83.0.1
 * http://127.0.0.1:80/", or for IPv6 with "--local-port 32766"; NULL if this kernel leaves no port for it. */
const char *door_describe(const Endpoint *e, char *buffer, size_t size_bytes);

/* The ports of the IPv6 door, to bank and slot; 0 where there is none. */
void door_ports(uint16_t *ret_bank_port, uint16_t *ret_slot_port);
