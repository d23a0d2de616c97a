/* lib/live/engine: sessions that close hear nothing after, an engine that ends drains or drops, memory stays flat. */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine_case.h"
#include "live_case.h"
#include "tap.h"

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

static void settle(struct bench *b, uint64_t received)
{
    struct engine_stats s = engine_stats(b->engine);
    while (s.inferred + s.superseded + s.stale + s.failed < received) {
        usleep(1000);
        s = engine_stats(b->engine);
    }
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
    settle(&b, 1600);
    size_t before =
        mallinfo2().uordblks; /* what is in use; resident pages also tell how malloc scatters it */
    come_and_go(&b, &guests[0].client, 1000);
    settle(&b, 5600);
    size_t after = mallinfo2().uordblks;
    ok(adds_up(&b, 5600), "all their frames are accounted for");
    if (getenv("SAN") && *getenv("SAN"))
        tap_skip("memory stays flat", "a sanitizer keeps what is freed");
    else
        ok(after < before + (256 << 10), "a thousand more take no more memory: %zu, then %zu kB",
           before >> 10, after >> 10);
    bench_close(&b, 1);
}

int main(void)
{
    char *dir = live_folder();
    free(live_checkpoint(dir, "cross", "cross", 1, 0));
    closes();
    flat_memory(dir);
    live_folder_remove(dir);
    return tap_done();
}
