/* Kills a process at its N-th system call from now on, before the kernel carries it out.
 *
 *      kill-at PID N
 *
 * Prints "attached", and then how it ended: "killed at N NAME", or "N calls" when it was asked by SIGTERM to
 * leave, or the process has ended by itself.  N 0: only counts. */

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <linux/ptrace.h>

static volatile sig_atomic_t is_over;

static void on_term(int signal_number) {
        is_over = 1;
}

static int fail(const char *what) {
        perror(what);
        return EXIT_FAILURE;
}

/* The number of the call that it is about to make; -1: it comes back from one. */
static int call_of(pid_t pid) {
        struct ptrace_syscall_info info;

        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *) sizeof(info), &info) <= 0 ||
            info.op != PTRACE_SYSCALL_INFO_ENTRY)
                return -1;

        return (int) info.entry.nr;
}

static int kill_now(pid_t pid, unsigned long n, int call) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);

        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, __WALL);
        printf("killed at %lu %s\n", n, name ? name : "?");
        free(name);
        return EXIT_SUCCESS;
}

/* Returns what the program ends with. */
static int follow(pid_t pid, unsigned long limit) {
        unsigned long n = 0;
        int status, call, signal_number;

        for (;;) {
                if (waitpid(pid, &status, __WALL) < 0) {
                        if (errno != EINTR)
                                return fail("waitpid");
                        if (is_over)
                                (void) ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
                        continue;
                }
                if (!WIFSTOPPED(status))
                        break;

                signal_number = 0;
                if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
                        call = call_of(pid);
                        if (call >= 0 && ++n == limit)
                                return kill_now(pid, n, call);
                } else if (status >> 16 == 0)
                        signal_number = WSTOPSIG(status);

                if (is_over) {
                        (void) ptrace(PTRACE_DETACH, pid, NULL, (void *) (long) signal_number);
                        break;
                }
                (void) ptrace(PTRACE_SYSCALL, pid, NULL, (void *) (long) signal_number);
        }

        printf("%lu calls\n", n);
        return EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        const struct sigaction action = { .sa_handler = on_term }; /* waits are interrupted */
        pid_t pid;

        if (argc != 3) {
                fprintf(stderr, "usage: kill-at PID N\n");
                return 2;
        }

        pid = atoi(argv[1]);
        if (sigaction(SIGTERM, &action, NULL) < 0)
                return fail("sigaction");
        if (ptrace(PTRACE_SEIZE, pid, NULL, (void *) PTRACE_O_TRACESYSGOOD) < 0 ||
            ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
                return fail("ptrace");

        printf("attached\n");
        (void) fflush(stdout);
        return follow(pid, strtoul(argv[2], NULL, 10));
}
