/* One value: from YAML, to JSON. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "conf/conf_keys.h"

int conf_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    int i = 0;
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL, i++)
        if (strcspn(c, "|") == n && !memcmp(c, text, n))
            return i;
    return -1;
}

const char *conf_choice_name(const char *choices, int i, char out[32])
{
    for (; i > 0 && choices; i--)
        choices = strchr(choices, '|') ? strchr(choices, '|') + 1 : NULL;
    snprintf(out, 32, "%.*s", choices ? (int)strcspn(choices, "|") : 0, choices ? choices : "");
    return out;
}

static int not_a_choice(const char *name, const char *text, const char *choices, int code, struct err *e)
{
    return err_set(e, code, "%s: '%.80s' is not one of %s", name, text, choices);
}

static int set_text(const struct key *k, char *out, const char *text, int code, struct err *e)
{
    if (strlen(text) >= k->size)
        return err_set(e, code, "%s: longer than %zu characters", k->name, k->size - 1);
    for (const char *s = text; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return err_set(e, code, "%s: has a control character", k->name);
    memset(out, 0, k->size);
    memcpy(out, text, strlen(text));
    return 0;
}

static int set_bool(const struct key *k, int *out, const char *text, int code, struct err *e)
{
    int i = conf_choice("false|true|no|yes|off|on", text);
    if (i < 0)
        return err_set(e, code, "%s: '%.80s' is not true or false", k->name, text);
    *out = i & 1;
    return 0;
}

static int set_cap(const struct key *k, char *out, const char *text, int code, struct err *e)
{
    int64_t number;
    if (conf_choice(k->choices, text) < 0 &&
        parse_i64(text, (int64_t)k->low, (int64_t)k->high, k->name, &number, code, NULL))
        return err_set(e, code, "%s: '%.80s' is not one of %s, nor a whole number from %g", k->name, text,
                       k->choices, k->low);
    return set_text(k, out, text, code, e);
}

/* Plain scalars. high is a double: 2^63 stands for the largest of its kind. */
static int set_scalar(const struct key *k, struct config *c, const char *text, int code, struct err *e)
{
    void *at = (char *)c + k->offset;
    uint64_t whole;
    int r, choice;
    switch (k->kind) {
    case KEY_BOOL:
        return set_bool(k, at, text, code, e);
    case KEY_U32:
        r = parse_u64(text, (uint64_t)k->low, (uint64_t)k->high, k->name, &whole, code, e);
        if (!r)
            *(uint32_t *)at = (uint32_t)whole;
        return r;
    case KEY_U64:
        return parse_u64(text, (uint64_t)k->low, k->high >= 0x1p63 ? INT64_MAX : (uint64_t)k->high, k->name,
                         at, code, e);
    case KEY_I64:
        return parse_i64(text, (int64_t)k->low, (int64_t)k->high, k->name, at, code, e);
    case KEY_F64:
        return parse_f64(text, k->low, k->high, k->name, at, code, e);
    case KEY_CHOICE:
        choice = conf_choice(k->choices, text);
        if (choice < 0)
            return not_a_choice(k->name, text, k->choices, code, e);
        memcpy(at, &choice, sizeof choice);
        return 0;
    case KEY_FIXED:
    case KEY_NAME:
        if (conf_choice(k->choices, text) < 0)
            return not_a_choice(k->name, text, k->choices, code, e);
        return k->kind == KEY_FIXED ? 0 : set_text(k, at, text, code, e);
    case KEY_TEXT:
        return set_text(k, at, text, code, e);
    case KEY_CAP:
        return set_cap(k, at, text, code, e);
    default:
        return err_set(e, ERR_INTERNAL, "%s is not a scalar", k->name);
    }
}

/* The text of a scalar node; NULL when it is none, or null. */
static const char *node_text(struct fy_node *node)
{
    size_t n;
    const char *text =
        fy_node_is_scalar(node) && !fy_node_is_null(node) ? fy_node_get_scalar(node, &n) : NULL;
    if (!text || memchr(text, 0, n))
        return NULL;
    text = fy_node_get_scalar0(node);
    int null = fy_node_get_style(node) == FYNS_PLAIN && (!strcmp(text, "~") || !strcmp(text, "null"));
    return null ? NULL : text;
}

static const char *expected(const struct key *k)
{
    switch (k->kind) {
    case KEY_RESOLUTION:
        return "[H,W], two whole numbers";
    case KEY_PAIR:
        return "[a,b], two numbers";
    case KEY_WEIGHTS:
    case KEY_LOSS:
        return "a name, or a map of names to weights";
    case KEY_JSON:
        return "a map";
    default:
        return "a single value";
    }
}

static int wrong_shape(const struct key *k, int code, struct err *e)
{
    return err_set(e, code, "%s: must be %s", k->name, expected(k));
}

static int set_resolution(const struct key *k, uint32_t *out, struct fy_node *node, int code, struct err *e)
{
    uint64_t side[2];
    const char *text = node_text(node);
    int pair = fy_node_is_sequence(node) && fy_node_sequence_item_count(node) == 2;
    if (!text && !pair)
        return wrong_shape(k, code, e);
    for (int i = 0; i < 2; i++) {
        if (pair)
            text = node_text(fy_node_sequence_get_by_index(node, i));
        if (!text)
            return wrong_shape(k, code, e);
        int r = parse_u64(text, (uint64_t)k->low, (uint64_t)k->high, k->name, &side[i], code, e);
        if (r)
            return r;
    }
    out[0] = (uint32_t)side[0];
    out[1] = (uint32_t)side[1];
    return 0;
}

static int set_pair(const struct key *k, double *out, struct fy_node *node, int code, struct err *e)
{
    double pair[2];
    if (!fy_node_is_sequence(node) || fy_node_sequence_item_count(node) != 2)
        return wrong_shape(k, code, e);
    for (int i = 0; i < 2; i++) {
        const char *text = node_text(fy_node_sequence_get_by_index(node, i));
        if (!text)
            return wrong_shape(k, code, e);
        int r = parse_f64(text, k->low, k->high, k->name, &pair[i], code, e);
        if (r)
            return r;
    }
    memcpy(out, pair, sizeof pair);
    return 0;
}

/* out has a place for every choice; what a map does not name is 0. */
static int set_weights(const struct key *k, double *out, size_t count, struct fy_node *node, int code,
                       struct err *e)
{
    double weight[LOSS_TERMS] = {0}, sum = 0;
    char name[128];
    const char *text = node_text(node);
    if (text) {
        int i = conf_choice(k->choices, text);
        if (i < 0)
            return not_a_choice(k->name, text, k->choices, code, e);
        weight[i] = sum = 1;
    } else if (!fy_node_is_mapping(node)) {
        return wrong_shape(k, code, e);
    }
    void *at = NULL;
    for (struct fy_node_pair *p; !text && (p = fy_node_mapping_iterate(node, &at));) {
        const char *term = node_text(fy_node_pair_key(p)), *value = node_text(fy_node_pair_value(p));
        if (!term || !value)
            return wrong_shape(k, code, e);
        int i = conf_choice(k->choices, term);
        if (i < 0)
            return not_a_choice(k->name, term, k->choices, code, e);
        snprintf(name, sizeof name, "%s.%s", k->name, term);
        int r = parse_f64(value, k->low, k->high, name, &weight[i], code, e);
        if (r)
            return r;
        sum += weight[i];
    }
    if (!(sum > 0))
        return err_set(e, code, "%s: at least one weight must be above 0", k->name);
    memcpy(out, weight, count * sizeof *out);
    return 0;
}

static int set_loss(const struct key *k, struct training_config *t, struct fy_node *node, int code,
                    struct err *e)
{
    const char *text = node_text(node);
    if (text && !strcmp(text, "auto")) {
        t->loss_auto = 1;
        memset(t->loss, 0, sizeof t->loss);
        return 0;
    }
    int r = set_weights(k, t->loss, LOSS_TERMS, node, code, e);
    if (!r)
        t->loss_auto = 0;
    return r;
}

static int set_json(const struct key *k, char **out, struct fy_node *node, int code, struct err *e)
{
    if (!fy_node_is_mapping(node))
        return wrong_shape(k, code, e);
    char *text = fy_emit_node_to_string(node, FYECF_MODE_JSON_ONELINE | FYECF_WIDTH_INF);
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    char *tidy = json ? cJSON_PrintUnformatted(json) : NULL;
    free(text);
    cJSON_Delete(json);
    if (!tidy)
        return err_set(e, code, "%s: cannot be written as JSON", k->name);
    free(*out);
    *out = tidy;
    return 0;
}

int conf_value_from_node(const struct key *k, struct config *c, struct fy_node *node, int code, struct err *e)
{
    void *at = (char *)c + k->offset;
    if (node && fy_node_is_alias(node))
        node = fy_node_resolve_alias(node);
    if (!node)
        return err_set(e, code, "%s: has no value", k->name);
    switch (k->kind) {
    case KEY_RESOLUTION:
        return set_resolution(k, at, node, code, e);
    case KEY_PAIR:
        return set_pair(k, at, node, code, e);
    case KEY_WEIGHTS:
        return set_weights(k, at, k->size / sizeof(double), node, code, e);
    case KEY_LOSS:
        return set_loss(k, at, node, code, e);
    case KEY_JSON:
        return set_json(k, at, node, code, e);
    default:
        break;
    }
    const char *text = node_text(node);
    if (!text)
        return fy_node_is_scalar(node) ? err_set(e, code, "%s: has no value", k->name)
                                       : wrong_shape(k, code, e);
    return set_scalar(k, c, text, code, e);
}

int conf_value_from_text(const struct key *k, struct config *c, const char *text, int code, struct err *e)
{
    if (k->kind < KEY_RESOLUTION || k->kind == KEY_CAP)
        return set_scalar(k, c, text, code, e);
    struct yaml y;
    int r = conf_yaml_parse(&y, text, strlen(text), 0, k->name, code, e);
    if (r)
        return r;
    r = conf_value_from_node(k, c, y.root, code, e);
    conf_yaml_release(&y);
    return r;
}

/* Whole numbers beyond 2^53 would lose digits in cJSON's double. */
static cJSON *json_whole(const char *text)
{
    return cJSON_CreateRaw(text);
}

static cJSON *json_pair(double a, double b)
{
    const double pair[2] = {a, b};
    return cJSON_CreateDoubleArray(pair, 2);
}

static cJSON *json_weights(const char *choices, const double *weight, size_t count)
{
    char name[32];
    cJSON *map = cJSON_CreateObject();
    for (size_t i = 0; map && i < count; i++)
        if (weight[i] > 0)
            cJSON_AddNumberToObject(map, conf_choice_name(choices, (int)i, name), weight[i]);
    return map;
}

cJSON *conf_value_json(const struct key *k, const struct config *c)
{
    const void *at = (const char *)c + k->offset;
    char text[32];
    int choice;
    switch (k->kind) {
    case KEY_BOOL:
        return cJSON_CreateBool(*(const int *)at);
    case KEY_U32:
        return cJSON_CreateNumber(*(const uint32_t *)at);
    case KEY_U64:
        snprintf(text, sizeof text, "%" PRIu64, *(const uint64_t *)at);
        return json_whole(text);
    case KEY_I64:
        snprintf(text, sizeof text, "%" PRId64, *(const int64_t *)at);
        return json_whole(text);
    case KEY_F64:
        return cJSON_CreateNumber(*(const double *)at);
    case KEY_CHOICE:
        memcpy(&choice, at, sizeof choice);
        return cJSON_CreateString(conf_choice_name(k->choices, choice, text));
    case KEY_FIXED:
        return cJSON_CreateString(k->standard);
    case KEY_NAME:
    case KEY_TEXT:
    case KEY_CAP:
        return cJSON_CreateString(at);
    case KEY_RESOLUTION:
        return json_pair(((const uint32_t *)at)[0], ((const uint32_t *)at)[1]);
    case KEY_PAIR:
        return json_pair(((const double *)at)[0], ((const double *)at)[1]);
    case KEY_WEIGHTS:
        return json_weights(k->choices, at, k->size / sizeof(double));
    case KEY_LOSS:
        return c->training.loss_auto ? cJSON_CreateString("auto")
                                     : json_weights(k->choices, c->training.loss, LOSS_TERMS);
    case KEY_JSON:
        return cJSON_CreateRaw(*(char *const *)at ? *(char *const *)at : "{}");
    }
    return NULL;
}

int conf_value_equal(const struct key *k, const struct config *a, const struct config *b)
{
    const char *x = (const char *)a + k->offset, *y = (const char *)b + k->offset;
    switch (k->kind) {
    case KEY_F64:
        return *(const double *)(const void *)x == *(const double *)(const void *)y;
    case KEY_NAME:
    case KEY_TEXT:
    case KEY_CAP:
        return !strcmp(x, y);
    case KEY_JSON:
        return 0; /* not of the model group; nobody asks */
    default:
        return !memcmp(x, y, k->size);
    }
}
