#include "daemon/state/state-config.h"

#include <errno.h>
#include <string.h>

#include "daemon/state/state-fields.h"

static const StateField fields[] = {
        STATE_FIELD(SettingsText, path, STATE_STRING),
        STATE_FIELD(SettingsText, text, STATE_STRING),
};

json_t *state_config_save(const Settings *s) {
        _cleanup_state_json_ json_t *object = json_object();
        json_t *texts = object ? json_array() : NULL;
        int r = texts ? state_put_json(object, "texts", texts) : -ENOMEM;

        for (size_t i = 0; i < s->texts.n_items && r >= 0; i++) {
                json_t *text = json_object();

                r = text ? state_fields_save(fields, ELEMENTS_OF(fields), &s->texts.items[i], text)
                         : -ENOMEM;
                if (json_array_append_new(texts, text) < 0)
                        r = -ENOMEM;
        }

        return r < 0 ? NULL : TAKE_PTR(object);
}

static int load_texts(const json_t *from, SettingsTexts *ret) {
        const json_t *texts;
        int r;

        r = state_get_array(from, "texts", &texts);
        for (size_t i = 0; i < json_array_size(texts) && r >= 0; i++) {
                SettingsText text = { 0 };

                r = state_fields_load(fields, ELEMENTS_OF(fields), json_array_get(texts, i), &text);
                if (r >= 0)
                        r = text.path && text.text ? settings_texts_put(ret, text.path, text.text)
                                                   : -EBADMSG;
                free(text.path);
                free(text.text);
        }

        return r < 0 ? r : ret->n_items > 0 ? 0 : -EBADMSG;
}

int state_config_load(const json_t *from, Problems *problems, Settings **ret) {
        _cleanup_(settings_texts_done) SettingsTexts texts = { .are_frozen = true };
        _cleanup_free_ char *path = NULL;
        int r;

        r = load_texts(from, &texts);
        if (r < 0)
                return r;

        path = strdup(texts.items[0].path); /* the main file was read first */
        if (!path)
                return -ENOMEM;
        r = settings_load_texts(path, &texts, problems, ret);
        return r == -EBADMSG ? -ESTALE : r;
}
