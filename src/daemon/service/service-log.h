#pragma once

/* Log lines about a service: with its name in front, and with its fields. */

#include "base/log.h"
#include "daemon/service/service.h"

/* Its name, and the generation that visitors go to. */
LogFields service_fields(const Service *s);

/* @message  a MESSAGE_ of messages.h, or NULL */
#define service_note(s, level, message, format, ...)                                            \
        do {                                                                                    \
                LogFields fields_ = service_fields(s);                                          \
                fields_.message_id = message;                                                   \
                log_fields(level, &fields_, "%s: " format, (s)->settings->name, ##__VA_ARGS__); \
        } while (false)
#define service_log(s, level, format, ...) service_note(s, level, NULL, format, ##__VA_ARGS__)
