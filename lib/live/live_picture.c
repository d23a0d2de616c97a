#include "live/live_picture.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"
#include "io/stream.h"
#include "metric/metric.h"
#include "view/colour.h"

/* Colours 254 and 255 of both palettes; below are the heat or the greys. */
enum { COLOURS = 254, DOT = 254, UNSEEN = 255, KEEP_S = 5 };
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
    p->mapped = r->done;
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
    to->mapped = from->mapped;
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

void live_picture_keep_map(struct live_picture *fresh, struct live_picture *old, double now)
{
    if (fresh->map_w || !old->map_w || now - old->mapped > KEEP_S)
        return;
    uint8_t *spare = fresh->map;
    size_t capacity = fresh->map_capacity;
    fresh->map = old->map;
    fresh->map_capacity = old->map_capacity;
    fresh->map_w = old->map_w;
    fresh->map_h = old->map_h;
    fresh->mapped = old->mapped;
    old->map = spare;
    old->map_capacity = capacity;
    old->map_w = old->map_h = 0;
}

void live_picture_release(struct live_picture *p)
{
    free(p->image);
    free(p->map);
    free(p->pixel);
    free(p->value);
    *p = (struct live_picture){0};
}

/* A picture being drawn, in numbers of a palette's colours: a third of the bytes to pack. Small frames get two screen
 * pixels for one, so that the samples can be seen. */
struct canvas {
    uint8_t *at;
    uint32_t zoom, W, H; /* W, H: of the canvas */
    uint8_t palette[256][3];
};

static uint8_t level(uint8_t x)
{
    return (uint8_t)((x * (COLOURS - 1) + 127) / 255);
}

static void make_palette(struct canvas *c, int heat)
{
    for (int i = 0; i < COLOURS; i++)
        if (heat)
            colour_map((double)i / (COLOURS - 1), c->palette[i]);
        else
            memset(c->palette[i], (i * 255 + (COLOURS - 1) / 2) / (COLOURS - 1), 3);
    memcpy(c->palette[DOT], dot, 3);
    memcpy(c->palette[UNSEEN], unseen, 3);
}

static void draw_heat(const struct live_picture *p, const struct canvas *c)
{
    uint8_t *to = c->at;
    for (size_t y = 0; y < c->H; y++) {
        const uint8_t *row = p->map + y * p->map_h / c->H * p->map_w;
        for (size_t x = 0; x < c->W; x++)
            *to++ = level(row[x * p->map_w / c->W]);
    }
}

/* The pixel of sample i and `border` screen pixels around it. */
static void draw_square(const struct live_picture *p, const struct canvas *c, size_t i, uint32_t border,
                        uint8_t colour)
{
    uint32_t x0 = p->pixel[i] % p->W * c->zoom, y0 = p->pixel[i] / p->W * c->zoom;
    uint32_t x1 = x0 + c->zoom + border, y1 = y0 + c->zoom + border;
    x0 -= x0 < border ? x0 : border;
    y0 -= y0 < border ? y0 : border;
    x1 = x1 < c->W ? x1 : c->W;
    for (uint32_t y = y0; y < y1 && y < c->H; y++)
        memset(c->at + (size_t)y * c->W + x0, colour, x1 - x0);
}

static int draw(const struct live_picture *p, enum live_picture_kind kind, struct canvas *c, struct err *e)
{
    int heat = kind == PICTURE_IMPORTANCE;
    c->zoom = p->W <= 512 && p->H <= 512 ? 2 : 1;
    c->W = c->zoom * p->W;
    c->H = c->zoom * p->H;
    int code = mem_alloc(&c->at, (size_t)c->W * c->H, 1, "a picture", e);
    if (code)
        return code;
    make_palette(c, heat);
    if (heat)
        draw_heat(p, c);
    else
        memset(c->at, UNSEEN, (size_t)c->W * c->H);
    for (size_t i = 0; heat && i < p->n; i++)
        draw_square(p, c, i, 1, UNSEEN);
    for (size_t i = 0; i < p->n; i++)
        draw_square(p, c, i, heat ? 0 : c->zoom - 1, heat ? DOT : level(p->value[i]));
    return 0;
}

int live_picture_png(const struct live_picture *p, enum live_picture_kind kind, struct text *out,
                     struct err *e)
{
    if (!p->W)
        return err_set(e, ERR_UNAVAILABLE, "no frame of this session was rebuilt yet");
    if (kind == PICTURE_RECONSTRUCTION)
        return png_encode(out, p->image, p->W, p->H, NULL, e);
    if (kind == PICTURE_IMPORTANCE && !p->map_w)
        return err_set(e, ERR_UNAVAILABLE, "this session has no importance map: its sampler asks for none");
    struct canvas c = {0};
    int code = draw(p, kind, &c, e);
    if (!code)
        code = png_encode(out, c.at, c.W, c.H, (const uint8_t(*)[3])c.palette, e);
    free(c.at);
    return code;
}
