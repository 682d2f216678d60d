/* refuse [CALL…] -- PROGRAM [ARGUMENT…]: runs a program on a kernel that is older than it is.
 *
 * System calls that are named fail with ENOSYS, as if there were none; "ipv6" stands for sockets of that
 * family, "sock-diag" for that netlink, "dupfd-query" for F_DUPFD_QUERY.  What cannot be filtered is an error. */

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int refuse(scmp_filter_ctx filter, const char *name) {
        int number;

        if (strcmp(name, "ipv6") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                        SCMP_A0(SCMP_CMP_EQ, AF_INET6));
        /* F_DUPFD_QUERY */
        if (strcmp(name, "dupfd-query") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(fcntl), 1,
                                        SCMP_A1(SCMP_CMP_EQ, 1027));
        if (strcmp(name, "sock-diag") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket),
                                        2, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                                        SCMP_A2(SCMP_CMP_EQ, 4 /* NETLINK_SOCK_DIAG */));

        number = seccomp_syscall_resolve_name(name);
        if (number == __NR_SCMP_ERROR)
                return -EINVAL;
        return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0);
}

int main(int argc, char *argv[]) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int i, r = filter ? 0 : -ENOMEM;

        for (i = 1; i < argc && strcmp(argv[i], "--") != 0 && r >= 0; i++)
                r = refuse(filter, argv[i]);
        if (r >= 0)
                r = seccomp_load(filter);
        if (r < 0 || i + 1 >= argc) {
                fprintf(stderr, "refuse: %s: %s\n", argv[i > 1 ? i - 1 : 0], strerror(-r));
                return 125;
        }

        (void) execv(argv[i + 1], argv + i + 1);
        perror(argv[i + 1]);
        return 126;
}
