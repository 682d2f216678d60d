#pragma once

/* One datagram of sd_notify(3) as it arrives: its text, its descriptors, and who the kernel says has sent
 * it.  Nothing in it is trusted. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FD_MESSAGE_SIZE_BYTES 4096U
#define FD_MESSAGE_FDS_MAX    253U /* SCM_MAX_FD of the kernel */

typedef struct FdMessage {
        char text[FD_MESSAGE_SIZE_BYTES]; /* ends with a zero byte, and has no other */
        int fds[FD_MESSAGE_FDS_MAX];      /* close-on-exec; who keeps one takes it by TAKE_FD() */
        size_t n_fds;
        pid_t pid; /* of the sender, 0: unknown; it may be gone, and another may have its number */
} FdMessage;

/* Takes one from the queue of a datagram socket that has SO_PASSCRED.
 *
 * Returns 1; 0 if there was one and it is refused: empty, too long, with a zero byte, or with descriptors
 * that were lost on the way because we have too many (then all of them are closed); -EAGAIN: there is none.
 * Unless it is 1 nothing is left in @ret. */
int fd_message_receive(int socket, FdMessage *ret);

/* The same, and it stays in the queue: its descriptors are other numbers each time. */
int fd_message_peek(int socket, FdMessage *ret);

/* The same, of its text alone: its descriptors are left where they are, and nobody is known to have sent it. */
int fd_message_peek_text(int socket, FdMessage *ret);
int fd_message_receive_text(int socket, FdMessage *ret);

/* Closes the descriptors that nobody has taken. */
void fd_message_done(FdMessage *m);
