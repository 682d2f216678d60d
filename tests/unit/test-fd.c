#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "unit.h"

#define FDS_MAX 8
#define FIRST   20

static ino_t inode_of(int fd) {
        struct stat st;

        return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

/* In a process of its own: opens files at @numbers, arranges those that are named by @which, an index
 * for each, and sees whether they are where they belong.  Returns its exit status. */
static int arrange(const int *numbers, size_t n_numbers, const unsigned *which, size_t n_fds) {
        ino_t inodes[FDS_MAX];
        int fds[FDS_MAX], status;
        pid_t pid = fork();

        if (pid > 0) {
                assert_int_equal(waitpid(pid, &status, 0), pid);
                return status;
        }

        for (size_t i = 0; i < n_numbers; i++) {
                int fd = memfd_create("x", MFD_CLOEXEC);

                if (dup3(fd, numbers[i], O_CLOEXEC) < 0)
                        _exit(1);
                (void) close(fd);
                inodes[i] = inode_of(numbers[i]);
        }
        for (size_t i = 0; i < n_fds; i++)
                fds[i] = numbers[which[i]];
        if (fd_arrange(fds, n_fds, FIRST) < 0)
                _exit(2);
        for (size_t i = 0; i < n_fds; i++) {
                if (inode_of(FIRST + (int) i) != inodes[which[i]])
                        _exit(3);
                if (fcntl(FIRST + (int) i, F_GETFD) & FD_CLOEXEC)
                        _exit(4);
        }
        _exit(0);
}

static void descriptors_come_to_their_places_wherever_they_were(void **state) {
        static const int places[][4] = {
                { 20, 21, 22, 23 }, { 21, 22, 23, 20 }, { 23, 22, 21, 20 },
                { 21, 20, 23, 22 }, { 40, 41, 42, 43 }, { 21, 22, 23, 24 },
                { 19, 20, 21, 22 }, { 23, 50, 20, 51 }, { 30, 20, 31, 21 },
        };
        static const unsigned each[] = { 0, 1, 2, 3 }, twice[] = { 0, 0, 1, 0, 3, 1 };

        for (size_t i = 0; i < ELEMENTS_OF(places); i++) {
                assert_int_equal(arrange(places[i], 4, each, ELEMENTS_OF(each)), 0);
                assert_int_equal(arrange(places[i], 4, twice, ELEMENTS_OF(twice)), 0);
        }
}

static void a_call_that_failed_is_told_with_its_errno(void **state) {
        const char *nowhere = "/nowhere/at/all";

        assert_int_equal(fd_move_above_stdio(open(nowhere, O_RDONLY)), -ENOENT);
        assert_int_equal(fd_move_above_stdio(fcntl(999, F_DUPFD_CLOEXEC, 0)), -EBADF);
}

static void memory_is_a_file_without_a_name(void **state) {
        int fd = fd_open_memory("test");
        struct stat st;

        assert_true(fd > STDERR_FILENO);
        assert_int_equal(write(fd, "x", 1), 1);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_nlink, 0);
        assert_int_equal(st.st_size, 1);
        (void) fd_close(fd);
}

static void few_more_than_there_are_is_room_enough(void **state) {
        enum {
                N = 500
        };
        const struct rlimit room = { N + 40, N + 40 };
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                int *fds = calloc(N, sizeof(int));

                for (int i = 0; i < N; i++)
                        fds[i] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
                if (setrlimit(RLIMIT_NOFILE, &room) < 0)
                        _exit(1);
                _exit(fd_arrange(fds, N, 3) < 0 ? 2 : 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(descriptors_come_to_their_places_wherever_they_were),
                UNIT_TEST(a_call_that_failed_is_told_with_its_errno),
                UNIT_TEST(memory_is_a_file_without_a_name),
                UNIT_TEST(few_more_than_there_are_is_room_enough),
        };

        return UNIT_RUN(tests);
}
