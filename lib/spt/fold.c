/* In evaluation batch norm is a scale and a shift of each channel, which the convolution before it takes over. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "spt/network.h"

/* Host arrays: w (C,9C) is scaled in place; the shift goes to bias (C). stat holds gamma, beta, mean, var (C each). */
static void fold(size_t C, float *w, const float *stat, float *bias)
{
    for (size_t o = 0; o < C; o++) {
        double scale = (double)stat[o] / sqrt((double)stat[3 * C + o] + 1e-5);
        bias[o] = (float)((double)stat[C + o] - (double)stat[2 * C + o] * scale);
        for (size_t k = 0; k < 9 * C; k++)
            w[o * 9 * C + k] = (float)((double)w[o * 9 * C + k] * scale);
    }
}

static void fold_half(struct spt *m, struct conv_norm *h, float *w)
{
    const struct op_table *ops = m->ops;
    size_t C = m->C, row = C * sizeof(float);
    float *stat = w + 9 * C * C, *bias = stat + 4 * C;
    ops->download(m->ctx, w, h->w, 9 * C * row);
    ops->download(m->ctx, stat, h->bn.norm.gamma, row);
    ops->download(m->ctx, stat + C, h->bn.norm.beta, row);
    ops->download(m->ctx, stat + 2 * C, h->bn.mean, row);
    ops->download(m->ctx, stat + 3 * C, h->bn.var, row);
    fold(C, w, stat, bias);
    ops->upload(m->ctx, h->folded_w, w, 9 * C * row);
    ops->upload(m->ctx, h->folded_b, bias, row);
}

int fold_prepare(struct spt *m, struct err *e)
{
    if (m->folded && m->folded_version == m->version)
        return 0;
    size_t C = m->C, each = 9 * C * C + (C + 15) / 16 * 16;
    if (!m->folded)
        TRY(m->ops->alloc(m->ctx, (void **)&m->folded, 4 * each * sizeof(float), e));
    TRY(mem_grow(&m->host, &m->host_capacity, 9 * C * C + 5 * C, sizeof *m->host, "folded weights", e));
    for (size_t i = 0; i < 4; i++) {
        struct conv_norm *h = &m->head.block[i / 2].half[i % 2];
        h->folded_w = m->folded + i * each;
        h->folded_b = h->folded_w + 9 * C * C;
        fold_half(m, h, m->host);
    }
    TRY(m->ops->parameters_changed(m->ctx, m->folded, 4 * each, e));
    m->folded_version = m->version;
    return 0;
}
