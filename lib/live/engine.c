/* Sessions, their mailboxes, the line they stand in, and the inference thread that takes batches from its head. */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "live/engine_private.h"

static const size_t BATCH_BYTES = (size_t)512 << 20; /* of activations */

struct engine {
    struct models *models;
    struct engine_batch batch;
    struct engine_session **taken; /* (max_batch) */
    size_t max_batch, samples;
    int batch_given;
    double max_wait, stale; /* seconds */
    int threads;
    pthread_t thread;
    int running;

    pthread_mutex_t lock; /* the rest, and what engine_session says is its */
    pthread_cond_t work;
    struct engine_session *first, *last; /* the line */
    struct engine_session *sessions;
    struct engine_stats stats;
    int closing, drain;
};

/* --- the line; with the lock --- */

static void line_add(struct engine *g, struct engine_session *s)
{
    *(g->first ? &g->last->next_queued : &g->first) = s;
    g->last = s;
    s->next_queued = NULL;
    s->queued = 1;
    g->stats.waiting++;
}

/* before: who stands in front of s, NULL when s is the first. */
static void line_remove(struct engine *g, struct engine_session *before, struct engine_session *s)
{
    *(before ? &before->next_queued : &g->first) = s->next_queued;
    if (g->last == s)
        g->last = before;
    s->queued = 0;
    g->stats.waiting--;
}

static void line_leave(struct engine *g, struct engine_session *s)
{
    struct engine_session *before = NULL;
    for (struct engine_session *at = g->first; at != s; at = at->next_queued)
        before = at;
    line_remove(g, before, s);
}

/* --- the inference thread --- */

/* Leaves others max_wait from the arrival of the first in the line to come along. */
static void wait_for_company(struct engine *g)
{
    struct timespec until;
    while (g->max_wait > 0 && !g->closing && g->first && g->stats.waiting < g->max_batch) {
        double left = g->first->waiting->received + g->max_wait - clock_seconds();
        if (left <= 0)
            return;
        clock_gettime(CLOCK_MONOTONIC, &until);
        double at = (double)until.tv_sec + 1e-9 * (double)until.tv_nsec + left;
        until.tv_sec = (time_t)floor(at);
        until.tv_nsec = (long)(1e9 * (at - floor(at)));
        pthread_cond_timedwait(&g->work, &g->lock, &until);
    }
}

/* Waits until there is a frame; 0 when the engine ends. */
static int wait_for_work(struct engine *g)
{
    while (!g->closing) {
        if (!g->first)
            pthread_cond_wait(&g->work, &g->lock);
        wait_for_company(g); /* meanwhile the first may leave */
        if (g->first && !g->closing)
            return 1;
    }
    return g->first && g->drain;
}

/* A network on the CPU takes as long for a batch as for its frames one after the other, and everybody in it waits for the
 * last (SPEED.md): without a word from the configuration it gets one at a time. */
static size_t batch_limit(const struct engine *g, const struct recon *recon)
{
    if (!recon_model(recon))
        return g->max_batch;
    if (!g->batch_given && !recon_gains_by_batch(recon))
        return 1;
    size_t fit = recon_batch(recon, g->batch.W, g->batch.H, g->samples, BATCH_BYTES);
    return fit < g->max_batch ? fit : g->max_batch;
}

/* The first in the line and those behind it with the same weights. */
static size_t take(struct engine *g)
{
    struct engine_session *before = NULL, *next;
    struct recon *recon = NULL;
    size_t n = 0, limit = 1;
    double now = clock_seconds();
    for (struct engine_session *s = g->first; s && n < limit; s = next) {
        next = s->next_queued;
        if (recon && s->model->recon != recon) {
            before = s;
            continue;
        }
        line_remove(g, before, s);
        if (g->stale > 0 && !g->closing && now - s->waiting->received > g->stale) {
            g->stats.stale++;
            s->skipped++;
            continue;
        }
        if (!recon) {
            recon = s->model->recon;
            limit = batch_limit(g, recon);
        }
        struct engine_copy *t = s->work;
        s->work = s->waiting;
        s->waiting = t;
        s->skipped_work += s->skipped;
        s->skipped = 0;
        s->busy = 1;
        g->taken[n++] = s;
    }
    return n;
}

/* Sessions of one batch may have come to differ by a checkpoint that was loaded anew. */
static void run(struct engine *g, size_t n)
{
    for (size_t i = 0; i < n; i++)
        models_renew(g->models, &g->taken[i]->model);
    for (size_t from = 0, to; from < n; from = to) {
        struct recon *recon = g->taken[from]->model->recon;
        to = from + 1;
        for (size_t i = to; i < n; i++) {
            struct engine_session *s = g->taken[i];
            if (s->model->recon != recon)
                continue;
            g->taken[i] = g->taken[to];
            g->taken[to++] = s;
        }
        engine_batch_run(&g->batch, g->taken + from, to - from);
        pthread_mutex_lock(&g->lock); /* counted before it is told: who was told finds it counted */
        g->stats.inferred += to - from - g->batch.failed;
        g->stats.failed += g->batch.failed;
        g->stats.batches++;
        pthread_mutex_unlock(&g->lock);
        engine_batch_tell(&g->batch, g->taken + from, to - from);
    }
}

static void session_free(struct engine *g, struct engine_session *s)
{
    for (int i = 0; i < 3; i++) {
        free(s->copies[i].uv);
        free(s->copies[i].value);
        free(s->copies[i].state);
        free(s->copies[i].truth);
    }
    free(s->set_uv);
    free(s->kept_uv);
    free(s->kept_value);
    free(s->held);
    models_release(g->models, s->model);
    pthread_mutex_destroy(&s->answering);
    free(s);
}

static void *infer_loop(void *user)
{
    struct engine *g = user;
    omp_set_num_threads(g->threads); /* OpenMP's setting belongs to the thread that makes it */
    pthread_mutex_lock(&g->lock);
    while (wait_for_work(g)) {
        size_t n = take(g);
        pthread_mutex_unlock(&g->lock);
        run(g, n);
        pthread_mutex_lock(&g->lock);
        for (size_t i = 0; i < n; i++) {
            g->taken[i]->busy = 0;
            if (g->taken[i]->gone)
                session_free(g, g->taken[i]);
        }
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* --- frames --- */

static int copy_frame(struct engine_copy *c, const struct message *m, double received, struct err *e)
{
    size_t pixels = (size_t)m->image_w * m->image_h;
    int r = mem_grow(&c->uv, &c->capacity[0], m->n, 2 * sizeof *c->uv, "a frame", e);
    if (!r)
        r = mem_grow(&c->value, &c->capacity[1], m->n, 1, "a frame", e);
    if (!r)
        r = mem_grow(&c->state, &c->capacity[2], m->state_n, sizeof *c->state, "a frame", e);
    if (!r && m->image)
        r = mem_grow(&c->truth, &c->capacity[3], pixels, 1, "a frame", e);
    if (r)
        return r;
    c->frame_id = m->frame_id;
    c->received = received;
    c->n = m->n;
    c->state_n = m->state_n;
    c->truth_w = m->image ? m->image_w : 0;
    c->truth_h = m->image ? m->image_h : 0;
    if (m->n) {
        memcpy(c->uv, m->uv, m->n * 2 * sizeof *c->uv);
        memcpy(c->value, m->value, m->n);
    }
    if (m->state_n)
        memcpy(c->state, m->state, m->state_n * sizeof *c->state);
    if (m->image)
        memcpy(c->truth, m->image, pixels);
    return 0;
}

void engine_frame(struct engine *g, struct engine_session *s, const struct message *frame, double received)
{
    struct err e;
    int r = copy_frame(s->spare, frame, received, &e); /* outside the lock: nobody else looks at spare */
    pthread_mutex_lock(&g->lock);
    if (r) {
        g->stats.failed++;
        s->skipped++;
    } else {
        struct engine_copy *t = s->waiting;
        s->waiting = s->spare;
        s->spare = t;
        if (s->queued) {
            g->stats.superseded++;
            s->skipped++;
        } else {
            line_add(g, s);
        }
        pthread_cond_signal(&g->work);
    }
    pthread_mutex_unlock(&g->lock);
    if (r)
        g->batch.handlers.failed(g->batch.handlers.user, s->user, frame->frame_id, &e);
}

/* --- sessions --- */

int engine_session_open(struct engine *g, struct model *model, const char *session_id, void *session_user,
                        struct engine_session **out, float *uv, int64_t *set, struct err *e)
{
    struct engine_session *s;
    *out = NULL;
    int r = mem_alloc(&s, 1, sizeof *s, "a session", e);
    if (r) {
        models_release(g->models, model);
        return r;
    }
    s->user = session_user;
    s->model = model;
    s->spare = &s->copies[0];
    s->waiting = &s->copies[1];
    s->work = &s->copies[2];
    s->mapped = -INFINITY;
    pthread_mutex_init(&s->answering, NULL);
    r = policy_init(&s->policy, g->batch.config, session_id, g->batch.W, g->batch.H, g->samples, e);
    if (!r)
        r = mem_alloc(&s->set_uv, g->samples, 2 * sizeof *s->set_uv, "a set of coordinates", e);
    if (!r)
        r = policy_first(&s->policy, uv, set, e);
    if (r) {
        session_free(g, s);
        return r;
    }
    pthread_mutex_lock(&g->lock);
    s->next = g->sessions;
    if (s->next)
        s->next->previous = s;
    g->sessions = s;
    g->stats.sessions++;
    pthread_mutex_unlock(&g->lock);
    *out = s;
    return 0;
}

size_t engine_session_samples(const struct engine_session *s)
{
    return s->policy.request.n;
}

void engine_session_close(struct engine *g, struct engine_session *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->answering);
    s->closed = 1;
    pthread_mutex_unlock(&s->answering);

    pthread_mutex_lock(&g->lock);
    if (s->queued) {
        line_leave(g, s);
        g->stats.stale++;
    }
    *(s->previous ? &s->previous->next : &g->sessions) = s->next;
    if (s->next)
        s->next->previous = s->previous;
    g->stats.sessions--;
    s->gone = 1;
    int busy = s->busy; /* then the inference thread frees it */
    pthread_mutex_unlock(&g->lock);
    if (!busy)
        session_free(g, s);
}

struct engine_stats engine_stats(struct engine *g)
{
    pthread_mutex_lock(&g->lock);
    struct engine_stats s = g->stats;
    pthread_mutex_unlock(&g->lock);
    return s;
}

/* --- open, close --- */

static int configure(struct engine *g, const struct config *c, const struct engine_handlers *h, struct err *e)
{
    g->samples = (size_t)c->sampling.default_sample_count;
    g->max_batch = (size_t)c->server.max_batch;
    g->batch_given = config_given(c, "server.max_batch");
    g->max_wait = 1e-3 * c->server.max_wait_ms;
    g->stale = 1e-3 * c->server.stale_ms;
    g->threads = omp_get_max_threads();
    g->batch.config = c;
    g->batch.handlers = *h;
    g->batch.H = c->server.resolution[0];
    g->batch.W = c->server.resolution[1];
    /* What every session would fail at is said before there is one. */
    struct policy p;
    int r = policy_init(&p, c, "", g->batch.W, g->batch.H, g->samples, e);
    if (r)
        return r;
    g->batch.importance = p.importance;
    return mem_alloc(&g->taken, g->max_batch, sizeof(struct engine_session *), "a batch", e);
}

int engine_open(struct engine **out, const struct config *c, struct models *models,
                const struct engine_handlers *h, struct err *e)
{
    struct engine *g;
    pthread_condattr_t monotonic;
    *out = NULL;
    int r = mem_alloc(&g, 1, sizeof *g, "the engine", e);
    if (r)
        return r;
    g->models = models;
    pthread_mutex_init(&g->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&g->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    r = configure(g, c, h, e);
    if (!r && (r = pthread_create(&g->thread, NULL, infer_loop, g)))
        r = err_set(e, ERR_INTERNAL, "the inference thread: %s", strerror(r));
    g->running = !r;
    if (r)
        engine_close(g, 0);
    else
        *out = g;
    return r;
}

void engine_close(struct engine *g, int drain)
{
    if (!g)
        return;
    if (g->running) {
        pthread_mutex_lock(&g->lock);
        g->closing = 1;
        g->drain = drain;
        pthread_cond_signal(&g->work);
        pthread_mutex_unlock(&g->lock);
        pthread_join(g->thread, NULL);
    }
    while (g->sessions)
        engine_session_close(g, g->sessions);
    engine_batch_release(&g->batch);
    free(g->taken);
    pthread_cond_destroy(&g->work);
    pthread_mutex_destroy(&g->lock);
    free(g);
}
