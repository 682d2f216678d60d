/* Templates: what passes the check can be expanded, and what does not, cannot. */

#include <errno.h>

#include "base/text.h"
#include "settings/environment.h"
#include "settings/template.h"

#include "fuzz.h"

static EndpointSettings web = { .name = (char *) "web", .n_addresses = 2 };
static EndpointSettings dns = { .name = (char *) "dns", .n_addresses = 1 };
static const EndpointSettings *endpoints[] = { &web, &dns };
static const ServiceSettings site = { .name = (char *) "site",
                                      .endpoints = endpoints,
                                      .n_endpoints = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
        static const uint16_t ports[] = { 8080, 8081, 53 };
        const TemplateContext context = { &site, 17, "green", 2, 3, ports };
        _cleanup_free_ char *text = fuzz_text(bytes, n_bytes), *expanded = NULL;
        _cleanup_(report_done) Report report = { 0 };
        _cleanup_strv_ char **list = NULL;
        char reterr[REPORT_TEXT_SIZE] = "";
        int r;

        r = template_check(text, &site, reterr, sizeof(reterr));
        FUZZ_ASSERT(r == 0 || (r == -EINVAL && reterr[0]));
        FUZZ_ASSERT(template_expand(text, &context, &expanded) == r);
        FUZZ_ASSERT((r == 0) == (expanded != NULL));

        /* What a file of variables becomes has no templates but escaped signs. */
        FUZZ_ASSERT(environment_parse(text, "x", "x", &report, &list) == 0);
        STRV_FOREACH(assignment, list) {
                FUZZ_ASSERT(strchr(*assignment, '='));
                FUZZ_ASSERT(template_check(*assignment, &site, reterr, sizeof(reterr)) == 0);
        }
        return 0;
}
