#include <stdlib.h>
#include <string.h>

#include "settings/settings.h"

const char *settings_texts_find(const SettingsTexts *t, const char *path) {
        for (size_t i = 0; i < t->n_items; i++)
                if (strcmp(t->items[i].path, path) == 0)
                        return t->items[i].text;

        return NULL;
}

int settings_texts_put(SettingsTexts *t, const char *path, const char *text) {
        _cleanup_free_ char *own_path = NULL, *own_text = NULL;
        SettingsText *longer;

        if (settings_texts_find(t, path))
                return 0;

        own_path = strdup(path);
        own_text = strdup(text);
        longer = reallocarray(t->items, t->n_items + 1, sizeof(SettingsText));
        if (longer)
                t->items = longer;
        if (!longer || !own_path || !own_text)
                return -ENOMEM;

        t->items[t->n_items++] = (SettingsText){ TAKE_PTR(own_path), TAKE_PTR(own_text) };
        return 0;
}

void settings_texts_done(SettingsTexts *t) {
        for (size_t i = 0; i < t->n_items; i++) {
                free(t->items[i].path);
                free(t->items[i].text);
        }
        free(t->items);
        *t = (SettingsTexts){ 0 };
}

bool settings_texts_equal(const SettingsTexts *a, const SettingsTexts *b) {
        if (a->n_items != b->n_items)
                return false;

        for (size_t i = 0; i < a->n_items; i++) {
                const char *text = settings_texts_find(b, a->items[i].path);

                if (!text || strcmp(text, a->items[i].text) != 0)
                        return false;
        }

        return true;
}
