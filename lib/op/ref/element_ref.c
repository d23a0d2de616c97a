/* Element by element, and the pixel shuffle, which only moves elements. */
#include <math.h>

#include "base/philox.h"
#include "op/ref/ref.h"

void ref_relu_backward(struct op_ctx *ctx, size_t n, float factor, const act *y, const act *dy, act *dx)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        ((float *)dx)[i] = ((const float *)y)[i] > 0 ? factor * ((const float *)dy)[i] : 0;
}

float ref_dropout_factor(const struct op_dropout *p, uint64_t i)
{
    if (p->p <= 0)
        return 1;
    uint64_t block = i / 4;
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)p->stream,
                                 (uint32_t)(p->stream >> 32)};
    const uint32_t key[2] = {(uint32_t)p->seed, (uint32_t)(p->seed >> 32)};
    uint32_t word[4];
    philox4x32(counter, key, word);
    return (double)word[i % 4] >= (double)p->p * 0x1p32 ? 1 / (1 - p->p) : 0;
}

void ref_dropout(struct op_ctx *ctx, size_t n, const struct op_dropout *p, const act *x, act *y)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        ((float *)y)[i] = ((const float *)x)[i] * ref_dropout_factor(p, i);
}

void ref_sigmoid(struct op_ctx *ctx, size_t n, const act *x, act *y)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++)
        ((float *)y)[i] = (float)(1 / (1 + exp(-(double)((const float *)x)[i])));
}

void ref_sigmoid_backward(struct op_ctx *ctx, size_t n, const act *y, const act *dy, act *dx)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        double s = (double)((const float *)y)[i];
        ((float *)dx)[i] = (float)((double)((const float *)dy)[i] * s * (1 - s));
    }
}

/* Element i of (B,h,w,C*p*p) goes to this place of the image with rows of ld. */
static size_t shuffled(size_t i, size_t h, size_t w, size_t C, size_t p, size_t ld)
{
    size_t channel = i % (C * p * p), at = i / (C * p * p);
    size_t c = channel / (p * p), dy = channel / p % p, dx = channel % p;
    size_t x = at % w, y = at / w % h, b = at / w / h;
    return ((b * h * p + y * p + dy) * w * p + x * p + dx) * ld + c;
}

void ref_pixel_shuffle(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p, size_t ldy,
                       const act *x, act *y)
{
    (void)ctx;
    for (size_t i = 0; i < B * h * w * C * p * p; i++)
        ((float *)y)[shuffled(i, h, w, C, p, ldy ? ldy : C)] = ((const float *)x)[i];
}

void ref_pixel_shuffle_backward(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p,
                                size_t lddy, const act *dy, act *dx)
{
    (void)ctx;
    for (size_t i = 0; i < B * h * w * C * p * p; i++)
        ((float *)dx)[i] = ((const float *)dy)[shuffled(i, h, w, C, p, lddy ? lddy : C)];
}
