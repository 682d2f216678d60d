#include "settings/lookup.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/parse.h"
#include "settings/helper.h"

#define DATABASE_TEXT_MAX (1UL << 20)
#define ANSWER_MAX        (1UL << 20)
#define GROUPS_FIRST      64

typedef enum QuestionKind {
        QUESTION_USER,
        QUESTION_UID,
        QUESTION_GROUP,
        QUESTION_GROUPS_OF,
} QuestionKind;

typedef struct Question {
        QuestionKind kind;
        const char *name; /* not of QUESTION_UID */
        uint32_t id;      /* QUESTION_UID: the uid; QUESTION_GROUPS_OF: a gid */
} Question;

/* At the beginning of an answer; gids follow, and two texts with their NUL. */
typedef struct AnswerHead {
        int32_t result; /* as the functions of the header return it */
        uint32_t uid, gid;
        uint32_t n_groups;
        uint32_t name_size, home_size;
} AnswerHead;

typedef struct Item {
        Question question;
        char *name; /* of the question, owned */
        HelperAnswer answer;
        int error; /* there is no answer */
} Item;

struct Lookups {
        Item **items;
        size_t n_items;
        bool is_silent; /* somebody took too long */
};

/* ---- in the child ---------------------------------------------------------------------------- */

/* What getpwnam_r() and its like say when there is no such entry: see getpwnam(3). */
static bool means_not_found(int error) {
        return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

/* Returns 1; 0: not found; a negative errno.  @ret points into *ret_text. */
static int find_user(const Question *q, struct passwd *ret, char **ret_text) {
        for (size_t size = 1024; size <= DATABASE_TEXT_MAX; size *= 2) {
                _cleanup_free_ char *text = malloc(size);
                struct passwd *found = NULL;
                int r;

                if (!text)
                        return -ENOMEM;

                r = q->kind == QUESTION_USER ? getpwnam_r(q->name, ret, text, size, &found)
                                             : getpwuid_r((uid_t) q->id, ret, text, size, &found);
                if (found) {
                        *ret_text = TAKE_PTR(text);
                        return 1;
                }
                if (r != ERANGE && r != EINTR)
                        return means_not_found(r) ? 0 : -r;
        }

        return -E2BIG;
}

static int find_group(const Question *q, gid_t *ret) {
        for (size_t size = 1024; size <= DATABASE_TEXT_MAX; size *= 2) {
                _cleanup_free_ char *text = malloc(size);
                struct group entry, *found = NULL;
                int r;

                if (!text)
                        return -ENOMEM;

                r = getgrnam_r(q->name, &entry, text, size, &found);
                if (found) {
                        *ret = entry.gr_gid;
                        return 1;
                }
                if (r != ERANGE && r != EINTR)
                        return means_not_found(r) ? 0 : -r;
        }

        return -E2BIG;
}

static int find_groups_of(const Question *q, gid_t **ret, int *ret_n) {
        int n = GROUPS_FIRST;

        for (;;) {
                gid_t *groups = reallocarray(*ret, (size_t) n, sizeof(gid_t));
                int allocated = n;

                if (!groups)
                        return -ENOMEM;
                *ret = groups;

                if (getgrouplist(q->name, (gid_t) q->id, groups, &n) < 0 && n > allocated)
                        continue;
                *ret_n = n;
                return 1;
        }
}

static int write_answer(int fd, const AnswerHead *head, const gid_t *groups,
                        const struct passwd *user) {
        const struct iovec parts[] = {
                { (void *) head, sizeof(*head) },
                { (void *) groups, head->n_groups * sizeof(gid_t) },
                { user->pw_name, head->name_size },
                { user->pw_dir, head->home_size },
        };
        ssize_t size = 0;

        for (size_t i = 0; i < ELEMENTS_OF(parts); i++)
                size += (ssize_t) parts[i].iov_len;

        return writev(fd, parts, ELEMENTS_OF(parts)) == size ? 0 : -EIO;
}

static int ask_system(int fd, const void *userdata) {
        const Question *q = userdata;
        _cleanup_free_ gid_t *groups = NULL;
        _cleanup_free_ char *text = NULL;
        struct passwd user = { .pw_name = NULL };
        AnswerHead head = { 0 };
        int n_groups = 0;

        switch (q->kind) {
        case QUESTION_USER:
        case QUESTION_UID:
                head.result = find_user(q, &user, &text);
                if (head.result <= 0)
                        break;
                head.uid = user.pw_uid;
                head.gid = user.pw_gid;
                head.name_size = (uint32_t) strlen(user.pw_name) + 1;
                head.home_size = (uint32_t) strlen(user.pw_dir) + 1;
                break;
        case QUESTION_GROUP:
                head.result = find_group(q, &head.gid);
                break;
        case QUESTION_GROUPS_OF:
                head.result = find_groups_of(q, &groups, &n_groups);
                head.n_groups = (uint32_t) n_groups;
                break;
        }

        return write_answer(fd, &head, groups, &user);
}

/* ---- in the parent --------------------------------------------------------------------------- */

static const AnswerHead *head_of(const Item *i) {
        return (const void *) i->answer.bytes;
}

static const gid_t *groups_of(const Item *i) {
        return (const void *) (i->answer.bytes + sizeof(AnswerHead));
}

static const char *name_of(const Item *i) {
        return (const char *) (groups_of(i) + head_of(i)->n_groups);
}

static const char *home_of(const Item *i) {
        return name_of(i) + head_of(i)->name_size;
}

/* Whether what it says of itself is so; a module may have written into what is not its own. */
static bool is_whole(const Item *i) {
        size_t left = i->answer.n_bytes;
        const AnswerHead *head = head_of(i);

        if (left < sizeof(*head))
                return false;

        left -= sizeof(*head);
        if (head->n_groups > left / sizeof(gid_t))
                return false;

        left -= head->n_groups * sizeof(gid_t);
        if (head->name_size > left || left - head->name_size != head->home_size)
                return false;

        return head->name_size == 0 ||
               (head->home_size > 0 &&
                strnlen(name_of(i), head->name_size) + 1 == head->name_size &&
                strnlen(home_of(i), head->home_size) + 1 == head->home_size);
}

static Item *item_free(Item *i) {
        if (!i)
                return NULL;

        helper_answer_done(&i->answer);
        free(i->name);
        free(i);
        return NULL;
}
DEFINE_CLEANUP(Item, item_free)

Lookups *lookups_free(Lookups *l) {
        if (!l)
                return NULL;

        for (size_t i = 0; i < l->n_items; i++)
                (void) item_free(l->items[i]);
        free(l->items);
        free(l);
        return NULL;
}

static const Item *find_item(const Lookups *l, const Question *q) {
        for (size_t i = 0; i < l->n_items; i++) {
                const Question *other = &l->items[i]->question;

                if (other->kind == q->kind && other->id == q->id &&
                    strcmp(other->name, q->name) == 0)
                        return l->items[i];
        }

        return NULL;
}

/* Returns 0 with an answer or the error that there is instead; -ENOMEM, which need not be so again. */
static int ask_child(Lookups *l, Item *i) {
        int status = 0, r;

        r = l->is_silent ? -ETIME
                         : helper_run(ask_system, &i->question, LOOKUP_TIMEOUT_USEC, ANSWER_MAX,
                                      &i->answer, &status);
        l->is_silent |= r == -ETIME;
        if (r >= 0 && (status != 0 || !is_whole(i)))
                r = -EPROTO;
        if (r >= 0)
                r = head_of(i)->result < 0 ? head_of(i)->result : 0;
        if (r == -ENOMEM)
                return r;

        i->error = r;
        return 0;
}

static int add_item(Lookups *l, const Question *q, const Item **ret) {
        _cleanup_(item_freep) Item *i = calloc(1, sizeof(*i));
        Item **longer;
        int r;

        if (!i)
                return -ENOMEM;
        i->question = *q;
        i->question.name = i->name = strdup(q->name);
        if (!i->name)
                return -ENOMEM;

        longer = reallocarray(l->items, l->n_items + 1, sizeof(Item *));
        if (!longer)
                return -ENOMEM;
        l->items = longer;

        r = ask_child(l, i);
        if (r < 0)
                return r;

        *ret = l->items[l->n_items++] = TAKE_PTR(i);
        return 0;
}

static int ask(Lookups **l, const Question *q, const Item **ret) {
        int r = 0;

        if (!*l)
                *l = calloc(1, sizeof(**l));
        if (!*l)
                return -ENOMEM;

        *ret = find_item(*l, q);
        if (!*ret)
                r = add_item(*l, q, ret);
        if (r < 0)
                return r;

        return (*ret)->error < 0 ? (*ret)->error : head_of(*ret)->result;
}

int lookup_user(Lookups **l, const char *name, uid_t uid, LookupUser *ret) {
        const Question q = { name ? QUESTION_USER : QUESTION_UID, name ?: "", name ? 0 : uid };
        const Item *i;
        int r;

        r = ask(l, &q, &i);
        if (r > 0 && head_of(i)->name_size == 0)
                return -EPROTO;
        if (r > 0)
                *ret = (LookupUser){ head_of(i)->uid, head_of(i)->gid, name_of(i), home_of(i) };
        return r;
}

int lookup_group(Lookups **l, const char *name, gid_t *ret) {
        const Question q = { QUESTION_GROUP, name, 0 };
        const Item *i;
        int r;

        r = ask(l, &q, &i);
        if (r > 0)
                *ret = head_of(i)->gid;
        return r;
}

int lookup_groups_of(Lookups **l, const char *name, gid_t gid, const gid_t **ret_groups,
                     size_t *ret_n) {
        const Question q = { QUESTION_GROUPS_OF, name, gid };
        const Item *i;
        int r;

        r = ask(l, &q, &i);
        if (r > 0) {
                *ret_groups = groups_of(i);
                *ret_n = head_of(i)->n_groups;
        }
        return r;
}

const char *lookup_strerror(int error) {
        switch (error) {
        case -ETIME:
                return "no answer in 5 s";
        case -EPROTO:
                return "whoever was asked has crashed";
        }

        return strerror(-error);
}
