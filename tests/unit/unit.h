#pragma once

/* What every unit test stands on: cmocka, TAP on stdout, and a look at our descriptors after each test.
 *
 *      static void a_thing_does_what_it_says(void **state) { … }
 *
 *      int main(void) {
 *              static const struct CMUnitTest tests[] = { UNIT_TEST(a_thing_does_what_it_says) };
 *
 *              return UNIT_RUN(tests);
 *      }
 *
 * Nobody sleeps: unit_wait() and what is built on it waits for an event, and fails after five seconds.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>

#include "base/fd.h"

#define UNIT_TIMEOUT_MSEC 5000

#define UNIT_TEST(function) cmocka_unit_test_setup_teardown(function, unit_begin, unit_end)
#define UNIT_RUN(tests)     (unit_init(), cmocka_run_group_tests(tests, NULL, NULL))

void unit_init(void);
int unit_begin(void **state);
int unit_end(void **state); /* fails if a descriptor is open that was not, or the other way round */

/* Ends the test as skipped and says why. */
#define unit_skip(...) unit_skip_at(__VA_ARGS__)
void unit_skip_at(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));

/* REUSEPORT_TEST_LONG=1: full counts; else @little. */
unsigned unit_count(unsigned little, unsigned full);

/* assert_int_equal(r, 0) with the error's own words. */
#define assert_ok(expression) unit_assert_ok((expression), #expression, __FILE__, __LINE__)
int unit_assert_ok(int r, const char *expression, const char *file, int line);

/* Waits for poll() events; returns what came. */
short unit_wait(int fd, short events);

/* accept4() that waits; the caller's. */
int unit_accept(int fd);

/* A new network of this process, with loopback up, for the rest of the process; or false. */
bool unit_try_own_network(void);

/* The same, or skips the test. */
void unit_own_network(void);

/* Writes a number or word into a file; false if that is not possible. */
bool unit_write_file(const char *path, const char *text);
