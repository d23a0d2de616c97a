#include "live/telemetry_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/page.h"

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

int telemetry_open(struct telemetry **out, const struct telemetry_options *o, struct err *e)
{
    struct telemetry *t;
    int r = mem_alloc(&t, 1, sizeof *t, "the telemetry", e);
    if (r)
        return r;
    copy(t->version, sizeof t->version, o->version);
    copy(t->device, sizeof t->device, o->device ? o->device : "cpu");
    t->started = clock_seconds();
    page_policy(&t->policy);
    pthread_mutex_init(&t->lock, NULL);
    t->gpu = nvml_open();
    if (o->log)
        r = live_log_open(&t->log, o->log, t->gpu, e);
    if (r)
        telemetry_close(t);
    else
        *out = t;
    return r;
}

static void release_session(struct session_view *s)
{
    live_picture_release(&s->picture);
    live_picture_release(&s->spare);
    free(s);
}

void telemetry_close(struct telemetry *t)
{
    if (!t)
        return;
    if (!live_log_close(t->log))
        nvml_close(t->gpu);
    for (size_t i = 0; i < t->n; i++)
        release_session(t->session[i]);
    free(t->session);
    text_release(&t->policy);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

double telemetry_uptime(const struct telemetry *t)
{
    return clock_seconds() - t->started;
}

/* --- sessions --- */

/* Where id is, or where it belongs. */
static size_t place(const struct telemetry *t, const char *id)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(t->session[middle]->id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct session_view *telemetry_find(struct telemetry *t, const char *id)
{
    size_t i = place(t, id);
    return i < t->n && !strcmp(t->session[i]->id, id) ? t->session[i] : NULL;
}

struct session_view *telemetry_next(struct telemetry *t, const char *id)
{
    size_t i = place(t, id);
    if (i < t->n && !strcmp(t->session[i]->id, id))
        i++;
    return i < t->n ? t->session[i] : NULL;
}

/* A session without a view is served all the same: without memory for it, it is only not told of. */
static struct session_view *insert(struct telemetry *t, const char *id)
{
    struct session_view *s = telemetry_find(t, id);
    if (s)
        return s;
    size_t i = place(t, id);
    if (mem_grow(&t->session, &t->capacity, t->n + 1, sizeof *t->session, "sessions", NULL) ||
        mem_alloc(&s, 1, sizeof *s, "a session's view", NULL))
        return NULL;
    memmove(t->session + i + 1, t->session + i, (t->n - i) * sizeof *t->session);
    t->session[i] = s;
    t->n++;
    copy(s->id, sizeof s->id, id);
    s->opened = clock_seconds();
    s->opened_unix = clock_unix();
    s->quality = NAN;
    return s;
}

static void touch(struct session_view *s)
{
    s->last = clock_seconds();
    s->last_unix = clock_unix();
}

void telemetry_session(struct telemetry *t, const char *session_id, const char *key,
                       const char *model_version, const char *client_name, const char *client_address)
{
    pthread_mutex_lock(&t->lock);
    int resumed = telemetry_find(t, session_id) != NULL;
    struct session_view *s = insert(t, session_id);
    if (s) {
        copy(s->key, sizeof s->key, key);
        copy(s->model_version, sizeof s->model_version, model_version);
        copy(s->client_name, sizeof s->client_name, client_name);
        copy(s->address, sizeof s->address, client_address);
        touch(s);
    }
    t->counts.sessions += !resumed;
    pthread_mutex_unlock(&t->lock);
}

void telemetry_session_closed(struct telemetry *t, const char *session_id)
{
    pthread_mutex_lock(&t->lock);
    struct session_view *s = telemetry_find(t, session_id);
    if (s) {
        size_t i = place(t, session_id);
        t->n--;
        memmove(t->session + i, t->session + i + 1, (t->n - i) * sizeof *t->session);
    }
    pthread_mutex_unlock(&t->lock);
    if (s)
        release_session(s);
}

void telemetry_frame(struct telemetry *t, const char *session_id, enum telemetry_event event)
{
    pthread_mutex_lock(&t->lock);
    t->counts.events[event]++;
    struct session_view *s = session_id ? telemetry_find(t, session_id) : NULL;
    if (s) {
        s->events[event]++;
        if (event == EVENT_FRAME || event == EVENT_REJECTED)
            touch(s);
    }
    pthread_mutex_unlock(&t->lock);
}

void telemetry_stage(struct telemetry *t, enum telemetry_stage stage, double seconds)
{
    pthread_mutex_lock(&t->lock);
    histogram_add(&t->counts.stage[stage], seconds);
    pthread_mutex_unlock(&t->lock);
}

/* --- results --- */

static void add_finite(double x, double *sum, uint64_t *n)
{
    if (isfinite(x)) {
        *sum += x;
        ++*n;
    }
}

static void count_model(struct telemetry_counts *c, const struct engine_result *r)
{
    size_t i = 0;
    while (i < c->models && strcmp(c->model[i].version, r->model_version))
        i++;
    if (i == MODELS)
        return; /* a server that saw more versions than this has been up for long: the old ones go on */
    struct model_view *m = &c->model[i];
    if (i == c->models) {
        copy(m->version, sizeof m->version, r->model_version);
        c->models++;
    }
    m->frames++;
    add_finite(r->psnr, r->heldout ? &m->heldout_sum : &m->psnr_sum, r->heldout ? &m->heldout_n : &m->psnr_n);
}

static void count_result(struct session_view *s, const struct engine_result *r)
{
    double latency = r->done - r->received;
    s->rebuilt++;
    s->frame_id = r->frame_id;
    s->latency_sum += latency;
    s->quality = r->quality;
    copy(s->model_version, sizeof s->model_version, r->model_version);
    add_finite(r->psnr, r->heldout ? &s->heldout_sum : &s->psnr_sum, r->heldout ? &s->heldout_n : &s->psnr_n);
    add_finite(r->ssim, &s->ssim_sum, &s->ssim_n);
    s->history[s->rebuilt % HISTORY] = (struct view_point){.count = s->rebuilt,
                                                           .frame_id = r->frame_id,
                                                           .done = r->done,
                                                           .psnr = (float)r->psnr,
                                                           .ssim = (float)r->ssim,
                                                           .latency = (float)latency,
                                                           .heldout = r->heldout};
}

static void put_log(struct telemetry *t, const char *session_id, const struct engine_result *r, size_t active)
{
    struct live_log_entry x = {.time = clock_unix(),
                               .frame_id = r->frame_id,
                               .active = active,
                               .psnr = r->psnr,
                               .ssim = r->ssim,
                               .heldout = r->heldout,
                               .latency = r->done - r->received};
    copy(x.client_id, sizeof x.client_id, session_id);
    copy(x.model_version, sizeof x.model_version, r->model_version);
    live_log_map(&x, r->map, r->map ? (size_t)r->map_w * r->map_h : 0);
    double age = live_log_picture_age(t->log);
    if (age >= (r->map ? 1 : 2.5) && (x.picture = calloc(1, sizeof *x.picture)) &&
        live_picture_take(x.picture, r, NULL)) {
        live_picture_release(x.picture);
        free(x.picture);
        x.picture = NULL;
    }
    live_log_put(t->log, &x);
}

void telemetry_result(struct telemetry *t, const char *session_id, const struct engine_result *r)
{
    /* The pictures are copied outside of the lock, into the memory of the ones before the last. */
    struct live_picture fresh = {0};
    pthread_mutex_lock(&t->lock);
    struct session_view *s = telemetry_find(t, session_id);
    if (s) {
        fresh = s->spare;
        s->spare = (struct live_picture){0};
    }
    pthread_mutex_unlock(&t->lock);
    int taken = s && !live_picture_take(&fresh, r, NULL);

    pthread_mutex_lock(&t->lock);
    struct telemetry_counts *c = &t->counts;
    c->rebuilt++;
    histogram_add(&c->stage[STAGE_QUEUE], r->begun - r->received);
    histogram_add(&c->stage[STAGE_INFERENCE], r->done - r->begun);
    histogram_add(&c->latency, r->done - r->received);
    count_model(c, r);
    s = telemetry_find(t, session_id); /* it may have gone meanwhile */
    if (s) {
        count_result(s, r);
        if (taken) {
            live_picture_keep_map(&fresh, &s->picture, r->done);
            live_picture_release(&s->spare); /* empty, unless two threads were at one session */
            s->spare = s->picture;
            s->picture = fresh;
            fresh = (struct live_picture){0};
        }
    }
    size_t active = t->n;
    pthread_mutex_unlock(&t->lock);
    live_picture_release(&fresh);
    if (t->log)
        put_log(t, session_id, r, active);
}
