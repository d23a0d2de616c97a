#include "engine_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "live_case.h"
#include "tap.h"

static struct err e;

struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct told *note(void *session, int64_t frame)
{
    struct told *t = &seen.at[seen.n++ % MOST];
    *t = (struct told){.frame = frame, .session = session, .set = -1};
    return t;
}

/* With the lock. */
static void pass_gate(void)
{
    seen.inside = 1;
    pthread_cond_broadcast(&seen.changed);
    while (seen.gate)
        pthread_cond_wait(&seen.changed, &seen.lock);
    seen.inside = 0;
}

static void on_result(void *user, const struct engine_result *r)
{
    (void)user;
    pthread_mutex_lock(&seen.lock);
    struct told *t = note(r->session_user, r->frame_id);
    t->heldout = r->heldout;
    t->mapped = r->map != NULL;
    t->map_w = r->map_w;
    t->map_h = r->map_h;
    t->truth = r->truth != NULL;
    t->batch = r->batch;
    t->psnr = r->psnr;
    t->ssim = r->ssim;
    t->quality = r->quality;
    if (r->set_uv) {
        t->set = r->set_id;
        t->target = r->target_frame_id;
    }
    memcpy(t->image, r->image, sizeof t->image);
    if (r->map)
        memcpy(t->map, r->map, (size_t)r->map_w * r->map_h * sizeof *r->map);
    pass_gate();
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static void on_failed(void *user, void *session, int64_t frame, const struct err *why)
{
    (void)user;
    pthread_mutex_lock(&seen.lock);
    note(session, frame)->failed = 1;
    snprintf(seen.reason, sizeof seen.reason, "%s", why->text);
    pass_gate();
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

void gate(int closed)
{
    pthread_mutex_lock(&seen.lock);
    seen.gate = closed;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

void wait_inside(void)
{
    pthread_mutex_lock(&seen.lock);
    while (!seen.inside)
        pthread_cond_wait(&seen.changed, &seen.lock);
    pthread_mutex_unlock(&seen.lock);
}

void wait_told(size_t n)
{
    pthread_mutex_lock(&seen.lock);
    while (seen.n < n)
        pthread_cond_wait(&seen.changed, &seen.lock);
    pthread_mutex_unlock(&seen.lock);
}

static void forget(void)
{
    pthread_mutex_lock(&seen.lock);
    seen.n = 0;
    pthread_mutex_unlock(&seen.lock);
}

void bench_open(struct bench *b, const char *dir, const char *key, const char *const *settings)
{
    static const struct engine_handlers handlers = {.result = on_result, .failed = on_failed};
    struct models_options options = {.dir = dir, .threads = 1};
    config_init(&b->config);
    int r = config_set(&b->config, "server.resolution=[16,20]", &e);
    r = r ? r : config_set(&b->config, "sampling.default_sample_count=40", &e);
    r = r ? r : config_set(&b->config, "sampling.holdout=0.2", &e);
    r = r ? r : config_set(&b->config, "server.stale_ms=0", &e);
    for (; *settings && !r; settings++)
        r = config_set(&b->config, *settings, &e);
    r = r ? r : models_open(&b->models, &options, &e);
    r = r ? r : engine_open(&b->engine, &b->config, b->models, &handlers, &e);
    if (r) {
        printf("Bail out! %s\n", e.text);
        exit(1);
    }
    b->model = live_model(b->models, key, NULL);
    forget();
}

void bench_close(struct bench *b, int drain)
{
    engine_close(b->engine, drain);
    models_release(b->models, b->model);
    models_close(b->models);
    config_release(&b->config);
}

void client_open(struct client *c, struct bench *b, const char *id)
{
    int64_t set;
    if (engine_session_open(b->engine, models_hold(b->model), id, c, &c->session, c->uv, &set, &e)) {
        printf("Bail out! %s\n", e.text);
        exit(1);
    }
    for (int i = 0; i < W * H; i++)
        c->image[i] = (uint8_t)(60 + 5 * (i % W) + 3 * (i / W));
    sample_values(c->image, W, H, c->uv, N, c->value);
    c->frame = (struct message){.n = N, .uv = c->uv, .value = c->value, .state = c->state};
}

void client_send(struct client *c, struct bench *b, int64_t id)
{
    c->frame.frame_id = id;
    engine_frame(b->engine, c->session, &c->frame, clock_seconds());
}

int adds_up(struct bench *b, uint64_t received)
{
    struct engine_stats s = engine_stats(b->engine);
    if (s.inferred + s.superseded + s.stale + s.failed != received)
        tap_diag("%llu + %llu + %llu + %llu of %llu", (unsigned long long)s.inferred,
                 (unsigned long long)s.superseded, (unsigned long long)s.stale, (unsigned long long)s.failed,
                 (unsigned long long)received);
    return s.inferred + s.superseded + s.stale + s.failed == received && !s.waiting;
}
