#include "daemon/bus/bus-error.h"

#include <errno.h>

#include "base/cleanup.h"
#include "reuse/reuseport.h"

#define OURS "org.reuseportd.Error."

/* What is not here is "Failed". */
static const struct {
        int error;
        const char *name;
} names[] = {
        { -ENOENT, OURS "NoSuchName" },          { -EINVAL, OURS "InvalidArgument" },
        { -ERANGE, OURS "InvalidArgument" },     { -EBUSY, OURS "Busy" },
        { -ESHUTDOWN, OURS "Stopping" },         { -EBADMSG, OURS "BadConfiguration" },
        { -EADDRINUSE, OURS "AddressInUse" },    { -ETIMEDOUT, OURS "TimedOut" },
        { -EACCES, SD_BUS_ERROR_ACCESS_DENIED }, { -EPERM, SD_BUS_ERROR_ACCESS_DENIED },
        { -ENOMEM, SD_BUS_ERROR_NO_MEMORY },
};

int bus_error_set(sd_bus_error *reterr, int error, const char *why) {
        const char *name = OURS "Failed";

        for (size_t i = 0; i < ELEMENTS_OF(names); i++)
                if (names[i].error == error)
                        name = names[i].name;

        return sd_bus_error_set(reterr, name, why ? why : reuse_strerror(error));
}
