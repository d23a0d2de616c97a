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

/* A picture being drawn: small frames two screen pixels for one, so that the samples can be seen. */
struct canvas {
    uint8_t *rgb;
    uint32_t zoom, W, H; /* W, H: of the canvas */
};

static void draw_heat(const struct live_picture *p, const struct canvas *c)
{
    uint8_t colour[256][3], *rgb = c->rgb;
    for (int i = 0; i < 256; i++)
        sheet_colour(i / 255.0, colour[i]);
    for (size_t y = 0; y < c->H; y++) {
        const uint8_t *row = p->map + y * p->map_h / c->H * p->map_w;
        for (size_t x = 0; x < c->W; x++, rgb += 3)
            memcpy(rgb, colour[row[x * p->map_w / c->W]], 3);
    }
}

/* The frame's pixel x,y and `border` screen pixels around it. */
static void draw_square(const struct canvas *c, uint32_t x, uint32_t y, uint32_t border, const uint8_t rgb[3])
{
    uint32_t x0 = x * c->zoom, y0 = y * c->zoom, x1 = x0 + c->zoom + border, y1 = y0 + c->zoom + border;
    x0 -= x0 < border ? x0 : border;
    y0 -= y0 < border ? y0 : border;
    for (uint32_t j = y0; j < y1 && j < c->H; j++)
        for (uint32_t i = x0; i < x1 && i < c->W; i++)
            memcpy(c->rgb + 3 * ((size_t)j * c->W + i), rgb, 3);
}

static int draw(const struct live_picture *p, enum live_picture_kind kind, struct canvas *c, struct err *e)
{
    c->zoom = p->W <= 512 && p->H <= 512 ? 2 : 1;
    c->W = c->zoom * p->W;
    c->H = c->zoom * p->H;
    size_t size = (size_t)c->W * c->H;
    int code = mem_alloc(&c->rgb, size, 3, "a picture", e);
    if (code)
        return code;
    int heat = kind == PICTURE_IMPORTANCE;
    if (heat)
        draw_heat(p, c);
    else
        for (size_t i = 0; i < size; i++)
            memcpy(c->rgb + 3 * i, unseen, 3);
    for (size_t i = 0; i < p->n; i++)
        if (heat)
            draw_square(c, p->pixel[i] % p->W, p->pixel[i] / p->W, 1, unseen);
    for (size_t i = 0; i < p->n; i++) {
        const uint8_t grey[3] = {p->value[i], p->value[i], p->value[i]};
        draw_square(c, p->pixel[i] % p->W, p->pixel[i] / p->W, heat ? 0 : c->zoom - 1, heat ? dot : grey);
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
    struct canvas c = {0};
    int code = draw(p, kind, &c, e);
    if (!code)
        code = png_encode(out, c.rgb, c.W, c.H, 3, e);
    free(c.rgb);
    return code;
}
