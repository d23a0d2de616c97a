#include "pictures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "batch.h"
#include "metric/metric.h"
#include "view/sheet.h"

enum { ROWS = 4, MOST_COLUMNS = 64, ERROR_FULL = 96 };

/* A few pairs of a pairing, evenly spaced. */
static int thin(struct pairing *p, struct err *e)
{
    struct pair *few;
    size_t n = p->n < ROWS ? p->n : ROWS;
    int r = mem_alloc(&few, ROWS, sizeof *few, "frames to draw", e);
    if (r)
        return r;
    for (size_t i = 0; i < n; i++)
        few[i] = pairing_at(p, (2 * i + 1) * p->n / (2 * n));
    free(p->pairs);
    p->pairs = few;
    p->n = n;
    return 0;
}

struct picture {
    struct sheet sheet;
    uint8_t *frame; /* (H*W) of the panel being drawn */
    float *map;
    uint32_t map_w, map_h; /* the last model's, 0: none */
};

static int draw_contender(struct picture *p, const struct contest *c, const struct contender *who,
                          const struct batch *b, const struct samples *s, uint32_t row, uint32_t column,
                          struct err *e)
{
    struct recon_frame f = batch_frame(b, s, row);
    enum recon_importance kind = who->is_model ? c->importance : RECON_IMPORTANCE_NONE;
    free(p->map);
    p->map = NULL;
    recon_map_size(who->handle[0], kind, b->W, b->H, &p->map_w, &p->map_h);
    int r =
        who->is_model ? mem_alloc(&p->map, (size_t)p->map_w * p->map_h, sizeof *p->map, "a picture", e) : 0;
    if (!r)
        r = recon_run(who->handle[0], &f, 1, b->W, b->H, b->raw, kind, p->map, e);
    if (r)
        return r;
    metric_quantise(b->raw, p->frame, b->pixels);
    char caption[64];
    snprintf(caption, sizeof caption, "%s %.2f dB", who->is_model ? "model" : who->name,
             metric_psnr(f.truth, p->frame, b->pixels));
    sheet_grey(&p->sheet, column, row, p->frame);
    sheet_caption(&p->sheet, column, row, caption);
    return 0;
}

static int draw_row(struct picture *p, const struct contest *c, const struct batch *b,
                    const struct samples *s, uint32_t row, struct err *e)
{
    const uint8_t *truth = b->truth + (1 + row) * b->pixels;
    char caption[64];
    uint32_t column = 2;
    int r = 0;
    snprintf(caption, sizeof caption, "frame %lld", (long long)b->frame_id[row]);
    sheet_grey(&p->sheet, 0, row, truth);
    sheet_caption(&p->sheet, 0, row, caption);
    snprintf(caption, sizeof caption, "%zu samples", s[row].n);
    sheet_samples(&p->sheet, 1, row, s[row].uv, s[row].value, s[row].n);
    sheet_caption(&p->sheet, 1, row, caption);
    /* Methods first, so that the models stand together at the end, with the last one's error and map. */
    for (int models = 0; models < 2; models++)
        for (size_t i = 0; i < c->contender_count && !r; i++)
            if (c->contenders[i].is_model == models && s[row].n)
                r = draw_contender(p, c, &c->contenders[i], b, s, row, column++, e);
    if (r || !s[row].n)
        return r;
    sheet_error(&p->sheet, column, row, truth, p->frame, ERROR_FULL);
    snprintf(caption, sizeof caption, "error 0..%d", ERROR_FULL);
    sheet_caption(&p->sheet, column++, row, caption);
    if (p->map) {
        sheet_heat(&p->sheet, column, row, p->map, p->map_w, p->map_h);
        sheet_marks(&p->sheet, column, row, s[row].uv, s[row].n);
        sheet_caption(&p->sheet, column, row, "importance 0..1");
    }
    return 0;
}

static int draw_sheet(const struct contest *c, struct batch *b, size_t budget, const char *dir, struct err *e)
{
    struct samples *s;
    struct picture p = {0};
    char path[4096];
    size_t n = budget;
    int models = 0, r = batch_samples(b, c, budget, &s, e);
    for (size_t i = 0; i < b->n; i++)
        n = s[i].n > n ? s[i].n : n;
    for (size_t i = 0; i < c->contender_count; i++)
        models |= c->contenders[i].is_model;
    if (r || !n)
        return r;
    uint32_t columns = (uint32_t)c->contender_count + 3 + (uint32_t)models;
    r = sheet_init(&p.sheet, b->W, b->H, columns, (uint32_t)b->n, sheet_zoom(b->W, b->H), e);
    if (!r)
        r = mem_alloc(&p.frame, b->pixels, 1, "a picture", e);
    for (uint32_t row = 0; row < b->n && !r; row++)
        r = draw_row(&p, c, b, s, row, e);
    snprintf(path, sizeof path, "%s/%s-%zu.png", dir, b->session, n);
    for (char *at = path + strlen(dir) + 1; *at; at++)
        *at = *at == '/' ? '_' : *at;
    if (!r)
        r = atomic_file_make_parents(path, e);
    if (!r)
        r = sheet_write(&p.sheet, path, e);
    if (!r)
        log_note("%s", path);
    sheet_release(&p.sheet);
    free(p.frame);
    free(p.map);
    return r;
}

static int draw_session(struct contest *c, struct pairing *p, const char *dir, struct err *e)
{
    struct batch b = {0};
    size_t at = 0;
    int done = 0, r = thin(p, e);
    if (!r)
        r = batch_take(&b, c, p, e);
    if (!r)
        r = batch_fill(&b, c, p, &at, &done, e);
    for (size_t k = 0; k < c->budget_count && !r && b.n; k++)
        r = draw_sheet(c, &b, c->budgets[k], dir, e);
    batch_release(&b);
    return r;
}

int pictures_write(struct contest *c, const char *dir, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < pairing_count(c->reference, NULL) && !r; i++) {
        struct pairing p;
        int found;
        r = pairing_make(&p, c->reference, NULL, i, &found, e);
        if (!r && found)
            r = draw_session(c, &p, dir, e);
        pairing_release(&p);
    }
    return r;
}
