/* Example pictures of the validation set: a row for each frame, its panels under captions, as sgaps-eval draws them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "metric/metric.h"
#include "train/validate.h"
#include "view/sheet.h"

enum { ROWS = 4 };

struct picture {
    struct sheet sheet;
    uint32_t H, W;
    uint8_t *truth, *frame; /* (H,W), the validation's: of the row, NULL without full frames; of the panel */
    float *uv;              /* samples of the row, as sheet.h wants them */
    uint8_t *value;
    float *scale; /* of the error, (rows,H,W); NULL: no error head, or nothing to compare it with */
};

/* The truth where there is one, and the hints. */
static uint32_t draw_given(struct picture *p, const struct example_batch *b, uint32_t row)
{
    size_t size = (size_t)p->H * p->W, n = (size_t)b->arrays.counts[row];
    const float *pixels = b->arrays.pixels + row * b->arrays.sizes.N * 3;
    char caption[64];
    uint32_t column = 0;
    if (p->truth) {
        metric_quantise(b->target + row * size, p->truth, size);
        sheet_grey(&p->sheet, column, row, p->truth);
        sheet_caption(&p->sheet, column++, row, "truth");
    }
    for (size_t i = 0; i < n; i++) {
        p->uv[2 * i] = pixels[3 * i];
        p->uv[2 * i + 1] = pixels[3 * i + 1];
        metric_quantise(&pixels[3 * i + 2], p->value + i, 1);
    }
    snprintf(caption, sizeof caption, "%zu samples", n);
    sheet_samples(&p->sheet, column, row, p->uv, p->value, n);
    sheet_caption(&p->sheet, column++, row, caption);
    return column;
}

static void draw_made(struct picture *p, uint32_t row, uint32_t column, const char *name, const float *frame)
{
    size_t size = (size_t)p->H * p->W;
    char caption[64];
    metric_quantise(frame, p->frame, size);
    if (p->truth)
        snprintf(caption, sizeof caption, "%s %.2f dB", name, metric_psnr(p->truth, p->frame, size));
    else
        snprintf(caption, sizeof caption, "%s", name);
    sheet_grey(&p->sheet, column, row, p->frame);
    sheet_caption(&p->sheet, column, row, caption);
}

enum { ERROR_FULL = 96 };

/* What the model errs by, and what it expects to, both from 0 to ERROR_FULL grey values. p->frame is the model's. */
static void draw_errors(struct picture *p, uint32_t row, uint32_t column)
{
    size_t size = (size_t)p->H * p->W;
    float *scale = p->scale + row * size;
    char caption[64];
    for (size_t i = 0; i < size; i++)
        scale[i] = fminf(scale[i] * 255 / ERROR_FULL, 1);
    snprintf(caption, sizeof caption, "error 0..%d", ERROR_FULL);
    sheet_error(&p->sheet, column, row, p->truth, p->frame, ERROR_FULL);
    sheet_caption(&p->sheet, column, row, caption);
    sheet_heat(&p->sheet, column + 1, row, scale, p->W, p->H);
    sheet_caption(&p->sheet, column + 1, row, "expected error");
}

static int draw(struct picture *p, struct validation *v, uint32_t rows, struct err *e)
{
    const struct example_batch *b = &v->batches[0];
    for (uint32_t row = 0; row < rows; row++) {
        float *output = v->output + row * (size_t)p->H * p->W;
        uint32_t column = draw_given(p, b, row);
        draw_made(p, row, column + 1, "model", output);
        if (p->scale)
            draw_errors(p, row, column + 2);
        int code = validation_linear(b, row, output, e);
        if (code)
            return code;
        draw_made(p, row, column, "linear", output);
    }
    return 0;
}

int validation_picture(struct validation *v, struct spt *m, const char *path, struct err *e)
{
    const struct recon_batch_sizes *sizes = &v->batches[0].arrays.sizes;
    uint32_t rows = sizes->B < ROWS ? (uint32_t)sizes->B : ROWS;
    struct picture p = {.H = v->plan.H,
                        .W = v->plan.W,
                        .truth = v->plan.target ? v->truth : NULL,
                        .frame = v->predicted,
                        .scale = v->scale};
    uint32_t columns = (p.truth ? 4 : 3) + (p.scale ? 2 : 0);
    int code = sheet_init(&p.sheet, p.W, p.H, columns, rows, sheet_zoom(p.W, p.H), e);
    if (!code)
        code = mem_alloc(&p.uv, sizes->N * 2, sizeof *p.uv, "an example picture", e);
    if (!code)
        code = mem_alloc(&p.value, sizes->N, 1, "an example picture", e);
    if (!code)
        code = validation_forward(m, &v->batches[0], e);
    if (!code)
        code = spt_download_output(m, v->output, e);
    if (!code && p.scale)
        code = spt_download_scale(m, p.scale, e);
    if (!code)
        code = draw(&p, v, rows, e);
    if (!code)
        code = sheet_write(&p.sheet, path, e);
    sheet_release(&p.sheet);
    free(p.uv);
    free(p.value);
    return code;
}
