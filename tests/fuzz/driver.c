/* Drives a fuzz target without libFuzzer: each input is one of the corpus, changed a few times.
 *
 *      fuzz-NAME [CORPUS]
 *
 * Inputs depend on their number only, so a finding can be repeated: REUSEPORT_FUZZ_FIRST=N begins
 * there.  REUSEPORT_TEST_LONG=1 tries a million, else REUSEPORT_FUZZ_COUNT or 20,000; after
 * REUSEPORT_FUZZ_SECONDS it is enough.  One line of TAP, with how many there were; the input at which a target
 * dies is left in fuzz-NAME.crash. */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define SEEDS_MAX   256U
#define INPUT_SIZE  65536U
#define COUNT       20000UL
#define COUNT_LONG  1000000UL
#define CHANGES_MAX 8U

typedef struct Seed {
        uint8_t *bytes;
        size_t n_bytes;
} Seed;

static Seed seeds[SEEDS_MAX];
static size_t n_seeds;
static uint8_t input[INPUT_SIZE];
static size_t n_input;
static const char *crash_file = "fuzz.crash";

/* splitmix64 */
static uint64_t next_random(uint64_t *state) {
        uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
}

static void read_seed(const char *directory, const char *name) {
        char path[4096];
        Seed *seed = &seeds[n_seeds];
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "re");
        seed->bytes = malloc(INPUT_SIZE / 2);
        FUZZ_ASSERT(f && seed->bytes);
        seed->n_bytes = fread(seed->bytes, 1, INPUT_SIZE / 2, f);
        fclose(f);
        n_seeds++;
}

static void read_corpus(const char *directory) {
        DIR *d = opendir(directory);
        struct dirent *entry;

        if (!d) {
                fprintf(stderr, "%s: no such directory\n", directory);
                exit(EXIT_FAILURE);
        }
        while ((entry = readdir(d)) && n_seeds < SEEDS_MAX)
                if (entry->d_name[0] != '.' && !strstr(entry->d_name, ".expected"))
                        read_seed(directory, entry->d_name);
        closedir(d);
}

static void remove_bytes(size_t at, size_t n) {
        n = n < n_input - at ? n : n_input - at;
        memmove(input + at, input + at + n, n_input - at - n);
        n_input -= n;
}

static void insert_bytes(size_t at, const uint8_t *bytes, size_t n) {
        if (n_input + n > INPUT_SIZE)
                return;
        memmove(input + at + n, input + at, n_input - at);
        memmove(input + at, bytes, n);
        n_input += n;
}

static void change(uint64_t *state) {
        static const char *const words[] = {
                "{",
                "}",
                "[",
                "]",
                "(",
                ")",
                ";",
                ",",
                "=",
                ":",
                "\"",
                "\\x00",
                "/*",
                "*/",
                "//",
                "#",
                "@include \"/etc\"\n",
                "4294967376",
                "-9223372036854775808L",
                "0xFFFFFFFFFFFFFFFFFL",
                "1e999",
                "true",
                "infinity",
                "%{fd:web.1}",
                "%%",
                "%",
                "99999999999999999999w",
                "*",
                "a = 1;",
                "\n",
        };
        uint64_t r = next_random(state);
        size_t at = n_input > 0 ? next_random(state) % (n_input + 1) : 0;
        const char *word = words[r / 8 % ELEMENTS_OF(words)];
        const Seed *other;
        uint8_t byte = (uint8_t) (r >> 32);

        switch (r % 8) {
        case 0:
                if (at < n_input)
                        input[at] ^= (uint8_t) (1 << (r >> 8) % 8);
                break;
        case 1:
                if (at < n_input)
                        input[at] = byte;
                break;
        case 2:
                insert_bytes(at, &byte, 1);
                break;
        case 3:
                remove_bytes(at, 1 + (r >> 8) % 64);
                break;
        case 4:
                n_input = at; /* truncated */
                break;
        case 5:
                other = &seeds[(r >> 8) % n_seeds];
                if (other->n_bytes > 0)
                        insert_bytes(at, other->bytes + (r >> 16) % other->n_bytes,
                                     (r >> 40) % (other->n_bytes - (r >> 16) % other->n_bytes + 1));
                break;
        default:
                insert_bytes(at, (const uint8_t *) word, strlen(word));
        }
}

static void make_input(unsigned long number) {
        uint64_t state = number;
        const Seed *seed = &seeds[next_random(&state) % n_seeds];
        unsigned n_changes = (unsigned) (next_random(&state) % (CHANGES_MAX + 1));

        if (seed->n_bytes > 0)
                memcpy(input, seed->bytes, seed->n_bytes);
        n_input = seed->n_bytes;
        for (unsigned i = 0; i < n_changes; i++)
                change(&state);
}

/* Leaves the input behind, and dies of the signal. */
static void on_crash(int number) {
        int fd = open(crash_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        if (fd >= 0) {
                ssize_t n = write(fd, input, n_input);

                (void) n;
                close(fd);
        }
        (void) signal(number, SIG_DFL);
        (void) raise(number);
}

static unsigned long number_of(const char *variable, unsigned long otherwise) {
        const char *text = getenv(variable);

        return text ? strtoul(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv) {
        const char *is_long = getenv("REUSEPORT_TEST_LONG");
        unsigned long first = number_of("REUSEPORT_FUZZ_FIRST", 0);
        unsigned long n = is_long && strcmp(is_long, "1") == 0
                                          ? COUNT_LONG
                                          : number_of("REUSEPORT_FUZZ_COUNT", COUNT);
        unsigned long n_seconds = number_of("REUSEPORT_FUZZ_SECONDS", LONG_MAX), i;
        time_t begun = time(NULL);

        for (int k = 1; k < argc; k++)
                read_corpus(argv[k]);
        if (n_seeds == 0) {
                fprintf(stderr, "usage: %s CORPUS…\n", argv[0]);
                return EXIT_FAILURE;
        }

        (void) signal(SIGABRT, on_crash);
        (void) signal(SIGSEGV, on_crash);
        printf("1..1\n");
        for (i = first; i < first + n && time(NULL) - begun < (time_t) n_seconds; i++) {
                make_input(i);
                (void) LLVMFuzzerTestOneInput(input, n_input);
        }
        printf("ok 1 - %lu inputs from number %lu on in %lu s\n", i - first, first,
               (unsigned long) (time(NULL) - begun));

        for (size_t k = 0; k < n_seeds; k++)
                free(seeds[k].bytes);
        return EXIT_SUCCESS;
}
