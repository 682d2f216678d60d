#include "daemon/state/state-log.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/state/crash-point.h"
#include "daemon/why.h"
#include "reuse/reuseport.h"

#define MAGIC     "reuseport-state"
#define HALF_SIZE (UINT64_C(1) << 40) /* sparse: never reached */
#define FIRST     UINT64_C(4096)
#define ALIGNMENT 8U

/* At the beginning of the file. */
typedef struct FileMark {
        uint64_t half;    /* 0 or 1 */
        uint64_t n_whole; /* the sequence of the last record, or less */
} FileMark;

/* Only @mark is ever written again; one that has no @n_whole is as good. */
typedef struct FileHead {
        char magic[16];
        uint32_t version;
        uint32_t unused;
        FileMark mark;
} FileHead;

#define HEAD_SIZE_MIN offsetof(FileHead, mark.n_whole)

/* Before each record; key and text follow, without a NUL.  No text: there is no such key any more. */
typedef struct RecordHead {
        uint32_t checksum; /* of all that follows */
        uint32_t key_size;
        uint32_t text_size;
        uint32_t unused;
        uint64_t sequence; /* one more than that of the record before */
} RecordHead;

/* A key, and where its last record is. */
typedef struct Entry {
        char key[STATE_KEY_MAX + 1];
        uint64_t offset; /* of the head */
        uint32_t text_size;
} Entry;

struct StateLog {
        int fd;
        uint64_t half;
        uint64_t end;      /* where the next record goes */
        uint64_t sequence; /* of the last one */
        uint64_t n_live;   /* bytes */
        Entry *entries;    /* by key */
        size_t n_entries, n_allocated;
};

static uint64_t begin_of(uint64_t half) {
        return FIRST + half * HALF_SIZE;
}

static uint64_t size_of_record(size_t key_size, size_t text_size) {
        uint64_t n = sizeof(RecordHead) + key_size + text_size;

        return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t size_of_entry(const Entry *e) {
        return size_of_record(strlen(e->key), e->text_size);
}

uint64_t state_log_n_garbage(const StateLog *l) {
        return l->end - begin_of(l->half) - l->n_live;
}

/* CRC-32 as everybody has it, four bits at a time. */
static uint32_t add_checksum(uint32_t sum, const void *bytes, size_t n) {
        static const uint32_t table[16] = {
                0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
        };
        const uint8_t *at = bytes;

        for (size_t i = 0; i < n; i++) {
                sum = table[(sum ^ at[i]) & 15] ^ (sum >> 4);
                sum = table[(sum ^ (at[i] >> 4)) & 15] ^ (sum >> 4);
        }

        return sum;
}

static uint32_t checksum_of(const RecordHead *head, const char *key, const char *text) {
        uint32_t sum = UINT32_MAX;

        sum = add_checksum(sum, &head->key_size, sizeof(*head) - sizeof(head->checksum));
        sum = add_checksum(sum, key, head->key_size);
        sum = add_checksum(sum, text, head->text_size);
        return ~sum;
}

/* ---- which keys there are ---- */

/* Where @key stands, or would. */
static size_t find_place(const StateLog *l, const char *key, bool *ret_found) {
        size_t from = 0, to = l->n_entries;

        while (from < to) {
                size_t middle = from + (to - from) / 2;
                int order = strcmp(key, l->entries[middle].key);

                if (order == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (order < 0)
                        to = middle;
                else
                        from = middle + 1;
        }

        *ret_found = false;
        return from;
}

static int make_room(StateLog *l) {
        size_t n = l->n_allocated > 0 ? l->n_allocated * 2 : 16;
        Entry *longer;

        if (l->n_entries < l->n_allocated)
                return 0;
        if (l->n_entries >= STATE_RECORDS_MAX)
                return -E2BIG;

        longer = reallocarray(l->entries, n, sizeof(Entry));
        if (!longer)
                return -ENOMEM;
        l->entries = longer;
        l->n_allocated = n;
        return 0;
}

/* There is room for one more. */
static void note(StateLog *l, const char *key, uint64_t offset, uint32_t text_size) {
        bool found;
        size_t i = find_place(l, key, &found);
        Entry *e = l->entries + i;

        if (found)
                l->n_live -= size_of_entry(e);
        if (text_size == 0) {
                if (found)
                        memmove(e, e + 1, (--l->n_entries - i) * sizeof(Entry));
                return;
        }
        if (!found) {
                memmove(e + 1, e, (l->n_entries++ - i) * sizeof(Entry));
                *e = (Entry){ 0 };
                memcpy(e->key, key, strlen(key));
        }

        e->offset = offset;
        e->text_size = text_size;
        l->n_live += size_of_entry(e);
}

/* ---- reading ---- */

/* Returns 0; -EBADMSG: it is not all there; another negative errno. */
static int read_at(int fd, void *to, size_t n, uint64_t offset) {
        uint8_t *at = to;

        while (n > 0) {
                ssize_t r = pread(fd, at, n, (off_t) offset);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0)
                        return r < 0 ? -errno : -EBADMSG;
                at += r;
                offset += (uint64_t) r;
                n -= (size_t) r;
        }

        return 0;
}

/* Reads the record at the end of what is known.  Returns 1; 0: there is no whole one. */
static int read_next(StateLog *l) {
        _cleanup_free_ char *body = NULL;
        char key[STATE_KEY_MAX + 1];
        RecordHead head;
        int r;

        r = read_at(l->fd, &head, sizeof(head), l->end);
        if (r < 0)
                return r == -EBADMSG ? 0 : r;
        if (head.key_size == 0 || head.key_size > STATE_KEY_MAX ||
            head.text_size > STATE_TEXT_MAX ||
            (l->sequence > 0 && head.sequence != l->sequence + 1))
                return 0;

        body = malloc(head.key_size + head.text_size + 1);
        if (!body)
                return -ENOMEM;
        r = read_at(l->fd, body, head.key_size + head.text_size, l->end + sizeof(head));
        if (r < 0)
                return r == -EBADMSG ? 0 : r;
        if (head.checksum != checksum_of(&head, body, body + head.key_size) ||
            memchr(body, '\0', head.key_size + head.text_size))
                return 0;

        r = make_room(l);
        if (r < 0)
                return r;
        memcpy(key, body, head.key_size);
        key[head.key_size] = '\0';
        note(l, key, l->end, head.text_size);
        l->end += size_of_record(head.key_size, head.text_size);
        l->sequence = head.sequence;
        return 1;
}

/* All of it, or what there was before it had its last field. */
static int read_head(int fd, FileHead *ret) {
        int r;

        *ret = (FileHead){ 0 };
        r = read_at(fd, ret, HEAD_SIZE_MIN, 0);
        if (r < 0)
                return r;

        r = read_at(fd, &ret->mark.n_whole, sizeof(ret->mark.n_whole), HEAD_SIZE_MIN);
        return r == -EBADMSG ? 0 : r;
}

static int check_file(int fd, FileHead *ret, char **reterr_why) {
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return why_say(reterr_why, -errno, "it cannot be looked at: %s", strerror(errno));
        if (!S_ISREG(st.st_mode) || fcntl(fd, F_GET_SEALS) < 0) /* no memfd */
                return why_say(reterr_why, -EBADMSG, "it is no file in memory");
        if (st.st_uid != geteuid())
                return why_say(reterr_why, -EPERM, "it is of uid %u, and we run as uid %u",
                               st.st_uid, geteuid());

        r = read_head(fd, ret);
        if (r < 0 && r != -EBADMSG)
                return why_say(reterr_why, r, "it cannot be read: %s", reuse_strerror(r));
        if (r < 0 || memcmp(ret->magic, MAGIC, sizeof(MAGIC)) != 0)
                return why_say(reterr_why, -EBADMSG,
                               "it is damaged: it does not begin as one does");
        if (ret->version != STATE_LOG_VERSION)
                return why_say(reterr_why, -EPROTONOSUPPORT,
                               "it is written in format %" PRIu32
                               ", and this reuseportd reads format %u",
                               ret->version, STATE_LOG_VERSION);
        if (ret->mark.half > 1)
                return why_say(reterr_why, -EBADMSG,
                               "it is damaged: it has two halves, and %" PRIu64 " is none",
                               ret->mark.half);

        return 0;
}

/* Returns 0 when all that was whole once is read. */
static int read_all(StateLog *l, uint64_t n_whole, char **reterr_why) {
        int r;

        do
                r = read_next(l);
        while (r > 0);
        if (r < 0)
                return why_say(reterr_why, r, "record %" PRIu64 ", at byte %" PRIu64 ": %s",
                               l->sequence + 1, l->end, reuse_strerror(r));
        if (l->sequence < n_whole)
                return why_say(reterr_why, -EBADMSG,
                               "it is damaged at byte %" PRIu64
                               ": there was more, and it cannot be read",
                               l->end);

        return 0;
}

int state_log_open(int fd, StateLog **ret, char **reterr_why) {
        _cleanup_(state_log_freep) StateLog *l = NULL;
        FileHead head;
        int r;

        r = check_file(fd, &head, reterr_why);
        if (r < 0)
                return r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;

        l->fd = fd;
        l->half = head.mark.half;
        l->end = begin_of(l->half);
        r = read_all(l, head.mark.n_whole, reterr_why);
        if (r < 0) {
                l->fd = -EBADF; /* still the caller's */
                return r;
        }

        *ret = TAKE_PTR(l);
        return 0;
}

bool state_log_has(const StateLog *l, const char *key) {
        bool found;

        (void) find_place(l, key, &found);
        return found;
}

int state_log_get(const StateLog *l, const char *key, char **ret) {
        _cleanup_free_ char *text = NULL;
        const Entry *e;
        bool found;
        int r;

        e = l->entries + find_place(l, key, &found);
        if (!found)
                return -ENOENT;

        text = malloc((size_t) e->text_size + 1);
        if (!text)
                return -ENOMEM;
        r = read_at(l->fd, text, e->text_size, e->offset + sizeof(RecordHead) + strlen(key));
        if (r < 0)
                return r;

        text[e->text_size] = '\0';
        *ret = TAKE_PTR(text);
        return 0;
}

size_t state_log_n_records(const StateLog *l) {
        return l->n_entries;
}

const char *state_log_key(const StateLog *l, size_t index) {
        assert(index < l->n_entries);
        return l->entries[index].key;
}

int state_log_fd(const StateLog *l) {
        return l->fd;
}

/* ---- writing ---- */

static int write_at(int fd, struct iovec *parts, int n_parts, uint64_t offset) {
        for (int i = 0; i < n_parts; i++)
                while (parts[i].iov_len > 0) {
                        ssize_t r = pwritev(fd, parts + i, n_parts - i, (off_t) offset);

                        if (r < 0 && errno == EINTR)
                                continue;
                        if (r < 0)
                                return -errno;

                        offset += (uint64_t) r;
                        for (int k = i; k < n_parts && r > 0; k++) {
                                size_t n = (size_t) r < parts[k].iov_len ? (size_t) r
                                                                         : parts[k].iov_len;

                                parts[k].iov_base = (char *) parts[k].iov_base + n;
                                parts[k].iov_len -= n;
                                r -= (ssize_t) n;
                        }
                }

        return 0;
}

/* At @offset, of any half.  Its size is size_of_record(). */
static int write_record(const StateLog *l, const char *key, const char *text, size_t text_size,
                        uint64_t sequence, uint64_t offset) {
        RecordHead head = {
                .key_size = (uint32_t) strlen(key),
                .text_size = (uint32_t) text_size,
                .sequence = sequence,
        };
        struct iovec parts[] = {
                { &head, sizeof(head) },
                { (char *) key, head.key_size },
                { (char *) text, text_size },
        };

        head.checksum = checksum_of(&head, key, text);
        if (crash_point_is_here("record-torn")) {
                parts[2].iov_len = text_size / 2;
                (void) write_at(l->fd, parts, ELEMENTS_OF(parts), offset);
                crash_point_die("record-torn");
        }
        return write_at(l->fd, parts, ELEMENTS_OF(parts), offset);
}

static void punch(const StateLog *l, uint64_t half, uint64_t size) {
        /* what stays behind is garbage all the same: its sequence is not the next */
        (void) fallocate(l->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) begin_of(half),
                         (off_t) size);
}

/* Says what counts. */
static int write_mark(const StateLog *l, uint64_t half, uint64_t sequence) {
        FileMark mark = { .half = half, .n_whole = sequence };
        struct iovec part = { &mark, sizeof(mark) };

        return write_at(l->fd, &part, 1, offsetof(FileHead, mark));
}

/* Copies what is true to the other half.  A failure leaves all as it was. */
static int compact(StateLog *l) {
        uint64_t half = 1 - l->half, before = l->half, used = l->end - begin_of(l->half);
        uint64_t offset = begin_of(half), sequence = l->sequence;
        _cleanup_free_ uint64_t *offsets = calloc(l->n_entries + 1, sizeof(uint64_t));
        int r = offsets ? 0 : -ENOMEM;

        for (size_t i = 0; i < l->n_entries && r >= 0; i++) {
                const Entry *e = l->entries + i;
                _cleanup_free_ char *text = NULL;

                r = state_log_get(l, e->key, &text);
                if (r >= 0)
                        r = write_record(l, e->key, text, e->text_size, ++sequence, offset);
                offsets[i] = offset;
                offset += size_of_entry(e);
        }
        if (r >= 0)
                r = write_mark(l, half, sequence);
        if (r < 0)
                return r;

        for (size_t i = 0; i < l->n_entries; i++)
                l->entries[i].offset = offsets[i];
        l->half = half;
        l->end = offset;
        l->sequence = sequence;
        punch(l, before, used);
        return 0;
}

static int append(StateLog *l, const char *key, const char *text) {
        size_t text_size = strlen(text);
        int r;

        assert(key[0] && strlen(key) <= STATE_KEY_MAX);

        if (text_size > STATE_TEXT_MAX)
                return -E2BIG;
        r = make_room(l);
        if (r >= 0)
                r = write_record(l, key, text, text_size, l->sequence + 1, l->end);
        if (r < 0)
                return r;

        CRASH_POINT("record-written");
        l->sequence++;
        note(l, key, l->end, (uint32_t) text_size);
        l->end += size_of_record(strlen(key), text_size);
        (void) write_mark(l, l->half, l->sequence); /* one that is too low is true, too */

        /* If that fails the file grows on, and the next one tries again. */
        if (state_log_n_garbage(l) > STATE_GARBAGE_MIN && state_log_n_garbage(l) > l->n_live)
                (void) compact(l);
        return 0;
}

int state_log_put(StateLog *l, const char *key, const char *text) {
        assert(text[0]);
        return append(l, key, text);
}

int state_log_remove(StateLog *l, const char *key) {
        bool found;

        (void) find_place(l, key, &found);
        return found ? append(l, key, "") : 0;
}

/* ---- birth and death ---- */

int state_log_new(StateLog **ret) {
        _cleanup_(state_log_freep) StateLog *l = NULL;
        FileHead head = { .magic = MAGIC, .version = STATE_LOG_VERSION };
        struct iovec part = { &head, sizeof(head) };
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;

        l->end = begin_of(0);
        l->fd = fd_open_memory("reuseportd-state");
        if (l->fd < 0)
                return l->fd;
        r = write_at(l->fd, &part, 1, 0);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

StateLog *state_log_free(StateLog *l) {
        if (!l)
                return NULL;

        l->fd = fd_close(l->fd);
        free(l->entries);
        free(l);
        return NULL;
}
