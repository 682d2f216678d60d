#pragma once

/* Which process holds a socket: a walk through /proc.
 *
 * Costs one stat() for each descriptor of each process that we may look into; for messages, not for
 * every day. */

#include <stdint.h>
#include <sys/types.h>

#define PROCESS_NAME_SIZE 64

/* A socket by its inode, and the first process found that holds it. */
typedef struct SocketHolder {
        uint32_t inode;
        pid_t pid;                    /* 0: not known, or not ours to see */
        char name[PROCESS_NAME_SIZE]; /* of the process, printable; "" if not known */
} SocketHolder;

/* The same for one process: gives every holder whose socket it has its pid and name. */
void proc_look_into(pid_t pid, SocketHolder *holders, size_t n_holders);

/* Fills in pid and name of those whose pid is 0, except what @except holds (0: nobody). */
void proc_find_holders(SocketHolder *holders, size_t n_holders, pid_t except);

/* A process that was started with @name=@value in its environment and leads a session, as those do that we
 * start; who has inherited the variable from it does not.
 *
 * @ret_pidfd  the caller's
 *
 * Returns 0; -ESRCH: there is none. */
int proc_find_by_variable(const char *name, const char *value, pid_t *ret_pid, int *ret_pidfd);
