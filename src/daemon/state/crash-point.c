#include "daemon/state/crash-point.h"

#ifdef CRASH_POINTS

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_armed;

bool crash_point_is_here(const char *name) {
        static unsigned long n_times;
        const char *wanted = is_armed ? getenv("REUSEPORTD_CRASH_AT") : NULL;
        size_t length = strlen(name);

        if (!wanted || strncmp(wanted, name, length) != 0 || wanted[length] != ':')
                return false;

        return ++n_times == strtoul(wanted + length + 1, NULL, 10);
}

void crash_point_die(const char *name) {
        (void) dprintf(STDERR_FILENO, "crash point %s\n", name);
        (void) kill(getpid(), SIGKILL);
        _exit(EXIT_FAILURE);
}

void crash_points_arm(void) {
        is_armed = true;
}

#endif
