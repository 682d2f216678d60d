#include <string.h>

#include "reuse/reuseport.h"

const char *reuse_strerror(int error) {
        switch (error) {
        case REUSE_EFAILED:
                return "the system does not let this port be shared";
        case REUSE_EPROTOCOL:
                return "this network is not supported here";
        case REUSE_ESELF:
                return "the socket would be connected to itself";
        case REUSE_EADDRESS:
                return "the address cannot be read or resolved, or is of another family";
        }

        if (error >= 0)
                return "no error";

        return strerror(-error); /* glibc and musl: a constant text, or a buffer of this thread */
}
