#include "op/cuda/parameters.cuh"

#include <stdlib.h>

#include "op/cuda/ops.cuh"

enum { BLOCKS = 16 };

struct cuda_mirrors {
    struct {
        const float *p;
        size_t n;
        bf16 *copy;
    } block[BLOCKS];
};

int cuda_mirrors_open(struct cuda_mirrors **m, struct err *e)
{
    *m = (struct cuda_mirrors *)calloc(1, sizeof **m);
    return *m ? 0 : err_memory(e, "the cuda backend", sizeof **m);
}

void cuda_mirrors_close(struct cuda_mirrors *m)
{
    for (int i = 0; m && i < BLOCKS; i++)
        cudaFree(m->block[i].copy);
    free(m);
}

static int find(const struct cuda_mirrors *m, const float *w, size_t n)
{
    for (int i = 0; i < BLOCKS; i++)
        if (m->block[i].p && w >= m->block[i].p && w + n <= m->block[i].p + m->block[i].n)
            return i;
    return -1;
}

void cuda_mirrors_forget(struct op_ctx *ctx, const void *p)
{
    struct cuda_mirrors *m = cuda_state_of(ctx)->mirrors;
    for (int i = 0; m && p && i < BLOCKS; i++)
        if (m->block[i].p == p) {
            bf16 *copy = m->block[i].copy;
            m->block[i] = {};
            cuda_free(ctx, copy);
        }
}

int cuda_parameters_changed(struct op_ctx *ctx, const float *p, size_t n, struct err *e)
{
    struct cuda_mirrors *m = cuda_state_of(ctx)->mirrors;
    if (!ctx->bf16)
        return 0;
    int i = n ? find(m, p, n) : -1; /* a block, or a part of one */
    if (i < 0) {
        cuda_mirrors_forget(ctx, p);
        for (i = 0; i < BLOCKS && m->block[i].p; i++)
            ;
        if (!n || i == BLOCKS) /* without a copy products round their parameters each time */
            return 0;
        void *copy;
        int r = cuda_alloc(ctx, &copy, n * sizeof(bf16), e);
        if (r)
            return err_prefix(e, "parameters in bf16: ");
        m->block[i] = {p, n, (bf16 *)copy};
    }
    cuda_to_act(ctx, n, p, m->block[i].copy + (p - m->block[i].p));
    return 0;
}

bool cuda_parameters_mirrored(struct op_ctx *ctx, const float *w, size_t n)
{
    return find(cuda_state_of(ctx)->mirrors, w, n) >= 0;
}

const bf16 *cuda_parameters_bf16(struct op_ctx *ctx, const float *w, size_t n, bf16 *room)
{
    const struct cuda_mirrors *m = cuda_state_of(ctx)->mirrors;
    int i = find(m, w, n);
    if (i >= 0)
        return m->block[i].copy + (w - m->block[i].p);
    cuda_to_act(ctx, n, w, room);
    return room;
}

bf16 *cuda_parameters_copy(struct op_ctx *ctx, const float *p, size_t n)
{
    const struct cuda_mirrors *m = cuda_state_of(ctx)->mirrors;
    int i = find(m, p, n);
    return i >= 0 ? m->block[i].copy + (p - m->block[i].p) : NULL;
}
