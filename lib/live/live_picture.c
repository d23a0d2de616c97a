#include "live/live_picture.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"
#include "io/stream.h"
#include "metric/metric.h"
#include "view/sheet.h"

static const uint8_t dot[3] = {110, 232, 255}, unseen[3] = {20, 24, 58};

static int make_room(struct live_picture *p, size_t image, size_t map, size_t n, struct err *e)
{
    int r = mem_grow(&p->image, &p->image_capacity, image, 1, "a session's picture", e);
    if (!r)
        r = mem_grow(&p->map, &p->map_capacity, map, 1, "a session's map", e);
    if (!r)
        r = mem_grow(&p->pixel, &p->pixel_capacity, n, sizeof *p->pixel, "a session's samples", e);
    if (!r)
        r = mem_grow(&p->value, &p->value_capacity, n, 1, "a session's samples", e);
    return r;
}

int live_picture_take(struct live_picture *p, const struct engine_result *r, struct err *e)
{
    size_t image = (size_t)r->W * r->H, map = r->map ? (size_t)r->map_w * r->map_h : 0;
    int code = make_room(p, image, map, r->n, e);
    if (code)
        return code;
    p->W = r->W;
    p->H = r->H;
    p->map_w = map ? r->map_w : 0;
    p->map_h = map ? r->map_h : 0;
    p->n = r->n;
    metric_quantise(r->image, p->image, image);
    metric_quantise(r->map, p->map, map);
    for (size_t i = 0; i < r->n; i++)
        p->pixel[i] = interp_pixel(r->uv[2 * i + 1], r->H) * r->W + interp_pixel(r->uv[2 * i], r->W);
    if (r->n)
        memcpy(p->value, r->value, r->n);
    return 0;
}

int live_picture_copy(struct live_picture *to, const struct live_picture *from, struct err *e)
{
    size_t image = (size_t)from->W * from->H, map = (size_t)from->map_w * from->map_h;
    int code = make_room(to, image, map, from->n, e);
    if (code)
        return code;
    to->W = from->W;
    to->H = from->H;
    to->map_w = from->map_w;
    to->map_h = from->map_h;
    to->n = from->n;
    if (image)
        memcpy(to->image, from->image, image);
    if (map)
        memcpy(to->map, from->map, map);
    if (from->n) {
        memcpy(to->pixel, from->pixel, from->n * sizeof *to->pixel);
        memcpy(to->value, from->value, from->n);
    }
    return 0;
}

void live_picture_release(struct live_picture *p)
{
    free(p->image);
    free(p->map);
    free(p->pixel);
    free(p->value);
    *p = (struct live_picture){0};
}

static void draw_heat(const struct live_picture *p, uint8_t *rgb)
{
    uint8_t colour[256][3];
    for (int i = 0; i < 256; i++)
        sheet_colour(i / 255.0, colour[i]);
    for (size_t y = 0; y < p->H; y++) {
        const uint8_t *row = p->map + y * p->map_h / p->H * p->map_w;
        for (size_t x = 0; x < p->W; x++, rgb += 3)
            memcpy(rgb, colour[row[x * p->map_w / p->W]], 3);
    }
}

static int draw(const struct live_picture *p, enum live_picture_kind kind, uint8_t **rgb, struct err *e)
{
    size_t size = (size_t)p->W * p->H;
    int code = mem_alloc(rgb, size, 3, "a picture", e);
    if (code)
        return code;
    if (kind == PICTURE_IMPORTANCE)
        draw_heat(p, *rgb);
    else
        for (size_t i = 0; i < size; i++)
            memcpy(*rgb + 3 * i, unseen, 3);
    for (size_t i = 0; i < p->n; i++) {
        uint8_t *at = *rgb + 3 * (size_t)p->pixel[i];
        if (kind == PICTURE_IMPORTANCE)
            memcpy(at, dot, 3);
        else
            memset(at, p->value[i], 3);
    }
    return 0;
}

int live_picture_png(const struct live_picture *p, enum live_picture_kind kind, struct text *out,
                     struct err *e)
{
    if (!p->W)
        return err_set(e, ERR_UNAVAILABLE, "no frame of this session was rebuilt yet");
    if (kind == PICTURE_RECONSTRUCTION)
        return png_encode(out, p->image, p->W, p->H, 1, e);
    if (kind == PICTURE_IMPORTANCE && !p->map_w)
        return err_set(e, ERR_UNAVAILABLE, "this session has no importance map: its sampler asks for none");
    uint8_t *rgb = NULL;
    int code = draw(p, kind, &rgb, e);
    if (!code)
        code = png_encode(out, rgb, p->W, p->H, 3, e);
    free(rgb);
    return code;
}
