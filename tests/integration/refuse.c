/* Runs a program for which some system calls fail, as they do on a kernel without them or on one that is full.
 *
 *      refuse CALL=ERROR… PROGRAM [ARGUMENT…]
 *
 * CALL is a name of syscalls(2), or "spawn": clone() with CLONE_VFORK alone, as reuseportd starts its workers;
 * its reading of the settings and the C library's threads are not hit.  "ipv6" and "sock-diag" are sockets of
 * that kind, "dupfd-query" is F_DUPFD_QUERY, "pidfd-info" is PIDFD_GET_INFO; "attach-cbpf" and "peer-pidfd" are
 * the socket options.  ERROR is a number. */

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int add_rule(scmp_filter_ctx filter, const char *name, unsigned error) {
        int call;

        if (strcmp(name, "spawn") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), SCMP_SYS(clone), 1,
                                        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_VFORK, CLONE_VFORK));

        if (strcmp(name, "ipv6") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), SCMP_SYS(socket), 1,
                                        SCMP_A0(SCMP_CMP_EQ, AF_INET6));
        if (strcmp(name, "sock-diag") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), SCMP_SYS(socket), 2,
                                        SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                                        SCMP_A2(SCMP_CMP_EQ, NETLINK_SOCK_DIAG));
        if (strcmp(name, "dupfd-query") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), SCMP_SYS(fcntl), 1,
                                        SCMP_A1(SCMP_CMP_EQ, 1027));

        if (strcmp(name, "pidfd-info") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), SCMP_SYS(ioctl), 1,
                                        SCMP_A1(SCMP_CMP_EQ, _IOWR(0xff, 11, char[64])));
        if (strcmp(name, "attach-cbpf") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), SCMP_SYS(setsockopt), 2,
                                        SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET),
                                        SCMP_A2(SCMP_CMP_EQ, SO_ATTACH_REUSEPORT_CBPF));
        if (strcmp(name, "peer-pidfd") == 0)
                return seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), SCMP_SYS(getsockopt), 2,
                                        SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET), SCMP_A2(SCMP_CMP_EQ, 77));

        call = seccomp_syscall_resolve_name(name);
        return call == __NR_SCMP_ERROR ? -ENOSYS
                                       : seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), call, 0);
}

int main(int argc, char *argv[]) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int i, r = filter ? 0 : -ENOMEM;
        char *error;

        for (i = 1; i < argc && r >= 0 && (error = strchr(argv[i], '=')); i++) {
                *error++ = '\0';
                r = add_rule(filter, argv[i], (unsigned) atoi(error));
        }
        if (r >= 0)
                r = seccomp_load(filter);
        if (r < 0 || i >= argc) {
                fprintf(stderr, "refuse: %s\n", r < 0 ? strerror(-r) : "no program");
                return 125;
        }

        (void) execvp(argv[i], argv + i);
        perror(argv[i]);
        return 127;
}
