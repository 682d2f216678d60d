#pragma once

/* The value of one key, by its row: from a file, from its default, and away. */

#include "settings/report.h"
#include "settings/settings-table.h"
#include "settings/tree.h"

/* Reads what @node says into @object.  What is wrong goes to @report, and the field keeps its
 * value.
 *
 * Returns 0, also then; -ENOMEM. */
int value_read(const SettingRow *row, const Tree *node, void *object, Report *report);

/* Puts the default into a zeroed @object.  Returns 0 or -ENOMEM. */
int value_set_default(const SettingRow *row, void *object);

/* What such a value looks like, for messages: "true or false". */
const char *value_expected(const SettingRow *row);

/* Frees what the field holds. */
void value_done(const SettingRow *row, void *object);

/* Whether a variable, "NAME" or "NAME=…", is one that we set for each worker. */
bool value_is_reserved_variable(const char *assignment);
