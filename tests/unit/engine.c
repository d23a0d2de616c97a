/* lib/live/engine: newest frame wins, nobody starves, bad frames fail alone, closed sessions hear nothing, memory stays flat. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "live/engine.h"
#include "live_case.h"
#include "metric/metric.h"
#include "tap.h"

enum { W = 20, H = 16, N = 40, MOST = 4096 };

static struct err e;

/* What the handlers saw, by a lock; `gate` closed holds the inference thread inside a handler. */
struct told {
    int64_t frame;
    int failed, heldout, mapped, truth;
    size_t batch;
    double psnr, ssim, quality;
    int64_t set, target;
    void *session;
    float image[W * H], map[W * H];
};
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int gate, inside;
    size_t n;
    struct told at[MOST];
    char reason[1024];
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

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

static void gate(int closed)
{
    pthread_mutex_lock(&seen.lock);
    seen.gate = closed;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static void wait_inside(void)
{
    pthread_mutex_lock(&seen.lock);
    while (!seen.inside)
        pthread_cond_wait(&seen.changed, &seen.lock);
    pthread_mutex_unlock(&seen.lock);
}

static void wait_told(size_t n)
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

/* --- an engine, its sessions and frames --- */

struct bench {
    struct config config;
    struct models *models;
    struct engine *engine;
    struct model *model;
};

static void bench_open(struct bench *b, const char *dir, const char *key, const char *const *settings)
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

static void bench_close(struct bench *b, int drain)
{
    engine_close(b->engine, drain);
    models_release(b->models, b->model);
    models_close(b->models);
    config_release(&b->config);
}

struct client {
    struct engine_session *session;
    float uv[2 * N], state[4];
    uint8_t value[N], image[W * H];
    struct message frame;
};

static void client_open(struct client *c, struct bench *b, const char *id)
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

static void client_send(struct client *c, struct bench *b, int64_t id)
{
    c->frame.frame_id = id;
    engine_frame(b->engine, c->session, &c->frame, clock_seconds());
}

static int adds_up(struct bench *b, uint64_t received)
{
    struct engine_stats s = engine_stats(b->engine);
    if (s.inferred + s.superseded + s.stale + s.failed != received)
        tap_diag("%llu + %llu + %llu + %llu of %llu", (unsigned long long)s.inferred,
                 (unsigned long long)s.superseded, (unsigned long long)s.stale, (unsigned long long)s.failed,
                 (unsigned long long)received);
    return s.inferred + s.superseded + s.stale + s.failed == received && !s.waiting;
}

static void newest_wins(void)
{
    static struct client c;
    struct bench b;
    bench_open(&b, NULL, "any", (const char *const[]){"mask_update.fixed_interval=3", NULL});
    client_open(&c, &b, "one");
    ok(engine_session_samples(c.session) == N, "a set has %d samples", N);
    gate(1);
    client_send(&c, &b, 0);
    wait_inside();
    for (int i = 1; i <= 5; i++)
        client_send(&c, &b, i);
    struct engine_stats s = engine_stats(b.engine);
    ok(s.inferred == 1 && s.superseded == 4 && s.waiting == 1 && s.sessions == 1,
       "four of five are superseded");
    gate(0);
    wait_told(2);
    ok(seen.at[0].frame == 0 && seen.at[1].frame == 5 && adds_up(&b, 6), "the newest is rebuilt");
    ok(seen.at[0].set == -1 && seen.at[1].set == 1 && seen.at[1].target == 6,
       "frames that were not rebuilt count for the schedule: a set for frame %lld",
       (long long)seen.at[1].target);
    engine_session_close(b.engine, c.session);
    bench_close(&b, 1);
}

static void goes_stale(void)
{
    static struct client c, d;
    struct bench b;
    bench_open(&b, NULL, "any", (const char *const[]){"server.stale_ms=30", "server.max_batch=1", NULL});
    client_open(&c, &b, "one");
    client_open(&d, &b, "two");
    gate(1);
    client_send(&c, &b, 0);
    wait_inside();
    client_send(&d, &b, 1);
    usleep(60000);
    gate(0);
    while (engine_stats(b.engine).waiting)
        usleep(1000);
    ok(engine_stats(b.engine).stale == 1, "a frame that waited too long is left out");
    client_send(&d, &b, 2);
    wait_told(2);
    ok(seen.at[1].frame == 2 && adds_up(&b, 3), "the next is rebuilt");
    engine_session_close(b.engine, c.session);
    engine_session_close(b.engine, d.session);
    bench_close(&b, 1);
}

struct flood {
    struct client *client;
    struct bench *bench;
    atomic_int over;
    atomic_llong sent;
};

static void *flood_run(void *user)
{
    struct flood *f = user;
    while (!atomic_load(&f->over)) {
        client_send(f->client, f->bench, atomic_fetch_add(&f->sent, 1));
        usleep(50);
    }
    return NULL;
}

/* Three clients send without end; one sends now and then and waits. */
static void nobody_starves(void)
{
    static struct client fast[3], slow;
    static struct flood floods[3];
    pthread_t threads[3];
    struct bench b;
    size_t most = 0;
    long long sent = 20;
    bench_open(&b, NULL, "any", (const char *const[]){"server.max_batch=1", NULL});
    client_open(&slow, &b, "slow");
    for (int i = 0; i < 3; i++) {
        client_open(&fast[i], &b, "fast");
        floods[i] = (struct flood){.client = &fast[i], .bench = &b};
        pthread_create(&threads[i], NULL, flood_run, &floods[i]);
    }
    for (int i = 0; i < 20; i++) {
        pthread_mutex_lock(&seen.lock);
        size_t from = seen.n, at = from;
        pthread_mutex_unlock(&seen.lock);
        client_send(&slow, &b, i);
        pthread_mutex_lock(&seen.lock);
        for (int found = 0; !found;) {
            while (at == seen.n)
                pthread_cond_wait(&seen.changed, &seen.lock);
            found = seen.at[at++ % MOST].session == &slow;
        }
        pthread_mutex_unlock(&seen.lock);
        most = at - from > most ? at - from : most;
    }
    for (int i = 0; i < 3; i++) {
        atomic_store(&floods[i].over, 1);
        pthread_join(threads[i], NULL);
        sent += floods[i].sent;
    }
    while (engine_stats(b.engine).waiting)
        usleep(1000);
    engine_session_close(b.engine, slow.session);
    for (int i = 0; i < 3; i++)
        engine_session_close(b.engine, fast[i].session);
    engine_close(b.engine, 1);
    /* One may have been under way and all three in front; one more was told between the look and the frame. */
    ok(most <= 6, "who sends seldom waits for at most one frame of each who floods: %zu", most);
    ok(seen.n <= (size_t)sent, "%lld frames, %zu rebuilt", sent, seen.n);
    models_release(b.models, b.model);
    models_close(b.models);
    config_release(&b.config);
}

/* Eight frames of different counts alone and as one batch; with `bad` the model cannot take two of them. */
static void batches(const char *dir, const char *key, int bad)
{
    enum { CLIENTS = 8 };
    static struct client c[CLIENTS];
    static struct told alone[CLIENTS];
    static float long_state[13];
    struct bench b;
    long_state[12] = 1;
    for (int together = 0; together < 2; together++) {
        bench_open(&b, dir, key,
                   together ? (const char *const[]){"server.max_batch=8", "server.max_wait_ms=60000",
                                                    "sampling.strategy=adaptive",
                                                    "mask_update.fixed_interval=1", NULL}
                            : (const char *const[]){"server.max_batch=1", "sampling.strategy=adaptive",
                                                    "mask_update.fixed_interval=1", NULL});
        for (int i = 0; i < CLIENTS; i++) {
            char id[8];
            snprintf(id, sizeof id, "%d", i);
            client_open(&c[i], &b, id);
            c[i].frame.n = (size_t)(N - 5 * i + 2); /* ragged; the seventh has 7 */
            if (c[i].frame.n > N)
                c[i].frame.n = N;
            c[i].frame.state_n = 4;
        }
        if (bad) {
            c[2].frame.state = long_state;
            c[2].frame.state_n = 13;
            c[5].frame.n = 0;
        }
        for (int i = 0; i < CLIENTS; i++) {
            client_send(&c[i], &b, 100 + i);
            if (!together)
                wait_told((size_t)i + 1);
        }
        wait_told(CLIENTS);
        struct engine_stats s = engine_stats(b.engine);
        int linear = !strcmp(b.model->version, "linear");
        ok(s.failed == (uint64_t)(bad ? 2 - linear : 0) && adds_up(&b, CLIENTS), "%s, %s: %llu fail: %s", key,
           together ? "together" : "alone", (unsigned long long)s.failed, bad ? seen.reason : "none");
        ok(s.batches == (together ? 1 : CLIENTS), "in %llu batches", (unsigned long long)s.batches);
        if (!together)
            memcpy(alone, seen.at, sizeof alone);
        for (int i = 0; together && i < CLIENTS; i++) {
            struct told *t = &seen.at[i], *a = &alone[t->frame - 100];
            ok(t->failed == a->failed && t->set == a->set, "frame %lld of the batch", (long long)t->frame);
            /* Rows are padded to the longest of a batch: sums of attention may end in another order. */
            double image = tap_distance(t->image, a->image, W * H), map = tap_distance(t->map, a->map, W * H);
            if (!t->failed)
                ok(image < 1e-6 && map < 1e-4, "is what it is alone: %g, its map %g", image, map);
        }
        for (int i = 0; i < CLIENTS; i++)
            engine_session_close(b.engine, c[i].session);
        bench_close(&b, 1);
    }
}

/* How many frames the largest batch has when three wait, as the configuration is by default. */
static size_t by_default(const char *dir, const char *key)
{
    static struct client c[4];
    struct bench b;
    size_t most = 0;
    bench_open(&b, dir, key, (const char *const[]){NULL});
    for (int i = 0; i < 4; i++)
        client_open(&c[i], &b, "x");
    gate(1);
    client_send(&c[3], &b, 3);
    wait_inside();
    for (int i = 0; i < 3; i++)
        client_send(&c[i], &b, i);
    gate(0);
    wait_told(4);
    for (int i = 0; i < 4; i++)
        most = seen.at[i].batch > most ? seen.at[i].batch : most;
    bench_close(&b, 1);
    return most;
}

static void judged(const char *dir)
{
    static struct client c;
    struct bench b;
    uint8_t rounded[W * H];
    bench_open(&b, dir, "cross", (const char *const[]){"sampling.importance=entropy", NULL});
    client_open(&c, &b, "one");
    client_send(&c, &b, 0);
    wait_told(1);
    struct told *t = &seen.at[0];
    ok(t->heldout && isfinite(t->psnr) && isnan(t->ssim) && t->quality >= 0 && t->quality <= 1 && !t->truth &&
           t->mapped,
       "without a full frame: by what is withheld, %.2f dB, %.3f; with a map", t->psnr, t->quality);
    c.frame.image = c.image;
    c.frame.image_w = W;
    c.frame.image_h = H;
    client_send(&c, &b, 1);
    wait_told(2);
    t = &seen.at[1];
    metric_quantise(t->image, rounded, W * H);
    ok(!t->heldout && t->ssim == metric_ssim(c.image, rounded, W, H) && t->quality == t->ssim && t->truth &&
           t->psnr == metric_psnr(c.image, rounded, W * H),
       "with one: SSIM %.3f, %.2f dB", t->ssim, t->psnr);
    static uint8_t large[4 * W * H];
    for (int i = 0; i < 4 * W * H; i++)
        large[i] = c.image[(i / (2 * W) / 2) * W + i % (2 * W) / 2];
    c.frame.image = large;
    c.frame.image_w = 2 * W;
    c.frame.image_h = 2 * H;
    client_send(&c, &b, 2);
    wait_told(3);
    ok(seen.at[2].ssim == seen.at[1].ssim, "a full frame of another size is brought to the server's: %.3f",
       seen.at[2].ssim);
    engine_session_close(b.engine, c.session);
    bench_close(&b, 1);

    bench_open(&b, NULL, "none",
               (const char *const[]){"sampling.strategy=adaptive", "mask_update.fixed_interval=1", NULL});
    client_open(&c, &b, "one");
    client_send(&c, &b, 0);
    wait_told(1);
    float high = 0;
    for (int i = 0; i < W * H; i++)
        high = fmaxf(high, seen.at[0].map[i]);
    ok(seen.at[0].mapped && high > 0.99f && high <= 1 && seen.at[0].set == 1,
       "linear with importance entropy: the residual stands in");
    engine_session_close(b.engine, c.session);
    bench_close(&b, 1);
    struct config config;
    struct engine *g;
    config_init(&config);
    ok(!config_set(&config, "server.resolution=[8,8]", &e) &&
           engine_open(&g, &config, NULL, &(struct engine_handlers){0}, &e) == ERR_CONFIG && !g,
       "more samples than pixels: %s", e.text);
    config_release(&config);
}

/* A session that closes while its batch is told waits for its own answer only, and hears nothing after. */
struct leaver {
    struct bench *bench;
    struct client *client;
    atomic_int left;
};

static void *leave(void *user)
{
    struct leaver *l = user;
    engine_session_close(l->bench->engine, l->client->session);
    atomic_store(&l->left, 1);
    return NULL;
}

static void closes(void)
{
    static struct client c[3];
    struct bench b;
    pthread_t thread;
    bench_open(&b, NULL, "any",
               (const char *const[]){"server.max_batch=2", "server.max_wait_ms=60000", NULL});
    for (int i = 0; i < 3; i++)
        client_open(&c[i], &b, "x");
    gate(1);
    client_send(&c[0], &b, 0);
    client_send(&c[1], &b, 1);
    wait_inside(); /* the handler of c[0]; c[1] is in the same batch */
    client_send(&c[2], &b, 2);
    struct leaver l = {.bench = &b, .client = &c[0]};
    pthread_create(&thread, NULL, leave, &l);
    engine_session_close(b.engine, c[1].session);
    engine_session_close(b.engine, c[2].session);
    ok(engine_stats(b.engine).stale == 1, "others close while a handler stands; a frame that waits is stale");
    usleep(50000);
    ok(!l.left, "who is being told waits");
    gate(0);
    pthread_join(thread, NULL);
    ok(l.left && engine_stats(b.engine).sessions == 0 && adds_up(&b, 3), "until it was told");
    bench_close(&b, 1);
    ok(seen.n == 1, "nobody hears anything after: %zu", seen.n);

    bench_open(&b, NULL, "any", (const char *const[]){"server.max_batch=1", NULL});
    for (int i = 0; i < 3; i++)
        client_open(&c[i], &b, "x");
    gate(1);
    for (int i = 0; i < 3; i++)
        client_send(&c[i], &b, i);
    wait_inside();
    gate(0);
    bench_close(&b, 1); /* with its sessions */
    ok(seen.n == 3, "draining answers what waits: %zu", seen.n);
    bench_open(&b, NULL, "any",
               (const char *const[]){"server.max_batch=2", "server.max_wait_ms=60000", NULL});
    client_open(&c[0], &b, "x");
    client_send(&c[0], &b, 0);
    bench_close(&b, 0);
    ok(seen.n == 0, "without draining what waits is dropped: %zu", seen.n);
    bench_open(&b, NULL, "any",
               (const char *const[]){"server.max_batch=2", "server.max_wait_ms=60000", NULL});
    for (int i = 0; i < 3; i++)
        client_open(&c[i], &b, "x");
    client_send(&c[0], &b, 0);
    usleep(20000); /* the engine waits for a second frame */
    engine_session_close(b.engine, c[0].session);
    usleep(20000);
    client_send(&c[1], &b, 1);
    client_send(&c[2], &b, 2);
    wait_told(2);
    ok(seen.n == 2 && seen.at[0].batch == 2, "who leaves while the engine waits for company stops nobody");
    bench_close(&b, 1);
}

static size_t resident(void)
{
    unsigned long total = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &total, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void come_and_go(struct bench *b, struct client *c, int sessions)
{
    for (int i = 0; i < sessions; i++) {
        client_open(c, b, "guest");
        for (int k = 0; k < 4; k++)
            client_send(c, b, k);
        if (i % 3)
            usleep(200);
        engine_session_close(b->engine, c->session);
    }
}

struct guest {
    struct bench *bench;
    struct client client;
};
static void *visit(void *user)
{
    struct guest *v = user;
    come_and_go(v->bench, &v->client, 100);
    return NULL;
}

static void flat_memory(const char *dir)
{
    static struct guest guests[4];
    pthread_t threads[4];
    struct bench b;
    bench_open(&b, dir, "cross",
               (const char *const[]){"sampling.strategy=adaptive", "mask_update.fixed_interval=1", NULL});
    for (int i = 0; i < 4; i++) {
        guests[i].bench = &b;
        pthread_create(&threads[i], NULL, visit, &guests[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ok(engine_stats(b.engine).sessions == 0, "400 sessions of four threads came and went");
    size_t before = resident();
    come_and_go(&b, &guests[0].client, 1000);
    size_t after = resident();
    struct engine_stats s = engine_stats(b.engine);
    while (s.inferred + s.superseded + s.stale + s.failed < 5600) {
        usleep(1000);
        s = engine_stats(b.engine);
    }
    ok(adds_up(&b, 5600), "all their frames are accounted for");
    if (getenv("SAN") && *getenv("SAN"))
        tap_skip("memory stays flat", "a sanitizer keeps what is freed");
    else
        ok(after < before + (1 << 20), "a thousand more take no more memory: %zu, then %zu kB", before >> 10,
           after >> 10);
    bench_close(&b, 1);
}

int main(void)
{
    char *dir = live_folder();
    free(live_checkpoint(dir, "cross", "cross", 1, 0));
    free(live_checkpoint(dir, "patch-prefill", "patch-prefill", 1, 0));
    newest_wins();
    goes_stale();
    nobody_starves();
    batches(dir, "cross", 0);
    batches(dir, "cross", 1);
    batches(dir, "patch-prefill", 0);
    batches(dir, "patch-prefill", 1);
    batches(dir, "none", 0);
    batches(dir, "none", 1);
    ok(by_default(NULL, "none") == 3, "frames that wait for linear interpolation run together");
    ok(by_default(dir, "cross") == 1,
       "a network on the CPU takes one at a time: a batch gains nothing there");
    judged(dir);
    closes();
    flat_memory(dir);
    live_folder_remove(dir);
    return tap_done();
}
