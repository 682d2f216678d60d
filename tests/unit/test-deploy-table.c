#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/deploy/deploy-table.h"
#include "unit.h"

static char *print_all_pairs(void) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        assert_non_null(stream);
        for (DeployState state = 0; state < DEPLOY_STATE_MAX; state++)
                for (DeployEvent event = 0; event < DEPLOY_EVENT_MAX; event++) {
                        DeployState next;
                        DeployAction action;
                        bool has_row = deploy_table_look_up(state, event, &next, &action);

                        fprintf(stream, "%-12s| %-24s| ", deploy_state_to_string(state),
                                deploy_event_to_string(event));
                        if (has_row)
                                fprintf(stream, "%-12s| %s\n", deploy_state_to_string(next),
                                        deploy_action_to_string(action));
                        else
                                fprintf(stream, "-\n");
                }

        assert_int_equal(fclose(stream), 0);
        return text;
}

static char *read_page(void) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = fopen(SOURCES "/deploy-table.page", "re");

        assert_non_null(file);
        assert_true(getdelim(&text, &size, '\0', file) > 0);
        (void) fclose(file);
        return text;
}

/* REUSEPORT_PRINT_PAGE=1 prints what the page should be. */
static void every_pair_is_on_the_page(void **state) {
        char *printed = print_all_pairs(), *page;

        if (getenv("REUSEPORT_PRINT_PAGE"))
                fputs(printed, stderr);
        page = read_page();
        assert_string_equal(printed, page);
        free(printed);
        free(page);
}

/* Whoever has begun to leave is never called back, and nothing follows an end. */
static void there_is_no_way_back_from_leaving(void **state) {
        static const DeployState ends[] = { DEPLOY_LEAVING, DEPLOY_DONE, DEPLOY_RETREATING,
                                            DEPLOY_ROLLED_BACK };

        for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
                for (DeployEvent event = 0; event < DEPLOY_EVENT_MAX; event++) {
                        DeployState next;
                        DeployAction action;

                        if (!deploy_table_look_up(ends[i], event, &next, &action))
                                continue;
                        assert_int_equal(event, DEPLOY_ON_LEFT_GONE);
                        assert_false(deploy_state_is_end(ends[i]));
                }
}

/* From every state some sequence of events leads to an end: nothing can be stuck. */
static void every_state_leads_to_an_end(void **state) {
        bool can_end[DEPLOY_STATE_MAX] = { [DEPLOY_DONE] = true, [DEPLOY_ROLLED_BACK] = true };

        for (unsigned round = 0; round < DEPLOY_STATE_MAX; round++)
                for (DeployState s = 0; s < DEPLOY_STATE_MAX; s++)
                        for (DeployEvent event = 0; event < DEPLOY_EVENT_MAX; event++) {
                                DeployState next;
                                DeployAction action;

                                if (deploy_table_look_up(s, event, &next, &action) && can_end[next])
                                        can_end[s] = true;
                        }

        for (DeployState s = 0; s < DEPLOY_STATE_MAX; s++)
                assert_true(can_end[s]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                UNIT_TEST(every_pair_is_on_the_page),
                UNIT_TEST(there_is_no_way_back_from_leaving),
                UNIT_TEST(every_state_leads_to_an_end),
        };

        return UNIT_RUN(tests);
}
