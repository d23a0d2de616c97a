/* The live loop on recorded frames: what is sampled decides what is rebuilt, what is rebuilt decides where to look, and
 * the answer arrives `latency` frames later. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "live/policy.h"
#include "sampling.h"

/* A set of coordinates on its way to the client, or there. */
struct set {
    int64_t number;
    size_t from; /* the frame it was computed from */
    float *uv;
};

struct loop {
    struct job *job;
    const struct session_info *info;
    struct policy policy;
    struct set *sets; /* a ring: sets[head] is in force, the others are on their way */
    size_t capacity, head, count;
    size_t frame; /* of the session, counted as the server does: those that arrived */
    float *uv;    /* (latency+1, N, 2) behind the ring */
    uint8_t *image, *value, *rebuilt;
    float *state, *raw, *map;
    uint32_t map_w, map_h;
};

static int loop_take(struct loop *l, struct job *j, const struct session_info *s, struct err *e)
{
    size_t pixels = (size_t)s->W * s->H;
    *l = (struct loop){.job = j, .info = s, .capacity = j->latency + 1};
    int r = policy_init(&l->policy, j->conf, s->id, s->W, s->H, j->n, e);
    if (r)
        return r;
    l->policy.request.seed = j->seed;
    recon_map_size(j->recon, l->policy.importance, s->W, s->H, &l->map_w, &l->map_h);
    const struct {
        void *out;
        size_t count, size;
    } parts[] = {
        {&l->sets, l->capacity, sizeof *l->sets},
        {&l->uv, l->capacity * j->n, 2 * sizeof *l->uv},
        {&l->image, pixels, 1},
        {&l->value, j->n, 1},
        {&l->rebuilt, pixels, 1},
        {&l->state, s->S, sizeof *l->state},
        {&l->raw, pixels, sizeof *l->raw},
        {&l->map, (size_t)l->map_w * l->map_h, sizeof *l->map},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !r; i++)
        r = mem_alloc(parts[i].out, parts[i].count, parts[i].size, "the loop", e);
    for (size_t i = 0; i < l->capacity && !r; i++)
        l->sets[i].uv = l->uv + 2 * i * j->n;
    return r;
}

static void loop_release(struct loop *l)
{
    void *all[] = {l->sets, l->uv, l->image, l->value, l->rebuilt, l->state, l->raw, l->map};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* The place for a set behind those on their way. The ring cannot be full: one set a frame, and after `latency` frames it
 * is there. */
static struct set *next_set(struct loop *l)
{
    struct set *s = &l->sets[(l->head + l->count) % l->capacity];
    s->from = l->frame;
    return s;
}

/* The newest set that has arrived by now. */
static const struct set *set_in_force(struct loop *l)
{
    while (l->count > 1 && l->sets[(l->head + 1) % l->capacity].from + l->job->latency <= l->frame) {
        l->head = (l->head + 1) % l->capacity;
        l->count--;
    }
    return &l->sets[l->head];
}

/* Rebuilds the frame where somebody will look at it, and sends the next set when it is time. */
static int answer(struct loop *l, const struct frame *f, struct err *e)
{
    struct policy *p = &l->policy;
    const struct session_info *s = l->info;
    double quality = NAN;
    int mapped = policy_needs_map(p), due;
    if (policy_needs_frame(p)) {
        struct recon_frame frame = {.n = f->samples_n,
                                    .uv = f->uv,
                                    .value = f->value,
                                    .state = f->state,
                                    .state_n = f->state_n,
                                    .sentinel = s->sentinel};
        int r = recon_run(l->job->recon, &frame, 1, s->W, s->H, l->raw,
                          mapped ? p->importance : RECON_IMPORTANCE_NONE, mapped ? l->map : NULL, e);
        if (r)
            return r;
        recon_warn_of_size(l->job->recon, s->W, s->H, "the recording's size");
        if (mask_schedule_needs_quality(&p->schedule))
            quality = policy_true_quality(l->raw, l->image, s->W, s->H, l->rebuilt);
    }
    struct set *set = next_set(l);
    int r = policy_frame(p, f->frame_id, quality, mapped ? l->map : NULL, l->map_w, l->map_h, set->uv,
                         &set->number, &due, e);
    l->count += !r && due;
    return r;
}

static int play_row(struct loop *l, struct recording *in, size_t session, size_t t, struct err *e)
{
    struct job *j = l->job;
    struct frame f = {.samples_n = j->n, .value = l->value};
    uint16_t state_len = 0;
    int present, r = recording_frame(in, session, t, l->image, &present, e);
    if (!r && !present)
        j->without_frame++;
    if (r || !present)
        return r;
    r = recording_columns(in, session, t, 1, &f.frame_id, &f.timestamp, &f.recv_time, NULL, e);
    if (!r && l->info->S)
        r = recording_state(in, session, t, 1, l->state, &state_len, e);
    if (!r && !l->count) {
        struct set *first = next_set(l);
        r = policy_first(&l->policy, first->uv, &first->number, e);
        l->count = 1;
    }
    if (r)
        return r;
    const struct set *set = set_in_force(l);
    f.state = l->info->S ? l->state : NULL;
    f.state_n = state_len;
    f.uv = set->uv;
    f.set = set->number;
    sample_values(l->image, l->info->W, l->info->H, f.uv, j->n, l->value);
    r = recording_append(j->out, &f, e);
    if (!r)
        r = answer(l, &f, e);
    l->frame++;
    return r;
}

int closed_loop(struct job *j, struct recording *in, size_t session, const uint8_t *keep, struct err *e)
{
    const struct session_info *s = recording_session(in, session);
    struct loop l;
    int r = loop_take(&l, j, s, e);
    for (size_t t = 0; t < s->T && !r; t++) {
        if (keep[t] && (r = play_row(&l, in, session, t, e)))
            err_prefix(e, "%s: /sessions/%s: row %zu: ", recording_path(in), s->id, t);
        progress_update(&j->progress, (double)++j->done, NULL);
    }
    loop_release(&l);
    return r;
}
