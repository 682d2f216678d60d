#pragma once

/* From trees to Settings; the parts that the files of this folder share. */

#include <stdbool.h>

#include "settings/report.h"
#include "settings/settings-table.h"
#include "settings/tree.h"

#define KEY_PATH_SIZE 256

/* "services.web.user". */
const char *key_path(const char *group, const char *object, const char *key,
                     char buffer[static KEY_PATH_SIZE]);

/* Where @key was said, or @otherwise. */
Place key_place(const Keys *keys, const char *key, Place otherwise);

/* Letters, digits, '_' and '-', a letter first, at most 64. */
bool name_is_valid(const char *name);
#define NAME_EXPECTED "a letter, then at most 63 letters, digits, '_' or '-'"

/* Makes what a group says, "daemon", "endpoints" or "services", from its tree; that of the daemon
 * may be NULL.
 *
 * Returns 0, also with problems in @report; -ENOMEM. */
int load_daemon(const Tree *group, Settings *s, Report *report);
int load_endpoints(const Tree *group, Settings *s, Report *report);
int load_services(const Tree *group, Settings *s, Report *report);

/* An empty Settings with one reference.  Returns 0 or -ENOMEM. */
int settings_new(Settings **ret);

/* All that a file says, once it is a tree, with all checks.  Returns as load_endpoints(). */
int load_root(const Tree *root, Settings *s, Report *report);

/* Sorts what was loaded by name, so that it can be found.  Returns 0 or -ENOMEM. */
int settings_index(Settings *s);

/* What the keys cannot know of each other: settings/cross-check.c.
 *
 * @services  the tree they came from, for the lines; may be NULL */
int cross_check(Settings *s, const Tree *services, Report *report);

/* Its part about what a service runs, a program or a unit: check-unit.c. */
void check_unit(const ServiceSettings *service, Report *report);

/* Whether a key of a service counts for a unit, too. */
bool unit_knows_key(const char *key);

/* Its part about the store above the daemon: check-store.c. */
void check_store_need(const Settings *s, Report *report);

/* Its part about the deploy of one service, once its endpoints are resolved: check-deploy.c.
 *
 * @node  the service's tree, or NULL */
void check_deploy(const ServiceSettings *service, const Tree *node, Report *report);
