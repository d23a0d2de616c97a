/* Entropy and variance of the heads' mean weights on tensor cores: bf16, heads of 8, 16 .. 64; attention_general.cu does the
 * rest.
 *
 * The weights are computed again from the log-sum-exp, so that a weight is one exponential of one multiply-add and needs no
 * maximum. A block of four warps has the queries of one frame, in shared memory with all their heads, 32 of them a warp. The keys
 * come 64 at a time, a head after the other, through two places; a warp adds the heads' weights of its 32 x 64 pairs up in
 * registers, and after the last head takes what the map wants of them. Nothing else is kept, and each sum has one order.
 *
 * It waits for the exponentials: 16 a clock and multiprocessor of the special-function unit, while a score costs only three and
 * a half instructions otherwise. So one in four is computed by the FMA units (polynomial_exp2), which takes a quarter of the
 * time off and still leaves a quarter of the instructions free.
 *
 * GROUPS: where there are few queries the warps share 32 of them and each takes every fourth 64 keys. */
#include "op/cuda/attention.cuh"
#include "op/cuda/importance.cuh"
#include "op/cuda/ops.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP, KEYS = 64 };

/* Queries of a block. */
template <int GROUPS> static constexpr int ROWS = 32 * WARPS / GROUPS;

/* A block's frame: written once to shared memory and read where it is wanted, so that the weights have the registers. */
struct importance_place {
    const bf16 *k;
    const float *lse, *values; /* of (b,0,row), of (b,1) */
    float *map;                /* of (b,row) */
    float origin;
    int keys, queries; /* queries from row on */
};

/* Starts copying the keys of one head for GROUPS steps from `key` on. */
template <int HEAD, int GROUPS>
static __device__ __forceinline__ void copy_keys(bf16 *place, const struct attention_shape &s,
                                                 const struct importance_place &at, int key, int h)
{
    for (int group = 0; group < GROUPS && key + group * KEYS < at.keys; group++) {
        int from = key + group * KEYS;
        tile_copy<HEAD, KEYS, 4>(place + group * KEYS * HEAD, at.k + from * s.ldkv + h * s.head, s.ldkv,
                                 at.keys - from, s.head, threadIdx.x, THREADS);
    }
    copy_commit();
}

/* mean[m][n][i] += the weights of one head: queries 16 m.. of `queries`, keys 8 n.. of the tile. log_sum[m][half]: the
 * queries' log-sum-exp to base 2. Keys of padding get some finite number. */
template <int HEAD>
static __device__ __forceinline__ void add_head(float (*mean)[KEYS / 8][4], const bf16 *queries,
                                                const bf16 *tile, float scale, const float (*log_sum)[2])
{
    uint32_t q[2][HEAD / 16][4];
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int k = 0; k < HEAD / 16; k++)
            tile_factor<HEAD>(q[m][k], queries, 16 * m, k);
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++) {
        float p[2][2][4] = {};
        float(*const d[2])[4] = {p[0], p[1]};
        add_scores<HEAD>(d, q, tile, 16 * n);
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int side = 0; side < 2; side++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    float x = fmaf(p[m][side][i], scale, -log_sum[m][i / 2]);
                    mean[m][2 * n + side][i] += i == 3 ? polynomial_exp2(x) : fast_exp2(x);
                }
    }
}

/* Takes the mean weights of the keys from `key` on into the queries' sums and starts anew. */
static __device__ __forceinline__ void take_mean(struct importance_sums (*sums)[2],
                                                 float (*mean)[KEYS / 8][4], enum op_importance kind,
                                                 float one_head, const struct importance_place &at, int key)
{
    int t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int mine = key + 8 * n + 2 * t + i;
            bool is = mine < at.keys;
            float value =
                kind == OP_IMPORTANCE_VARIANCE && is && mine > 0 ? at.values[mine - 1] - at.origin : 0.0f;
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float &weight = mean[m][n][2 * half + i], w = is ? weight * one_head : 0.0f;
                    importance_add(sums[m][half], kind, mine, w, __logf(w + 1e-9f), value);
                    weight = 0;
                }
        }
}

/* The sum over the lanes of a quad, which share a query. */
static __device__ __forceinline__ void quad_sum(struct importance_sums &s)
{
#pragma unroll
    for (int offset = 1; offset <= 2; offset *= 2) {
        s.weight += __shfl_xor_sync(ALL_LANES, s.weight, offset);
        s.first += __shfl_xor_sync(ALL_LANES, s.first, offset);
        s.second += __shfl_xor_sync(ALL_LANES, s.second, offset);
    }
}

/* The warps' sums of 32 queries each to the map (of (b,row)): group by group in order. */
template <int GROUPS>
static __device__ __forceinline__ void write_map(float *map, int valid, struct importance_sums (*sums)[2],
                                                 enum op_importance kind)
{
    __shared__ struct importance_sums room[WARPS][32];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            quad_sum(sums[m][half]);
            if (lane % 4 == 0)
                room[warp][16 * m + 8 * half + lane / 4] = sums[m][half];
        }
    __syncthreads();
    int query = threadIdx.x, set = query / 32;
    if (query >= ROWS<GROUPS> || query >= valid)
        return;
    struct importance_sums all = importance_none();
    for (int group = 0; group < GROUPS; group++) {
        const struct importance_sums &one = room[group * (WARPS / GROUPS) + set][query % 32];
        all.weight += one.weight;
        all.first += one.first;
        all.second += one.second;
    }
    map[query] = importance_of(all, kind);
}

/* Grid: tiles of ROWS queries, then frames. Shared memory: the queries of each head, then two places of GROUPS tiles. */
template <int HEAD, int GROUPS, enum op_importance kind>
static __global__ void __launch_bounds__(THREADS,
                                         (HEAD <= 32 && GROUPS == 1 && kind == OP_IMPORTANCE_ENTROPY ? 3 : 2))
    importance_heads(struct attention_shape s, const bf16 *q, const bf16 *k, const float *lse,
                     const float *values, float *map)
{
    constexpr int SETS = WARPS / GROUPS, PLACE = GROUPS * KEYS * HEAD;
    __shared__ struct importance_place at;
    bf16 *queries = (bf16 *)shared_memory(), *places = queries + s.heads * ROWS<GROUPS> * HEAD;
    int warp = threadIdx.x / WARP, set = warp % SETS, group = warp / SETS;
    int tiles = (s.Tq + ROWS<GROUPS> - 1) / ROWS<GROUPS>, b = blockIdx.x / tiles;
    int row = blockIdx.x % tiles * ROWS<GROUPS>;
    if (threadIdx.x == 0) {
        at.k = k + b * s.kv_batch;
        at.lse = lse + (size_t)b * s.heads * s.Tq + row;
        at.values = values + (size_t)b * (s.Tk - 1);
        at.map = map + (size_t)b * s.Tq + row;
        at.keys = valid_keys(s, b);
        at.queries = s.Tq - row;
        at.origin = importance_origin(kind, at.values, at.keys);
    }
    __syncthreads();
    q += b * s.q_batch + row * s.ldq;
    for (int h = 0; h < s.heads; h++)
        tile_copy<HEAD, ROWS<GROUPS>, 4>(queries + h * ROWS<GROUPS> * HEAD, q + h * s.head, s.ldq, at.queries,
                                         s.head, threadIdx.x, THREADS);
    copy_keys<HEAD, GROUPS>(places, s, at, 0, 0);
    struct importance_sums sums[2][2];
    float mean[2][KEYS / 8][4] = {};
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            sums[m][half] = importance_none();
    int now = 0; /* the place that holds this turn's keys */
    for (int key = 0; key < at.keys; key += GROUPS * KEYS)
        for (int h = 0; h < s.heads; h++) {
            float log_sum[2][2];
#pragma unroll
            for (int m = 0; m < 2; m++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    int mine = set * 32 + 16 * m + 8 * half + threadIdx.x % WARP / 4;
                    log_sum[m][half] = mine < at.queries ? at.lse[(size_t)h * s.Tq + mine] * LOG2E : 0.0f;
                }
            copy_wait<0>();
            __syncthreads(); /* this turn's keys are there, and the other place's have been used */
            bool last = h + 1 == s.heads;
            copy_keys<HEAD, GROUPS>(places + !now * PLACE, s, at, last ? key + GROUPS * KEYS : key,
                                    last ? 0 : h + 1);
            int from = key + group * KEYS;
            if (from < at.keys) {
                add_head<HEAD>(mean, queries + (h * ROWS<GROUPS> + set * 32) * HEAD,
                               places + now * PLACE + group * KEYS * HEAD, s.scale * LOG2E, log_sum);
                if (last)
                    take_mean(sums, mean, kind, 1.0f / s.heads, at, from);
            }
            now = !now;
        }
    write_map<GROUPS>(at.map, at.queries, sums, kind);
}

template <int HEAD, int GROUPS> static size_t shared_bytes(const struct attention_shape &s)
{
    return ((size_t)s.heads * ROWS<GROUPS> + 2 * GROUPS * KEYS) * HEAD * sizeof(bf16);
}

/* False where a block's queries have no room in shared memory. */
template <int HEAD, int GROUPS>
static bool run_importance(struct op_ctx *ctx, const struct attention_shape &s, enum op_importance kind,
                           const act *q, const act *k, const float *lse, const float *values, float *map)
{
    /* The kernel's own arrays, and what aligning the others may skip. */
    size_t fixed = WARPS * 32 * sizeof(struct importance_sums) + sizeof(struct importance_place) + 128;
    size_t shared = shared_bytes<HEAD, GROUPS>(s);
    if (shared + fixed > cuda_state_of(ctx)->shared_max)
        return false;
    launch(ctx, blocks_for(s.Tq, ROWS<GROUPS>) * (unsigned)s.B, THREADS, shared,
           kind == OP_IMPORTANCE_ENTROPY ? importance_heads<HEAD, GROUPS, OP_IMPORTANCE_ENTROPY>
                                         : importance_heads<HEAD, GROUPS, OP_IMPORTANCE_VARIANCE>,
           s, (const bf16 *)q, (const bf16 *)k, lse, values, map);
    return true;
}

/* 128 queries a block where that gives every multiprocessor one. */
template <int HEAD>
static bool choose_groups(struct op_ctx *ctx, const struct attention_shape &s, enum op_importance kind,
                          const act *q, const act *k, const float *lse, const float *values, float *map)
{
    size_t blocks = (size_t)s.B * blocks_for(s.Tq, ROWS<1>);
    bool many = blocks >= (size_t)cuda_state_of(ctx)->multiprocessors || s.Tk <= KEYS;
    return (many && run_importance<HEAD, 1>(ctx, s, kind, q, k, lse, values, map)) ||
           run_importance<HEAD, 4>(ctx, s, kind, q, k, lse, values, map);
}

int cuda_attention_importance(struct op_ctx *ctx, const struct op_attention *p, enum op_importance kind,
                              const act *q, const act *k, const float *lse, const float *values, float *map,
                              struct err *e)
{
    int code = attention_check(p, e);
    if (code)
        return code;
    struct attention_shape s = attention_shape_of(p);
    bool done = ctx->bf16 && s.head % 8 == 0 && s.head <= 64 && attention_aligned(q, s.ldq, s.q_batch) &&
                attention_aligned(k, s.ldkv, s.kv_batch);
    if (done)
        done = s.head <= 16   ? choose_groups<16>(ctx, s, kind, q, k, lse, values, map)
               : s.head <= 32 ? choose_groups<32>(ctx, s, kind, q, k, lse, values, map)
               : s.head <= 48 ? choose_groups<48>(ctx, s, kind, q, k, lse, values, map)
                              : choose_groups<64>(ctx, s, kind, q, k, lse, values, map);
    if (!done)
        importance_general(ctx, p, kind, q, k, lse, values, map);
    return 0;
}
