/* The configuration for others: as JSON, key by key, compared, checked. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_keys.h"

/* The object for the groups before the last dot of the key's name, made where it is missing; *leaf is what follows. */
static cJSON *object_for(cJSON *root, const char *name, const char **leaf)
{
    char part[64];
    for (const char *dot; root && (dot = strchr(name, '.')); name = dot + 1) {
        snprintf(part, sizeof part, "%.*s", (int)(dot - name), name);
        cJSON *inner = cJSON_GetObjectItemCaseSensitive(root, part);
        root = inner ? inner : cJSON_AddObjectToObject(root, part);
    }
    *leaf = name;
    return root;
}

char *config_json(const struct config *c)
{
    cJSON *root = cJSON_CreateObject();
    int good = root != NULL;
    for (int i = 0; i < conf_key_count && good; i++) {
        const char *leaf;
        cJSON *object = object_for(root, conf_keys[i].name, &leaf),
              *value = conf_value_json(&conf_keys[i], c);
        good = object && value && cJSON_AddItemToObject(object, leaf, value);
    }
    char *text = good ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

const char *config_model_difference(const struct model_config *a, const struct model_config *b)
{
    struct config x = {.model = *a}, y = {.model = *b};
    for (int i = 0; i < conf_key_count; i++) {
        const struct key *k = &conf_keys[i];
        /* The name is a label, and the kind of positional encoding has no value. */
        if (strncmp(k->name, "model.", 6) || k->kind == KEY_FIXED || k->kind == KEY_TEXT)
            continue;
        if (!conf_value_equal(k, &x, &y))
            return k->name;
    }
    return NULL;
}

static void type_text(const struct key *k, char *out, size_t size)
{
    switch (k->kind) {
    case KEY_BOOL:
        snprintf(out, size, "true|false");
        break;
    case KEY_U32:
    case KEY_I64:
    case KEY_U64:
        snprintf(out, size, "whole number %.0f..%.12g", k->low, k->high);
        break;
    case KEY_F64:
        snprintf(out, size, "number %g..%g", k->low, k->high);
        break;
    case KEY_CHOICE:
    case KEY_NAME:
    case KEY_FIXED:
        snprintf(out, size, "%s", k->choices);
        break;
    case KEY_TEXT:
        snprintf(out, size, "text");
        break;
    case KEY_RESOLUTION:
        snprintf(out, size, "[H,W]");
        break;
    case KEY_PAIR:
        snprintf(out, size, "[number,number]");
        break;
    case KEY_WEIGHTS:
        snprintf(out, size, "map of %s", k->choices);
        break;
    case KEY_LOSS:
        snprintf(out, size, "auto, or map of %s", k->choices);
        break;
    case KEY_CAP:
        snprintf(out, size, "%s|N", k->choices);
        break;
    case KEY_JSON:
        snprintf(out, size, "map");
        break;
    }
}

void config_each_key(const struct config *c, config_key_fn fn, void *user)
{
    for (int i = 0; i < conf_key_count; i++) {
        char type[160];
        cJSON *value = conf_value_json(&conf_keys[i], c);
        char *text = value ? cJSON_PrintUnformatted(value) : NULL;
        type_text(&conf_keys[i], type, sizeof type);
        if (text)
            fn(user, conf_keys[i].name, type, text, conf_keys[i].help);
        cJSON_free(text);
        cJSON_Delete(value);
    }
}

int config_model_check(const struct model_config *m, int code, struct err *e)
{
    if (m->embed_dim % 4)
        return err_set(e, code, "model.embed_dim: %u is not a multiple of 4", m->embed_dim);
    if (m->embed_dim % m->num_heads)
        return err_set(e, code, "model.num_heads: %u does not divide model.embed_dim %u", m->num_heads,
                       m->embed_dim);
    if (m->prefill == PREFILL_LINEAR && m->query_patch < 2)
        return err_set(e, code, "model.prefill: linear needs model.decoder.query_patch above 1");
    return 0;
}

static int check_training(const struct training_config *t, struct err *e)
{
    if (t->samples[0] > t->samples[1])
        return err_set(e, ERR_CONFIG, "training.samples: [%g,%g] is not in rising order", t->samples[0],
                       t->samples[1]);
    return 0;
}

int config_check(const struct config *c, struct err *e)
{
    const struct mask_update_config *m = &c->mask_update;
    int r = config_model_check(&c->model, ERR_CONFIG, e);
    if (!r)
        r = check_training(&c->training, e);
    if (r)
        return r;
    if (m->min_interval > m->max_interval)
        return err_set(e, ERR_CONFIG, "mask_update.adaptive: min_interval %lld is above max_interval %lld",
                       (long long)m->min_interval, (long long)m->max_interval);
    if (m->low_quality_threshold > m->high_quality_threshold)
        return err_set(
            e, ERR_CONFIG,
            "mask_update.quality_based: low_quality_threshold %g is above high_quality_threshold %g",
            m->low_quality_threshold, m->high_quality_threshold);
    return 0;
}
