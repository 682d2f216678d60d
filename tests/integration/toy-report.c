#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#include "toy-report.h"

#define FDS_MAX    256
#define GROUPS_MAX 64

static struct {
        int fd;
        bool is_cloexec;
        bool is_nonblock;
} fds[FDS_MAX];
static unsigned n_fds;
static sigset_t blocked;

void report_begin(void) {
        DIR *directory = opendir("/proc/self/fd");
        struct dirent *entry;

        while (directory && (entry = readdir(directory)) && n_fds < FDS_MAX) {
                int fd = atoi(entry->d_name);

                if (entry->d_name[0] == '.' || fd == dirfd(directory))
                        continue;
                fds[n_fds].fd = fd;
                fds[n_fds].is_cloexec = fcntl(fd, F_GETFD) & FD_CLOEXEC;
                fds[n_fds].is_nonblock = fcntl(fd, F_GETFL) & O_NONBLOCK;
                n_fds++;
        }
        if (directory)
                (void) closedir(directory);
        (void) sigprocmask(SIG_BLOCK, NULL, &blocked);
}

static void put_string(FILE *to, const char *text) {
        (void) fputc('"', to);
        for (; *text; text++)
                if (*text == '"' || *text == '\\')
                        fprintf(to, "\\%c", *text);
                else if ((unsigned char) *text < ' ')
                        fprintf(to, "\\u%04x", (unsigned char) *text);
                else
                        (void) fputc(*text, to);
        (void) fputc('"', to);
}

static void put_address(FILE *to, int fd) {
        union {
                struct sockaddr sa;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
                struct sockaddr_storage storage;
        } a = {};
        socklen_t length = sizeof(a);
        char text[INET6_ADDRSTRLEN] = "";

        if (getsockname(fd, &a.sa, &length) < 0)
                return;
        if (a.sa.sa_family == AF_INET)
                fprintf(to, ", \"address\": \"%s:%u\"",
                        inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof(text)),
                        ntohs(a.in.sin_port));
        else if (a.sa.sa_family == AF_INET6)
                fprintf(to, ", \"address\": \"[%s]:%u\"",
                        inet_ntop(AF_INET6, &a.in6.sin6_addr, text, sizeof(text)),
                        ntohs(a.in6.sin6_port));
}

static int socket_option(int fd, int option) {
        int value = -1;
        socklen_t length = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, option, &value, &length) < 0 ? -1 : value;
}

static void put_descriptor(FILE *to, unsigned i) {
        char path[64], target[256];
        int fd = fds[i].fd, type;
        ssize_t n;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = '\0';

        fprintf(to, "%s\"%d\": {\"target\": ", i > 0 ? ", " : "", fd);
        put_string(to, target);
        fprintf(to, ", \"cloexec\": %s, \"nonblock\": %s", fds[i].is_cloexec ? "true" : "false",
                fds[i].is_nonblock ? "true" : "false");
        type = socket_option(fd, SO_TYPE);
        if (type >= 0) {
                fprintf(to, ", \"type\": \"%s\", \"listening\": %s",
                        type == SOCK_STREAM ? "stream" : "datagram",
                        socket_option(fd, SO_ACCEPTCONN) > 0 ? "true" : "false");
                put_address(to, fd);
        }
        (void) fputc('}', to);
}

/* Closes what is written into memory, and tells whether it all went in. */
static int finish(FILE *file, char **text, char **ret) {
        int r = ferror(file) ? -ENOMEM : 0;

        if (fclose(file) != 0)
                r = -ENOMEM;
        if (r < 0)
                free(*text);
        else
                *ret = *text;
        return r;
}

int report_environment(char **ret) {
        char *text = NULL;
        size_t size_bytes;
        FILE *to = open_memstream(&text, &size_bytes);

        if (!to)
                return -errno;
        (void) fputc('{', to);
        for (char **item = environ; *item; item++) {
                size_t n = strcspn(*item, "=");
                _cleanup_free_ char *name = strndup(*item, n);

                if (item != environ)
                        (void) fputs(", ", to);
                put_string(to, name ?: "");
                (void) fputs(": ", to);
                put_string(to, (*item)[n] ? *item + n + 1 : "");
        }
        (void) fputs("}\n", to);
        return finish(to, &text, ret);
}

int report_descriptors(char **ret) {
        char *text = NULL;
        size_t size_bytes;
        FILE *to = open_memstream(&text, &size_bytes);

        if (!to)
                return -errno;
        (void) fputc('{', to);
        for (unsigned i = 0; i < n_fds; i++)
                put_descriptor(to, i);
        (void) fputs("}\n", to);
        return finish(to, &text, ret);
}

static void put_blocked(FILE *to) {
        const char *between = "";

        (void) fputs(", \"blocked\": [", to);
        for (int i = 1; i < SIGRTMAX; i++)
                if (sigismember(&blocked, i) > 0) {
                        fprintf(to, "%s%d", between, i);
                        between = ", ";
                }
        (void) fputs("]", to);
}

static void put_status(FILE *to) {
        static const char *const wanted[] = { "SigIgn:\t", "NoNewPrivs:\t" };
        static const char *const names[] = { "ignored", "no_new_privileges" };
        FILE *from = fopen("/proc/self/status", "re");
        char line[256];

        while (from && fgets(line, sizeof(line), from))
                for (unsigned i = 0; i < ELEMENTS_OF(wanted); i++)
                        if (strncmp(line, wanted[i], strlen(wanted[i])) == 0) {
                                line[strcspn(line, "\n")] = '\0';
                                fprintf(to, ", \"%s\": \"%s\"", names[i], line + strlen(wanted[i]));
                        }
        if (from)
                (void) fclose(from);
}

int report_process(char **ret) {
        _cleanup_free_ char *directory = getcwd(NULL, 0);
        int death_signal = 0, n_groups;
        gid_t groups[GROUPS_MAX];
        char *text = NULL;
        size_t size_bytes;
        mode_t mask = umask(0);
        FILE *to = open_memstream(&text, &size_bytes);

        (void) umask(mask);
        if (!to)
                return -errno;
        (void) prctl(PR_GET_PDEATHSIG, &death_signal);
        n_groups = getgroups(GROUPS_MAX, groups);
        fprintf(to, "{\"pid\": %d, \"parent\": %d, \"session\": %d, \"uid\": %u, \"gid\": %u",
                (int) getpid(), (int) getppid(), (int) getsid(0), geteuid(), getegid());
        fprintf(to, ", \"umask\": %u, \"death_signal\": %d, \"directory\": ", (unsigned) mask,
                death_signal);
        put_string(to, directory ?: "");
        (void) fputs(", \"groups\": [", to);
        for (int i = 0; i < n_groups; i++)
                fprintf(to, "%s%u", i > 0 ? ", " : "", groups[i]);
        (void) fputs("]", to);
        put_blocked(to);
        put_status(to);
        (void) fputs("}\n", to);
        return finish(to, &text, ret);
}
