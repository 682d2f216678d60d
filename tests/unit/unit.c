#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 4096

/* What was open before the test that runs now. */
static bool was_open[DESCRIPTORS_MAX];

static void list_open(bool *ret) {
        DIR *d = opendir("/proc/self/fd");
        const struct dirent *e;

        memset(ret, 0, DESCRIPTORS_MAX * sizeof(bool));
        if (!d)
                return;

        while ((e = readdir(d))) {
                int fd = atoi(e->d_name);

                if (e->d_name[0] != '.' && fd != dirfd(d) && fd < DESCRIPTORS_MAX)
                        ret[fd] = true;
        }

        (void) closedir(d);
}

/* cmocka says "not ok 7 # SKIP name" of a skipped test, which is a failure to readers of TAP: makes it
 * "ok 7 - name # SKIP why", with the reason that unit_skip() has printed just before. */
static void pass_on(const char *line, char *reason, size_t size_bytes) {
        static const char skip_word[] = "# skip: ";
        char name[256];
        unsigned number;

        if (strncmp(line, skip_word, strlen(skip_word)) == 0) {
                size_t n = strcspn(line + strlen(skip_word), "\n");

                n = n < size_bytes ? n : size_bytes - 1;
                memcpy(reason, line + strlen(skip_word), n);
                reason[n] = '\0';
        }

        if (sscanf(line, "not ok %u # SKIP %255s", &number, name) == 2)
                printf("ok %u - %s # SKIP %s\n", number, name, reason);
        else
                (void) fputs(line, stdout);
        (void) fflush(stdout);
}

/* The tests run in a child, and we stay behind to pass on what it says, and how it ends. */
static void stay_as_reader(int fd, pid_t child) {
        char line[4096], reason[256] = "";
        FILE *from = fdopen(fd, "r");
        int status;

        while (from && fgets(line, sizeof(line), from))
                pass_on(line, reason, sizeof(reason));
        if (!from || waitpid(child, &status, 0) < 0)
                exit(EXIT_FAILURE);
        (void) fclose(from);
        exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

void unit_init(void) {
        int fds[2];
        pid_t child;

        if (pipe2(fds, O_CLOEXEC) < 0 || (child = fork()) < 0)
                abort();
        if (child > 0) {
                close(fds[1]);
                stay_as_reader(fds[0], child);
        }
        if (dup2(fds[1], STDOUT_FILENO) < 0)
                abort();
        close(fds[0]);
        close(fds[1]);

        (void) signal(SIGPIPE, SIG_IGN);
        (void) setvbuf(stdout, NULL, _IOLBF, 0);
        cmocka_set_message_output(CM_OUTPUT_TAP);
}

int unit_begin(void **state) {
        list_open(was_open);
        return 0;
}

int unit_end(void **state) {
        static bool is_open[DESCRIPTORS_MAX];
        int r = 0;

        list_open(is_open);
        for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
                if (is_open[fd] != was_open[fd]) {
                        printf("# descriptor %d was %s\n", fd,
                               is_open[fd] ? "left open" : "closed");
                        r = -1;
                }

        return r;
}

void unit_skip_at(const char *format, ...) {
        va_list list;

        printf("# skip: ");
        va_start(list, format);
        (void) vprintf(format, list);
        va_end(list);
        printf("\n");
        skip();
}

unsigned unit_count(unsigned little, unsigned full) {
        const char *value = getenv("REUSEPORT_TEST_LONG");

        return value && strcmp(value, "1") == 0 ? full : little;
}

int unit_assert_ok(int r, const char *expression, const char *file, int line) {
        if (r < 0) {
                print_error("%s: %d (%s)\n", expression, r, strerror(-r));
                _fail(file, line);
        }

        return r;
}

short unit_wait(int fd, short events) {
        struct pollfd polled = { .fd = fd, .events = events };

        if (poll(&polled, 1, UNIT_TIMEOUT_MSEC) <= 0)
                fail_msg("nothing on descriptor %d within %d ms", fd, UNIT_TIMEOUT_MSEC);

        return polled.revents;
}

int unit_accept(int fd) {
        int r;

        (void) unit_wait(fd, POLLIN);
        r = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        return unit_assert_ok(r < 0 ? -errno : r, "accept4()", __FILE__, __LINE__);
}

bool unit_try_own_network(void) {
        _cleanup_close_ int fd = -EBADF;
        struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };

        if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
                return false;

        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) >= 0;
}

void unit_own_network(void) {
        if (!unit_try_own_network())
                unit_skip("a network of our own");
}

bool unit_write_file(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text);
}
