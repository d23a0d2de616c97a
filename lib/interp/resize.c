/* Frames and maps at another size: area average down, bicubic and bilinear up. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "interp/interp.h"

/* Mean of frame over [x0,x1) x [y0,y1), border pixels by their share. */
static double box_mean(const uint8_t *frame, uint32_t W, uint32_t H, double x0, double x1, double y0,
                       double y1)
{
    double sum = 0;
    uint32_t left = (uint32_t)x0, top = (uint32_t)y0;
    for (uint32_t y = top; y < H && y < y1; y++) {
        double wy = fmin(y + 1.0, y1) - fmax(y, y0), row = 0;
        for (uint32_t x = left; x < W && x < x1; x++)
            row += (fmin(x + 1.0, x1) - fmax(x, x0)) * frame[(size_t)y * W + x];
        sum += wy * row;
    }
    return sum / ((x1 - x0) * (y1 - y0));
}

static double cell_mean(const uint8_t *frame, uint32_t W, uint32_t H, uint32_t x, uint32_t w, uint32_t y,
                        uint32_t h)
{
    return box_mean(frame, W, H, (double)x * W / w, (double)(x + 1) * W / w, (double)y * H / h,
                    (double)(y + 1) * H / h);
}

void interp_resize(const uint8_t *frame, uint32_t W, uint32_t H, uint8_t *out, uint32_t w, uint32_t h)
{
    for (uint32_t y = 0; y < h; y++) {
        for (uint32_t x = 0; x < w; x++) {
            /* A side that grows repeats its nearest pixel: the box is then that pixel. */
            double x0 = (double)x * W / w, x1 = (double)(x + 1) * W / w;
            double y0 = (double)y * H / h, y1 = (double)(y + 1) * H / h;
            if (w > W)
                x0 = floor((x + 0.5) * W / w), x1 = x0 + 1;
            if (h > H)
                y0 = floor((y + 0.5) * H / h), y1 = y0 + 1;
            out[(size_t)y * w + x] = (uint8_t)lround(box_mean(frame, W, H, x0, x1, y0, y1));
        }
    }
}

/* Four taps of one output pixel: weights and the (repeated at the edges) places they apply to. */
struct taps {
    uint32_t at[4];
    double weight[4];
};

static double keys(double t)
{
    t = fabs(t);
    return t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

static struct taps bicubic_taps(uint32_t x, uint32_t size, uint32_t from)
{
    struct taps s;
    double at = (x + 0.5) * from / size - 0.5, base = floor(at);
    for (int k = 0; k < 4; k++) {
        double place = base - 1 + k;
        s.weight[k] = keys(at - place);
        s.at[k] = place < 0 ? 0 : place > from - 1 ? from - 1 : (uint32_t)place;
    }
    return s;
}

int interp_thumbnail(const uint8_t *frame, size_t n, uint32_t W, uint32_t H, float *out, struct err *e)
{
    uint32_t side = W < H ? W : H, k = n < (size_t)side * side ? (uint32_t)sqrt((double)n) : side;
    double *small, *rows;
    if (!n)
        return err_set(e, ERR_DATA, "a thumbnail of 0 values is nothing");
    int rc = mem_alloc(&small, (size_t)k * k, sizeof *small, "a thumbnail", e);
    if (rc)
        return rc;
    rc = mem_alloc(&rows, (size_t)k * W, sizeof *rows, "a thumbnail", e);
    if (!rc) {
        for (uint32_t y = 0; y < k; y++)
            for (uint32_t x = 0; x < k; x++)
                small[(size_t)y * k + x] = cell_mean(frame, W, H, x, k, y, k) / 255;
        for (uint32_t x = 0; x < W; x++) {
            struct taps t = bicubic_taps(x, W, k);
            for (uint32_t y = 0; y < k; y++) {
                double s = 0;
                for (int i = 0; i < 4; i++)
                    s += t.weight[i] * small[(size_t)y * k + t.at[i]];
                rows[(size_t)y * W + x] = s;
            }
        }
        for (uint32_t y = 0; y < H; y++) {
            struct taps t = bicubic_taps(y, H, k);
            for (uint32_t x = 0; x < W; x++) {
                double s = 0;
                for (int i = 0; i < 4; i++)
                    s += t.weight[i] * rows[(size_t)t.at[i] * W + x];
                out[(size_t)y * W + x] = (float)s;
            }
        }
    }
    free(rows);
    free(small);
    return rc;
}

void interp_enlarge(const float *map, uint32_t w, uint32_t h, float *out, uint32_t W, uint32_t H)
{
    for (uint32_t y = 0; y < H; y++) {
        double fy = fmin(fmax((y + 0.5) * h / H - 0.5, 0), h - 1.0);
        uint32_t y0 = (uint32_t)fy, y1 = y0 + 1 < h ? y0 + 1 : y0;
        const float *above = map + (size_t)y0 * w, *below = map + (size_t)y1 * w;
        fy -= y0;
        for (uint32_t x = 0; x < W; x++) {
            double fx = fmin(fmax((x + 0.5) * w / W - 0.5, 0), w - 1.0);
            uint32_t x0 = (uint32_t)fx, x1 = x0 + 1 < w ? x0 + 1 : x0;
            fx -= x0;
            double upper = above[x0] + fx * (above[x1] - above[x0]),
                   lower = below[x0] + fx * (below[x1] - below[x0]);
            out[(size_t)y * W + x] = (float)(upper + fy * (lower - upper));
        }
    }
}
