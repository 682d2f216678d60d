#include "settings/template.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "settings/report.h"

#define ADDRESSES_MAX 65535U

/* One template of a text. */
typedef struct Template {
        char letter;          /* 'n', 'g', 'c', 'i', '%'; 'f' fd, 'p' port */
        char endpoint[65];    /* of 'f' and 'p' */
        size_t address_index; /* the same */
        size_t length;        /* in the text */
} Template;

int template_descriptor_index(const ServiceSettings *service, const char *endpoint,
                              size_t address_index) {
        size_t n = 0;

        for (size_t i = 0; i < service->n_endpoints; i++) {
                const EndpointSettings *e = service->endpoints[i];

                if (strcmp(e->name, endpoint) == 0)
                        return address_index < e->n_addresses ? (int) (n + address_index) : -ENOENT;
                n += e->n_addresses;
        }

        return -ENOENT;
}

/* "fd:NAME.1", between the braces.  Returns 0 or -EINVAL. */
static int parse_braces(const char *text, size_t length, Template *ret) {
        static const struct {
                const char *prefix;
                char letter;
        } forms[] = { { "fd:", 'f' }, { "port:", 'p' } };
        const char *end = text + length, *dot;
        char number[8];
        uint64_t index = 0;

        for (size_t i = 0; i < ELEMENTS_OF(forms); i++) {
                size_t n = strlen(forms[i].prefix);

                if (length <= n || memcmp(text, forms[i].prefix, n) != 0)
                        continue;

                text += n;
                dot = memchr(text, '.', (size_t) (end - text));
                if (dot) {
                        if ((size_t) (end - dot - 1) >= sizeof(number))
                                return -EINVAL;
                        memcpy(number, dot + 1, (size_t) (end - dot - 1));
                        number[end - dot - 1] = '\0';
                        if (parse_unsigned(number, ADDRESSES_MAX, &index) < 0)
                                return -EINVAL;
                        end = dot;
                }
                if ((size_t) (end - text) >= sizeof(ret->endpoint) || end == text)
                        return -EINVAL;

                ret->letter = forms[i].letter;
                ret->address_index = (size_t) index;
                memcpy(ret->endpoint, text, (size_t) (end - text));
                ret->endpoint[end - text] = '\0';
                return 0;
        }

        return -EINVAL;
}

/* Reads the template at @text, which begins with '%'.  Returns 0 or -EINVAL. */
static int parse_template(const char *text, Template *ret) {
        const char *end;

        *ret = (Template){ .letter = text[1], .length = 2 };
        if (text[1] != '{')
                return text[1] && strchr("ngci%", text[1]) ? 0 : -EINVAL;

        end = strchr(text, '}');
        if (!end)
                return -EINVAL;

        ret->length = (size_t) (end - text) + 1;
        return parse_braces(text + 2, (size_t) (end - text) - 2, ret);
}

static int write_template(const Template *t, const TemplateContext *c, FILE *to) {
        int index;

        switch (t->letter) {
        case 'n':
                fputs(c->service->name, to);
                return 0;
        case 'g':
                fprintf(to, "%u", c->generation);
                return 0;
        case 'c':
                fputs(c->color, to);
                return 0;
        case 'i':
                fprintf(to, "%u", c->worker);
                return 0;
        case '%':
                putc('%', to);
                return 0;
        }

        index = template_descriptor_index(c->service, t->endpoint, t->address_index);
        if (index < 0)
                return -EINVAL;

        if (t->letter == 'f')
                fprintf(to, "%d", c->first_fd + index);
        else
                fprintf(to, "%u", c->ports[index]);
        return 0;
}

static int write_all(const char *text, const TemplateContext *context, FILE *to) {
        while (*text) {
                size_t n = strcspn(text, "%");
                Template t;
                int r;

                fwrite(text, 1, n, to);
                text += n;
                if (!*text)
                        break;

                r = parse_template(text, &t);
                if (r >= 0)
                        r = write_template(&t, context, to);
                if (r < 0)
                        return r;
                text += t.length;
        }

        return ferror(to) ? -ENOMEM : 0;
}

int template_expand(const char *text, const TemplateContext *context, char **ret) {
        _cleanup_free_ char *expanded = NULL;
        size_t size;
        FILE *to;
        int r;

        to = open_memstream(&expanded, &size);
        if (!to)
                return -ENOMEM;

        r = write_all(text, context, to);
        if (fclose(to) != 0 && r >= 0)
                r = -ENOMEM;
        if (r < 0)
                return r;

        *ret = TAKE_PTR(expanded);
        return 0;
}

int template_expand_list(char *const *list, const TemplateContext *context, char ***ret) {
        _cleanup_strv_ char **expanded = NULL;
        int r;

        STRV_FOREACH(item, list) {
                char *one;

                r = template_expand(*item, context, &one);
                if (r >= 0)
                        r = strv_consume(&expanded, one);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(expanded);
        return 0;
}

static int explain(const char *text, const Template *t, const ServiceSettings *service,
                   char *reterr, size_t size_bytes) {
        char word[80], quoted[REPORT_QUOTE_SIZE];

        snprintf(word, sizeof(word), "%.*s", (int) (t->length < 72 ? t->length : 72), text);
        report_quote(word, quoted);

        if (t->letter != 'f' && t->letter != 'p')
                snprintf(reterr, size_bytes,
                         "%s is not a template, expected %%n, %%g, %%c, %%i, %%{fd:ENDPOINT}, "
                         "%%{port:ENDPOINT}, or %%%% for a per cent sign",
                         quoted);
        else if (template_descriptor_index(service, t->endpoint, 0) < 0)
                snprintf(reterr, size_bytes,
                         "%s names no endpoint of this service, expected one of "
                         "its \"endpoints\"",
                         quoted);
        else
                snprintf(reterr, size_bytes,
                         "%s names an address that the endpoint does not have, "
                         "expected a number from 0 to one less than its addresses",
                         quoted);
        return -EINVAL;
}

int template_check(const char *text, const ServiceSettings *service, char *reterr,
                   size_t size_bytes) {
        for (text = strchr(text, '%'); text; text = strchr(text, '%')) {
                Template t;

                if (parse_template(text, &t) < 0) {
                        t.letter = '\0';
                        return explain(text, &t, service, reterr, size_bytes);
                }
                if ((t.letter == 'f' || t.letter == 'p') &&
                    template_descriptor_index(service, t.endpoint, t.address_index) < 0)
                        return explain(text, &t, service, reterr, size_bytes);
                text += t.length;
        }

        return 0;
}
