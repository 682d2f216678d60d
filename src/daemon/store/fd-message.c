#include "daemon/store/fd-message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "daemon/store/fd-store.h"

static void take_control(struct msghdr *message, FdMessage *m) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                size_t size = c->cmsg_len - CMSG_LEN(0);

                if (c->cmsg_level != SOL_SOCKET)
                        continue;

                if (c->cmsg_type == SCM_RIGHTS) {
                        memcpy(m->fds, CMSG_DATA(c), size);
                        m->n_fds = size / sizeof(int);
                } else if (c->cmsg_type == SCM_CREDENTIALS) {
                        struct ucred who;

                        memcpy(&who, CMSG_DATA(c), sizeof(who));
                        m->pid = who.pid;
                }
        }
}

/* @wants_fds  else none is taken, and that there were some is no reason to refuse it */
static int receive(int socket, int flags, bool wants_fds, FdMessage *ret) {
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(struct ucred)) +
                           CMSG_SPACE(FD_MESSAGE_FDS_MAX * sizeof(int))];
        } control;
        struct iovec part = { ret->text, sizeof(ret->text) - 1 };
        struct msghdr message = {
                .msg_iov = &part,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = wants_fds ? sizeof(control) : 0,
        };
        ssize_t length;

        ret->n_fds = 0;
        ret->pid = 0;
        length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC | flags);
        if (length < 0)
                return errno == EINTR ? 0 : -errno;

        take_control(&message, ret);
        if (length == 0 || (message.msg_flags & (MSG_TRUNC | (wants_fds ? MSG_CTRUNC : 0))) ||
            memchr(ret->text, '\0', (size_t) length)) {
                fd_message_done(ret);
                return 0;
        }

        ret->text[length] = '\0';
        return 1;
}

int fd_message_receive(int socket, FdMessage *ret) {
        return receive(socket, 0, /* wants_fds= */ true, ret);
}

int fd_message_peek(int socket, FdMessage *ret) {
        return receive(socket, MSG_PEEK, /* wants_fds= */ true, ret);
}

int fd_message_receive_text(int socket, FdMessage *ret) {
        return receive(socket, 0, /* wants_fds= */ false, ret);
}

int fd_message_peek_text(int socket, FdMessage *ret) {
        return receive(socket, MSG_PEEK, /* wants_fds= */ false, ret);
}

void fd_message_done(FdMessage *m) {
        for (size_t i = 0; i < m->n_fds; i++)
                if (m->fds[i] >= 0)
                        fd_close_foreign(m->fds[i]);
        m->n_fds = 0;
}
