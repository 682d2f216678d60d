#include "settings/scan.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "settings/tree.h"

#define NO_GROUP UINT32_MAX

typedef struct Name {
        const char *text; /* in the file */
        size_t length;
        uint32_t group;
        unsigned line;
} Name;

/* Between two brackets; the first is the file. */
typedef struct Group {
        char closing; /* '}', ']', ')'; '\0': the file */
        uint32_t parent;
        uint32_t n_names;
        const char *name; /* of the setting that it is the value of; NULL: none */
        size_t name_length;
        unsigned first_line;
        unsigned last_line;
        size_t opened_at, closed_at; /* in the text */
        char kind;                   /* of an array's values; '\0': there is none yet */
        bool is_mixed;
} Group;

typedef struct Cut {
        const char *at;
        uint32_t group;
        uint32_t number;
} Cut;

struct Scan {
        const char *text;
        const char *file;
        Report *report;

        const char *at;
        unsigned line;
        uint32_t open; /* the group we are in */
        unsigned depth;
        const Name *pending;   /* the name whose value comes next */
        bool is_behind_string; /* another one would be a part of it */

        Name *names;
        size_t n_names;
        Group *groups;
        size_t n_groups;
        Cut *cuts;
        size_t n_cuts;
        unsigned *string_lines; /* of those in lists */
        size_t n_strings;
};

Scan *scan_free(Scan *s) {
        if (!s)
                return NULL;

        free(s->names);
        free(s->groups);
        free(s->cuts);
        free(s->string_lines);
        free(s);
        return NULL;
}

static int grow(void **array, size_t n, size_t size) {
        void *longer;

        if ((n & (n - 1)) != 0)
                return 0;

        longer = reallocarray(*array, n > 0 ? n * 2 : 1, size);
        if (!longer)
                return -ENOMEM;

        *array = longer;
        return 0;
}

/* ---- where we are ---------------------------------------------------------------------------- */

static void path_of_group(const Scan *s, uint32_t group, char *buffer, size_t size_bytes) {
        const Group *names[TREE_DEPTH_MAX + 2];
        char raw[TREE_PATH_SIZE] = "";
        size_t n = 0, at = 0;

        for (uint32_t g = group; g != NO_GROUP && n < ELEMENTS_OF(names); g = s->groups[g].parent)
                if (s->groups[g].name)
                        names[n++] = &s->groups[g];

        while (n-- > 0 && at < sizeof(raw))
                at += (size_t) snprintf(raw + at, sizeof(raw) - at, "%s%.*s", at > 0 ? "." : "",
                                        (int) names[n]->name_length, names[n]->name);

        text_escape(raw, buffer, size_bytes);
}

static void path_of_name(const Scan *s, const Name *name, char *buffer, size_t size_bytes) {
        char group[TREE_PATH_SIZE];

        path_of_group(s, name->group, group, sizeof(group));
        snprintf(buffer, size_bytes, "%s%s%.*s", group, group[0] ? "." : "",
                 (int) (name->length < TREE_NAME_LENGTH ? name->length : TREE_NAME_LENGTH),
                 name->text);
}

void scan_path_at(const Scan *s, unsigned line, char *buffer, size_t size_bytes) {
        uint32_t found = 0;

        for (size_t i = 1; i < s->n_groups; i++)
                if (s->groups[i].first_line <= line && s->groups[i].last_line >= line)
                        found = (uint32_t) i;

        path_of_group(s, found, buffer, size_bytes);
}

static Place here(const Scan *s) {
        return (Place){ s->file, s->line };
}

/* The path of what is being read: the setting whose value comes, or else the group. */
static const char *path_here(const Scan *s, char buffer[static TREE_PATH_SIZE * 2]) {
        if (s->pending)
                path_of_name(s, s->pending, buffer, TREE_PATH_SIZE * 2);
        else
                path_of_group(s, s->open, buffer, TREE_PATH_SIZE);

        return buffer[0] ? buffer : NULL;
}

#define problem_here(s, report_it, ...)                                             \
        ({                                                                          \
                char _path_[TREE_PATH_SIZE * 2];                                    \
                                                                                    \
                report_it((s)->report, here(s), path_here(s, _path_), __VA_ARGS__); \
                -EBADMSG;                                                           \
        })

/* ---- tokens ---------------------------------------------------------------------------------- */

static void skip_line(Scan *s) {
        s->at += strcspn(s->at, "\n");
}

static int skip_comment(Scan *s) {
        unsigned first_line = s->line;

        for (s->at += 2; *s->at; s->at++) {
                if (s->at[0] == '*' && s->at[1] == '/') {
                        s->at += 2;
                        return 0;
                }
                s->line += *s->at == '\n';
        }

        s->line = first_line;
        return problem_here(s, report_problem,
                            "a comment begins here and never ends, expected \"*/\"");
}

/* @kind  's' string, 'i' integer, 'f' with a point, 'b' boolean */
static void note_value(Scan *s, char kind) {
        Group *g = &s->groups[s->open];

        if (g->closing != ']' || g->is_mixed)
                return;
        if (g->kind == '\0')
                g->kind = kind;
        if (g->kind == kind)
                return;

        g->is_mixed = true;
        (void) problem_here(s, report_problem,
                            "an array of values of different kinds, expected all strings or all "
                            "numbers");
}

/* libconfig gives a string in a list the line of what comes after it. */
static int note_string(Scan *s) {
        char closing = s->groups[s->open].closing;
        int r;

        if (s->is_behind_string || (closing != ']' && closing != ')'))
                return 0;

        r = grow((void **) &s->string_lines, s->n_strings, sizeof(unsigned));
        if (r < 0)
                return r;

        s->string_lines[s->n_strings++] = s->line;
        return 0;
}

static int skip_string(Scan *s) {
        unsigned first_line = s->line;
        int r;

        r = note_string(s);
        if (r < 0)
                return r;
        note_value(s, 's');
        s->is_behind_string = true;

        for (s->at++; *s->at; s->at++) {
                if (*s->at == '"') {
                        s->at++;
                        return 0;
                }
                if (*s->at == '\n')
                        s->line++;
                if (*s->at != '\\')
                        continue;

                if (strncasecmp(s->at, "\\x00", 4) == 0)
                        (void) problem_here(s, report_literal,
                                            "\\x00 ends a string, expected text without it");
                if (s->at[1] == '"' || s->at[1] == '\\')
                        s->at++;
        }

        s->line = first_line;
        return problem_here(s, report_problem,
                            "a string begins here and never ends, expected '\"'");
}

static void check_integer(Scan *s, const char *digits, bool is_negative, int base, bool is_long) {
        uint64_t max = is_long ? INT64_MAX : INT32_MAX, value;
        char *end;

        errno = 0;
        value = strtoull(digits, &end, base);
        if (errno == 0 && value <= max + (is_negative && base == 10))
                return;

        if (!is_long && errno == 0 && value <= INT64_MAX)
                (void) problem_here(s, report_literal,
                                    "%s%" PRIu64 " does not fit in 32 bits, expected a smaller "
                                    "number, or an L after it",
                                    is_negative ? "-" : "", value);
        else
                (void) problem_here(s, report_literal,
                                    "an integer does not fit in 64 bits, expected a smaller one");
}

/* libconfig's lexer: [-+]?[0-9]+L{0,2}, 0[Xx][0-9A-Fa-f]+L{0,2}, and floats, which we let pass. */
static void skip_number(Scan *s) {
        const char *digits = s->at + (*s->at == '-' || *s->at == '+'), *end;
        bool is_hex = s->at[0] == '0' && (s->at[1] == 'x' || s->at[1] == 'X');
        size_t n = is_hex ? strspn(digits + 2, "0123456789abcdefABCDEF")
                          : strspn(digits, "0123456789");

        end = digits + n + (is_hex ? 2 : 0);
        note_value(s, n == 0 || (!is_hex && strchr(".eE", *end) && *end) ? 'f' : 'i');
        if (n == 0 || (!is_hex && (*end == '.' || *end == 'e' || *end == 'E'))) {
                s->at = digits + strspn(digits, "0123456789.eE+-");
                return; /* a float; a sign or dot alone, which libconfig refuses */
        }

        check_integer(s, is_hex ? digits + 2 : digits, *s->at == '-', is_hex ? 16 : 10,
                      *end == 'L');
        s->at = end + strspn(end, "L");
        s->pending = NULL;
}

static bool is_name_char(char c) {
        return isalnum((unsigned char) c) || c == '_' || c == '-' || c == '*';
}

/* What comes after white space and comments decides whether a word is a name: '=' or ':'. */
static bool is_before_assignment(const char *at) {
        for (;;) {
                at += strspn(at, " \t\r\n\f");
                if (*at == '#' || (at[0] == '/' && at[1] == '/'))
                        at += strcspn(at, "\n");
                else if (at[0] == '/' && at[1] == '*') {
                        const char *end = strstr(at + 2, "*/");

                        at = end ? end + 2 : at + strlen(at);
                } else
                        return *at == '=' || *at == ':';
        }
}

static int cut_here(Scan *s, const char *at) {
        Group *g = &s->groups[s->open];
        int r;

        if (g->closing != '}' || !g->name)
                return 0;

        r = grow((void **) &s->cuts, s->n_cuts, sizeof(Cut));
        if (r < 0)
                return r;

        s->cuts[s->n_cuts++] = (Cut){ at, s->open, g->n_names / SCAN_CHUNK };
        return 0;
}

static int take_name(Scan *s, const char *name, size_t length) {
        Group *g = &s->groups[s->open];
        int r;

        if (memchr(name, '*', length))
                return problem_here(s, report_problem,
                                    "a name has a '*', expected letters, digits, '_' and '-'");
        if (length > TREE_NAME_LENGTH)
                return problem_here(s, report_problem, "a name of %zu letters, expected at most %u",
                                    length, TREE_NAME_LENGTH);
        if (g->n_names >= SCAN_GROUP_NAMES_MAX)
                return problem_here(s, report_problem,
                                    "too many names in one group, expected at "
                                    "most %u",
                                    SCAN_GROUP_NAMES_MAX);
        if (s->n_names >= SCAN_NAMES_MAX)
                return problem_here(s, report_problem,
                                    "too many settings in one file, expected at most %u",
                                    SCAN_NAMES_MAX);

        if (g->n_names > 0 && g->n_names % SCAN_CHUNK == 0) {
                r = cut_here(s, name);
                if (r < 0)
                        return r;
        }

        s->names[s->n_names] = (Name){ name, length, s->open, s->line };
        s->pending = &s->names[s->n_names++];
        g->n_names++;
        return 0;
}

static int skip_word(Scan *s) {
        const char *word = s->at;

        while (is_name_char(*s->at))
                s->at++;

        if (s->groups[s->open].closing == '}' || s->open == 0)
                if (is_before_assignment(s->at))
                        return take_name(s, word, (size_t) (s->at - word));

        note_value(s, 'b');
        s->pending = NULL;
        return 0;
}

static int open_group(Scan *s) {
        const char closing = *s->at == '{' ? '}' : *s->at == '[' ? ']' : ')';
        int r;

        if (s->depth >= TREE_DEPTH_MAX)
                return problem_here(s, report_problem,
                                    "groups and lists too deep in each other, expected at most %u",
                                    TREE_DEPTH_MAX);

        r = grow((void **) &s->groups, s->n_groups, sizeof(Group));
        if (r < 0)
                return r;

        s->groups[s->n_groups] = (Group){
                .closing = closing,
                .parent = s->open,
                .name = s->pending ? s->pending->text : NULL,
                .name_length = s->pending ? s->pending->length : 0,
                .first_line = s->line,
                .last_line = UINT32_MAX,
                .opened_at = (size_t) (s->at - s->text),
        };
        s->open = (uint32_t) s->n_groups++;
        s->depth++;
        s->pending = NULL;
        s->at++;
        return 0;
}

static int close_group(Scan *s) {
        Group *g = &s->groups[s->open];

        if (s->open == 0)
                return problem_here(s, report_problem, "'%c' closes nothing, expected none here",
                                    *s->at);
        if (g->closing != *s->at)
                return problem_here(s, report_problem,
                                    "'%c' closes what line %u opened, expected '%c'", *s->at,
                                    g->first_line, g->closing);

        g->last_line = s->line;
        g->closed_at = (size_t) (s->at - s->text);
        s->open = g->parent;
        s->depth--;
        s->pending = NULL;
        s->at++;
        return 0;
}

static bool is_comment(const char *at) {
        return *at == '#' || (at[0] == '/' && (at[1] == '/' || at[1] == '*'));
}

static int take_token(Scan *s) {
        if (*s->at != '"' && !isspace((unsigned char) *s->at) && !is_comment(s->at))
                s->is_behind_string = false;

        switch (*s->at) {
        case '\n':
                s->line++;
                s->at++;
                return 0;
        case '#':
                skip_line(s);
                return 0;
        case '/':
                if (s->at[1] == '/') {
                        skip_line(s);
                        return 0;
                }
                if (s->at[1] == '*')
                        return skip_comment(s);
                break;
        case '"':
                return skip_string(s);
        case '@':
                return problem_here(s, report_problem,
                                    "@include is refused, expected include_dir = \"DIRECTORY\"");
        case '{':
        case '[':
        case '(':
                return open_group(s);
        case '}':
        case ']':
        case ')':
                return close_group(s);
        case ';':
        case ',':
                s->pending = NULL;
                break;
        default:
                if (isdigit((unsigned char) *s->at) || *s->at == '-' || *s->at == '+' ||
                    *s->at == '.') {
                        skip_number(s);
                        return 0;
                }
                if (is_name_char(*s->at))
                        return skip_word(s);
        }

        s->at++; /* white space and '=', ':'; what is neither, libconfig refuses */
        return 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int compare_names(const void *p, const void *q) {
        const Name *a = p, *b = q;
        int r;

        if (a->group != b->group)
                return a->group < b->group ? -1 : 1;
        if (a->length != b->length)
                return a->length < b->length ? -1 : 1;
        r = memcmp(a->text, b->text, a->length);
        if (r != 0)
                return r;
        return (a->text > b->text) - (a->text < b->text);
}

static int check_twins(Scan *s) {
        bool has_twins = false;

        s->pending = NULL; /* the names move */
        qsort(s->names, s->n_names, sizeof(Name), compare_names);

        for (size_t i = 1; i < s->n_names; i++) {
                const Name *a = &s->names[i - 1], *b = &s->names[i];
                char path[TREE_PATH_SIZE * 2];

                if (a->group != b->group || a->length != b->length ||
                    memcmp(a->text, b->text, a->length) != 0)
                        continue;

                path_of_name(s, b, path, sizeof(path));
                report_problem(s->report, (Place){ s->file, b->line }, path,
                               "defined twice, first in line %u, expected once", a->line);
                has_twins = true;
        }

        return has_twins ? -EBADMSG : 0;
}

int scan_text(const char *text, const char *file, Report *report, Scan **ret) {
        _cleanup_(scan_freep) Scan *s = NULL;
        int r;

        s = calloc(1, sizeof(Scan));
        if (!s)
                return -ENOMEM;

        *s = (Scan){ .text = text, .file = file, .report = report, .at = text, .line = 1 };
        s->names = calloc(SCAN_NAMES_MAX, sizeof(Name)); /* never moves: pending points into it */
        r = grow((void **) &s->groups, 0, sizeof(Group));
        if (!s->names || r < 0)
                return -ENOMEM;
        s->groups[s->n_groups++] = (Group){ .parent = NO_GROUP, .last_line = UINT32_MAX };

        while (*s->at) {
                r = take_token(s);
                if (r < 0)
                        return r;
        }

        if (s->open != 0) {
                s->line = s->groups[s->open].first_line;
                return problem_here(s, report_problem,
                                    "a bracket is opened here and never closed, expected '%c'",
                                    s->groups[s->open].closing);
        }

        r = check_twins(s);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

unsigned scan_string_line(const Scan *s, size_t i) {
        return i < s->n_strings ? s->string_lines[i] : 0;
}

size_t scan_n_strings(const Scan *s) {
        return s->n_strings;
}

static bool is_list(const Group *g) {
        return g->closing == ']' || g->closing == ')';
}

size_t scan_n_lists(const Scan *s) {
        size_t n = 0;

        for (size_t i = 1; i < s->n_groups; i++)
                n += is_list(&s->groups[i]);

        return n;
}

bool scan_next_list(const Scan *s, size_t *cursor) {
        while (++*cursor < s->n_groups)
                if (is_list(&s->groups[*cursor]))
                        return s->groups[*cursor].is_mixed;

        return false;
}

/* An array must not have values of different kinds, and libconfig reads no further where it has.  We have
 * said that; as a list it lets us read on. */
static char *make_lists(const Scan *s) {
        char *text = strdup(s->text);

        for (size_t i = 1; text && i < s->n_groups; i++)
                if (s->groups[i].closing == ']') {
                        text[s->groups[i].opened_at] = '(';
                        text[s->groups[i].closed_at] = ')';
                }

        return text;
}

int scan_split(const Scan *s, char **ret) {
        _cleanup_free_ char *text = NULL, *lists = make_lists(s);
        const char *from = lists;
        size_t size = strlen(s->text) + 1;
        char *to;

        if (!lists)
                return -ENOMEM;

        for (size_t i = 0; i < s->n_cuts; i++)
                size += s->groups[s->cuts[i].group].name_length + 24;

        text = to = malloc(size);
        if (!text)
                return -ENOMEM;

        for (size_t i = 0; i < s->n_cuts; i++) {
                const Cut *cut = &s->cuts[i];
                const Group *g = &s->groups[cut->group];

                const char *at = lists + (cut->at - s->text);

                to = (char *) mempcpy(to, from, (size_t) (at - from));
                to += sprintf(to, "}; %.*s%c%u: { ", (int) g->name_length, g->name, TREE_SPLIT_MARK,
                              cut->number);
                from = at;
        }

        strcpy(to, from);
        *ret = TAKE_PTR(text);
        return 0;
}
