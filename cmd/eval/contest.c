#include "contest.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "batch.h"

enum { MODEL_BYTES = 96 << 20 };

static int make_entries(struct contest *c, struct err *e)
{
    size_t n = (size_t)c->compared + c->contender_count * c->budget_count;
    int r = mem_alloc(&c->entries, n, sizeof *c->entries, "rows", e);
    if (r)
        return r;
    if (c->compared)
        c->entries[c->entry_count++] = (struct entry){.who = NULL, .score.keep = c->keep};
    for (size_t b = 0; b < c->budget_count; b++)
        for (size_t i = 0; i < c->contender_count; i++)
            c->entries[c->entry_count++] =
                (struct entry){.who = &c->contenders[i], .budget = b, .score.keep = c->keep};
    return 0;
}

/* The frames from *at on that have samples, as many as may go through the model at once. */
static size_t gather(const struct batch *b, const struct samples *s, size_t *at, size_t most,
                     struct recon_frame *frames, size_t *slot)
{
    size_t n = 0;
    for (; *at < b->n && n < most; ++*at) {
        if (!s[*at].n)
            continue;
        slot[n] = *at;
        frames[n++] = batch_frame(b, s, *at);
    }
    return n;
}

static int run_model(struct batch *b, struct entry *entry, const struct samples *s, struct err *e)
{
    struct recon *model = entry->who->handle[0];
    struct recon_frame frames[64];
    size_t slot[64], at = 0, longest = 1, n;
    for (size_t i = 0; i < b->n; i++)
        longest = s[i].n > longest ? s[i].n : longest;
    size_t most = recon_batch(model, b->W, b->H, longest, MODEL_BYTES);
    most = most > 64 ? 64 : most;
    float *scale = recon_has_error_head(model) ? b->scale : NULL;
    int r = 0;
    while (!r && (n = gather(b, s, &at, most, frames, slot)) > 0) {
        r = recon_run_scale(model, frames, n, b->W, b->H, b->raw, scale, e);
        if (!r)
            recon_warn_of_size(model, b->W, b->H, "--size");
        for (size_t k = 0; k < n && !r; k++) {
            const float *raw = b->raw + k * b->pixels;
            metric_quantise(raw, b->out + (1 + slot[k]) * b->pixels, b->pixels);
            if (scale)
                metric_scale_add(&entry->score.scale, b->truth + (1 + slot[k]) * b->pixels, raw,
                                 scale + k * b->pixels, b->pixels);
        }
    }
    return r;
}

static int run_method(struct batch *b, const struct contender *who, const struct samples *s, struct err *e)
{
    int failed = 0;
#pragma omp parallel for schedule(dynamic) num_threads((int)who->handles)
    for (size_t i = 0; i < b->n; i++) {
        struct recon *own = who->handle[omp_get_thread_num()];
        struct recon_frame f = batch_frame(b, s, i);
        struct err mine;
        if (!f.n)
            continue;
        float *raw = b->raw + i * b->pixels;
        if (recon_run(own, &f, 1, b->W, b->H, raw, RECON_IMPORTANCE_NONE, NULL, &mine)) {
#pragma omp critical
            {
                *e = mine;
                failed = 1;
            }
            continue;
        }
        metric_quantise(raw, b->out + (1 + i) * b->pixels, b->pixels);
    }
    return failed ? e->code : 0;
}

/* Holds b->out against the truth. Frames without samples are left out, and so is tPSNR behind them. */
static int add_scores(struct batch *b, struct entry *entry, const struct samples *s, struct err *e)
{
    const struct contender *who = entry->who;
    size_t pixels = b->pixels;
    memcpy(b->out, entry->before, pixels);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < b->n; i++) {
        int alone = i ? who && !s[i - 1].n : !entry->has_before;
        b->score[i] =
            (struct frame_score){.session = b->session, .frame_id = b->frame_id[i], .samples = s[i].n};
        if (s[i].n || !who)
            score_frame(&b->score[i], b->truth + (1 + i) * pixels, b->out + (1 + i) * pixels,
                        alone ? NULL : b->truth + i * pixels, b->out + i * pixels,
                        s[i].n ? b->mask + i * pixels : NULL, b->W, b->H);
    }
    int r = 0;
    for (size_t i = 0; i < b->n && !r; i++)
        if (s[i].n || !who)
            r = score_add(&entry->score, &b->score[i], e);
    memcpy(entry->before, b->out + b->n * pixels, pixels);
    entry->has_before = !who || s[b->n - 1].n > 0;
    return r;
}

static int run_batch(struct contest *c, struct batch *b, struct err *e)
{
    struct samples *s;
    int r = 0;
    if (c->compared) {
        r = batch_samples(b, c, 0, &s, e);
        memcpy(b->out + b->pixels, b->other, b->n * b->pixels);
        if (!r)
            r = add_scores(b, &c->entries[0], s, e);
    }
    struct entry *entry = c->entries + c->compared;
    for (size_t k = 0; k < c->budget_count && !r; k++) {
        if (!c->contender_count)
            break;
        r = batch_samples(b, c, c->budgets[k], &s, e);
        for (size_t i = 0; i < b->n && !r && !k; i++)
            c->sampleless += !s[i].n;
        for (size_t i = 0; i < c->contender_count && !r; i++, entry++) {
            const struct contender *who = entry->who;
            r = who->is_model ? run_model(b, entry, s, e) : run_method(b, who, s, e);
            if (r)
                err_prefix(e, "%s: ", who->name);
            if (!r)
                r = add_scores(b, entry, s, e);
        }
    }
    return r;
}

static int check_sizes(const struct contest *c, const struct pairing *p, const struct batch *b, struct err *e)
{
    uint32_t w, h;
    for (size_t k = 0; k < c->budget_count; k++)
        if (c->budgets[k] > b->pixels)
            return err_set(e, ERR_USAGE, "-n %zu is more than the %ux%u pixels of a frame", c->budgets[k],
                           b->W, b->H);
    if (!c->compared || c->size[0])
        return 0;
    film_size(c->second, p->session_b, &w, &h);
    if (w != b->W || h != b->H)
        return err_set(e, ERR_DATA, "%s: frames are %ux%u, those of %s %ux%u (--size compares at one size)",
                       c->second->name, w, h, c->reference->name, b->W, b->H);
    return 0;
}

static int select_rows(const struct contest *c, struct pairing *p, struct err *e)
{
    if (!c->selections.n || !c->reference->rec)
        return 0;
    size_t T = recording_session(c->reference->rec, p->session_a)->T;
    int r = mem_alloc(&p->keep, T, 1, "a selection", e);
    return r ? r : selections_rows(&c->selections, c->reference->rec, p->session_a, p->keep, e);
}

static int run_pairing(struct contest *c, const struct pairing *p, size_t *frames,
                       void (*report)(void *user, size_t frames), void *user, struct err *e)
{
    struct batch b;
    size_t at = 0;
    int done = 0, r = batch_take(&b, c, p, e);
    c->W = b.W;
    c->H = b.H;
    if (!r)
        r = check_sizes(c, p, &b, e);
    for (size_t i = 0; i < c->entry_count && !r; i++) {
        free(c->entries[i].before);
        c->entries[i].has_before = 0;
        r = mem_alloc(&c->entries[i].before, b.pixels, 1, "frames", e);
    }
    while (!r && !done) {
        r = batch_fill(&b, c, p, &at, &done, e);
        if (!r && b.n)
            r = run_batch(c, &b, e);
        *frames += b.n;
        report(user, *frames);
    }
    batch_release(&b);
    return r;
}

int contest_run(struct contest *c, void (*report)(void *user, size_t frames), void *user, struct err *e)
{
    size_t frames = 0;
    int r = make_entries(c, e);
    for (size_t i = 0; i < pairing_count(c->reference, c->second) && !r; i++) {
        struct pairing p;
        int found;
        r = pairing_make(&p, c->reference, c->second, i, &found, e);
        c->unmatched += p.unmatched;
        if (!r && found)
            r = select_rows(c, &p, e);
        if (!r && found)
            r = run_pairing(c, &p, &frames, report, user, e);
        pairing_release(&p);
    }
    if (r || frames)
        return r;
    if (c->second && !c->frameless)
        return err_set(e, ERR_DATA, "%s: no frame of it is in %s (sessions match by id, frames by frame_id)",
                       c->reference->name, c->second->name);
    return err_set(e, ERR_DATA, "%s: no full frames to compare with", c->reference->name);
}

void contest_release(struct contest *c)
{
    for (size_t i = 0; i < c->entry_count; i++) {
        score_release(&c->entries[i].score);
        free(c->entries[i].before);
        c->entries[i].has_before = 0;
    }
    free(c->entries);
    c->entries = NULL;
    c->entry_count = 0;
}
