/* The backward pass of attention: which way a shape takes, and the steps before and after that both ways share. */
#include "op/cuda/attention_backward.cuh"
#include "op/cuda/number.cuh"
#include "op/cuda/ops.cuh"

struct backward backward_of(const struct op_attention *p, size_t query_tile)
{
    struct backward b = {};
    b.shape = attention_shape_of(p);
    b.dq_batch = p->q_batch ? p->q_batch : p->Tq * p->ldq;
    b.rows = (int)((p->Tq + query_tile - 1) / query_tile * query_tile);
    b.value_factor = b.shape.dropout.on ? b.shape.dropout.scale : 1.0f;
    b.factor = b.shape.scale * b.value_factor;
    return b;
}

/* What a block costs beside its tiles, in tiles: loading its keys and values, storing their gradients, adding those up. */
enum { BLOCK_COST = 4 };

void backward_choose_chunks(struct backward *b, size_t tiles, size_t owners, size_t resident)
{
    size_t most = 4 * resident / owners + 1, least = SIZE_MAX;
    for (size_t wanted = 1; wanted <= most && wanted <= tiles; wanted++) {
        size_t each = (tiles + wanted - 1) / wanted, chunks = (tiles + each - 1) / each;
        size_t cost = (owners * chunks + resident - 1) / resident * (each + BLOCK_COST);
        if (cost < least) {
            least = cost;
            b->chunks = (int)chunks;
            b->chunk_tiles = (int)each;
        }
    }
}

static size_t heads_of(const struct backward *b)
{
    return (size_t)b->shape.B * b->shape.heads;
}

size_t backward_statistics_bytes(const struct backward *b)
{
    return (heads_of(b) * b->rows * sizeof(float2) + 255) / 256 * 256;
}

size_t backward_partial_bytes(const struct backward *b)
{
    return (heads_of(b) * b->chunks * 2 * b->key_rows * b->width * sizeof(float) + 255) / 256 * 256;
}

/* --- statistics: a thread has one row of one head --- */

static __device__ __forceinline__ float dot8(uint4 a, uint4 b)
{
    unsigned x[4] = {a.x, a.y, a.z, a.w}, y[4] = {b.x, b.y, b.z, b.w};
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum = fmaf(__uint_as_float(x[i] << 16), __uint_as_float(y[i] << 16), sum);
        sum = fmaf(__uint_as_float(x[i] & 0xffff0000u), __uint_as_float(y[i] & 0xffff0000u), sum);
    }
    return sum;
}

template <typename T, bool WIDE>
static __global__ void statistics(struct backward b, const T *out, const T *dout, const float *lse)
{
    const struct attention_shape &s = b.shape;
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (at >= (size_t)s.B * b.rows * s.heads)
        return;
    int h = (int)(at % s.heads), i = (int)(at / s.heads % b.rows);
    size_t frame = at / s.heads / b.rows, row = frame * s.heads + h;
    float2 result = make_float2(-MASKED, 0); /* of a padding row: every weight is exp2(0 - 1e30) = 0 */
    if (i < s.Tq) {
        size_t from = ((frame * s.Tq + i) * s.heads + h) * s.head;
        float sum = 0;
        if constexpr (WIDE)
            for (int c = 0; c < s.head; c += 8)
                sum += dot8(*(const uint4 *)(out + from + c), *(const uint4 *)(dout + from + c));
        else
            for (int c = 0; c < s.head; c++)
                sum = fmaf(to_float(out[from + c]), to_float(dout[from + c]), sum);
        float inverse = b.value_factor > 0 ? 1 / b.value_factor : 0; /* everything dropped: nothing flows */
        result = make_float2(lse[row * s.Tq + i] * LOG2E, sum * inverse);
    }
    b.statistics[row * b.rows + i] = result;
}

template <typename T>
void backward_statistics(struct op_ctx *ctx, const struct backward *b, const T *out, const T *dout,
                         const float *lse)
{
    unsigned blocks = blocks_for(heads_of(b) * b->rows, 256);
    if constexpr (sizeof(T) == 2)
        if (b->shape.head % 8 == 0 && attention_aligned(out, 0, 0) && attention_aligned(dout, 0, 0)) {
            launch(ctx, blocks, 256, 0, statistics<T, true>, *b, out, dout, lse);
            return;
        }
    launch(ctx, blocks, 256, 0, statistics<T, false>, *b, out, dout, lse);
}

template void backward_statistics<float>(struct op_ctx *, const struct backward *, const float *,
                                         const float *, const float *);
template void backward_statistics<bf16>(struct op_ctx *, const struct backward *, const bf16 *, const bf16 *,
                                        const float *);

/* --- the sums of the chunks: a thread has one element of dk or dv --- */

template <typename T> static __global__ void finish_keys(struct backward b, int rows, T *dk, T *dv)
{
    const struct attention_shape &s = b.shape;
    size_t at = blockIdx.x * (size_t)blockDim.x + threadIdx.x,
           all = (size_t)s.B * s.heads * 2 * rows * s.head;
    if (at >= all)
        return;
    int c = (int)(at % s.head), row = (int)(at / s.head % rows), j = b.key_first + row;
    size_t rest = at / s.head / rows, which = rest % 2, head = rest / 2;
    int frame = (int)(head / s.heads);
    size_t chunk = (size_t)2 * b.key_rows * b.width;
    const float *from = b.partial + head * b.chunks * chunk + (which * b.key_rows + row) * b.width + c;
    float sum = 0;
    if (j < valid_keys(s, frame))
        for (int i = 0; i < b.chunks; i++)
            sum += from[i * chunk];
    store((which ? dv : dk) + frame * s.kv_batch + j * s.ldkv + head % s.heads * s.head + c,
          sum * (which ? b.value_factor : b.factor));
}

template <typename T> void backward_finish_keys(struct op_ctx *ctx, const struct backward *b, T *dk, T *dv)
{
    int left = b->shape.Tk - b->key_first, rows = left < b->key_rows ? left : b->key_rows;
    launch(ctx, blocks_for(heads_of(b) * 2 * rows * b->shape.head, 256), 256, 0, finish_keys<T>, *b, rows, dk,
           dv);
}

template void backward_finish_keys<float>(struct op_ctx *, const struct backward *, float *, float *);
template void backward_finish_keys<bf16>(struct op_ctx *, const struct backward *, bf16 *, bf16 *);

/* --- the operation --- */

int cuda_attention_backward(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k,
                            const act *v, const act *out, const float *lse, const act *dout, act *dq, act *dk,
                            act *dv, struct err *e)
{
    int code = attention_check(p, e);
    if (code)
        return code;
    if (!ctx->bf16) {
        struct backward_operands<float> x = {
            (const float *)q, (const float *)k, (const float *)v, (const float *)out, (const float *)dout,
                (float *)dq, (float *)dk, (float *)dv
        };
        return backward_general<float>(ctx, p, lse, &x, e);
    }
    struct backward_operands<bf16> x = {
        (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, (const bf16 *)out, (const bf16 *)dout, (bf16 *)dq,
            (bf16 *)dk, (bf16 *)dv
    };
    if (backward_tensor_serves(p, &x))
        return backward_tensor(ctx, p, lse, &x, e);
    return backward_general<bf16>(ctx, p, lse, &x, e);
}
