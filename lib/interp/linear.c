/* Linear interpolation: qhull triangulates, the triangles are drawn into the frame one after the other.
 * Drawing costs a few operations a pixel where locating every pixel's triangle would cost a walk. All but the drawing depends
 * on where the samples lie alone and is kept in a plan. */
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

struct interp_plan {
    size_t n;
    uint32_t W, H;
    double *xy;               /* (n,2) in pixels */
    uint32_t *corner;         /* (triangles,3) samples */
    uint32_t *pixel, *sample; /* (outside) pixels of no triangle, and the nearest sample of each */
    float *distance;          /* (H,W) to the nearest sample over the mean spacing, or NULL */
    size_t triangles, outside, capacity;
};

/* Into values, or only which pixels are covered. */
struct drawing {
    const double *xy;   /* (n,2) */
    const float *value; /* (n), NULL: covered is wanted */
    uint32_t W, H;
    float *out;       /* (H,W) */
    uint8_t *covered; /* (H,W) */
};

static void draw_triangle(const struct drawing *d, const uint32_t v[3])
{
    const double *a = d->xy + 2 * (size_t)v[0], *b = d->xy + 2 * (size_t)v[1], *c = d->xy + 2 * (size_t)v[2];
    double fa = 0, fb = 0, fc = 0;
    if (d->value)
        fa = d->value[v[0]], fb = d->value[v[1]], fc = d->value[v[2]];
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
        if (!d->value) {
            if (x1 >= x0)
                memset(d->covered + (size_t)y * d->W + x0, 1, (size_t)(x1 - x0 + 1));
            continue;
        }
        float *out = d->out + (size_t)y * d->W;
        double f = fa + gy * (py - a[1]) + gx * (0.5 - a[0]);
        for (long x = x0; x <= x1; x++) {
            double g = f + gx * (double)x;
            out[x] = (float)(g < low ? low : g > high ? high : g);
        }
    }
}

/* The triangles of qhull in its order; name (n) is which sample each of its points is. */
static int keep_triangles(qhT *qh, struct interp_plan *p, const uint32_t *name, size_t n)
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
                v[k++] = name[id];
            else
                usable = 0; /* the point at infinity that Qz adds */
        }
        if (!usable || k != 3)
            continue;
        int rc = mem_grow(&p->corner, &p->capacity, 3 * (p->triangles + 1), sizeof *p->corner,
                          "a triangulation", NULL);
        if (rc)
            return rc;
        memcpy(p->corner + 3 * p->triangles++, v, sizeof v);
    }
    return 0;
}

/* xy (n,2) distinct. */
static int triangulate(struct interp_plan *p, const double *xy, const uint32_t *name, size_t n,
                       const char *command)
{
    qhT qh;
    char said[512] = "", text[64];
    snprintf(text, sizeof text, "%s", command); /* qhull wants it writable */
    FILE *messages = fmemopen(said, sizeof said, "w");
    if (!messages)
        return -1;
    qh_zero(&qh, messages);
    int failed = qh_new_qhull(&qh, 2, (int)n, (coordT *)xy, False, text, NULL, messages);
    if (!failed)
        failed = keep_triangles(&qh, p, name, n);
    int left, total;
    qh_freeqhull(&qh, !qh_ALL);
    qh_memfreeshort(&qh, &left, &total);
    fclose(messages);
    if (failed) {
        p->triangles = 0;
        log_debug("%s of %zu samples failed: %.200s", command, n, said);
    }
    return failed;
}

/* Drops what lies on the place of an earlier sample. xy and name are the places to keep and whose they are, out the
 * number left. */
static size_t distinct(const struct points *p, double *xy, uint32_t *name, uint8_t *twin)
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
        name[kept++] = (uint32_t)i;
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

static int plan_triangles(struct interp_plan *plan, const struct points *p, struct err *e)
{
    double *xy = NULL;
    uint32_t *name = NULL;
    uint8_t *twin = NULL;
    int rc = mem_alloc(&xy, p->n, 2 * sizeof *xy, "a triangulation", e);
    if (!rc)
        rc = mem_alloc(&name, p->n, sizeof *name, "a triangulation", e);
    if (!rc)
        rc = mem_alloc(&twin, p->n, 1, "a triangulation", e);
    if (!rc) {
        size_t n = distinct(p, xy, name, twin);
        /* Qt: triangles only. Qz: sets on one circle, and three points. QJ (joggled) is the last resort for
         * sets that defeat qhull's merging. */
        if (n >= 3 && !on_one_line(xy, n) && triangulate(plan, xy, name, n, "qhull d Qt Qbb Qc Qz Q12 Pp") &&
            triangulate(plan, xy, name, n, "qhull d QJ Qbb Pp"))
            log_warning(
                "no triangulation of %zu samples: the nearest sample stands in for the linear interpolation",
                n);
    }
    free(xy);
    free(name);
    free(twin);
    return rc;
}

/* Who is nearest to the pixels that no triangle covers, and with `distances` how far it is from every pixel. */
static int plan_nearest(struct interp_plan *plan, const struct points *p, int distances, struct err *e)
{
    size_t pixels = (size_t)plan->W * plan->H;
    uint8_t *covered = NULL;
    uint32_t *nearest = NULL;
    int rc = mem_alloc(&covered, pixels, 1, "a triangulation", e);
    if (!rc)
        rc = mem_alloc(&nearest, pixels, sizeof *nearest, "nearest samples", e);
    if (!rc && distances)
        rc = mem_alloc(&plan->distance, pixels, sizeof *plan->distance, "distances", e);
    if (!rc) {
        struct drawing d = {.xy = plan->xy, .W = plan->W, .H = plan->H, .covered = covered};
        for (size_t i = 0; i < plan->triangles; i++)
            draw_triangle(&d, plan->corner + 3 * i);
        for (size_t i = 0; i < pixels; i++)
            plan->outside += !covered[i];
        rc = points_nearest_map(p, plan->W, plan->H, distances ? NULL : covered, nearest, plan->distance, e);
    }
    if (!rc)
        rc = mem_alloc(&plan->pixel, plan->outside, sizeof *plan->pixel, "pixels outside", e);
    if (!rc)
        rc = mem_alloc(&plan->sample, plan->outside, sizeof *plan->sample, "pixels outside", e);
    for (size_t i = 0, k = 0; i < pixels && !rc; i++) {
        if (!covered[i]) {
            plan->pixel[k] = (uint32_t)i;
            plan->sample[k++] = nearest[i];
        }
    }
    double spacing = sqrt((double)pixels / (double)p->n);
    for (size_t i = 0; i < pixels && !rc && distances; i++)
        plan->distance[i] = (float)(plan->distance[i] / spacing);
    free(covered);
    free(nearest);
    return rc;
}

int interp_plan_make(struct interp_plan **out, const float *uv, size_t n, uint32_t W, uint32_t H,
                     int distances, struct err *e)
{
    struct points p;
    struct interp_plan *plan = NULL;
    *out = NULL;
    int rc = points_from_uv(&p, uv, n, W, H, e);
    if (rc)
        return rc;
    rc = mem_alloc(&plan, 1, sizeof *plan, "a triangulation", e);
    if (!rc) {
        *plan = (struct interp_plan){.n = n, .W = W, .H = H};
        rc = mem_alloc(&plan->xy, n, 2 * sizeof *plan->xy, "a triangulation", e);
    }
    if (!rc) {
        memcpy(plan->xy, p.xy, n * 2 * sizeof *plan->xy);
        rc = plan_triangles(plan, &p, e);
    }
    if (!rc)
        rc = plan_nearest(plan, &p, distances, e);
    points_release(&p);
    if (rc)
        interp_plan_free(plan);
    else
        *out = plan;
    return rc;
}

void interp_plan_free(struct interp_plan *p)
{
    if (!p)
        return;
    free(p->xy);
    free(p->corner);
    free(p->pixel);
    free(p->sample);
    free(p->distance);
    free(p);
}

size_t interp_plan_bytes(const struct interp_plan *p)
{
    size_t pixels = p->distance ? (size_t)p->W * p->H : 0;
    return sizeof *p + p->n * 2 * sizeof *p->xy + p->capacity * sizeof *p->corner +
           p->outside * 2 * sizeof *p->pixel + pixels * sizeof *p->distance;
}

void interp_plan_linear(const struct interp_plan *p, const float *value, float *out)
{
    struct drawing d = {.xy = p->xy, .value = value, .W = p->W, .H = p->H, .out = out};
    for (size_t i = 0; i < p->triangles; i++)
        draw_triangle(&d, p->corner + 3 * i);
    for (size_t i = 0; i < p->outside; i++)
        out[p->pixel[i]] = value[p->sample[i]];
}

int interp_plan_prefill(const struct interp_plan *p, const float *value, uint32_t Wp, uint32_t Hp, float *out,
                        struct err *e)
{
    uint32_t W = p->W, H = p->H;
    size_t plane = (size_t)Wp * Hp;
    float *block = out; /* the linear plane at W x H */
    if (Wp < W || Hp < H || !p->distance)
        return err_set(e, ERR_INTERNAL, "planes of %ux%u cannot hold a frame of %ux%u", Wp, Hp, W, H);
    if (Wp != W) {
        int rc = mem_alloc(&block, (size_t)W * H, sizeof *block, "prefill planes", e);
        if (rc)
            return rc;
    }
    interp_plan_linear(p, value, block);
    for (uint32_t y = 0; y < Hp; y++) {
        size_t row = (size_t)(y < H ? y : H - 1) * W;
        float *linear = out + (size_t)y * Wp, *distance = linear + plane;
        for (uint32_t x = 0; x < Wp; x++) {
            size_t at = row + (x < W ? x : W - 1);
            linear[x] = block[at];
            distance[x] = p->distance[at];
        }
    }
    if (block != out)
        free(block);
    return 0;
}

int interp_linear(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, float *out,
                  struct err *e)
{
    struct interp_plan *p;
    int rc = interp_plan_make(&p, uv, n, W, H, 0, e);
    if (rc)
        return rc;
    interp_plan_linear(p, value, out);
    interp_plan_free(p);
    return 0;
}

int interp_prefill(const float *uv, const float *value, size_t n, uint32_t W, uint32_t H, uint32_t Wp,
                   uint32_t Hp, float *out, struct err *e)
{
    struct interp_plan *p;
    int rc = interp_plan_make(&p, uv, n, W, H, 1, e);
    if (rc)
        return rc;
    rc = interp_plan_prefill(p, value, Wp, Hp, out, e);
    interp_plan_free(p);
    return rc;
}
