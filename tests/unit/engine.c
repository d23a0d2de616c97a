/* lib/live/engine: newest frame wins, nobody starves, bad frames fail alone, what a frame is worth. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine_case.h"
#include "live_case.h"
#include "metric/metric.h"
#include "tap.h"

static struct err e;

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

    /* The scale of the error, of a model that has one: a value a pixel; of one that has none, its entropy. */
    static float entropy[W * H];
    static const char *const kinds[][2] = {
        {"cross", "entropy"}, {"cross", "error"}, {"error-head", "error"}, {"error-head", "entropy"}};
    for (int i = 0; i < 4; i++) {
        char kind[48];
        snprintf(kind, sizeof kind, "sampling.importance=%s", kinds[i][1]);
        bench_open(&b, dir, kinds[i][0], (const char *const[]){"sampling.strategy=adaptive", kind, NULL});
        client_open(&c, &b, "one");
        client_send(&c, &b, 0);
        wait_told(1);
        t = &seen.at[0];
        int head = i > 1, error = i % 3 == 1 || i == 2;
        if (!head && !error)
            memcpy(entropy, t->map, sizeof entropy);
        else if (!head)
            ok(t->mapped && !memcmp(entropy, t->map, sizeof entropy),
               "importance error without an error head: entropy stands in");
        else
            ok(t->mapped && t->map_w == (error ? W : W / 2) && t->map_h == (error ? H : H / 2),
               "%s of a model with one is a map of %ux%u", kinds[i][1], t->map_w, t->map_h);
        engine_session_close(b.engine, c.session);
        bench_close(&b, 1);
    }
    struct config config;
    struct engine *g;
    config_init(&config);
    ok(!config_set(&config, "server.resolution=[8,8]", &e) &&
           engine_open(&g, &config, NULL, &(struct engine_handlers){0}, &e) == ERR_CONFIG && !g,
       "more samples than pixels: %s", e.text);
    config_release(&config);
}

int main(void)
{
    char *dir = live_folder();
    free(live_checkpoint(dir, "cross", "cross", 1, 0));
    free(live_checkpoint(dir, "patch-prefill", "patch-prefill", 1, 0));
    free(live_checkpoint(dir, "error-head", "error-head", 1, 0));
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
    live_folder_remove(dir);
    return tap_done();
}
