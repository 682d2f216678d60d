#pragma once

/* What a worker finds when it looks at itself, as JSON. */

/* Remembers which descriptors are open: to be called first of all. */
void report_begin(void);

/* {"NAME": "value", …}.  Each of these returns 0 and a text from malloc(), or a negative errno. */
int report_environment(char **ret);

/* What was open at the beginning:
 * {"0": {"target": "/dev/null", "cloexec": false, "nonblock": false},
 *  "3": {"target": "socket:[123]", …, "type": "stream", "listening": true, "address": "[::]:80"}} */
int report_descriptors(char **ret);

/* {"pid": 1, "parent": 1, "session": 1, "uid": 0, "gid": 0, "umask": 18, "death_signal": 9,
 *  "directory": "/", "groups": [], "blocked": [], "ignored": "0000000000000000",
 *  "no_new_privileges": "0"}; blocked is what report_begin() found. */
int report_process(char **ret);
