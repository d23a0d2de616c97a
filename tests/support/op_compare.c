#include "op_compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int op_compare_written(const struct op_operand *o)
{
    return o->role == OP_OUTPUT || o->role == OP_SAVED || o->role == OP_INPUT_GRADIENT;
}

static float rounded(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &u, sizeof x);
    return x;
}

static void prepare(struct op_case_run *r, unsigned bf16)
{
    for (size_t i = 0; i < r->operands; i++) {
        const struct op_operand *o = r->operand + i;
        float *x = r->host[i];
        if (o->store != OP_FLOAT && o->store != OP_ACT)
            continue;
        for (size_t k = 0; k < o->n; k++)
            if (op_compare_written(o) && !o->accumulates)
                x[k] = NAN;
            else if (bf16)
                x[k] = rounded(x[k]);
    }
    op_case_upload(r);
}

int op_compare_run(struct op_case_run *r, const struct op_case *c, struct op_ctx *ctx, unsigned how,
                   struct err *e)
{
    int code = how & OP_COMPARE_SHIFTED ? op_case_open_shifted(r, c, ctx, e) : op_case_open(r, c, ctx, e);
    if (code)
        return code;
    prepare(r, how & OP_COMPARE_BF16);
    code = op_case_forward(r, e);
    if (!code && op_case_has_backward(c))
        code = op_case_backward(r, e);
    if (!code)
        op_case_download(r);
    return code ? code : ctx->ops->check(ctx, e);
}

/* ||have - want|| / ||want||, of what is written: between rows, and past the last, both leave NaN. */
static double distance(const float *have, const float *want, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        double x = (double)have[i], y = (double)want[i];
        if (isnan(x) != isnan(y))
            return HUGE_VAL;
        if (isnan(y))
            continue;
        d += (x - y) * (x - y);
        s += y * y;
    }
    return s > 0 ? sqrt(d / s) : sqrt(d);
}

double op_compare_distance(const struct op_case_run *have, const struct op_case_run *want, const char **where)
{
    double worst = 0;
    *where = "";
    for (size_t i = 0; i < want->operands; i++) {
        const struct op_operand *o = want->operand + i;
        if (!op_compare_written(o))
            continue;
        double d = distance(have->host[i], want->host[i], o->n);
        if (!(d <= worst)) {
            worst = d;
            *where = o->name;
        }
    }
    return worst;
}

int op_compare_same(const struct op_case_run *a, const struct op_case_run *b)
{
    for (size_t i = 0; i < a->operands; i++)
        if (op_compare_written(a->operand + i) &&
            memcmp(a->host[i], b->host[i], a->operand[i].n * sizeof(float)))
            return 0;
    return 1;
}
