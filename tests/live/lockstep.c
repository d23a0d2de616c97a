/* lockstep FULL.h5 SAMPLED.h5 LATENCY CHECKPOINTS|- KEY [KEY=VALUE]...
 *
 * Plays every session of a full-frame recording against the engine as a client in lockstep would: a frame with its full
 * image, the answer, the next frame; a set serves from LATENCY frames after the one it was computed from. Then every
 * frame's coordinates, values and set must be those of SAMPLED.h5, bit for bit. With "together=1" all sessions play at the
 * same time, so that their frames share batches. Exit 0: the same; 1: not, said on stdout. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/recording.h"
#include "live/engine.h"

enum { MOST_SESSIONS = 64 };

struct sent {
    int64_t number;
    size_t from;
    float *uv;
};

struct player {
    struct engine_session *session;
    const struct session_info *info;
    size_t at, index; /* row; session in the recording */
    struct sent *sets;
    size_t count, in_force, n;
    struct message message;
    int answered, failed;
    size_t batch;
    pthread_mutex_t *lock;
    pthread_cond_t *said;
};

static struct err failure;

static void die(int r)
{
    if (!r)
        return;
    fprintf(stderr, "lockstep: %s\n", failure.text);
    exit(2);
}

static void add_set(struct player *p, int64_t number, size_t from, const float *uv)
{
    p->sets = realloc(p->sets, (p->count + 1) * sizeof *p->sets);
    struct sent *s = &p->sets[p->count++];
    *s = (struct sent){number, from, malloc(p->n * 2 * sizeof *uv)};
    memcpy(s->uv, uv, p->n * 2 * sizeof *uv);
}

static void on_result(void *user, const struct engine_result *r)
{
    struct player *p = r->session_user;
    (void)user;
    pthread_mutex_lock(p->lock);
    if (r->set_uv) {
        add_set(p, r->set_id, p->at, r->set_uv);
        p->failed |= r->target_frame_id != r->frame_id + 1;
    }
    p->failed |= r->frame_id != p->message.frame_id || !r->truth;
    p->batch = r->batch > p->batch ? r->batch : p->batch;
    p->answered = 1;
    pthread_cond_broadcast(p->said);
    pthread_mutex_unlock(p->lock);
}

static void on_failed(void *user, void *session_user, int64_t frame_id, const struct err *e)
{
    struct player *p = session_user;
    (void)user;
    printf("frame %lld failed: %s\n", (long long)frame_id, e->text);
    pthread_mutex_lock(p->lock);
    p->failed = p->answered = 1;
    pthread_cond_broadcast(p->said);
    pthread_mutex_unlock(p->lock);
}

struct arrival {
    struct model *model;
    pthread_mutex_t lock;
    pthread_cond_t came;
};

static void on_model(void *user, struct model *model)
{
    struct arrival *a = user;
    pthread_mutex_lock(&a->lock);
    a->model = model;
    pthread_cond_signal(&a->came);
    pthread_mutex_unlock(&a->lock);
}

static struct model *wait_for_model(struct models *m, const char *key)
{
    struct arrival a = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    models_request(m, key, on_model, &a);
    pthread_mutex_lock(&a.lock);
    while (!a.model)
        pthread_cond_wait(&a.came, &a.lock);
    pthread_mutex_unlock(&a.lock);
    return a.model;
}

static void player_open(struct player *p, struct engine *g, struct model *model)
{
    float *uv = malloc(p->n * 2 * sizeof *uv);
    int64_t number;
    die(engine_session_open(g, model, p->info->id, p, &p->session, uv, &number, &failure));
    add_set(p, number, 0, uv);
    free(uv);
    struct message *m = &p->message;
    m->type = MESSAGE_FRAME_DATA_DEBUG;
    m->n = p->n;
    m->value = malloc(p->n);
    m->image_w = p->info->W;
    m->image_h = p->info->H;
    m->image = malloc((size_t)m->image_w * m->image_h);
    m->state = malloc((p->info->S + 1) * sizeof *m->state);
}

static void player_close(struct player *p, struct engine *g)
{
    engine_session_close(g, p->session);
    for (size_t i = 0; i < p->count; i++)
        free(p->sets[i].uv);
    free(p->sets);
    p->message.uv = NULL;
    free(p->message.value);
    free(p->message.image);
    free(p->message.state);
}

/* The next frame as the client sends it, and whether the offline run had the same. */
static void player_send(struct player *p, struct engine *g, struct recording *full, struct recording *sampled,
                        size_t latency)
{
    struct message *m = &p->message;
    struct samples offline = {0};
    uint16_t state_n = 0;
    int present;
    int64_t set;
    die(recording_frame(full, p->index, p->at, m->image, &present, &failure));
    die(recording_columns(full, p->index, p->at, 1, &m->frame_id, &m->timestamp, NULL, NULL, &failure));
    if (p->info->S)
        die(recording_state(full, p->index, p->at, 1, m->state, &state_n, &failure));
    m->state_n = state_n;
    while (p->in_force + 1 < p->count && p->sets[p->in_force + 1].from + latency <= p->at)
        p->in_force++;
    m->uv = p->sets[p->in_force].uv;
    sample_values(m->image, m->image_w, m->image_h, m->uv, m->n, m->value);

    size_t other = (size_t)recording_find_session(sampled, p->info->id);
    die(recording_columns(sampled, other, p->at, 1, NULL, NULL, NULL, &set, &failure));
    die(recording_samples(sampled, other, p->at, 1, &offline, &failure));
    if (offline.n != m->n || memcmp(offline.uv, m->uv, m->n * 2 * sizeof *m->uv) ||
        memcmp(offline.value, m->value, m->n) || set != p->sets[p->in_force].number) {
        printf("session %s row %zu: live set %lld, offline %lld\n", p->info->id, p->at,
               (long long)p->sets[p->in_force].number, (long long)set);
        p->failed = 1;
    }
    samples_release(&offline);
    p->answered = 0;
    engine_frame(g, p->session, m, clock_seconds());
}

static void player_wait(struct player *p)
{
    pthread_mutex_lock(p->lock);
    while (!p->answered)
        pthread_cond_wait(p->said, p->lock);
    pthread_mutex_unlock(p->lock);
    p->at++;
}

int main(int argc, char **argv)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t said = PTHREAD_COND_INITIALIZER;
    static struct player players[MOST_SESSIONS];
    struct recording *full, *sampled;
    struct config config;
    struct models *models;
    struct engine *engine;
    int together = 0, bad = 0;
    if (argc < 6)
        return 2;
    size_t latency = strtoul(argv[3], NULL, 10);
    die(recording_open(&full, argv[1], &failure));
    die(recording_open(&sampled, argv[2], &failure));
    config_init(&config);
    for (int i = 6; i < argc; i++) {
        if (!strcmp(argv[i], "together=1"))
            together = 1;
        else
            die(config_set(&config, argv[i], &failure));
    }
    const struct session_info *info = recording_session(full, 0);
    config.server.resolution[0] = info->H;
    config.server.resolution[1] = info->W;
    config.server.stale_ms = 0; /* lockstep: however slow the machine, every frame counts */
    if (together) {
        config.server.max_wait_ms = 2000;
        char all[64];
        snprintf(all, sizeof all, "server.max_batch=%zu", recording_sessions(full));
        die(config_set(&config, all, &failure));
    }
    struct models_options options = {.dir = strcmp(argv[4], "-") ? argv[4] : NULL};
    struct engine_handlers handlers = {.result = on_result, .failed = on_failed};
    die(models_open(&models, &options, &failure));
    die(engine_open(&engine, &config, models, &handlers, &failure));
    struct model *model = wait_for_model(models, argv[5]);
    printf("model %s\n", model->version);

    size_t sessions = recording_sessions(full), rows = 0, batch = 0;
    for (size_t i = 0; i < sessions && i < MOST_SESSIONS; i++) {
        struct player *p = &players[i];
        *p = (struct player){.info = recording_session(full, i),
                             .index = i,
                             .n = (size_t)config.sampling.default_sample_count,
                             .lock = &lock,
                             .said = &said};
        player_open(p, engine, models_hold(model));
    }
    for (size_t i = 0; i < sessions; i++) {
        size_t last = together ? sessions : i + 1;
        for (size_t t = 0; t < players[i].info->T; t++) {
            for (size_t k = i; k < last; k++)
                player_send(&players[k], engine, full, sampled, latency);
            for (size_t k = i; k < last; k++)
                player_wait(&players[k]);
        }
        if (together)
            break;
    }
    for (size_t i = 0; i < sessions; i++) {
        bad |= players[i].failed;
        rows += players[i].at;
        batch = players[i].batch > batch ? players[i].batch : batch;
        bad |= players[i].at != players[i].info->T;
        player_close(&players[i], engine);
    }
    struct engine_stats stats = engine_stats(engine);
    printf("rows %zu inferred %llu largest batch %zu\n", rows, (unsigned long long)stats.inferred, batch);
    bad |= stats.inferred != rows || stats.superseded || stats.stale || stats.failed;
    models_release(models, model);
    engine_close(engine, 1);
    models_close(models);
    config_release(&config);
    recording_close(full);
    recording_close(sampled);
    return bad;
}
