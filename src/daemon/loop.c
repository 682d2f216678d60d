#include "daemon/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

#define PAUSE_MSEC 10 /* until a turn is tried again, which would else take the processor */

int loop_run(sd_event *event) {
        bool is_said = false;
        int r, code = 0;

        while (sd_event_get_state(event) != SD_EVENT_FINISHED) {
                r = sd_event_run(event, UINT64_MAX);
                if (r < 0 && r != -ENOMEM)
                        return r;
                if (r == -ENOMEM && !is_said)
                        log_warning("There is no memory for a turn of the event loop; trying "
                                    "again");
                if (r == -ENOMEM)
                        (void) poll(NULL, 0, PAUSE_MSEC);
                is_said = r == -ENOMEM;
        }

        r = sd_event_get_exit_code(event, &code);
        return r < 0 ? r : code;
}
