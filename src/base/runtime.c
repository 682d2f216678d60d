#include "base/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *runtime_directory(void) {
        const char *given = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
        char *path;

        if (given && *given) /* systemd.exec(5): several are separated by colons */
                return strndup(given, strcspn(given, ":"));
        if (geteuid() == 0)
                return strdup("/run/reuseportd");
        if (user && *user)
                return asprintf(&path, "%s/reuseportd", user) < 0 ? NULL : path;

        return NULL;
}
