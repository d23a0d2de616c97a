#include "recon/residual.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "interp/interp.h"

enum { FELLOWS = 6 };

/* A triangulation without each sample in turn would cost n of them; inverse distances over the nearest few tell the
 * same story in one pass over the pairs. */
static float foretell(const float *uv, const uint8_t *value, size_t n, size_t i, float W, float H)
{
    float near[FELLOWS];
    size_t who[FELLOWS], k = 0;
    for (size_t j = 0; j < n; j++) {
        if (j == i)
            continue;
        float dx = (uv[2 * j] - uv[2 * i]) * W, dy = (uv[2 * j + 1] - uv[2 * i + 1]) * H,
              d = dx * dx + dy * dy;
        if (k == FELLOWS && d >= near[k - 1])
            continue;
        size_t at = k < FELLOWS ? k++ : k - 1;
        for (; at && near[at - 1] > d; at--) {
            near[at] = near[at - 1];
            who[at] = who[at - 1];
        }
        near[at] = d;
        who[at] = j;
    }
    double sum = 0, weight = 0;
    for (size_t j = 0; j < k; j++) {
        double w = 1 / ((double)near[j] + 1e-6); /* two samples on one place */
        sum += w * value[who[j]];
        weight += w;
    }
    return k ? (float)(sum / weight) : value[i];
}

int recon_residual(const struct interp_plan *plan, const float *uv, const uint8_t *value, size_t n,
                   uint32_t W, uint32_t H, float *map, struct err *e)
{
    float *error;
    int r = mem_alloc(&error, n, sizeof *error, "leave-one-out errors", e);
    if (r)
        return r;
    for (size_t i = 0; i < n; i++)
        error[i] = fabsf((float)value[i] - foretell(uv, value, n, i, (float)W, (float)H)) / 255.0f;
    interp_plan_linear(plan, error, map);
    free(error);
    return 0;
}
