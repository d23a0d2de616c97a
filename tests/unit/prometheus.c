/* /metrics by a parser of our own, strict after the text format 0.0.4: every family has HELP and TYPE before its samples and
 * stands once; names, labels and escapes are sound; no series twice; histograms are cumulative and end in +Inf = _count;
 * counters are no negative numbers. Then the figures themselves. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "live/telemetry.h"
#include "tap.h"

struct net_stats net_stats(struct net *n)
{
    (void)n;
    return (struct net_stats){.connections = 7, .open = 3, .bytes_in = 1000, .bytes_out = 2000};
}

struct engine_stats engine_stats(struct engine *g)
{
    (void)g;
    return (struct engine_stats){.inferred = 11, .superseded = 4, .stale = 2, .waiting = 5};
}

struct recorder_stats recorder_stats(struct recorder *r)
{
    (void)r;
    return (struct recorder_stats){.frames = 13, .gaps = 1, .write_seconds = 0.25};
}

void models_each(struct models *m, models_list_fn fn, void *user)
{
    (void)m;
    fn(user, "doom", 1, "doom-100-abcdef");
    fn(user, "a\"b\\c\nd\xff", 0, "linear");
}

/* --- the parser --- */

struct series {
    char name[128], labels[512];
    double value;
};
struct metrics {
    struct series s[2000];
    size_t n;
    char family[200][128], type[200][16];
    size_t families;
    const char *fault; /* NULL: none */
    char where[256];
};

static int name_end(const char *s, int colon)
{
    int n = 0;
    if (!isalpha((unsigned char)s[0]) && s[0] != '_' && !(colon && s[0] == ':'))
        return 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || (colon && s[n] == ':'))
        n++;
    return n;
}

/* {label="value",...}: the length with the braces, or 0 for a fault. */
static int labels_end(const char *s)
{
    int i = 1;
    while (s[i] != '}') {
        int n = name_end(s + i, 0);
        if (!n || s[i + n] != '=' || s[i + n + 1] != '"')
            return 0;
        for (i += n + 2; s[i] && s[i] != '"'; i++)
            if (s[i] == '\\' && !strchr("\\\"n", s[++i]))
                return 0;
            else if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] >= 0x7f)
                return 0; /* ours are ASCII */
        if (!s[i++])
            return 0;
        if (s[i] == ',' && s[i + 1] != '}')
            i++;
        else if (s[i] != '}')
            return 0;
    }
    return i + 1;
}

static int belongs(const struct metrics *m, const char *name)
{
    const char *family = m->family[m->families - 1], *type = m->type[m->families - 1];
    size_t n = strlen(family);
    if (strncmp(name, family, n))
        return 0;
    const char *tail = name + n;
    if (!strcmp(type, "histogram"))
        return !strcmp(tail, "_bucket") || !strcmp(tail, "_sum") || !strcmp(tail, "_count");
    if (!strcmp(type, "summary"))
        return !strcmp(tail, "_sum") || !strcmp(tail, "_count");
    return !*tail;
}

static const char *parse_type(struct metrics *m, const char *line)
{
    char name[128], type[16], rest[2];
    static const char *const types[] = {"counter", "gauge", "histogram", "summary"};
    if (sscanf(line, "# TYPE %127s %15s %1s", name, type, rest) != 2)
        return "a TYPE line that is none";
    if (!m->families || strcmp(m->family[m->families - 1], name))
        return "TYPE without its HELP before it";
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(type, types[i])) {
            snprintf(m->type[m->families - 1], sizeof m->type[0], "%s", type);
            return NULL;
        }
    return "an unknown type";
}

static const char *parse_help(struct metrics *m, const char *line)
{
    char name[128];
    int at = 0;
    if (sscanf(line, "# HELP %127s %n", name, &at) != 1 || !at || !line[at])
        return "a HELP line without a text";
    for (size_t i = 0; i < m->families; i++)
        if (!strcmp(m->family[i], name))
            return "a family that was there before";
    snprintf(m->family[m->families], sizeof m->family[0], "%s", name);
    m->type[m->families++][0] = 0;
    return NULL;
}

static const char *parse_sample(struct metrics *m, const char *line)
{
    struct series *s = &m->s[m->n];
    int n = name_end(line, 1), labels = line[n] == '{' ? labels_end(line + n) : 0;
    if (!n || (line[n] == '{' && !labels))
        return "a sample's name or labels";
    if (line[n + labels] != ' ')
        return "no space before the value";
    snprintf(s->name, sizeof s->name, "%.*s", n, line);
    snprintf(s->labels, sizeof s->labels, "%.*s", labels, line + n);
    char *end;
    s->value = strtod(line + n + labels + 1, &end);
    if (*end || end == line + n + labels + 1)
        return "a value that is no number";
    if (!m->families || !m->type[m->families - 1][0] || !belongs(m, s->name))
        return "a sample outside of its family";
    if (strcmp(m->type[m->families - 1], "gauge") && !(s->value >= 0))
        return "a counter below 0";
    for (size_t i = 0; i < m->n; i++)
        if (!strcmp(m->s[i].name, s->name) && !strcmp(m->s[i].labels, s->labels))
            return "a series twice";
    m->n++;
    return NULL;
}

static void parse(struct metrics *m, const char *text)
{
    *m = (struct metrics){0};
    size_t length = strlen(text);
    if (!length || text[length - 1] != '\n')
        m->fault = "the last line does not end";
    while (*text && !m->fault) {
        char line[1024];
        size_t n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        text += n + 1;
        m->fault = !strncmp(line, "# HELP ", 7)   ? parse_help(m, line)
                   : !strncmp(line, "# TYPE ", 7) ? parse_type(m, line)
                   : line[0] == '#'               ? "a comment"
                                                  : parse_sample(m, line);
        if (m->fault)
            snprintf(m->where, sizeof m->where, "%.200s", line);
    }
}

static double value_of(const struct metrics *m, const char *name, const char *labels)
{
    for (size_t i = 0; i < m->n; i++)
        if (!strcmp(m->s[i].name, name) && !strcmp(m->s[i].labels, labels))
            return m->s[i].value;
    return NAN;
}

/* Every _bucket row rises, ends in +Inf, and +Inf is _count. */
static int histograms_are_sound(const struct metrics *m, size_t *found)
{
    *found = 0;
    for (size_t i = 0; i < m->n; i++) {
        size_t length = strlen(m->s[i].name);
        if (length < 7 || strcmp(m->s[i].name + length - 7, "_bucket"))
            continue;
        double before = -1, bound = -1;
        for (;; i++) {
            const char *le = strstr(m->s[i].labels, "le=\"");
            if (strcmp(m->s[i].name + strlen(m->s[i].name) - 7, "_bucket") || !le)
                return 0;
            double x = !strncmp(le + 4, "+Inf\"", 5) ? INFINITY : strtod(le + 4, NULL);
            if (x <= bound || m->s[i].value < before)
                return 0;
            bound = x;
            before = m->s[i].value;
            if (isinf(x))
                break;
        }
        /* _sum and _count follow, with the labels but le */
        if (i + 2 >= m->n || strcmp(m->s[i + 1].name + strlen(m->s[i + 1].name) - 4, "_sum") ||
            strcmp(m->s[i + 2].name + strlen(m->s[i + 2].name) - 6, "_count") || m->s[i + 2].value != before)
            return 0;
        ++*found;
    }
    return 1;
}

static void test_parser(void)
{
    static const char *const bad[] = {"x 1\n",
                                      "# HELP x a\nx 1\n",
                                      "# HELP x a\n# TYPE x gauge\nx 1",
                                      "# HELP x a\n# TYPE x gauge\nx 1\nx 1\n",
                                      "# HELP x a\n# TYPE x gauge\nx{a=\"\\q\"} 1\n",
                                      "# HELP x a\n# TYPE x gauge\nx{a=\"\"\"} 1\n",
                                      "# HELP x a\n# TYPE x gauge\nx{9=\"\"} 1\n",
                                      "# HELP x a\n# TYPE x counter\nx -1\n",
                                      "# HELP x a\n# TYPE x gauge\ny 1\n",
                                      "# HELP x a\n# TYPE x gauge\nx one\n"};
    static struct metrics m;
    int all = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        parse(&m, bad[i]);
        all &= m.fault != NULL;
    }
    ok(all, "the parser refuses what is wrong");
    parse(&m, "# HELP h a\n# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum "
              "1\nh_count 2\n");
    size_t n;
    ok(!m.fault && !histograms_are_sound(&m, &n), "and a histogram that falls");
}

int main(void)
{
    struct err e;
    static int there; /* any address stands for the parts */
    struct telemetry *t;
    struct telemetry_options o = {.version = "1.2.3", .device = "cpu \"avx2\"\\\n"};
    if (telemetry_open(&t, &o, &e)) {
        tap_diag("%s", e.text);
        return 1;
    }
    static const float image[4], uv[2];
    static const uint8_t value[1];
    struct engine_result r = {.W = 2, .H = 2, .image = image, .uv = uv, .value = value, .n = 1};
    telemetry_session(t, "a", "k", "v", "c", "1");
    for (int i = 0; i < 10; i++) {
        telemetry_frame(t, "a", EVENT_FRAME);
        telemetry_stage(t, STAGE_PARSE, 30e-6);
        telemetry_stage(t, STAGE_RECORD, 0.02 * i);
        r.model_version = i % 2 ? "one" : "two\"\\\n\x01";
        r.psnr = 20 + i;
        r.heldout = i < 8;
        r.done = clock_seconds();
        r.begun = r.done - 0.3;
        r.received = r.begun - (i == 9 ? 100 : 0.003);
        telemetry_result(t, "a", &r);
    }
    telemetry_frame(t, "a", EVENT_REJECTED);
    telemetry_stage(t, STAGE_ANSWER, NAN);
    telemetry_stage(t, STAGE_ANSWER, -1);

    struct telemetry_http http = {.sources = {(struct net *)&there, (struct engine *)&there,
                                              (struct recorder *)&there, (struct models *)&there}};
    struct net_request q = {.method = "GET", .path = "/metrics", .query = "", .authorized = 1};
    struct net_response a = {.status = 200};
    telemetry_answer(t, &http, &q, &a);
    ok(a.status == 200 && !strncmp(a.type, "text/plain; version=0.0.4", 25), "/metrics by its type");

    test_parser();
    static struct metrics m;
    parse(&m, a.body.at);
    ok(!m.fault, "/metrics is sound");
    if (m.fault)
        tap_diag("%s: %s", m.fault, m.where);
    size_t histograms = 0;
    int sound = histograms_are_sound(&m, &histograms);
    ok(sound && histograms == STAGES + 1, "so are its %zu histograms", histograms);
    ok(value_of(&m, "sgaps_frames_received_total", "") == 10 &&
           value_of(&m, "sgaps_frames_rebuilt_total", "") == 10 &&
           value_of(&m, "sgaps_frames_rejected_total", "") == 1 && value_of(&m, "sgaps_sessions", "") == 1,
       "frames and sessions");
    ok(value_of(&m, "sgaps_stage_seconds_bucket", "{stage=\"parse\",le=\"5e-05\"}") == 10 &&
           value_of(&m, "sgaps_stage_seconds_bucket", "{stage=\"record\",le=\"0.05\"}") == 3 &&
           value_of(&m, "sgaps_stage_seconds_bucket", "{stage=\"record\",le=\"0.1\"}") == 6 &&
           fabs(value_of(&m, "sgaps_stage_seconds_sum", "{stage=\"record\"}") - 0.9) < 1e-9,
       "each duration lies in its class, bounds included");
    ok(value_of(&m, "sgaps_stage_seconds_count", "{stage=\"answer\"}") == 2 &&
           value_of(&m, "sgaps_stage_seconds_sum", "{stage=\"answer\"}") == 0,
       "what is no duration counts as 0");
    ok(value_of(&m, "sgaps_latency_seconds_bucket", "{le=\"10\"}") == 9 &&
           value_of(&m, "sgaps_latency_seconds_count", "") == 10 &&
           value_of(&m, "sgaps_stage_seconds_bucket", "{stage=\"inference\",le=\"0.5\"}") == 10 &&
           value_of(&m, "sgaps_stage_seconds_bucket", "{stage=\"inference\",le=\"0.25\"}") == 0 &&
           value_of(&m, "sgaps_stage_seconds_bucket", "{stage=\"queue\",le=\"0.005\"}") == 9,
       "a result counts its stages; what is over the last bound is in +Inf");
    ok(value_of(&m, "sgaps_frames_dropped_total", "{reason=\"superseded\"}") == 4 &&
           value_of(&m, "sgaps_inference_queue_frames", "") == 5 &&
           value_of(&m, "sgaps_recorded_frames_total", "") == 13 &&
           value_of(&m, "sgaps_recording_write_seconds_total", "") == 0.25 &&
           value_of(&m, "sgaps_bytes_total", "{direction=\"out\"}") == 2000,
       "what the engine, the recorder and the network tell");
    ok(value_of(&m, "sgaps_checkpoint_loaded",
                "{checkpoint_key=\"a\\\"b\\\\c\\nd?\",model_version=\"linear\"}") == 0 &&
           value_of(&m, "sgaps_build_info", "{version=\"1.2.3\",device=\"cpu \\\"avx2\\\"\\\\\\n\"}") == 1,
       "labels are escaped");
    ok(value_of(&m, "sgaps_model_frames_total", "{model_version=\"one\"}") == 5 &&
           value_of(&m, "sgaps_model_heldout_psnr_decibels_sum", "{model_version=\"one\"}") ==
               21 + 23 + 25 + 27 &&
           value_of(&m, "sgaps_model_psnr_decibels_count", "{model_version=\"one\"}") == 1,
       "quality by model version");
    ok(value_of(&m, "process_resident_memory_bytes", "") > 1e5, "memory of the process");
    text_release(&a.body);
    telemetry_close(t);
    return tap_done();
}
