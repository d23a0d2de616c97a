#include "io/message_answer.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/json_scan.h"
#include "io/message_binary.h"

/* --- coordinates: the one long message --- */

struct coordinates {
    struct json_scan s;
    int64_t target, set;
    float **uv;
    size_t *capacity, *n;
    int there;
    struct err *e;
};

/* {"u":0.5,"v":0.25} or [0.5,0.25] */
static int read_pair(struct json_scan *s, double p[2])
{
    static const char *const names[] = {"u", "v"};
    static const char *const lead[] = {"{\"u\":", ",\"v\":"};
    size_t n = 0;
    int seen = 0;
    if (scan_usual(s, lead, 2, p))
        return 0;
    if (scan_peek(s) == '[') {
        for (scan_open(s, '['); scan_next(s, ']', n); n++)
            if (n == 2 || scan_number(s, &p[n]))
                return -1;
        return s->wrong || n != 2 ? -1 : 0;
    }
    for (scan_open(s, '{'); scan_next(s, '}', n); n++) {
        int i = scan_name(s, names, 2);
        if (i < 0 || (i < 2 ? scan_number(s, &p[i]) : scan_skip(s, NULL, NULL)))
            return -1;
        seen |= 1 << i;
    }
    return s->wrong || (seen & 3) != 3 ? -1 : 0;
}

static int read_pairs(struct coordinates *c)
{
    size_t n = 0;
    c->there = 1;
    for (scan_open(&c->s, '['); scan_next(&c->s, ']', n); n++) {
        double p[2];
        if (read_pair(&c->s, p) || !(p[0] >= 0 && p[0] <= 1 && p[1] >= 0 && p[1] <= 1))
            return err_set(c->e, ERR_DATA, "coordinates[%zu]: is no pair of u and v in [0,1]", n);
        if (2 * n + 2 > *c->capacity &&
            mem_grow(c->uv, c->capacity, 2 * n + 2, sizeof **c->uv, "coordinates", c->e))
            return c->e->code;
        (*c->uv)[2 * n] = (float)p[0];
        (*c->uv)[2 * n + 1] = (float)p[1];
    }
    *c->n = n;
    return 0;
}

static int read_payload(struct coordinates *c)
{
    static const char *const names[] = {"target_frame_id", "set_id", "coordinates"};
    size_t count = 0;
    int bad = 0;
    for (scan_open(&c->s, '{'); !bad && scan_next(&c->s, '}', count); count++) {
        double x;
        int i = scan_name(&c->s, names, 3);
        if (i < 0)
            break;
        if (i == 2)
            bad = read_pairs(c);
        else if (i == 3)
            scan_skip(&c->s, NULL, NULL);
        else if (!scan_number(&c->s, &x) && x >= 0 && x <= 9007199254740992.0)
            *(i == 0 ? &c->target : &c->set) = (int64_t)x;
    }
    return bad;
}

int message_parse_coordinates(const char *text, size_t len, int64_t *target_frame_id, int64_t *set_id,
                              float **uv, size_t *capacity, size_t *n, struct err *e)
{
    static const char *const names[] = {"payload"};
    struct coordinates c = {.target = -1, .set = -1, .uv = uv, .capacity = capacity, .n = n, .e = e};
    size_t count = 0;
    int bad = 0;
    scan_begin(&c.s, text, len);
    for (scan_open(&c.s, '{'); !bad && scan_next(&c.s, '}', count); count++) {
        int i = scan_name(&c.s, names, 1);
        if (i < 0)
            break;
        if (i == 0)
            bad = read_payload(&c);
        else
            scan_skip(&c.s, NULL, NULL);
    }
    if (bad)
        return bad;
    if (scan_end(&c.s))
        return err_set(e, ERR_DATA, "invalid JSON at byte %zu: %s", (size_t)(c.s.at - c.s.start), c.s.wrong);
    if (!c.there || c.target < 0)
        return err_set(e, ERR_DATA, "%s: is missing", c.there ? "target_frame_id" : "coordinates");
    *target_frame_id = c.target;
    *set_id = c.set;
    return 0;
}

/* --- the others --- */

static void take_text(const cJSON *payload, const char *name, char *out, size_t size)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(payload, name));
    snprintf(out, size, "%s", text ? text : "");
}

static double take_number(const cJSON *payload, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(payload, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static uint64_t take_count(const cJSON *payload, const char *name)
{
    double x = take_number(payload, name);
    return x >= 0 && x <= 1e15 ? (uint64_t)x : 0;
}

static void take_ack(struct answer *a, const cJSON *payload)
{
    const cJSON *side = cJSON_GetObjectItemCaseSensitive(payload, "resolution");
    const cJSON *w = cJSON_GetArrayItem(side, 0), *h = cJSON_GetArrayItem(side, 1);
    take_text(payload, "checkpoint_key", a->checkpoint_key, sizeof a->checkpoint_key);
    take_text(payload, "model_version", a->model_version, sizeof a->model_version);
    take_text(payload, "session_id", a->session_id, sizeof a->session_id);
    a->checkpoint_loaded = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(payload, "checkpoint_loaded"));
    a->debug_mode = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(payload, "debug_mode"));
    a->sample_count = take_count(payload, "sample_count");
    a->max_state_dim = take_count(payload, "max_state_dim");
    a->target_fps = take_number(payload, "target_fps");
    a->sentinel = take_number(payload, "sentinel_value");
    if (cJSON_IsNumber(w) && cJSON_IsNumber(h) && w->valueint > 0 && h->valueint > 0) {
        a->width = (uint32_t)w->valueint;
        a->height = (uint32_t)h->valueint;
    }
}

static enum answer_type type_of(const char *type)
{
    static const char *const names[] = {"session_start_ack", "uv_coordinates", "heartbeat_ack", "error"};
    int i = 0;
    while (i < ANSWER_OTHER && strcmp(type, names[i]))
        i++;
    return (enum answer_type)i;
}

int answer_parse(struct answer *a, const char *text, size_t n, struct err *e)
{
    /* Coordinates are told by their first bytes, so that the long message is not built as a tree. */
    static const char coordinates[] = "{\"type\":\"uv_coordinates\"";
    *a = (struct answer){.type = ANSWER_COORDINATES, .target_fps = NAN, .sentinel = NAN, .timestamp = NAN};
    if (n >= sizeof coordinates - 1 && !memcmp(text, coordinates, sizeof coordinates - 1))
        return 0;
    cJSON *root = cJSON_ParseWithLength(text, n);
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "type"));
    const cJSON *payload = cJSON_GetObjectItemCaseSensitive(root, "payload");
    if (!type) {
        int is_json = root != NULL;
        cJSON_Delete(root);
        return err_set(e, ERR_DATA, is_json ? "type: is missing" : "invalid JSON");
    }
    a->type = type_of(type);
    if (a->type == ANSWER_ACK)
        take_ack(a, payload);
    a->timestamp = take_number(payload, "timestamp");
    take_text(payload, "code", a->code, sizeof a->code);
    take_text(payload, "message", a->text, sizeof a->text);
    cJSON_Delete(root);
    return 0;
}
