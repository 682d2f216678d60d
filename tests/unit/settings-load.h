#pragma once

/* Settings from a text. */

#include "base/text.h"
#include "settings/settings.h"

#include "files.h"

/* What @text gives, in a workplace of its own; NULL and the lines in @problems if it is bad. */
static inline Settings *try_text(const char *text, Problems *problems) {
        Settings *settings = NULL;
        Workplace w;
        int r;

        workplace_open(&w);
        write_text("x.conf", text);
        r = settings_load("x.conf", problems, &settings);
        assert_true(r == 0 || r == -EBADMSG);
        assert_int_equal(settings != NULL, r == 0);
        assert_int_equal(problems->lines == NULL, r == 0);
        workplace_close(&w);
        return settings;
}

/* The same for a text that must be good; warnings do not matter. */
static inline Settings *load_text(const char *text) {
        Problems problems = { 0 };
        Settings *settings = try_text(text, &problems);

        STRV_FOREACH(line, problems.lines)
                print_error("%s\n", *line);
        assert_non_null(settings);
        problems_done(&problems);
        return settings;
}

static inline char *printed(const Settings *s) {
        char *text = NULL;
        size_t size;
        FILE *to = open_memstream(&text, &size);

        assert_non_null(to);
        assert_int_equal(settings_print(s, to), 0);
        assert_int_equal(fclose(to), 0);
        return text;
}
