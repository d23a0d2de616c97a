/* Linear interpolation: qhull triangulates, the triangles are drawn into the frame one after the other.
 * Drawing costs a few operations a pixel where locating every pixel's triangle would cost a walk. */
#include <libqhull_r/qhull_ra.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "interp/interp.h"
#include "interp/points.h"

/* Pixels this near to an edge (in pixels) count as inside: an edge between samples on centres meets the
 * centres between them only to rounding. */
static const double EDGE = 1e-9;

struct drawing {
    const double *xy;   /* (n,2), distinct */
    const float *value; /* (n) */
    uint32_t W, H;
    float *out;       /* (H,W) */
    uint8_t *covered; /* (H,W) */
};

static void draw_triangle(const struct drawing *d, const uint32_t v[3])
{
    const double *a = d->xy + 2 * (size_t)v[0], *b = d->xy + 2 * (size_t)v[1], *c = d->xy + 2 * (size_t)v[2];
    double fa = d->value[v[0]], fb = d->value[v[1]], fc = d->value[v[2]];
    double area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
    if (area < 0) {
        const double *t = b;
        double ft = fb;
        b = c, c = t;
        fb = fc, fc = ft;
        area = -area;
    }
    if (area < 1e-12)
        return;
    double gx = ((fb - fa) * (c[1] - a[1]) - (fc - fa) * (b[1] - a[1])) / area;
    double gy = ((fc - fa) * (b[0] - a[0]) - (fb - fa) * (c[0] - a[0])) / area;
    double low = fmin(fa, fmin(fb, fc)), high = fmax(fa, fmax(fb, fc));
    double top = fmin(a[1], fmin(b[1], c[1])), bottom = fmax(a[1], fmax(b[1], c[1]));
    long y0 = (long)ceil(fmax(top - 0.5 - EDGE, 0)), y1 = (long)floor(fmin(bottom - 0.5 + EDGE, d->H - 1.0));
    const double *corner[4] = {a, b, c, a};
    for (long y = y0; y <= y1; y++) {
        double py = (double)y + 0.5, left = -1, right = d->W;
        for (int k = 0; k < 3; k++) {
            /* Inside is where ex * (py - p.y) - ey * (px - p.x) >= 0. */
            const double *p = corner[k];
            double ex = corner[k + 1][0] - p[0], ey = corner[k + 1][1] - p[1], side = ex * (py - p[1]);
            double slack = EDGE * (fabs(ex) + fabs(ey));
            if (ey > 0)
                right = fmin(right, p[0] + (side + slack) / ey);
            else if (ey < 0)
                left = fmax(left, p[0] + (side + slack) / ey);
            else if (side < -slack)
                right = -1;
        }
        long x0 = (long)ceil(fmax(left - 0.5, 0)), x1 = (long)floor(fmin(right - 0.5, d->W - 1.0));
        float *out = d->out + (size_t)y * d->W;
        double f = fa + gy * (py - a[1]) + gx * (0.5 - a[0]);
        for (long x = x0; x <= x1; x++) {
            double g = f + gx * (double)x;
            out[x] = (float)(g < low ? low : g > high ? high : g);
        }
        if (x1 >= x0)
            memset(d->covered + (size_t)y * d->W + x0, 1, (size_t)(x1 - x0 + 1));
    }
}

static void draw_all(qhT *qh, const struct drawing *d, size_t n)
{
    facetT *facet;
    vertexT *vertex, **vertexp;
    FORALLfacets
    {
        uint32_t v[3];
        int k = 0, usable = !facet->upperdelaunay;
        FOREACHvertex_(facet->vertices)
        {
            int id = qh_pointid(qh, vertex->point);
            if (k < 3 && id >= 0 && (size_t)id < n)
                v[k++] = (uint32_t)id;
            else
                usable = 0; /* the point at infinity that Qz adds */
        }
        if (usable && k == 3)
            draw_triangle(d, v);
    }
}

static int triangulate(const struct drawing *d, size_t n, const char *command)
{
    qhT qh;
    char said[512] = "", text[64];
    snprintf(text, sizeof text, "%s", command); /* qhull wants it writable */
    FILE *messages = fmemopen(said, sizeof said, "w");
    if (!messages)
        return -1;
    qh_zero(&qh, messages);
    int failed = qh_new_qhull(&qh, 2, (int)n, (coordT *)d->xy, False, text, NULL, messages);
    if (!failed)
        draw_all(&qh, d, n);
    int left, total;
    qh_freeqhull(&qh, !qh_ALL);
    qh_memfreeshort(&qh, &left, &total);
    fclose(messages);
    if (failed)
        log_debug("%s of %zu samples failed: %.200s", command, n, said);
    return failed;
}

/* Drops what lies on the place of an earlier sample. xy and value are the copies to keep, out the number
 * left. */
static size_t distinct(const struct points *p, const float *value, double *xy, float *kept_value,
                       uint8_t *twin)
{
    size_t kept = 0;
    for (size_t b = 0; b < (size_t)p->cols * p->rows; b++) {
        for (uint32_t k = p->start[b]; k < p->start[b + 1]; k++) {
            const double *at = p->xy + 2 * (size_t)p->item[k];
            for (uint32_t j = p->start[b]; j < k && !twin[p->item[k]]; j++) {
                const double *other = p->xy + 2 * (size_t)p->item[j];
                twin[p->item[k]] = !twin[p->item[j]] && at[0] == other[0] && at[1] == other[1];
            }
        }
    }
    for (size_t i = 0; i < p->n; i++) {
        if (twin[i])
            continue;
        xy[2 * kept] = p->xy[2 * i];
        xy[2 * kept + 1] = p->xy[2 * i + 1];
        kept_value[kept++] = value[i];
    }
    return kept;
}

static int on_one_line(const double *xy, size_t n)
{
    double far = 0, dx = 0, dy = 0, off = 0;
    for (size_t i = 1; i < n; i++) {
        double x = xy[2 * i] - xy[0], y = xy[2 * i + 1] - xy[1], d = x * x + y * y;
        if (d > far)
            far = d, dx = x, dy = y;
    }
    for (size_t i = 1; i < n; i++)
        off = fmax(off, fabs(dx * (xy[2 * i + 1] - xy[1]) - dy * (xy[2 * i] - xy[0])));
    return off <= 1e-6 * sqrt(far);
}

int points_linear(const struct points *p, const float *value, const uint32_t *nearest, uint32_t W, uint32_t H,
                  float *out, struct err *e)
{
    double *xy = NULL;
    float *kept = NULL;
    uint8_t *covered = NULL, *twin = NULL;
    size_t pixels = (size_t)W * H;
    int rc = mem_alloc(&xy, p->n, 2 * sizeof *xy, "a triangulation", e);
    if (!rc)
        rc = mem_alloc(&kept, p->n, sizeof *kept, "a triangulation", e);
    if (!rc)
        rc = mem_alloc(&twin, p->n, 1, "a triangulation", e);
    if (!rc)
        rc = mem_alloc(&covered, pixels, 1, "a triangulation", e);
    if (!rc) {
        struct drawing d = {xy, kept, W, H, out, covered};
        size_t n = distinct(p, value, xy, kept, twin);
        /* Qt: triangles only. Qz: sets on one circle, and three points. QJ (joggled) is the last resort for
         * sets that defeat qhull's merging. */
        if (n >= 3 && !on_one_line(xy, n) && triangulate(&d, n, "qhull d Qt Qbb Qc Qz Q12 Pp") &&
            triangulate(&d, n, "qhull d QJ Qbb Pp"))
            log_warning(
                "no triangulation of %zu samples: the nearest sample stands in for the linear interpolation",
                n);
        for (size_t i = 0; i < pixels; i++)
            if (!covered[i])
                out[i] = value[nearest[i]];
    }
    free(xy);
    free(kept);
    free(twin);
    free(covered);
    return rc;
}

int interp_linear(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, float *out,
                  struct err *e)
{
    struct points p;
    uint32_t *nearest = NULL;
    int rc = points_from_uv(&p, uv, n, W, H, e);
    if (rc)
        return rc;
    rc = mem_alloc(&nearest, (size_t)W * H, sizeof *nearest, "nearest samples", e);
    if (!rc)
        rc = points_nearest_map(&p, W, H, nearest, NULL, e);
    if (!rc)
        rc = points_linear(&p, value, nearest, W, H, out, e);
    free(nearest);
    points_release(&p);
    return rc;
}

int interp_prefill(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, uint32_t Wp,
                   uint32_t Hp, float *out, struct err *e)
{
    struct points p;
    uint32_t *nearest = NULL;
    size_t pixels = (size_t)W * H, plane = (size_t)Wp * Hp;
    float *block = NULL; /* linear, then distance, at W x H */
    if (Wp < W || Hp < H)
        return err_set(e, ERR_INTERNAL, "planes of %ux%u cannot hold a frame of %ux%u", Wp, Hp, W, H);
    int rc = points_from_uv(&p, uv, n, W, H, e);
    if (rc)
        return rc;
    rc = mem_alloc(&nearest, pixels, sizeof *nearest, "nearest samples", e);
    if (!rc)
        rc = mem_alloc(&block, pixels, 2 * sizeof *block, "prefill planes", e);
    if (!rc)
        rc = points_nearest_map(&p, W, H, nearest, block + pixels, e);
    if (!rc)
        rc = points_linear(&p, value, nearest, W, H, block, e);
    double spacing = sqrt((double)pixels / (double)n);
    for (uint32_t y = 0; !rc && y < Hp; y++) {
        const float *from = block + (size_t)(y < H ? y : H - 1) * W;
        float *linear = out + (size_t)y * Wp, *distance = linear + plane;
        for (uint32_t x = 0; x < Wp; x++) {
            uint32_t at = x < W ? x : W - 1;
            linear[x] = from[at];
            distance[x] = (float)(from[pixels + at] / spacing);
        }
    }
    free(block);
    free(nearest);
    points_release(&p);
    return rc;
}
