/* For tests of lib/live/engine: what its handlers were told, a gate that holds the inference thread, clients and frames. Faults
 * end the program. */
#ifndef SGAPS_TESTS_ENGINE_CASE_H
#define SGAPS_TESTS_ENGINE_CASE_H

#include <pthread.h>

#include "live/engine.h"

enum { W = 20, H = 16, N = 40, MOST = 4096 };

/* What the handlers saw, by a lock; `gate` closed holds the inference thread inside a handler. */
struct told {
    int64_t frame;
    int failed, heldout, mapped, truth;
    size_t batch;
    double psnr, ssim, quality;
    int64_t set, target;
    void *session;
    uint32_t map_w, map_h;
    float image[W * H], map[W * H];
};
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int gate, inside;
    size_t n;
    struct told at[MOST]; /* the newest MOST of n */
    char reason[1024];
};
extern struct seen seen;

void gate(int closed);
void wait_inside(void); /* until a handler stands at the gate */
void wait_told(size_t n);

struct bench {
    struct config config;
    struct models *models;
    struct engine *engine;
    struct model *model;
};

/* 20x16, 40 samples, a fifth withheld, nothing stale; and the settings, NULL-terminated. Forgets what was seen. */
void bench_open(struct bench *b, const char *dir, const char *key, const char *const *settings);
void bench_close(struct bench *b, int drain);
/* Every frame received is accounted for, and nothing waits. */
int adds_up(struct bench *b, uint64_t received);

struct client {
    struct engine_session *session;
    float uv[2 * N], state[4];
    uint8_t value[N], image[W * H];
    struct message frame;
};

void client_open(struct client *c, struct bench *b, const char *id);
void client_send(struct client *c, struct bench *b, int64_t id);

#endif
