#pragma once

/* Places where a test kills the daemon, at the worst of moments: only with -Dcrash_points=true.
 *
 * REUSEPORTD_CRASH_AT=NAME:N in the environment ends the process by SIGKILL when it comes to that place for
 * the N-th time after it was ready.  A daemon that goes on where another stopped comes to none. */

#include <stdbool.h>

#ifdef CRASH_POINTS

/* Whether this is the place and the time: then whoever asks may still do half of something. */
bool crash_point_is_here(const char *name);

/* Says where and ends the process. */
_Noreturn void crash_point_die(const char *name);

/* From now on they count. */
void crash_points_arm(void);

#define CRASH_POINT(name)                        \
        do {                                     \
                const char *_name_ = (name);     \
                if (crash_point_is_here(_name_)) \
                        crash_point_die(_name_); \
        } while (false)
#else
#define crash_point_is_here(name) false
#define crash_point_die(name)     ((void) 0)
#define crash_points_arm()        ((void) 0)
#define CRASH_POINT(name)         ((void) 0)
#endif
