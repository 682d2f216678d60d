#include "daemon/spawn/reuseport-lock.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

DEFINE_CLEANUP(void, seccomp_release)

static int add_rules(scmp_filter_ctx filter) {
        static const unsigned options[] = {
                SO_ATTACH_REUSEPORT_CBPF,
                SO_ATTACH_REUSEPORT_EBPF,
                SO_DETACH_REUSEPORT_BPF,
                SO_LOCK_FILTER,
        };
        int r;

        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
        if (r >= 0)
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0);
        for (size_t i = 0; i < ELEMENTS_OF(options) && r >= 0; i++)
                /* The kernel takes the lower half: both are int there. */
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setsockopt), 2,
                                     SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, SOL_SOCKET),
                                     SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, options[i]));

        return r;
}

/* The library writes a filter to a descriptor only. */
static int read_program(int fd, struct sock_fprog *ret) {
        struct sock_filter *instructions;
        struct stat status;
        size_t size;

        if (fstat(fd, &status) < 0)
                return -errno;

        size = (size_t) status.st_size;
        instructions = malloc(size);
        if (!instructions)
                return -ENOMEM;
        if (pread(fd, instructions, size, 0) != (ssize_t) size) {
                free(instructions);
                return -EIO;
        }

        *ret = (struct sock_fprog){
                .len = (unsigned short) (size / sizeof(*instructions)),
                .filter = instructions,
        };
        return 0;
}

int reuseport_lock_init(struct sock_fprog *ret) {
        _cleanup_(seccomp_releasep) void *filter = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        filter = seccomp_init(SCMP_ACT_ALLOW);
        if (!filter)
                return -ENOMEM;

        r = add_rules(filter);
        if (r < 0)
                return r;

        fd = fd_open_memory("reuseport-lock");
        if (fd < 0)
                return fd;

        r = seccomp_export_bpf(filter, fd);
        return r < 0 ? r : read_program(fd, ret);
}

void reuseport_lock_done(struct sock_fprog *lock) {
        free(lock->filter);
        *lock = (struct sock_fprog){ 0 };
}
