#pragma once

/* %-templates in exec_start, environment and working_directory.
 *
 *      %n  the service's name       %{fd:ENDPOINT}    its descriptor; %{fd:ENDPOINT.1}: that
 *      %g  the generation's number                    of its second address
 *      %c  its colour               %{port:ENDPOINT}  the port, in the same way
 *      %i  the worker's number      %%                a per cent sign
 */

#include "settings/settings.h"

/* What a worker's templates stand for. */
typedef struct TemplateContext {
        const ServiceSettings *service;
        unsigned generation;
        const char *color;
        unsigned worker;
        int first_fd;          /* of the descriptors, which follow each other; usually 3 */
        const uint16_t *ports; /* one for each descriptor, in host order */
} TemplateContext;

/* Expands @text, which passed template_check().
 *
 * Returns 0; -EINVAL: it did not, or the service is another; -ENOMEM. */
int template_expand(const char *text, const TemplateContext *context, char **ret);

/* Expands each of @list.  Returns as template_expand(). */
int template_expand_list(char *const *list, const TemplateContext *context, char ***ret);

/* Looks whether every template is known, and every endpoint one of @service's.
 *
 * @reterr  what is wrong and what was expected
 *
 * Returns 0 or -EINVAL. */
int template_check(const char *text, const ServiceSettings *service, char *reterr,
                   size_t size_bytes);

/* The place of an endpoint's descriptor among those of a worker; -ENOENT. */
int template_descriptor_index(const ServiceSettings *service, const char *endpoint,
                              size_t address_index);
