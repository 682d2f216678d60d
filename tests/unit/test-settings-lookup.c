/* Users and groups, whatever becomes of those who are asked for them.
 *
 * getpwnam_r() and getgrnam_r() of this file stand before the C library's, count how often they are asked, do
 * what a name asks for, and pass everything else on. */

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "settings/lookup.h"
#include "settings/settings.h"

#include "files.h"

static unsigned *n_asked; /* shared with the children */

static int misbehave(const char *name) {
        ++*n_asked;
        if (strcmp(name, "crash") == 0) {
                (void) signal(SIGSEGV, SIG_DFL); /* it is cmocka's */
                (void) raise(SIGSEGV);
        } else if (strcmp(name, "exit") == 0)
                exit(0);
        else if (strcmp(name, "hang") == 0)
                for (;;)
                        pause();
        else if (strcmp(name, "lie") == 0) {
                static const char lie[100] = "\1";

                (void) !write(3, lie, sizeof(lie));
                _exit(0);
        } else if (strcmp(name, "short-of-memory") == 0)
                return ENOMEM;
        else if (strcmp(name, "unreachable") == 0)
                return EIO;
        return 0;
}

int getpwnam_r(const char *name, struct passwd *entry, char *text, size_t size,
               struct passwd **found) {
        int (*real)(const char *, struct passwd *, char *, size_t,
                    struct passwd **) = dlsym(RTLD_NEXT, "getpwnam_r");
        int r = misbehave(name);

        *found = NULL;
        return r > 0 ? r : real(name, entry, text, size, found);
}

int getgrnam_r(const char *name, struct group *entry, char *text, size_t size,
               struct group **found) {
        int (*real)(const char *, struct group *, char *, size_t,
                    struct group **) = dlsym(RTLD_NEXT, "getgrnam_r");
        int r = misbehave(name);

        *found = NULL;
        return r > 0 ? r : real(name, entry, text, size, found);
}

static void assert_no_child(void) {
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void root_is_found_and_asked_for_once(void **state) {
        Lookups *l = NULL;
        const gid_t *groups;
        LookupUser user;
        gid_t gid;
        size_t n;

        *n_asked = 0;
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(lookup_user(&l, "root", 0, &user), 1);
                assert_int_equal(user.uid, 0);
                assert_string_equal(user.name, "root");
                assert_string_equal(user.home, "/root");
                assert_int_equal(lookup_group(&l, "root", &gid), 1);
                assert_int_equal(gid, 0);
        }
        assert_int_equal(*n_asked, 2);

        assert_int_equal(lookup_user(&l, NULL, 0, &user), 1);
        assert_string_equal(user.name, "root");
        assert_int_equal(lookup_groups_of(&l, "root", 4711, &groups, &n), 1);
        assert_true(n >= 1);
        assert_int_equal(groups[0], 4711);
        (void) lookups_free(l);
        assert_no_child();
}

static void who_is_not_there_is_not_found(void **state) {
        Lookups *l = NULL;
        LookupUser user;
        gid_t gid;

        *n_asked = 0;
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(lookup_user(&l, "nobody-like-that", 0, &user), 0);
                assert_int_equal(lookup_group(&l, "nobody-like-that", &gid), 0);
                assert_int_equal(lookup_user(&l, NULL, 3999999999U, &user), 0);
        }
        assert_int_equal(*n_asked, 2);
        (void) lookups_free(l);
}

static void what_becomes_of_who_is_asked_is_an_error(void **state) {
        static const struct {
                const char *name;
                int error;
        } cases[] = { { "crash", -EPROTO },
                      { "exit", -EPROTO },
                      { "lie", -EPROTO },
                      { "short-of-memory", -ENOMEM },
                      { "unreachable", -EIO } };
        Lookups *l = NULL;
        LookupUser user;
        gid_t gid;

        for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
                assert_int_equal(lookup_user(&l, cases[i].name, 0, &user), cases[i].error);
                assert_int_equal(lookup_group(&l, cases[i].name, &gid), cases[i].error);
                assert_no_child();
        }
        assert_int_equal(lookup_user(&l, "root", 0, &user), 1);
        (void) lookups_free(l);
}

static void a_service_says_so_in_its_line(void **state) {
        Workplace place;
        Problems problems = { 0 };
        Settings *settings = NULL;

        workplace_open(&place);
        write_text("crash.conf",
                   "endpoints: { web: { listen_stream = \":1\"; allow_users = [\"exit\"]; }; };\n"
                   "services: { site: { endpoints = [\"web\"]; exec_start = [\"/bin/true\"];\n"
                   "                    user = \"crash\"; group = \"unreachable\"; }; };\n");
        assert_int_equal(settings_load("crash.conf", &problems, &settings), -EBADMSG);
        assert_int_equal(strv_length(problems.lines), 3);
        assert_non_null(strstr(
                        problems.lines[0],
                        ":1: endpoints.web.allow_users: there is no user \"exit\" to be found: "
                        "whoever was asked has crashed, expected one of this system"));
        assert_non_null(strstr(problems.lines[1],
                               ":3: services.site.user: \"crash\" cannot be looked up: whoever was "
                               "asked has crashed, expected a name or number of this system"));
        assert_non_null(strstr(problems.lines[2],
                               ":3: services.site.group: \"unreachable\" cannot be looked up: "
                               "Input/output error, expected a name or number of this system"));
        problems_done(&problems);
        workplace_close(&place);
        assert_no_child();
}

/* Lasts as long as that, and the next question is not asked any more. */
static void who_does_not_answer_is_not_waited_for_twice(void **state) {
        Lookups *l = NULL;
        LookupUser user;
        gid_t gid;

        *n_asked = 0;
        assert_int_equal(lookup_user(&l, "hang", 0, &user), -ETIME);
        assert_int_equal(lookup_user(&l, "root", 0, &user), -ETIME);
        assert_int_equal(lookup_group(&l, "hang", &gid), -ETIME);
        assert_int_equal(*n_asked, 1);
        assert_string_equal(lookup_strerror(-ETIME), "no answer in 5 s");
        (void) lookups_free(l);
        assert_no_child();
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(root_is_found_and_asked_for_once),
                UNIT_TEST(who_is_not_there_is_not_found),
                UNIT_TEST(what_becomes_of_who_is_asked_is_an_error),
                UNIT_TEST(a_service_says_so_in_its_line),
                UNIT_TEST(who_does_not_answer_is_not_waited_for_twice),
        };

        n_asked = mmap(NULL, sizeof(*n_asked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0);
        if (n_asked == MAP_FAILED)
                return EXIT_FAILURE;
        return UNIT_RUN(tests);
}
