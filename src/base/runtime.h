#pragma once

/* Where the daemon's sockets live, and whoever wants to speak to it looks. */

/* $RUNTIME_DIRECTORY, the first of several; else /run/reuseportd as root, else reuseportd below
 * $XDG_RUNTIME_DIR.  The caller's; NULL: there is no such place, or no memory. */
char *runtime_directory(void);
