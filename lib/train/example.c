#include "train/example.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"
#include "interp/interp.h"
#include "sample/sample.h"

/* Row lengths are rounded up to this: few distinct shapes, for each of which a backend prepares itself once. */
enum { ROW_ALIGN = 16 };

size_t example_steps(const struct example_plan *p)
{
    return (p->rows->n + p->batch_size - 1) / p->batch_size;
}

size_t example_bytes(const struct example_plan *p, size_t N)
{
    struct recon_batch_sizes s = {p->batch_size, N, p->S, p->H, p->W, p->Hp, p->Wp, p->prefill};
    size_t target = p->target ? sizeof(float) * p->H * p->W : 0, loss = p->samples ? N * 10 : 0;
    return recon_arrays_bytes(&s) + p->batch_size * (target + loss);
}

void example_release(struct example_batch *b)
{
    recon_arrays_release(&b->arrays);
    free(b->target);
    free(b->index);
    free(b->value);
    free(b->select);
    free(b->hidden);
    *b = (struct example_batch){0};
}

int example_maker_init(struct example_maker *m, const struct example_plan *plan, struct err *e)
{
    *m = (struct example_maker){.plan = plan, .order_epoch = -1};
    int r = mem_alloc(&m->image, (size_t)plan->H * plan->W, 1, "a training frame", e);
    if (!r && plan->shuffle)
        r = mem_alloc(&m->order, plan->rows->n, sizeof *m->order, "the order of the frames", e);
    if (r)
        example_maker_release(m);
    return r;
}

void example_maker_release(struct example_maker *m)
{
    dataset_frame_release(&m->frame);
    free(m->order);
    free(m->image);
    free(m->value);
    free(m->lost);
    free(m->uv);
    free(m->seen_uv);
    free(m->seen_value);
    free(m->pick);
    *m = (struct example_maker){0};
}

/* Row number k of an epoch. */
static size_t row_at(struct example_maker *m, int64_t epoch, size_t k)
{
    const struct example_plan *p = m->plan;
    if (!p->shuffle)
        return k;
    if (m->order_epoch != epoch) {
        struct philox random;
        for (size_t i = 0; i < p->rows->n; i++)
            m->order[i] = (uint32_t)i;
        philox_init(&random, p->seed, philox_stream(STREAM_SHUFFLE, (uint64_t)epoch, 0));
        philox_shuffle(&random, m->order, (uint32_t)p->rows->n);
        m->order_epoch = epoch;
    }
    return m->order[k];
}

static int maker_room(struct example_maker *m, size_t n, struct err *e)
{
    int r = mem_grow(&m->uv, &m->capacity[0], 2 * n, sizeof *m->uv, "samples", e);
    if (!r)
        r = mem_grow(&m->seen_uv, &m->capacity[1], 2 * n, sizeof *m->seen_uv, "samples", e);
    if (!r)
        r = mem_grow(&m->value, &m->capacity[2], n, 1, "samples", e);
    if (!r)
        r = mem_grow(&m->seen_value, &m->capacity[3], n, 1, "samples", e);
    if (!r)
        r = mem_grow(&m->lost, &m->capacity[4], n, 1, "samples", e);
    if (!r)
        r = mem_grow(&m->pick, &m->capacity[5], n, sizeof *m->pick, "samples", e);
    return r;
}

static int batch_room(const struct example_plan *p, struct example_batch *b, size_t B, size_t N,
                      struct err *e)
{
    struct recon_batch_sizes s = {B, N, p->S, p->H, p->W, p->Hp, p->Wp, p->prefill};
    int r = recon_arrays_size(&b->arrays, &s, e);
    if (!r && p->target)
        r = mem_grow(&b->target, &b->capacity[0], B * p->H * p->W, sizeof *b->target, "target frames", e);
    b->M = p->samples ? N : 0;
    size_t n = B * b->M;
    if (!r && n)
        r = mem_grow(&b->index, &b->capacity[1], n, sizeof *b->index, "loss samples", e);
    if (!r && n)
        r = mem_grow(&b->value, &b->capacity[2], n, sizeof *b->value, "loss samples", e);
    if (!r && n)
        r = mem_grow(&b->select, &b->capacity[3], n, 1, "loss samples", e);
    if (!r && n)
        r = mem_grow(&b->hidden, &b->capacity[4], n, 1, "loss samples", e);
    if (!r && n) {
        memset(b->index, 0, n * sizeof *b->index);
        memset(b->value, 0, n * sizeof *b->value);
        memset(b->select, 0, n);
        memset(b->hidden, 0, n);
    }
    return r;
}

static void flip_row(uint8_t *row, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        uint8_t t = row[i];
        row[i] = row[n - 1 - i];
        row[n - 1 - i] = t;
    }
}

/* Left-right flips and brightness, on the frame and on recorded samples alike. */
static void augment(const struct example_plan *p, struct dataset_frame *f, struct philox *random)
{
    int flip = p->flip && philox_uniform(random) < 0.5;
    double gain = p->brightness ? exp2(philox_uniform(random) - 0.5) : 1;
    if (flip && f->has_image)
        for (uint32_t y = 0; y < f->H; y++)
            flip_row(f->image + (size_t)y * f->W, f->W);
    for (size_t i = 0; flip && i < f->samples.n; i++)
        f->samples.uv[2 * i] = 1 - f->samples.uv[2 * i];
    if (gain == 1)
        return;
    uint8_t table[256];
    for (int i = 0; i < 256; i++)
        table[i] = (uint8_t)fmin(255, floor(gain * i + 0.5));
    for (size_t i = 0; f->has_image && i < (size_t)f->W * f->H; i++)
        f->image[i] = table[f->image[i]];
    for (size_t i = 0; i < f->samples.n; i++)
        f->samples.value[i] = table[f->samples.value[i]];
}

static enum pattern draw_pattern(const struct example_plan *p, struct philox *random)
{
    double sum = 0, at;
    int last = 0;
    for (int i = 0; i < CONF_PATTERNS; i++)
        sum += p->patterns[i];
    at = philox_uniform(random) * sum;
    for (int i = 0; i < CONF_PATTERNS; i++) {
        if (p->patterns[i] <= 0)
            continue;
        last = i;
        if ((at -= p->patterns[i]) < 0)
            break;
    }
    return (enum pattern)last;
}

/* The k of n samples that go: lost[i] = mark for a random k of those where lost[i] is 0. */
static void strike(struct example_maker *m, size_t n, size_t k, uint8_t mark, struct philox *random)
{
    uint32_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (!m->lost[i])
            m->pick[left++] = (uint32_t)i;
    for (size_t i = 0; i < k && left > 1; i++) { /* at least one stays */
        uint32_t at = philox_below(random, left);
        m->lost[m->pick[at]] = mark;
        m->pick[at] = m->pick[--left];
    }
}

enum { SEEN, LOST, HIDDEN }; /* values of maker.lost */

/* Where a coordinate falls for the loss: with the seed's convention (long)(u*(W-1)), all in float32. */
static int32_t loss_index(const struct example_plan *p, const float *uv)
{
    uint32_t x = interp_pixel(uv[0], p->W), y = interp_pixel(uv[1], p->H);
    if (p->coordinates == COORDINATES_SEED) {
        float u = uv[0] * (float)(p->W - 1), v = uv[1] * (float)(p->H - 1);
        x = u > 0 ? (uint32_t)u : 0;
        y = v > 0 ? (uint32_t)v : 0;
        x = x < p->W ? x : p->W - 1;
        y = y < p->H ? y : p->H - 1;
    }
    return (int32_t)(y * p->W + x);
}

static void put_loss_samples(const struct example_maker *m, struct example_batch *b, size_t at, size_t n)
{
    for (size_t i = 0, k = at * b->M; i < n; i++) {
        if (m->lost[i] == LOST)
            continue;
        b->index[k] = loss_index(m->plan, m->uv + 2 * i);
        b->value[k] = (float)(m->frame.has_image ? m->image[b->index[k]] : m->value[i]) / 255.0f;
        b->hidden[k] = m->lost[i] == HIDDEN;
        b->select[k++] = 1;
    }
}

static int put_seen_samples(struct example_maker *m, struct example_batch *b, size_t at, size_t n,
                            struct err *e)
{
    size_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        if (m->lost[i] != SEEN)
            continue;
        m->seen_uv[2 * seen] = m->uv[2 * i];
        m->seen_uv[2 * seen + 1] = m->uv[2 * i + 1];
        m->seen_value[seen++] = m->value[i];
    }
    return recon_arrays_samples(&b->arrays, at, m->seen_uv, m->seen_value, seen, NULL, e);
}

/* The frame's samples into m->uv and m->value. */
static int take_samples(struct example_maker *m, size_t row, int64_t draw, size_t n, struct philox *random,
                        struct err *e)
{
    const struct example_plan *p = m->plan;
    if (!p->random) {
        memcpy(m->uv, m->frame.samples.uv, 2 * n * sizeof *m->uv);
        memcpy(m->value, m->frame.samples.value, n);
        return 0;
    }
    struct sample_request request = {
        .pattern = draw_pattern(p, random),
        .W = p->W,
        .H = p->H,
        .n = n,
        .seed = p->seed,
        .session = (uint64_t)draw,
        .frame = row,
    };
    int code = sample_draw(&request, m->uv, e);
    if (!code)
        sample_values(m->image, p->W, p->H, m->uv, n, m->value);
    return code;
}

static int make_one(struct example_maker *m, struct example_batch *b, size_t at, size_t row, int64_t draw,
                    size_t n, struct err *e)
{
    const struct example_plan *p = m->plan;
    struct dataset_frame *f = &m->frame;
    struct philox random;
    philox_init(&random, p->seed, philox_stream(STREAM_SAMPLES, (uint64_t)draw, row));
    augment(p, f, &random);
    if (f->has_image)
        interp_resize(f->image, f->W, f->H, m->image, p->W, p->H);
    else if (p->target || p->random)
        return err_set(e, ERR_DATA, "there is no full frame");
    if (!n)
        return err_set(e, ERR_DATA, "there are no samples");
    int code = take_samples(m, row, draw, n, &random, e);
    if (code)
        return code;
    memset(m->lost, SEEN, n);
    size_t lost = (size_t)(philox_uniform(&random) * p->drop * (double)n);
    strike(m, n, lost, LOST, &random);
    strike(m, n, (size_t)(p->hide * (double)(n - lost) + 0.5), HIDDEN, &random);
    if (b->M)
        put_loss_samples(m, b, at, n);
    code = put_seen_samples(m, b, at, n, e);
    int blind = philox_uniform(&random) < p->state_dropout;
    if (!code)
        code = recon_arrays_state(&b->arrays, at, blind ? NULL : f->state, f->state_n, f->sentinel, e);
    for (size_t i = 0, size = (size_t)p->H * p->W; p->target && i < size; i++)
        b->target[at * size + i] = (float)m->image[i] / 255.0f;
    return code;
}

static int read_row(struct example_maker *m, size_t row, struct err *e)
{
    int what = READ_STATE | (m->plan->random ? 0 : READ_SAMPLES) | READ_IMAGE;
    return dataset_read(m->plan->data, m->plan->rows->items[row], what, &m->frame, e);
}

static int place(const struct example_plan *p, size_t row, struct err *e)
{
    struct row at = p->rows->items[row];
    return err_prefix(e, "%s: /sessions/%s row %u: ", dataset_path(p->data, at.session),
                      dataset_session(p->data, at.session)->id, at.t);
}

static size_t round_row(size_t n)
{
    return (n + ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
}

/* Drawn: one count for the batch. */
static size_t draw_count(const struct example_plan *p, int64_t draw)
{
    struct philox random;
    double pixels = (double)p->H * p->W;
    philox_init(&random, p->seed, philox_stream(STREAM_SAMPLES, (uint64_t)draw, UINT64_MAX));
    double share = p->share[0] * pow(p->share[1] / p->share[0], philox_uniform(&random));
    double n = floor(share * pixels + 0.5);
    return n < 1 ? 1 : n > pixels ? (size_t)pixels : (size_t)n;
}

/* Recorded: the longest row of the batch. */
static int longest_row(struct example_maker *m, const size_t *rows, size_t B, size_t *N, struct err *e)
{
    *N = 1;
    for (size_t b = 0; b < B; b++) {
        int code = dataset_read(m->plan->data, m->plan->rows->items[rows[b]], READ_SAMPLES, &m->frame, e);
        if (code)
            return place(m->plan, rows[b], e), code;
        *N = m->frame.samples.n > *N ? m->frame.samples.n : *N;
    }
    return 0;
}

int example_make(struct example_maker *m, int64_t step, struct example_batch *b, struct err *e)
{
    const struct example_plan *p = m->plan;
    int64_t steps = (int64_t)example_steps(p);
    size_t first = (size_t)(step % steps) * p->batch_size, left = p->rows->n - first, N;
    size_t B = left < p->batch_size ? left : p->batch_size, *rows;
    int64_t draw = p->fixed ? 0 : step;
    b->step = step;
    b->epoch = step / steps;
    int code = mem_alloc(&rows, B, sizeof *rows, "a batch", e);
    if (code)
        return code;
    for (size_t i = 0; i < B; i++)
        rows[i] = row_at(m, b->epoch, first + i);
    if (p->random)
        N = draw_count(p, draw);
    else
        code = longest_row(m, rows, B, &N, e);
    if (!code)
        code = maker_room(m, N, e);
    if (!code)
        code = batch_room(p, b, B, round_row(N), e);
    for (size_t i = 0; i < B && !code; i++) {
        code = read_row(m, rows[i], e);
        if (!code)
            code = make_one(m, b, i, rows[i], draw, p->random ? N : m->frame.samples.n, e);
        if (code)
            place(p, rows[i], e);
    }
    free(rows);
    return code;
}
