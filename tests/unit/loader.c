/* The data set, the split and the loader, on the shipped recording. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sample/sample.h"
#include "tap.h"
#include "train/loader.h"
#include "train/split.h"

static const char *path(const char *name)
{
    static char out[4096];
    const char *root = getenv("SGAPS_ROOT");
    snprintf(out, sizeof out, "%s/%s", root ? root : ".", name);
    return out;
}

static void test_split(struct dataset *d, struct split *s, const struct training_config *t)
{
    struct err e = {0};
    struct split again;
    size_t sessions = dataset_sessions(d), shared = 0;
    int code = split_make(s, d, NULL, NEED_FRAME, t, &e);
    if (!ok(!code, "the sessions are split: %s", code ? e.text : "yes"))
        return;
    ok(s->train_sessions + s->validation_sessions == sessions, "every session is dealt once");
    ok(s->validation_sessions == (size_t)(0.2 * (double)sessions + 0.5), "a fifth of them validates");
    for (size_t i = 0; i < s->validation.n; i++)
        for (size_t j = 0; j < s->train.n; j++)
            shared += s->validation.items[i].session == s->train.items[j].session;
    ok(!shared, "no session is on both sides");
    code = split_make(&again, d, NULL, NEED_FRAME, t, &e);
    ok(!code && again.train.n == s->train.n &&
           !memcmp(again.train.items, s->train.items, s->train.n * sizeof *s->train.items),
       "the same seed splits the same way");
    split_release(&again);
}

static int same_arrays(const struct example_batch *a, const struct example_batch *b)
{
    const struct recon_batch_sizes *s = &a->arrays.sizes, *z = &b->arrays.sizes;
    if (s->B != z->B || s->N != z->N || a->step != b->step || a->M != b->M)
        return 0;
    size_t plane = (size_t)s->Hp * s->Wp * 2, size = (size_t)s->H * s->W;
    return !memcmp(a->arrays.counts, b->arrays.counts, s->B * sizeof(int32_t)) &&
           !memcmp(a->arrays.pixels, b->arrays.pixels, s->B * s->N * 3 * sizeof(float)) &&
           !memcmp(a->arrays.state, b->arrays.state, s->B * s->S * sizeof(float)) &&
           !memcmp(a->arrays.mask, b->arrays.mask, s->B * s->S * sizeof(float)) &&
           !memcmp(a->arrays.prefill, b->arrays.prefill, s->B * plane * sizeof(float)) &&
           !memcmp(a->target, b->target, s->B * size * sizeof(float)) &&
           !memcmp(a->index, b->index, s->B * a->M * sizeof(int32_t)) &&
           !memcmp(a->value, b->value, s->B * a->M * sizeof(float)) &&
           !memcmp(a->hidden, b->hidden, s->B * a->M);
}

/* Counts, hidden samples, targets at the loss samples: what a batch promises. */
static void test_batch(const struct example_plan *p, const struct example_batch *b)
{
    const struct recon_batch_sizes *s = &b->arrays.sizes;
    size_t wrong = 0, hidden = 0, selected = 0, seen = 0;
    for (size_t f = 0; f < s->B; f++) {
        seen += (size_t)b->arrays.counts[f];
        for (size_t i = f * b->M; i < (f + 1) * b->M; i++) {
            selected += b->select[i];
            hidden += b->hidden[i];
            wrong += b->select[i] && b->value[i] != b->target[f * s->H * s->W + (size_t)b->index[i]];
        }
    }
    ok(!wrong, "a loss sample's value is the frame at its index");
    ok(seen + hidden == selected, "what is not seen is hidden");
    double share = (double)hidden / (double)selected;
    ok(fabs(share - p->hide) < 0.05, "the share asked for is hidden: %.3f", share);
    double pixels = (double)(s->H * s->W), n = (double)selected / (double)s->B;
    ok(n >= 0.8 * p->share[0] * pixels - 1 && n <= p->share[1] * pixels + 1, "the count is in range: %.1f",
       n);
}

static void test_threads(const struct example_plan *p)
{
    struct err e = {0};
    struct loader *one, *three;
    const struct example_batch *a, *b;
    int code = loader_start(&one, p, 0, 1, 2, &e), same = 0, first = 0;
    if (!ok(!code, "a loader starts"))
        return;
    code = loader_start(&three, p, 0, 3, 4, &e);
    ok(!code, "another with three threads");
    enum { STEPS = 12 };
    for (int i = 0; i < STEPS && !code; i++) {
        code = loader_next(one, &a, &e) || loader_next(three, &b, &e);
        if (code)
            break;
        if (!first++)
            test_batch(p, a);
        same += same_arrays(a, b);
    }
    ok(!code && same == STEPS, "%d of %d batches are equal whatever the threads do", same, STEPS);
    loader_stop(three);
    code = loader_start(&three, p, 5, 2, 4, &e); /* as --resume does */
    struct example_maker maker;
    struct example_batch alone = {0};
    code = code || loader_next(three, &b, &e) || example_maker_init(&maker, p, &e);
    if (!code) {
        code = example_make(&maker, 5, &alone, &e);
        ok(!code && same_arrays(&alone, b), "a loader that starts at step 5 gives step 5");
        example_maker_release(&maker);
    }
    example_release(&alone);
    loader_stop(one);
    loader_stop(three);
}

int main(void)
{
    struct err e = {0};
    struct dataset *d = NULL;
    struct split s = {0};
    struct training_config t = {.validation = "sessions", .validation_share = 0.2, .seed = 7};
    const char *file = path("examples/data/doom.h5");
    int code = dataset_open(&d, &file, 1, &e);
    if (!ok(!code && d, "the shipped recording opens: %s", code ? e.text : "yes"))
        return tap_done();
    test_split(d, &s, &t);
    struct example_plan p = {
        .data = d,
        .rows = &s.train,
        .H = 56,
        .W = 60,
        .Hp = 56,
        .Wp = 64,
        .S = 64,
        .prefill = 1,
        .random = 1,
        .share = {0.01, 0.04},
        .patterns = {1, 1, 1},
        .drop = 0.2,
        .hide = 0.5,
        .state_dropout = 0.3,
        .target = 1,
        .samples = 1,
        .shuffle = 1,
        .batch_size = 5,
        .seed = 7,
    };
    test_threads(&p);
    float mean[64], std[64];
    code = dataset_state_statistics(d, &s.train, 64, mean, std, &e);
    int good = !code;
    for (int i = 0; i < 64; i++)
        good = good && isfinite(mean[i]) && std[i] > 0;
    ok(good, "state statistics are finite, deviations positive");
    p.batch_size = s.train.n + 1; /* more than there is: an epoch is one batch */
    ok(example_steps(&p) == 1, "a batch larger than the data set is an epoch");
    split_release(&s);
    dataset_close(d);
    return tap_done();
}
