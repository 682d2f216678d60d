#include "daemon/why.h"

#include <stdarg.h>
#include <stdio.h>

int why_say(char **reterr_why, int error, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(reterr_why, format, arguments) < 0)
                *reterr_why = NULL;
        va_end(arguments);
        return error;
}
