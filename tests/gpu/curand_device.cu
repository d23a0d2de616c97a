/* On a GPU: the masks of the dropout operation are those that cuRAND's own generator draws there, in fp32 and in bf16. Prints
 * TAP. The library is loaded as the tools load it ($SGAPS_CUDA_LIBRARY); both use the device's one context, so its memory is
 * this program's too. */
#include <cuda_runtime.h>
#include <curand_kernel.h>

#include <stdio.h>
#include <stdlib.h>

extern "C" {
#include "op/op.h"
}

static const int ELEMENTS = 1 << 20, THREADS = 256;

/* A thread: the four elements of one block of cuRAND's. */
static __global__ void masks(unsigned long long seed, unsigned long long stream, double threshold,
                             float scale, float *mask)
{
    unsigned long long block = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x;
    curandStatePhilox4_32_10_t state;
    curand_init(seed, stream, 4 * block, &state);
    uint4 word = curand4(&state);
    mask[4 * block] = word.x >= threshold ? scale : 0;
    mask[4 * block + 1] = word.y >= threshold ? scale : 0;
    mask[4 * block + 2] = word.z >= threshold ? scale : 0;
    mask[4 * block + 3] = word.w >= threshold ? scale : 0;
}

static int tests, failed;

static void check(int good, const char *what, const char *precision, const char *why)
{
    failed += !good;
    printf("%sok %d - %s, %s %s\n", good ? "" : "not ", ++tests, what, precision, why);
}

/* Dropout of ones is the mask. */
static int compare(struct op_ctx *ctx, const struct op_dropout *p, float *ones, float *have, float *want,
                   struct err *e)
{
    void *x = NULL, *y = NULL, *mask = NULL;
    size_t bytes = ELEMENTS * sizeof(float);
    int r = ctx->ops->alloc(ctx, &x, bytes, e);
    r = r ? r : ctx->ops->alloc(ctx, &y, bytes, e);
    r = r ? r : ctx->ops->alloc(ctx, &mask, bytes, e);
    if (!r) {
        ctx->ops->upload_act(ctx, x, ones, ELEMENTS);
        ctx->ops->dropout(ctx, ELEMENTS, p, x, y);
        ctx->ops->download_act(ctx, have, y, ELEMENTS);
        /* One scale for both precisions: ones come out as 1 / (1 - p) rounded to the activations' type. */
        masks<<<ELEMENTS / 4 / THREADS, THREADS>>>(p->seed, p->stream, (double)p->p * 4294967296.0, 1,
                                                   (float *)mask);
        if (cudaDeviceSynchronize() != cudaSuccess)
            r = err_set(e, ERR_INTERNAL, "cuRAND's kernel failed");
        ctx->ops->download(ctx, want, mask, bytes);
        r = r ? r : ctx->ops->check(ctx, e);
    }
    ctx->ops->free(ctx, x);
    ctx->ops->free(ctx, y);
    ctx->ops->free(ctx, mask);
    return r;
}

static void check_precision(enum op_precision precision, const char *name, float *ones, float *have,
                            float *want)
{
    static const struct op_dropout places[] = {
        {0.1f, 0xfedcba9876543210ull, 0x100000001ull}, {0.5f, 42, 7}, {0.75f, ~0ull, ~0ull}};
    struct op_ctx ctx;
    struct err e = {};
    if (op_open(&ctx, "cuda", 1, precision, &e)) {
        check(0, "the device opens", name, e.text);
        return;
    }
    for (const struct op_dropout &p : places) {
        int equal = 0, kept = 0;
        int r = compare(&ctx, &p, ones, have, want, &e);
        for (int i = 0; i < ELEMENTS; i++) {
            equal += (have[i] != 0) == (want[i] != 0);
            kept += want[i] != 0;
        }
        double share = (double)kept / ELEMENTS;
        check(!r && equal == ELEMENTS, "dropout's mask is cuRAND's", name, e.text);
        check(!r && share > 0.99 * (1 - p.p) && share < 1.01 * (1 - p.p), "as many are kept as p says", name,
              "");
    }
    op_close(&ctx);
}

int main(void)
{
    float *ones = (float *)malloc(3 * ELEMENTS * sizeof(float));
    struct err e = {};
    if (!ones)
        return 1;
    for (int i = 0; i < ELEMENTS; i++)
        ones[i] = 1;
    if (op_cuda_available(&e))
        printf("ok %d # SKIP %s\n", ++tests, e.text);
    else {
        check_precision(OP_FP32, "fp32", ones, ones + ELEMENTS, ones + 2 * ELEMENTS);
        check_precision(OP_BF16, "bf16", ones, ones + ELEMENTS, ones + 2 * ELEMENTS);
    }
    printf("1..%d\n", tests);
    free(ones);
    return failed != 0;
}
