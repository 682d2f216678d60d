#include "daemon/endpoint/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/text.h"

static void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

static void read_name(pid_t pid, char *name, size_t size_bytes) {
        char path[64], raw[PROCESS_NAME_SIZE] = "";
        _cleanup_close_ int fd = -EBADF;
        ssize_t length;

        snprintf(path, sizeof(path), "/proc/%d/comm", (int) pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return;

        length = read(fd, raw, sizeof(raw) - 1);
        if (length > 0 && raw[length - 1] == '\n')
                raw[length - 1] = '\0';
        text_escape(raw, name, size_bytes);
}

void proc_look_into(pid_t pid, SocketHolder *holders, size_t n_holders) {
        _cleanup_(closedirp) DIR *fds = NULL;
        char path[64];
        struct dirent *entry;

        snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
        fds = opendir(path);
        if (!fds)
                return;

        while ((entry = readdir(fds))) {
                struct stat st;

                if (!isdigit((unsigned char) entry->d_name[0]) ||
                    fstatat(dirfd(fds), entry->d_name, &st, 0) < 0 || !S_ISSOCK(st.st_mode))
                        continue;

                for (size_t i = 0; i < n_holders; i++) {
                        SocketHolder *h = &holders[i];

                        if (h->inode != st.st_ino || h->pid != 0)
                                continue;
                        h->pid = pid;
                        read_name(pid, h->name, sizeof(h->name));
                }
        }
}

void proc_find_holders(SocketHolder *holders, size_t n_holders, pid_t except) {
        _cleanup_(closedirp) DIR *proc = opendir("/proc");
        struct dirent *entry;

        while (proc && (entry = readdir(proc))) {
                pid_t pid = (pid_t) atoi(entry->d_name);

                if (isdigit((unsigned char) entry->d_name[0]) && pid != except)
                        proc_look_into(pid, holders, n_holders);
        }
}

/* ---- by its environment ---- */

static bool has_variable(pid_t pid, const char *word) {
        _cleanup_free_ char *line = NULL;
        char path[64];
        size_t size = 0;
        bool found = false;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/environ", (int) pid);
        file = fopen(path, "re");
        if (!file)
                return false;

        while (!found && getdelim(&line, &size, '\0', file) > 0)
                found = strcmp(line, word) == 0;
        (void) fclose(file);
        return found;
}

int proc_find_by_variable(const char *name, const char *value, pid_t *ret_pid, int *ret_pidfd) {
        _cleanup_(closedirp) DIR *proc = opendir("/proc");
        _cleanup_free_ char *word = NULL;
        struct dirent *entry;

        if (!proc || asprintf(&word, "%s=%s", name, value) < 0)
                return -ESRCH;

        while ((entry = readdir(proc))) {
                _cleanup_close_ int pidfd = -EBADF;
                pid_t pid = (pid_t) strtol(entry->d_name, NULL, 10);

                if (pid <= 1 || getsid(pid) != pid)
                        continue;
                pidfd = fd_move_above_stdio((int) syscall(SYS_pidfd_open, pid, 0));
                if (pidfd < 0 ||
                    !has_variable(pid, word)) /* the pid is its own while that is open */
                        continue;

                *ret_pid = pid;
                *ret_pidfd = TAKE_FD(pidfd);
                return 0;
        }

        return -ESRCH;
}
