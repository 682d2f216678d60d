#include "daemon/endpoint/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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
