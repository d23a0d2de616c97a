/* The HTTP interface: which path answers what, and the JSON of the API (sgaps-protocol(7)). Every text that came from a client or
 * an operator goes through text_json_string. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/page.h"
#include "live/telemetry_private.h"

/* What a handler needs; the tail is what follows its prefix. */
struct call {
    struct telemetry *t;
    const struct telemetry_http *h;
    const struct net_request *q;
    struct net_response *a;
    const char *tail;
};

static void refuse(struct call *c, int status, const char *code, const char *message)
{
    c->a->status = status;
    c->a->type = "application/json";
    text_clear(&c->a->body);
    text_add(&c->a->body, "{\"error\":{\"code\":");
    text_json_string(&c->a->body, code);
    text_add(&c->a->body, ",\"message\":");
    text_json_string(&c->a->body, message);
    text_add(&c->a->body, "}}\n");
}

static void put_text(struct text *t, const char *key, const char *value)
{
    text_printf(t, "\"%s\":", key);
    text_json_string(t, value);
}

/* Fixed decimals: a figure for people needs no seventeen digits. */
static void put_fixed(struct text *t, const char *key, double x, int decimals)
{
    if (isfinite(x))
        text_printf(t, "\"%s\":%.*f", key, decimals, x);
    else
        text_printf(t, "\"%s\":null", key);
}

static void put_time(struct text *t, const char *key, double unix_time)
{
    struct tm tm;
    time_t whole = (time_t)unix_time;
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", gmtime_r(&whole, &tm));
    text_printf(t, "\"%s\":\"%s.%03dZ\"", key, stamp, (int)((unix_time - (double)whole) * 1000));
}

/* --- /, /api/health, /api/ready, /api/status, /metrics --- */

static void answer_page(struct call *c)
{
    c->a->type = "text/html; charset=utf-8";
    c->a->policy = c->t->policy.at;
    page_body(&c->a->body);
}

static void answer_health(struct call *c)
{
    struct text *b = &c->a->body;
    text_add(b, "{\"status\":\"healthy\",");
    put_fixed(b, "uptime_seconds", telemetry_uptime(c->t), 3);
    text_add(b, ",");
    put_text(b, "version", c->t->version);
    text_add(b, "}\n");
}

static void answer_ready(struct call *c)
{
    int ready = !c->h->ready || c->h->ready(c->h->user);
    c->a->status = ready ? 200 : 503;
    text_printf(&c->a->body, "{\"ready\":%s}\n", ready ? "true" : "false");
}

/* asked: what the open sessions asked for, each key once; one that was written is "" then. */
struct checkpoint_list {
    struct text *out;
    int any;
    char (*asked)[sizeof((struct session_view *)0)->key];
    size_t n;
};

static void put_checkpoint(void *user, const char *key, int loaded, const char *version)
{
    (void)version;
    struct checkpoint_list *l = user;
    text_add(l->out, l->any++ ? "," : "");
    text_json_string(l->out, key);
    text_add(l->out, loaded ? ":true" : ":false");
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->asked[i], key))
            l->asked[i][0] = 0;
}

/* Under telemetry's lock. Without memory for it the list is empty. */
static void note_asked(struct checkpoint_list *l, const struct telemetry *t)
{
    if (!t->n || mem_alloc(&l->asked, t->n, sizeof *l->asked, "keys", NULL))
        return;
    for (size_t s = 0; s < t->n; s++) {
        size_t i = 0;
        while (i < l->n && strcmp(l->asked[i], t->session[s]->key))
            i++;
        if (i == l->n)
            memcpy(l->asked[l->n++], t->session[s]->key, sizeof *l->asked);
    }
}

/* Those found so far and "default", and as false what open sessions asked for in vain: no more keys than sessions. */
static void put_checkpoints(struct checkpoint_list *l, struct models *models)
{
    if (models) {
        models_each(models, put_checkpoint, l);
        for (size_t i = 0; i < l->n; i++)
            if (*l->asked[i])
                put_checkpoint(l, l->asked[i], 0, "");
    }
    free(l->asked);
}

/* Since the start; what a part that is not there would count is left out. */
static void put_counters(struct text *b, const struct telemetry_sources *from,
                         const struct telemetry_counts *c)
{
    const uint64_t *n = c->events;
    text_printf(b,
                "\"counters\":{\"frames\":%llu,\"rejected\":%llu,\"rebuilt\":%llu,\"coordinates_sent\":%llu,"
                "\"errors_sent\":%llu,\"sessions\":%llu",
                (unsigned long long)n[EVENT_FRAME], (unsigned long long)n[EVENT_REJECTED],
                (unsigned long long)c->rebuilt, (unsigned long long)n[EVENT_COORDINATES],
                (unsigned long long)n[EVENT_ERROR], (unsigned long long)c->sessions);
    if (from->engine) {
        struct engine_stats s = engine_stats(from->engine);
        text_printf(b, ",\"superseded\":%llu,\"stale\":%llu,\"failed\":%llu",
                    (unsigned long long)s.superseded, (unsigned long long)s.stale,
                    (unsigned long long)s.failed);
    }
    if (from->recorder) {
        struct recorder_stats s = recorder_stats(from->recorder);
        text_printf(b, ",\"recorded\":%llu,\"gaps\":%llu", (unsigned long long)s.frames,
                    (unsigned long long)s.gaps);
    }
    text_add(b, "}");
}

static void answer_status(struct call *c)
{
    struct telemetry *t = c->t;
    struct text *b = &c->a->body;
    struct checkpoint_list list = {.out = b};
    pthread_mutex_lock(&t->lock);
    size_t active = t->n;
    struct telemetry_counts counts = t->counts;
    note_asked(&list, t);
    pthread_mutex_unlock(&t->lock);
    text_add(b, "{\"status\":\"running\",");
    put_fixed(b, "uptime_seconds", telemetry_uptime(t), 3);
    text_printf(b, ",\"active_sessions\":%zu,\"total_frames_processed\":%llu,\"checkpoints_loaded\":{",
                active, (unsigned long long)counts.events[EVENT_FRAME]);
    put_checkpoints(&list, c->h->sources.models);
    text_add(b, "},");
    put_text(b, "device", t->device);
    text_add(b, ",");
    put_text(b, "version", t->version);
    text_add(b, ",");
    put_counters(b, &c->h->sources, &counts);
    text_add(b, "}\n");
}

static void answer_metrics(struct call *c)
{
    c->a->type = "text/plain; version=0.0.4; charset=utf-8";
    prometheus_write(c->t, &c->h->sources, &c->a->body);
}

/* --- sessions --- */

static double mean(double sum, uint64_t n)
{
    return n ? sum / (double)n : NAN;
}

/* Rebuilt frames a second over the last five seconds. */
static double rate(const struct session_view *s, double now)
{
    uint64_t kept = s->rebuilt < HISTORY ? s->rebuilt : HISTORY, n = 0;
    while (n < kept && now - s->history[(s->rebuilt - n) % HISTORY].done < 5)
        n++;
    double open = now - s->opened;
    return (double)n / (open < 5 && open > 0.2 ? open : 5);
}

static void put_session(struct text *b, const struct session_view *s)
{
    double now = clock_seconds();
    const struct view_point *last = s->rebuilt ? &s->history[s->rebuilt % HISTORY] : NULL;
    put_text(b, "id", s->id);
    text_add(b, ",");
    put_text(b, "checkpoint_key", s->key);
    text_add(b, ",");
    put_text(b, "model_version", s->model_version);
    text_add(b, ",");
    put_text(b, "client_name", s->client_name);
    text_add(b, ",");
    put_text(b, "client_address", s->address);
    text_add(b, ",");
    put_time(b, "started", s->opened_unix);
    text_add(b, ",");
    put_time(b, "last_activity", s->last_unix);
    text_add(b, ",");
    put_fixed(b, "idle_seconds", now - s->last, 3);
    text_printf(
        b,
        ",\"frames\":%llu,\"rejected\":%llu,\"rebuilt\":%llu,\"coordinates_sent\":%llu,\"errors_sent\":%llu,",
        (unsigned long long)s->events[EVENT_FRAME], (unsigned long long)s->events[EVENT_REJECTED],
        (unsigned long long)s->rebuilt, (unsigned long long)s->events[EVENT_COORDINATES],
        (unsigned long long)s->events[EVENT_ERROR]);
    text_printf(b, "\"frame_id\":%lld,\"resolution\":[%u,%u],\"samples\":%zu,\"map\":%s,",
                (long long)s->frame_id, s->picture.W, s->picture.H, s->picture.n,
                s->picture.map_w ? "true" : "false");
    put_fixed(b, "rate", rate(s, now), 1);
    text_add(b, ",");
    put_fixed(b, "latency_ms", last ? 1e3 * (double)last->latency : NAN, 3);
    text_add(b, ",");
    put_fixed(b, "mean_latency_ms", 1e3 * mean(s->latency_sum, s->rebuilt), 3);
    text_add(b, ",");
    put_fixed(b, "quality", s->quality, 4);
    text_add(b, ",");
    put_fixed(b, "heldout_psnr", mean(s->heldout_sum, s->heldout_n), 3);
    text_add(b, ",");
    put_fixed(b, "psnr", mean(s->psnr_sum, s->psnr_n), 3);
    text_add(b, ",");
    put_fixed(b, "ssim", mean(s->ssim_sum, s->ssim_n), 4);
}

static void answer_sessions(struct call *c)
{
    struct telemetry *t = c->t;
    struct text *b = &c->a->body;
    char last[sizeof((struct session_view *)0)->id] = "";
    text_add(b, "{\"sessions\":[");
    for (int more = 1; more;) {
        /* The inference's thread waits for one session at most. */
        pthread_mutex_lock(&t->lock);
        const struct session_view *s = telemetry_next(t, last);
        more = s != NULL;
        if (s) {
            text_add(b, *last ? ",\n{" : "\n{");
            put_session(b, s);
            text_add(b, "}");
            memcpy(last, s->id, sizeof last);
        }
        pthread_mutex_unlock(&t->lock);
    }
    text_add(b, "]}\n");
}

/* The rebuilt frames after number `since`, as many as are kept: one array for each figure. */
static void put_history(struct text *b, const struct session_view *s, uint64_t since)
{
    uint64_t first = s->rebuilt > HISTORY ? s->rebuilt - HISTORY + 1 : 1;
    if (since >= first)
        first = since + 1;
    static const char *const keys[] = {"count", "frame_id",   "seconds", "psnr",
                                       "ssim",  "latency_ms", "heldout"};
    text_add(b, "\"history\":{");
    for (int k = 0; k < 7; k++) {
        text_printf(b, "%s\"%s\":[", k ? "," : "", keys[k]);
        for (uint64_t i = first; i <= s->rebuilt; i++) {
            const struct view_point *p = &s->history[i % HISTORY];
            text_add(b, i > first ? "," : "");
            double x[] = {(double)p->count, (double)p->frame_id,      p->done - s->opened, (double)p->psnr,
                          (double)p->ssim,  1e3 * (double)p->latency, p->heldout};
            static const int decimals[] = {0, 0, 3, 3, 4, 3, 0};
            if (isfinite(x[k]))
                text_printf(b, "%.*f", decimals[k], x[k]);
            else
                text_add(b, "null");
        }
        text_add(b, "]");
    }
    text_add(b, "}");
}

static void answer_session(struct call *c, const char *id)
{
    struct telemetry *t = c->t;
    const char *since = strstr(c->q->query, "since=");
    pthread_mutex_lock(&t->lock);
    struct session_view *s = telemetry_find(t, id);
    if (s) {
        struct text *b = &c->a->body;
        text_add(b, "{");
        put_session(b, s);
        text_add(b, ",");
        put_history(b, s, since ? strtoull(since + strlen("since="), NULL, 10) : 0);
        text_add(b, "}\n");
    }
    pthread_mutex_unlock(&t->lock);
    if (!s)
        refuse(c, 404, "NOT_FOUND", "no session of this id is open");
}

static void answer_picture(struct call *c, const char *id, enum live_picture_kind kind)
{
    struct telemetry *t = c->t;
    struct live_picture p = {0};
    struct err e = {0};
    pthread_mutex_lock(&t->lock);
    struct session_view *s = telemetry_find(t, id);
    int bad = s ? live_picture_copy(&p, &s->picture, &e) : 0;
    pthread_mutex_unlock(&t->lock);
    if (!s) {
        refuse(c, 404, "NOT_FOUND", "no session of this id is open");
        return;
    }
    c->a->type = "image/png";
    if (!bad)
        bad = live_picture_png(&p, kind, &c->a->body, &e);
    live_picture_release(&p);
    if (bad)
        refuse(c, bad == ERR_UNAVAILABLE ? 404 : 500, "NO_PICTURE", e.text);
}

static void answer_end(struct call *c, const char *id)
{
    if (!c->h->end || c->h->end(c->h->user, id)) {
        refuse(c, 404, "NOT_FOUND", "no session of this id is open");
        return;
    }
    text_add(&c->a->body, "{\"ended\":");
    text_json_string(&c->a->body, id);
    text_add(&c->a->body, "}\n");
}

/* {id}, {id}/frames/latest.png ... */
static void answer_below_sessions(struct call *c)
{
    static const char *const pictures[PICTURE_KINDS] = {"/frames/latest.png", "/frames/importance.png",
                                                        "/frames/samples.png"};
    char id[65];
    size_t n = strcspn(c->tail, "/");
    int get = !strcmp(c->q->method, "GET");
    if (!n || n >= sizeof id) {
        refuse(c, 404, "NOT_FOUND", "no session of this id is open");
        return;
    }
    memcpy(id, c->tail, n);
    id[n] = 0;
    const char *rest = c->tail + n;
    int kind = 0;
    /* DIR/frames/importance.png and DIR/importance.png are the same picture. */
    while (kind < PICTURE_KINDS && strcmp(rest, pictures[kind]) &&
           strcmp(rest, pictures[kind] + strlen("/frames")))
        kind++;
    if (kind < PICTURE_KINDS && get)
        answer_picture(c, id, (enum live_picture_kind)kind);
    else if (!*rest && get)
        answer_session(c, id);
    else if (!*rest && !strcmp(c->q->method, "DELETE"))
        answer_end(c, id);
    else if (!*rest || kind < PICTURE_KINDS)
        refuse(c, 405, "METHOD_NOT_ALLOWED", "a session answers GET and DELETE, its pictures GET");
    else
        refuse(c, 404, "NOT_FOUND", "there is nothing at this path");
}

/* --- routes --- */

static const struct route {
    const char *path; /* one that ends in / is a prefix, but for / itself */
    int open;         /* without the token */
    int any_method;   /* the handler looks at it */
    void (*answer)(struct call *c);
} routes[] = {
    {"/", 1, 0, answer_page},
    {"/api/health", 1, 0, answer_health},
    {"/api/ready", 0, 0, answer_ready},
    {"/api/status", 0, 0, answer_status},
    {"/api/sessions", 0, 0, answer_sessions},
    {"/api/sessions/", 0, 1, answer_below_sessions},
    {"/metrics", 0, 0, answer_metrics},
};

static int matches(const struct route *r, const char *path)
{
    size_t n = strlen(r->path);
    return n > 1 && r->path[n - 1] == '/' ? !strncmp(path, r->path, n) && path[n] : !strcmp(path, r->path);
}

void telemetry_answer(struct telemetry *t, const struct telemetry_http *h, const struct net_request *q,
                      struct net_response *a)
{
    const struct route *r = routes, *end = routes + sizeof routes / sizeof *routes;
    while (r < end && !matches(r, q->path))
        r++;
    struct call c = {.t = t, .h = h, .q = q, .a = a};
    a->status = 200;
    a->type = "application/json";
    if (!q->authorized && (r == end || !r->open))
        refuse(&c, 401, "UNAUTHORIZED", "this server asks for its token: Authorization: Bearer TOKEN");
    else if (r == end)
        refuse(&c, 404, "NOT_FOUND", "there is nothing at this path");
    else if (!r->any_method && strcmp(q->method, "GET"))
        refuse(&c, 405, "METHOD_NOT_ALLOWED", "this path answers GET");
    else {
        c.tail = q->path + strlen(r->path);
        r->answer(&c);
    }
    if (a->body.failed) {
        text_release(&a->body);
        a->status = 500;
    }
}
