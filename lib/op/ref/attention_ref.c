/* Scaled dot-product attention, one head and one query at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "op/ref/ref.h"

static size_t valid_keys(const struct op_attention *p, size_t b)
{
    return p->keys ? (size_t)p->keys[b] : p->Tk;
}

static const float *query_at(const struct op_attention *p, const act *q, size_t b, size_t h, size_t i)
{
    return (const float *)q + b * p->q_batch + i * p->ldq + h * p->head;
}

/* k or v */
static const float *key_at(const struct op_attention *p, const act *k, size_t b, size_t h, size_t j)
{
    return (const float *)k + b * p->kv_batch + j * p->ldkv + h * p->head;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static double score_scale(const struct op_attention *p)
{
    return 1 / sqrt((double)p->head);
}

static uint64_t weight_index(const struct op_attention *p, size_t b, size_t h, size_t i, size_t j)
{
    return ((b * p->heads + h) * p->Tq + i) * p->Tk + j;
}

int ref_attention(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k, const act *v,
                  act *outv, float *lse, struct err *e)
{
    (void)ctx;
    double *score, *sum;
    int r = mem_alloc(&score, p->Tk + p->head, sizeof *score, "a row of scores", e);
    if (r)
        return r;
    sum = score + p->Tk;
    size_t width = p->heads * p->head;
    for (size_t b = 0; b < p->B; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t i = 0; i < p->Tq; i++) {
                size_t keys = valid_keys(p, b);
                double high = -HUGE_VAL, total = 0;
                for (size_t j = 0; j < keys; j++) {
                    score[j] = dot(query_at(p, q, b, h, i), key_at(p, k, b, h, j), p->head) * score_scale(p);
                    high = fmax(high, score[j]);
                }
                for (size_t j = 0; j < keys; j++)
                    total += score[j] = exp(score[j] - high);
                memset(sum, 0, p->head * sizeof *sum);
                for (size_t j = 0; j < keys; j++) {
                    const float *row = key_at(p, v, b, h, j);
                    double a = score[j] / total *
                               (double)ref_dropout_factor(&p->dropout, weight_index(p, b, h, i, j));
                    for (size_t c = 0; c < p->head; c++)
                        sum[c] += a * (double)row[c];
                }
                float *out = (float *)outv + (b * p->Tq + i) * width + h * p->head;
                for (size_t c = 0; c < p->head; c++)
                    out[c] = (float)sum[c];
                lse[(b * p->heads + h) * p->Tq + i] = (float)(high + log(total));
            }
    free(score);
    return 0;
}

/* One head of one frame; dk and dv (keys,head) in double. */
static void head_backward(const struct op_attention *p, size_t b, size_t h, const act *q, const act *k,
                          const act *v, const float *lse, const act *doutv, float *dq, double *dk, double *dv,
                          double *weight, double *dweight)
{
    size_t keys = valid_keys(p, b), width = p->heads * p->head;
    double scale = score_scale(p);
    for (size_t i = 0; i < p->Tq; i++) {
        const float *query = query_at(p, q, b, h, i);
        const float *dout = (const float *)doutv + (b * p->Tq + i) * width + h * p->head;
        double log_total = (double)lse[(b * p->heads + h) * p->Tq + i], delta = 0;
        for (size_t j = 0; j < keys; j++) {
            double keep = (double)ref_dropout_factor(&p->dropout, weight_index(p, b, h, i, j));
            weight[j] = exp(dot(query, key_at(p, k, b, h, j), p->head) * scale - log_total);
            dweight[j] = dot(dout, key_at(p, v, b, h, j), p->head) * keep;
            delta += weight[j] * dweight[j];
            for (size_t c = 0; c < p->head; c++)
                dv[j * p->head + c] += weight[j] * keep * (double)dout[c];
        }
        for (size_t c = 0; c < p->head; c++) {
            double sum = 0;
            for (size_t j = 0; j < keys; j++)
                sum += weight[j] * (dweight[j] - delta) * (double)key_at(p, k, b, h, j)[c];
            dq[i * p->ldq + c] = (float)(sum * scale);
        }
        for (size_t j = 0; j < keys; j++)
            for (size_t c = 0; c < p->head; c++)
                dk[j * p->head + c] += weight[j] * (dweight[j] - delta) * scale * (double)query[c];
    }
}

int ref_attention_backward(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k,
                           const act *v, const act *out, const float *lse, const act *dout, act *dqv,
                           act *dkv, act *dvv, struct err *e)
{
    (void)ctx;
    (void)out;
    size_t n = p->Tk * p->head;
    double *room;
    int r = mem_alloc(&room, 2 * n + 2 * p->Tk, sizeof *room, "gradients of keys", e);
    if (r)
        return r;
    double *dk = room, *dv = dk + n, *weight = dv + n, *dweight = weight + p->Tk;
    size_t dq_batch = p->q_batch ? p->q_batch : p->Tq * p->ldq;
    for (size_t b = 0; b < p->B; b++)
        for (size_t h = 0; h < p->heads; h++) {
            memset(room, 0, 2 * n * sizeof *room);
            head_backward(p, b, h, q, k, v, lse, dout, (float *)dqv + b * dq_batch + h * p->head, dk, dv,
                          weight, dweight);
            for (size_t j = 0; j < p->Tk; j++)
                for (size_t c = 0; c < p->head; c++) {
                    size_t at = b * p->kv_batch + j * p->ldkv + h * p->head + c;
                    ((float *)dkv)[at] = (float)dk[j * p->head + c];
                    ((float *)dvv)[at] = (float)dv[j * p->head + c];
                }
        }
    free(room);
    return 0;
}

static double entropy_of(const double *weight, size_t keys)
{
    double sum = 0;
    for (size_t j = 0; j < keys; j++)
        sum -= weight[j] * log(weight[j] + 1e-9);
    return sum;
}

/* Of the values of keys 1.. under the weights without key 0, the state token. */
static double variance_of(const double *weight, const float *value, size_t keys)
{
    double total = 0, mean = 0, sum = 0;
    for (size_t j = 1; j < keys; j++) {
        total += weight[j];
        mean += weight[j] * (double)value[j - 1];
    }
    if (total <= 0)
        return 0;
    mean /= total;
    for (size_t j = 1; j < keys; j++)
        sum += weight[j] / total * ((double)value[j - 1] - mean) * ((double)value[j - 1] - mean);
    return sum;
}

int ref_attention_importance(struct op_ctx *ctx, const struct op_attention *p, enum op_importance kind,
                             const act *q, const act *k, const float *lse, const float *values, float *map,
                             struct err *e)
{
    (void)ctx;
    double *weight;
    int r = mem_alloc(&weight, p->Tk, sizeof *weight, "a row of weights", e);
    if (r)
        return r;
    for (size_t b = 0; b < p->B; b++)
        for (size_t i = 0; i < p->Tq; i++) {
            size_t keys = valid_keys(p, b);
            memset(weight, 0, keys * sizeof *weight);
            for (size_t h = 0; h < p->heads; h++)
                for (size_t j = 0; j < keys; j++)
                    weight[j] +=
                        exp(dot(query_at(p, q, b, h, i), key_at(p, k, b, h, j), p->head) * score_scale(p) -
                            (double)lse[(b * p->heads + h) * p->Tq + i]) /
                        (double)p->heads;
            map[b * p->Tq + i] =
                (float)(kind == OP_IMPORTANCE_ENTROPY ? entropy_of(weight, keys)
                                                      : variance_of(weight, values + b * (p->Tk - 1), keys));
        }
    free(weight);
    return 0;
}
