/* The messages of clients, sound and hostile. Each file of corpus/message is read and must get the answer that its name
 * begins with (accept, or the error's code; .json or .bin). Then seeded damage: nothing may be read beyond the text (the
 * sanitiser sees it), what is taken must be sound, and JSON is held against cJSON: the same texts are taken, with the same
 * contents, but for what cJSON is too lax about. SGAPS_FUZZ_ROUNDS sets the number of rounds (20000). */
#include <cjson/cJSON.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/philox.h"
#include "io/message_answer.h"
#include "io/message_binary.h"
#include "io/message_write.h"
#include "tap.h"

enum { SAMPLES = 100, STATE = 64, FILES = 200, ROOM = 1 << 16 };

struct sample {
    char name[96];
    char *bytes;
    size_t n;
    int binary;
};
static struct sample corpus[FILES];
static size_t files;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sample *)a)->name, ((const struct sample *)b)->name);
}

static void read_corpus(void)
{
    char folder[512], path[1024];
    const char *root = getenv("SGAPS_ROOT");
    snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus/message", root ? root : ".");
    DIR *d = opendir(folder);
    for (struct dirent *f; d && files < FILES && (f = readdir(d));) {
        struct sample *s = &corpus[files];
        if (f->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, f->d_name);
        snprintf(s->name, sizeof s->name, "%.95s", f->d_name);
        s->binary = strstr(s->name, ".bin") != NULL;
        s->bytes = malloc(ROOM);
        FILE *in = fopen(path, "rb");
        s->n = in ? fread(s->bytes, 1, ROOM, in) : 0;
        if (in)
            fclose(in);
        files++;
    }
    if (d)
        closedir(d);
    qsort(corpus, files, sizeof *corpus, by_name);
}

/* --- the oracle: what a message is, by cJSON --- */

/* The member of that name, or NULL; *twice when there are two. */
static const cJSON *member(const cJSON *object, const char *name, int *twice)
{
    const cJSON *found = NULL, *item;
    if (!cJSON_IsObject(object))
        return NULL;
    cJSON_ArrayForEach(item, object) if (!strcmp(item->string, name))
    {
        *twice |= found != NULL;
        found = found ? found : item;
    }
    return found;
}

static int in(const cJSON *item, double low, double high)
{
    return cJSON_IsNumber(item) && item->valuedouble >= low && item->valuedouble <= high;
}

static int whole(const cJSON *item, double low, double high)
{
    return in(item, low, high) && item->valuedouble == floor(item->valuedouble);
}

static int is_name(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return *text && *text != '.' && strlen(text) <= 64 && !text[strspn(text, allowed)];
}

static int same_text(const cJSON *item, const char *got, size_t size)
{
    size_t n = strlen(got);
    if (!item)
        return !n;
    return cJSON_IsString(item) && !strncmp(item->valuestring, got, n) &&
           (!item->valuestring[n] || n + 4 >= size);
}

static int resolution(const cJSON *item, const struct message *got)
{
    if (!item)
        return !got || (!got->width && !got->height);
    const cJSON *w = cJSON_GetArrayItem(item, 0), *h = cJSON_GetArrayItem(item, 1);
    return cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2 && whole(w, 1, 65535) && whole(h, 1, 65535) &&
           (!got || (got->width == w->valuedouble && got->height == h->valuedouble));
}

static const cJSON *field(const cJSON *payload, const char *name, int *twice)
{
    const cJSON *item = member(payload, name, twice);
    return cJSON_IsNull(item) ? NULL : item;
}

/* Whether a session_start is right; with got, whether it was read so. */
static int right_start(const cJSON *payload, const struct message *got)
{
    int twice = 0;
    const cJSON *key = field(payload, "checkpoint_key", &twice),
                *client = field(payload, "client_name", &twice), *side = field(payload, "resolution", &twice),
                *debug = field(payload, "debug", &twice), *range = field(payload, "value_range", &twice),
                *format = field(payload, "coordinate_format", &twice),
                *resume = field(payload, "resume", &twice), *token = field(payload, "token", &twice);
    if (twice || (key && !(cJSON_IsString(key) && is_name(key->valuestring))) ||
        (client && !cJSON_IsString(client)) || !resolution(side, NULL) || (debug && !cJSON_IsBool(debug)) ||
        (range && !in(range, 1, 1) && !in(range, 255, 255)))
        return 0;
    if ((format &&
         !(cJSON_IsString(format) && (!*format->valuestring || !strcmp(format->valuestring, "array") ||
                                      !strcmp(format->valuestring, "objects")))) ||
        (resume && !(cJSON_IsString(resume) && (!*resume->valuestring || is_name(resume->valuestring)))) ||
        (token && !(cJSON_IsString(token) && strlen(token->valuestring) <= 512)))
        return 0;
    if (!got)
        return 1;
    int array = !format || !*format->valuestring ? -1 : *format->valuestring == 'a';
    return !strcmp(got->checkpoint_key, key ? key->valuestring : "default") &&
           same_text(client, got->client_name, sizeof got->client_name) && resolution(side, got) &&
           got->debug == (cJSON_IsTrue(debug) != 0) &&
           got->value_range == (range ? range->valuedouble : 255) && got->coordinates_array == array &&
           same_text(resume, got->resume, 0x10000) && same_text(token, got->token, 0x10000);
}

static int right_pixel(const cJSON *pixel, double range, const struct message *got, size_t i)
{
    int twice = 0;
    const cJSON *u = member(pixel, "u", &twice), *v = member(pixel, "v", &twice),
                *value = member(pixel, "value", &twice);
    return cJSON_IsObject(pixel) && !twice && in(u, 0, 1) && in(v, 0, 1) && in(value, 0, range) &&
           (!got || (got->uv[2 * i] == (float)u->valuedouble && got->uv[2 * i + 1] == (float)v->valuedouble &&
                     got->value[i] == lrint((double)(float)value->valuedouble * (255 / range))));
}

static int right_pixels(const cJSON *pixels, double range, const struct message *got)
{
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach(item, pixels) if (i >= SAMPLES || !right_pixel(item, range, got, i++)) return 0;
    return cJSON_IsArray(pixels) && i && (!got || got->n == i);
}

static int right_state(const cJSON *state, const struct message *got)
{
    const cJSON *item;
    size_t i = 0;
    cJSON_ArrayForEach(item, state)
    {
        if (i >= STATE || !in(item, -0x1.fffffefp127, 0x1.fffffefp127))
            return 0;
        if (got && got->state[i] != (float)item->valuedouble)
            return 0;
        i++;
    }
    return (!state || cJSON_IsArray(state)) && (!got || got->state_n == i);
}

/* Whether a picture is a sound PNG, and what a rounded number was, is not the oracle's to say: 2 where it depends on that. */
static int right_frame(const cJSON *payload, double range, const struct message *got)
{
    int twice = 0;
    const double limit = 9007199254740992.0;
    const cJSON *id = field(payload, "frame_id", &twice), *time = field(payload, "timestamp", &twice),
                *count = field(payload, "num_pixels", &twice), *pixels = field(payload, "pixels", &twice),
                *side = field(payload, "resolution", &twice), *state = field(payload, "state_vector", &twice),
                *set = field(payload, "set_id", &twice),
                *picture = field(payload, "full_frame_base64", &twice);
    if (twice || !whole(id, 0, limit) || (time && !in(time, -1e300, 1e300)) ||
        (set && !whole(set, 0, limit)) || !resolution(side, got) || !right_pixels(pixels, range, got) ||
        !right_state(state, got) ||
        (count && !(whole(count, 0, limit) && count->valuedouble == cJSON_GetArraySize(pixels))) ||
        (picture && !cJSON_IsString(picture)))
        return 0;
    int has_picture = picture && *picture->valuestring;
    /* 2^53+1, which is outside, is 2^53 as a double. */
    int at_limit = id->valuedouble == limit || (set && set->valuedouble == limit);
    if (!got)
        return has_picture || at_limit ? 2 : 1;
    return got->frame_id == (int64_t)id->valuedouble && got->timestamp == (time ? time->valuedouble : 0) &&
           got->set_id == (set ? (int64_t)set->valuedouble : -1) && !got->image == !has_picture;
}

/* 1: right, 0: not, 2: it depends. With got: whether it was read so. */
static int right_message(const cJSON *root, double range, const struct message *got)
{
    int twice = 0, none = 0;
    const cJSON *type = member(root, "type", &twice), *payload = member(root, "payload", &twice);
    if (!cJSON_IsObject(root) || twice || !cJSON_IsString(type))
        return 0;
    const char *name = type->valuestring;
    if (!strcmp(name, "heartbeat")) {
        const cJSON *time = cJSON_IsObject(payload) ? field(payload, "timestamp", &none) : NULL;
        return (!payload || cJSON_IsObject(payload)) && !none && (!time || in(time, -1e300, 1e300)) &&
               (!got || (got->type == MESSAGE_HEARTBEAT && got->timestamp == (time ? time->valuedouble : 0)));
    }
    int start = !strcmp(name, "session_start"), debug = !strcmp(name, "frame_data_debug");
    if (!start && !debug && strcmp(name, "frame_data"))
        return !got || got->type == MESSAGE_OTHER;
    if (!cJSON_IsObject(payload))
        return 0;
    if (got && got->type != (start   ? MESSAGE_SESSION_START
                             : debug ? MESSAGE_FRAME_DATA_DEBUG
                                     : MESSAGE_FRAME_DATA))
        return 0;
    return start ? right_start(payload, got) : right_frame(payload, range, got);
}

static cJSON *tree(const char *text, size_t n)
{
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text, n, &end, 0);
    while (root && end < text + n && strchr(" \t\r\n", *end) && *end)
        end++;
    if (root && end < text + n) {
        cJSON_Delete(root);
        root = NULL;
    }
    return root;
}

/* What cJSON takes and RFC 8259, or this protocol, does not. */
static int cjson_is_lax(const char *why, const char *text, size_t n)
{
    static const char *const known[] = {
        "leading zero", "ends in a point", "without its exponent", "control character", "NUL",
        "UTF-8",        "too deeply",      "out of range",         "broken \\u"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(why, known[i]))
            return 1;
    for (size_t i = 0; i < n;
         i++) /* every control character is white space to it, a byte order mark is passed over */
        if (((unsigned char)text[i] < 0x20 && !strchr("\t\r\n", text[i])) || !text[i])
            return 1;
    if (strstr(why, "a number is expected") && memmem(text, n, "-.", 2))
        return 1;
    return n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3);
}

/* cJSON cuts numbers after 63 characters. */
static int long_number(const char *text, size_t n)
{
    size_t run = 0;
    for (size_t i = 0; i < n; i++) {
        run = text[i] && strchr("0123456789+-eE.", text[i]) ? run + 1 : 0;
        if (run > 60)
            return 1;
    }
    return 0;
}

struct counts {
    int taken, refused, lax, wrong;
};

static void judge(const char *text, size_t n, double range, struct message *m, struct counts *c)
{
    struct err e = {0};
    int r = message_parse(m, text, n, range, SAMPLES, STATE, &e);
    c->taken += !r;
    c->refused += r != 0;
    cJSON *root = long_number(text, n) ? NULL : tree(text, n);
    int right = root ? right_message(root, range, NULL) : 0, fault = 0;
    if (!r)
        fault = !long_number(text, n) && !(right && right_message(root, range, m));
    else if (r != ERR_DATA || !e.text[0] || m->fault == MESSAGE_FAULT_NONE)
        fault = 1;
    else if (right == 1 && m->fault == MESSAGE_INVALID_JSON && cjson_is_lax(e.text, text, n))
        c->lax++;
    else
        fault = right == 1;
    if (fault && c->wrong++ < 5)
        tap_diag("%s (%s), oracle %d: %.*s", r ? "refused" : "taken", e.text, right, (int)n, text);
    cJSON_Delete(root);
}

/* --- binary --- */

static const float set_one[] = {0, 0, 0.5f, 1, 0.25f, 0.75f};
static const float *find_set(void *user, int64_t set_id, size_t *n)
{
    (void)user;
    *n = 3;
    return set_id == 1 ? set_one : NULL;
}

static int parse_binary(struct message *m, const void *data, size_t n, struct err *e)
{
    return message_parse_binary(m, data, n, 255, SAMPLES, STATE, find_set, NULL, e);
}

static int sound(const struct message *m)
{
    for (size_t i = 0; i < 2 * m->n; i++)
        if (!(m->uv[i] >= 0 && m->uv[i] <= 1))
            return 0;
    for (size_t i = 0; i < m->state_n; i++)
        if (!isfinite(m->state[i]))
            return 0;
    return m->n > 0 && m->n <= SAMPLES && m->state_n <= STATE && m->frame_id >= 0 && isfinite(m->timestamp);
}

/* What was taken is the same frame once more after a journey through JSON. */
static int travels(const struct message *m)
{
    struct text t = {0};
    struct message back = {0};
    struct err e;
    int good = !message_write_frame(&t, m, &e) && !message_parse(&back, t.at, t.n, 255, SAMPLES, STATE, &e) &&
               back.n == m->n && !memcmp(back.uv, m->uv, 2 * m->n * sizeof *m->uv) &&
               !memcmp(back.value, m->value, m->n) && back.state_n == m->state_n &&
               (!m->state_n || !memcmp(back.state, m->state, m->state_n * sizeof *m->state)) &&
               back.timestamp == m->timestamp;
    text_release(&t);
    message_release(&back);
    return good;
}

static void judge_binary(const char *data, size_t n, struct message *m, struct counts *c)
{
    struct err e = {0};
    int r = parse_binary(m, data, n, &e);
    c->taken += !r;
    c->refused += r != 0;
    if (r ? r != ERR_DATA || !e.text[0] || m->fault == MESSAGE_FAULT_NONE : !sound(m) || !travels(m))
        if (c->wrong++ < 5)
            tap_diag("%s (%s)", r ? "refused" : "taken", e.text);
}

/* --- damage --- */

static size_t pick(struct philox *p, size_t n)
{
    return n ? (size_t)philox_below(p, (uint32_t)n) : 0;
}

static size_t splice(char *out, size_t n, size_t at, size_t cut, const char *piece, size_t length)
{
    cut = cut < n - at ? cut : n - at;
    if (n - cut + length > ROOM)
        return n;
    memmove(out + at + length, out + at + cut, n - at - cut);
    memcpy(out + at, piece, length);
    return n - cut + length;
}

static size_t damage(struct philox *p, const struct sample *s, char *out)
{
    static const char *const pieces[] = {",",
                                         "}",
                                         "]",
                                         "{",
                                         "[",
                                         "\"",
                                         ":",
                                         "0",
                                         "-",
                                         ".",
                                         "1e999",
                                         "null",
                                         "true",
                                         "1e5",
                                         "NaN",
                                         "0,5",
                                         "\\u0000",
                                         "\\ud83d\\ude00",
                                         "\xff",
                                         "\"u\":0.5,",
                                         "\"type\":",
                                         "\"frame_data\"",
                                         "0.30000001192092896",
                                         "9007199254740993",
                                         " ",
                                         "\t"};
    size_t n = s->n;
    memcpy(out, s->bytes, n);
    for (size_t k = 1 + pick(p, 3); k; k--) {
        size_t at = pick(p, n + 1), what = pick(p, 7);
        const struct sample *other = &corpus[pick(p, files)];
        const char *piece = pieces[pick(p, sizeof pieces / sizeof *pieces)];
        char byte = (char)pick(p, 256);
        if (what == 0 && n)
            out[pick(p, n)] ^= (char)(1 << pick(p, 8));
        else if (what == 1)
            n = splice(out, n, at, 1, &byte, 1);
        else if (what == 2)
            n = splice(out, n, at, pick(p, 4), piece, strlen(piece));
        else if (what == 3)
            n = splice(out, n, at, 1 + pick(p, 12), "", 0);
        else if (what == 4 && other->n) {
            size_t from = pick(p, other->n);
            n = splice(out, n, at, pick(p, 40), other->bytes + from,
                       pick(p, 60 < other->n - from ? 60 : other->n - from));
        } else if (what == 5 && n) {
            char copy[64];
            size_t from = pick(p, n), length = pick(p, n - from < sizeof copy ? n - from : sizeof copy);
            memcpy(copy, out + from, length);
            n = splice(out, n, at, 0, copy, length);
        } else if (what == 6 && pick(p, 4) == 0)
            n = at;
    }
    return n;
}

static void test_corpus(void)
{
    struct message m = {0};
    for (size_t i = 0; i < files; i++) {
        struct sample *s = &corpus[i];
        struct err e = {0};
        int r = s->binary ? parse_binary(&m, s->bytes, s->n, &e)
                          : message_parse(&m, s->bytes, s->n, 255, SAMPLES, STATE, &e);
        const char *said = m.fault ? message_fault_name(m.fault) : r ? "no fault" : "accept";
        size_t n = strlen(said);
        ok(!strncmp(s->name, said, n) && strchr("-.", s->name[n]), "%s: %s %s", s->name, said, e.text);
    }
    message_release(&m);
}

static void test_damage(int rounds)
{
    struct philox p;
    struct message m = {0};
    struct counts json = {0}, binary = {0};
    char *room = malloc(ROOM);
    philox_init(&p, 20, 26);
    for (int i = 0; i < rounds; i++) {
        const struct sample *s = &corpus[pick(&p, files)];
        while (i % 2 && strncmp(s->name, "accept", 6)) /* half of the time one that is sound before */
            s = &corpus[pick(&p, files)];
        size_t n = damage(&p, s, room);
        char *exact = malloc(n + !n); /* its own block: a read beyond the end is seen */
        memcpy(exact, room, n);
        if (s->binary)
            judge_binary(exact, n, &m, &binary);
        else
            judge(exact, n, i % 5 ? 255 : 1, &m, &json);
        free(exact);
    }
    message_release(&m);
    free(room);
    ok(!json.wrong && json.taken > rounds / 100 && json.refused > rounds / 10,
       "damaged JSON as cJSON reads it: %d taken, %d refused, of those %d that cJSON is too lax about",
       json.taken, json.refused, json.lax);
    ok(!binary.wrong && binary.taken > rounds / 200 && binary.refused > rounds / 20,
       "damaged binary frames: %d taken and sound, %d refused", binary.taken, binary.refused);
}

/* What a client reads: nothing that a server might send may harm it. */
static void test_answers(int rounds)
{
    static const float uv[] = {0.25f, 0.5f, 1, 0};
    struct text t = {0};
    struct sample s[5] = {{.name = "", .n = 0}};
    struct session_ack ack = {
        .checkpoint_key = "k", .model_version = "v", .session_id = "s", .width = 4, .height = 2};
    struct philox p;
    char *room = malloc(ROOM);
    for (size_t i = 0; i < 5; i++) {
        text_clear(&t);
        if (i == 0)
            message_write_ack(&t, &ack);
        else if (i == 1)
            message_write_error(&t, "INVALID_JSON", "text", "[1]");
        else if (i < 4)
            message_write_coordinates(&t, 5, 1, uv, 2, i == 3);
        else
            message_write_coordinates_binary(&t, 5, 1, uv, 2);
        s[i] = (struct sample){.bytes = malloc(t.n), .n = t.n, .binary = i == 4};
        memcpy(s[i].bytes, t.at, t.n);
    }
    philox_init(&p, 20, 27);
    float *got = NULL;
    size_t capacity = 0;
    int taken = 0, wrong = 0;
    for (int i = 0; i < rounds; i++) {
        const struct sample *from = &s[i % 5];
        size_t n = damage(&p, from, room), count = 0;
        int64_t target = 0, set = 0;
        struct answer a;
        struct err e;
        char *exact = malloc(n + !n);
        memcpy(exact, room, n);
        answer_parse(&a, exact, n, &e);
        int r = from->binary
                    ? message_parse_coordinates_binary(exact, n, &target, &set, &got, &capacity, &count, &e)
                    : message_parse_coordinates(exact, n, &target, &set, &got, &capacity, &count, &e);
        taken += !r;
        for (size_t k = 0; k < 2 * count && !r; k++)
            wrong += !(got[k] >= 0 && got[k] <= 1);
        wrong += !r && target < 0;
        free(exact);
    }
    ok(!wrong && taken > rounds / 100, "damaged answers: coordinates taken from %d, all sound", taken);
    for (size_t i = 0; i < 5; i++)
        free(s[i].bytes);
    free(got);
    free(room);
    text_release(&t);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Said, not judged: how long a frame of 500 samples and 64 state values takes, in turn with cJSON's tree. */
static void tell_speed(void)
{
    enum { N = 500, ROUNDS = 101 };
    struct philox p;
    struct text t = {0};
    struct message m = {0};
    struct err e;
    double own[ROUNDS], other[ROUNDS];
    philox_init(&p, 20, 28);
    text_add(&t, "{\"type\":\"frame_data\",\"payload\":{\"frame_id\":1,\"pixels\":[");
    for (int i = 0; i < N; i++)
        text_printf(&t, "%s{\"u\":%.9g,\"v\":%.9g,\"value\":%u}", i ? "," : "", philox_uniform(&p),
                    philox_uniform(&p), philox_below(&p, 256));
    text_add(&t, "],\"state_vector\":[");
    for (int i = 0; i < STATE; i++)
        text_printf(&t, "%s%.9g", i ? "," : "", philox_uniform(&p));
    text_add(&t, "]}}");
    int wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double start = clock_seconds();
        wrong += message_parse(&m, t.at, t.n, 255, N, STATE, &e) != 0;
        own[i] = clock_seconds() - start;
        start = clock_seconds();
        cJSON_Delete(cJSON_ParseWithLength(t.at, t.n));
        other[i] = clock_seconds() - start;
    }
    qsort(own, ROUNDS, sizeof *own, by_value);
    qsort(other, ROUNDS, sizeof *other, by_value);
    ok(!wrong, "%zu bytes of JSON: %.1f us, with cJSON %.1f us (medians)", t.n, own[ROUNDS / 2] * 1e6,
       other[ROUNDS / 2] * 1e6);
    message_release(&m);
    text_release(&t);
}

int main(void)
{
    const char *given = getenv("SGAPS_FUZZ_ROUNDS");
    int rounds = given ? atoi(given) : 20000;
    read_corpus();
    ok(files > 90, "%zu files of the corpus", files);
    test_corpus();
    test_damage(rounds);
    test_answers(rounds / 4);
    tell_speed();
    for (size_t i = 0; i < files; i++)
        free(corpus[i].bytes);
    return tap_done();
}
