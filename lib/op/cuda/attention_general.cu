/* Attention and its importance for any sizes and alignment, in float or from bf16, with exact exponentials: fp32's kernels, and
 * the heads that attention.cu and importance.cu leave.
 *
 * A block of 256 threads takes 64 queries of one head against 64 keys at a time. Thread (ty, tx) of 16 x 16 has queries
 * 4 * ty.. and keys tx, tx + 16, tx + 32, tx + 48 of the tile, and of the sums columns 4 * tx.. of every 64: reads of shared
 * memory are 16 bytes wide, rows of keys are PITCH floats apart so that the 16 rows read at once lie in different banks, and 64
 * multiply-adds come on 8 reads. The 16 threads of a query are half a warp. */
#include "op/cuda/attention.cuh"
#include "op/cuda/importance.cuh"
#include "op/cuda/ops.cuh"

enum {
    SIDE = 64,  /* queries, and keys, of a tile */
    LANES = 16, /* threads along keys and columns */
    EACH = 4,   /* queries, and keys, of a thread */
    DEPTH = 32, /* elements of the head that are in shared memory at once */
    PITCH = DEPTH + 4,
    WEIGHT_PITCH = SIDE + 4,
    THREADS = LANES * SIDE / EACH,
    OPERANDS = 2 * SIDE * PITCH, /* floats: queries and keys, later 64 rows and columns of values */
    WEIGHTS = SIDE * WEIGHT_PITCH
};

/* rows x columns of `from` into rows of `pitch` floats; what is outside becomes 0. */
template <int ROWS, int COLUMNS, typename T>
static __device__ __forceinline__ void stage(float *to, int pitch, const T *from, size_t ld, int rows,
                                             int columns)
{
    for (int i = threadIdx.x; i < ROWS * COLUMNS; i += THREADS) {
        int row = i / COLUMNS, column = i % COLUMNS;
        to[row * pitch + column] = row < rows && column < columns ? to_float(from[row * ld + column]) : 0.0f;
    }
}

/* score[i][j] = <query 4 ty + i, key tx + 16 j>, both from the rows q and k on; of which there are so many. */
template <typename T>
static __device__ __forceinline__ void score_tile(float (*score)[EACH], float *room,
                                                  const struct attention_shape &s, const T *q, const T *k,
                                                  int queries, int keys)
{
    int tx = threadIdx.x % LANES, ty = threadIdx.x / LANES;
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++)
            score[i][j] = 0;
    for (int c = 0; c < s.head; c += DEPTH) {
        __syncthreads(); /* the room's last readers are done */
        stage<SIDE, DEPTH>(room, PITCH, q + c, s.ldq, queries, s.head - c);
        stage<SIDE, DEPTH>(room + SIDE * PITCH, PITCH, k + c, s.ldkv, keys, s.head - c);
        __syncthreads();
#pragma unroll 2
        for (int d = 0; d < DEPTH; d += 4) {
            float4 a[EACH], x[EACH];
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                a[i] = load4(room + (EACH * ty + i) * PITCH + d);
                x[i] = load4(room + (SIDE + tx + LANES * i) * PITCH + d);
            }
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++)
                    score[i][j] =
                        fmaf(a[i].w, x[j].w,
                             fmaf(a[i].z, x[j].z, fmaf(a[i].y, x[j].y, fmaf(a[i].x, x[j].x, score[i][j]))));
        }
    }
}

/* Zeroes the dropped ones of weight[i][j]; index: of the weight (query 4 ty, first key of the tile). Of every query a thread
 * draws one block of four, and one of the half warp the seventeenth, which is begun where the row's index is no multiple of
 * four; then each asks the thread that has drawn its key's. */
static __device__ __forceinline__ void drop_tile(float (*weight)[EACH], const struct attention_shape &s,
                                                 unsigned long long index)
{
    int lane = threadIdx.x % WARP, tx = lane % LANES;
    unsigned more = keep_bits(s.dropout, (index + (unsigned long long)(tx % EACH) * s.Tk) / 4 + LANES);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        unsigned long long first = index + (unsigned long long)i * s.Tk;
        unsigned bits = keep_bits(s.dropout, first / 4 + tx);
        unsigned last = __shfl_sync(ALL_LANES, more, lane - tx + i);
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int at = tx + LANES * j + (int)(first % 4);
            unsigned drawn = __shfl_sync(ALL_LANES, bits, lane - tx + at / 4 % LANES);
            if (!((at / 4 < LANES ? drawn : last) >> at % 4 & 1))
                weight[i][j] = 0;
        }
    }
}

/* sum[i][0..3] += weights (64 x 64, in shared memory) times values (64 rows, 64 columns, in `room`). */
static __device__ __forceinline__ void add_values(float (*sum)[4], const float *weights, const float *room)
{
    int tx = threadIdx.x % LANES, ty = threadIdx.x / LANES;
#pragma unroll 2
    for (int j = 0; j < SIDE; j += 4) {
        float4 v[4];
#pragma unroll
        for (int u = 0; u < 4; u++)
            v[u] = load4(room + (j + u) * SIDE + 4 * tx);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            float4 w = load4(weights + (EACH * ty + i) * WEIGHT_PITCH + j);
            sum[i][0] = fmaf(w.w, v[3].x, fmaf(w.z, v[2].x, fmaf(w.y, v[1].x, fmaf(w.x, v[0].x, sum[i][0]))));
            sum[i][1] = fmaf(w.w, v[3].y, fmaf(w.z, v[2].y, fmaf(w.y, v[1].y, fmaf(w.x, v[0].y, sum[i][1]))));
            sum[i][2] = fmaf(w.w, v[3].z, fmaf(w.z, v[2].z, fmaf(w.y, v[1].z, fmaf(w.x, v[0].z, sum[i][2]))));
            sum[i][3] = fmaf(w.w, v[3].w, fmaf(w.z, v[2].w, fmaf(w.y, v[1].w, fmaf(w.x, v[0].w, sum[i][3]))));
        }
    }
}

/* Grid: tiles of queries, then (frame, head), along x; y: every COLUMNS * 64 columns of the head, each with its own scores. */
template <typename T, int COLUMNS>
static __global__ void __launch_bounds__(THREADS)
    forward_general(struct attention_shape s, const T *q, const T *k, const T *v, T *out, float *lse)
{
    float *room = (float *)shared_memory(), *weights = room + OPERANDS;
    int tx = threadIdx.x % LANES, ty = threadIdx.x / LANES, tiles = (s.Tq + SIDE - 1) / SIDE;
    int bh = blockIdx.x / tiles, b = bh / s.heads, h = bh % s.heads, row = blockIdx.x % tiles * SIDE;
    int column = blockIdx.y * COLUMNS * SIDE, keys = valid_keys(s, b);
    q += b * s.q_batch + row * s.ldq + h * s.head;
    k += b * s.kv_batch + h * s.head;
    v += b * s.kv_batch + h * s.head;
    float sum[COLUMNS][EACH][4] = {}, top[EACH], total[EACH];
    for (int i = 0; i < EACH; i++) {
        top[i] = MASKED;
        total[i] = 0;
    }
    for (int key = 0; key < keys; key += SIDE) {
        float p[EACH][EACH];
        score_tile(p, room, s, q, k + key * s.ldkv, s.Tq - row, keys - key);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            float high = top[i], here = 0;
#pragma unroll
            for (int j = 0; j < EACH; j++) {
                p[i][j] = key + tx + LANES * j < keys ? p[i][j] * s.scale : MASKED;
                high = fmaxf(high, p[i][j]);
            }
            high = warp_max<LANES>(high);
            float factor = expf(top[i] - high);
            top[i] = high;
#pragma unroll
            for (int j = 0; j < EACH; j++)
                here += p[i][j] = expf(p[i][j] - high);
            total[i] = total[i] * factor + here;
#pragma unroll
            for (int c = 0; c < COLUMNS; c++)
#pragma unroll
                for (int u = 0; u < 4; u++)
                    sum[c][i][u] *= factor;
        }
        if (s.dropout.on)
            drop_tile(p, s, weight_row(s, b, h, row + EACH * ty) + key);
#pragma unroll
        for (int i = 0; i < EACH; i++)
#pragma unroll
            for (int j = 0; j < EACH; j++)
                weights[(EACH * ty + i) * WEIGHT_PITCH + tx + LANES * j] = p[i][j];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            int from = column + c * SIDE;
            __syncthreads();
            stage<SIDE, SIDE>(room, SIDE, v + key * s.ldkv + from, s.ldkv, keys - key, s.head - from);
            __syncthreads();
            add_values(sum[c], weights, room);
        }
    }
    size_t width = (size_t)s.heads * s.head;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        int mine = row + EACH * ty + i;
        float all = warp_sum<LANES>(total[i]), factor = (s.dropout.on ? s.dropout.scale : 1.0f) / all;
        if (mine >= s.Tq)
            continue; /* on to the next query, whose sum all threads take part in */
        if (tx == 0 && blockIdx.y == 0)
            lse[(size_t)bh * s.Tq + mine] = top[i] + logf(all);
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
#pragma unroll
            for (int u = 0; u < 4; u++) {
                int to = column + c * SIDE + 4 * tx + u;
                if (to < s.head)
                    store(out + ((size_t)b * s.Tq + mine) * width + h * s.head + to, sum[c][i][u] * factor);
            }
    }
}

void attention_general(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k,
                       const act *v, act *out, float *lse)
{
    struct attention_shape s = attention_shape_of(p);
    size_t shared = (OPERANDS + WEIGHTS) * sizeof(float);
    unsigned blocks = (unsigned)(blocks_for(s.Tq, SIDE) * (size_t)s.B * s.heads);
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        if (s.head <= SIDE)
            launch(ctx, blocks, THREADS, shared, forward_general<T, 1>, s, (const T *)q, (const T *)k,
                   (const T *)v, (T *)out, lse);
        else
            launch(ctx, dim3(blocks, blocks_for(s.head, 4 * SIDE)), THREADS, shared, forward_general<T, 4>, s,
                   (const T *)q, (const T *)k, (const T *)v, (T *)out, lse);
    });
}

/* Grid: tiles of queries, then frames. mean[i][j]: the heads' weights of a tile added up. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    importance_tiles(struct attention_shape s, enum op_importance kind, const T *q, const T *k,
                     const float *lse, const float *values, float *map)
{
    float *room = (float *)shared_memory();
    int tx = threadIdx.x % LANES, ty = threadIdx.x / LANES, tiles = (s.Tq + SIDE - 1) / SIDE;
    int b = blockIdx.x / tiles, row = blockIdx.x % tiles * SIDE, keys = valid_keys(s, b);
    q += b * s.q_batch + row * s.ldq;
    k += b * s.kv_batch;
    struct importance_sums sums[EACH];
    for (int i = 0; i < EACH; i++)
        sums[i] = importance_none();
    values += (size_t)b * (s.Tk - 1);
    float origin = importance_origin(kind, values, keys);
    for (int key = 0; key < keys; key += SIDE) {
        float mean[EACH][EACH] = {};
        for (int h = 0; h < s.heads; h++) {
            float p[EACH][EACH];
            score_tile(p, room, s, q + h * s.head, k + key * s.ldkv + h * s.head, s.Tq - row, keys - key);
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                int mine = row + EACH * ty + i;
                float log_sum = mine < s.Tq ? lse[((size_t)b * s.heads + h) * s.Tq + mine] : 0.0f;
#pragma unroll
                for (int j = 0; j < EACH; j++)
                    mean[i][j] += expf(fmaf(p[i][j], s.scale, -log_sum));
            }
        }
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int at = key + tx + LANES * j;
            float value =
                kind == OP_IMPORTANCE_VARIANCE && at > 0 && at < keys ? values[at - 1] - origin : 0.0f;
#pragma unroll
            for (int i = 0; i < EACH; i++)
                if (at < keys)
                    importance_add(sums[i], kind, at, mean[i][j] / s.heads,
                                   logf(mean[i][j] / s.heads + 1e-9f), value);
        }
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        struct importance_sums all = {warp_sum<LANES>(sums[i].weight), warp_sum<LANES>(sums[i].first),
                                      warp_sum<LANES>(sums[i].second)};
        int mine = row + EACH * ty + i;
        if (tx == 0 && mine < s.Tq)
            map[(size_t)b * s.Tq + mine] = importance_of(all, kind);
    }
}

void importance_general(struct op_ctx *ctx, const struct op_attention *p, enum op_importance kind,
                        const act *q, const act *k, const float *lse, const float *values, float *map)
{
    struct attention_shape s = attention_shape_of(p);
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        launch(ctx, blocks_for(s.Tq, SIDE) * (unsigned)s.B, THREADS, OPERANDS * sizeof(float),
               importance_tiles<T>, s, kind, (const T *)q, (const T *)k, lse, values, map);
    });
}
