#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "settings/template.h"

#include "unit.h"

static EndpointSettings web = { .name = (char *) "web", .n_addresses = 2 };
static EndpointSettings dns = { .name = (char *) "dns", .n_addresses = 1 };
static const EndpointSettings *endpoints[] = { &web, &dns };
static const ServiceSettings site = {
        .name = (char *) "site",
        .endpoints = endpoints,
        .n_endpoints = 2,
};
static const uint16_t ports[] = { 8080, 8081, 53 };
static const TemplateContext context = { &site, 17, "green", 2, 3, ports };

static void assert_expands(const char *text, const char *expected) {
        char reterr[256], *expanded = NULL;

        assert_int_equal(template_check(text, &site, reterr, sizeof(reterr)), 0);
        assert_int_equal(template_expand(text, &context, &expanded), 0);
        assert_string_equal(expanded, expected);
        free(expanded);
}

static void each_template_has_its_value(void **state) {
        assert_expands("", "");
        assert_expands("plain", "plain");
        assert_expands("%n", "site");
        assert_expands("%g", "17");
        assert_expands("%c", "green");
        assert_expands("%i", "2");
        assert_expands("%%", "%");
        assert_expands("%%n", "%n");
        assert_expands("%{fd:web}", "3");
        assert_expands("%{fd:web.0}", "3");
        assert_expands("%{fd:web.1}", "4");
        assert_expands("%{fd:dns}", "5");
        assert_expands("%{port:web.1}", "8081");
        assert_expands("%{port:dns}", "53");
        assert_expands("/run/%n-%c.%i/%{fd:dns}:%{port:web}%%x", "/run/site-green.2/5:8080%x");
}

static void what_is_no_template_is_refused_by_both(void **state) {
        static const char *const texts[] = {
                "%",
                "%x",
                "a%",
                "%{",
                "%{}",
                "%{fd}",
                "%{fd:}",
                "%{fd:web",
                "%{fd:web.}",
                "%{fd:web.x}",
                "%{fd:web.2}",
                "%{fd:dns.1}",
                "%{fd:other}",
                "%{port:other}",
                "%{fd:web.0x1}",
                "%{fd:web.99999999999999999999}",
                "%{fdx:web}",
                "%{FD:web}",
                "%{fd:web }",
                "% n",
        };

        for (size_t i = 0; i < ELEMENTS_OF(texts); i++) {
                char reterr[256] = "", *expanded = NULL;

                if (template_check(texts[i], &site, reterr, sizeof(reterr)) != -EINVAL)
                        fail_msg("%s passes", texts[i]);
                assert_non_null(strstr(reterr, "expected "));
                assert_int_equal(template_expand(texts[i], &context, &expanded), -EINVAL);
                assert_null(expanded);
        }
}

static void messages_say_what_is_wrong(void **state) {
        char reterr[256];

        assert_int_equal(template_check("50%", &site, reterr, sizeof(reterr)), -EINVAL);
        assert_string_equal(reterr, "\"%\" is not a template, expected %n, %g, %c, %i, "
                                    "%{fd:ENDPOINT}, %{port:ENDPOINT}, or %% for a per cent sign");
        assert_int_equal(template_check("%{fd:x}", &site, reterr, sizeof(reterr)), -EINVAL);
        assert_string_equal(reterr, "\"%{fd:x}\" names no endpoint of this service, expected one "
                                    "of its \"endpoints\"");
        assert_int_equal(template_check("%{fd:web.2}", &site, reterr, sizeof(reterr)), -EINVAL);
        assert_string_equal(reterr,
                            "\"%{fd:web.2}\" names an address that the endpoint does not "
                            "have, expected a number from 0 to one less than its addresses");
}

static void a_list_is_expanded_whole_or_not_at_all(void **state) {
        char *good[] = { (char *) "%n", (char *) "%i", NULL };
        char *bad[] = { (char *) "%n", (char *) "%x", NULL };
        _cleanup_strv_ char **list = NULL;
        char **none = NULL;

        assert_int_equal(template_expand_list(good, &context, &list), 0);
        assert_int_equal(strv_length(list), 2);
        assert_string_equal(list[0], "site");
        assert_string_equal(list[1], "2");
        assert_int_equal(template_expand_list(bad, &context, &none), -EINVAL);
        assert_null(none);
}

static void inetd_counts_from_zero(void **state) {
        TemplateContext inetd = context;
        char *expanded;

        inetd.first_fd = 0;
        assert_int_equal(template_expand("%{fd:web}", &inetd, &expanded), 0);
        assert_string_equal(expanded, "0");
        free(expanded);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(each_template_has_its_value),
                UNIT_TEST(what_is_no_template_is_refused_by_both),
                UNIT_TEST(messages_say_what_is_wrong),
                UNIT_TEST(a_list_is_expanded_whole_or_not_at_all),
                UNIT_TEST(inetd_counts_from_zero),
        };

        return UNIT_RUN(tests);
}
