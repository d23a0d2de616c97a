/* The backward pass of attention on tensor cores.
 *
 * A block has one head of one frame, up to 8 warps, and a chunk of the queries. Its warps share out up to 512 keys (256 for
 * heads over 32): each holds the sums of dk and dv of its own 64 (32) keys in registers while the block walks over the
 * queries, 16 at a time. A warp makes the transpose of its scores, so that weights leave one product in the registers in
 * which the next takes them:
 *
 *   S^T  (keys x queries) = K Q^T          P = exp2(S scale log2(e) - lse log2(e))
 *   dP^T (keys x queries) = V dO^T         dS = P (M dP - delta)
 *   dV   (keys x head)   += (P M)^T dO     dK += dS^T Q
 *   dQ   (queries x head) = dS K           with dS^T transposed 8 x 8 at a time in registers
 *
 * Lane l, g = l / 4, t = l % 4, has of every 16 keys those numbered g and g + 8, and of 16 queries those numbered 2t, 2t + 1,
 * 2t + 8 and 2t + 9. The dQ of a tile is the sum over the warps, which leave theirs in shared memory, to be added in the
 * order of the warps after the barrier that the next tile needs anyway: one barrier a tile.
 *
 * More keys are taken by launches one after the other; in between dQ stays in scratch memory as floats. */
#include "op/cuda/attention_backward.cuh"
#include "op/cuda/number.cuh"

enum { QUERIES = 16, WARPS = 8 };

/* Keys of a warp: 128 sums a lane for heads of 32 and 64. */
template <int HEAD> constexpr int warp_keys = HEAD <= 32 ? 64 : 32;

/* Where a block reads and writes: row 0 of its head and frame. */
struct block_place {
    const bf16 *q, *dout;
    const float2 *statistics;
    bf16 *dq;
    float *dq_sums;             /* (Tq,HEAD) between launches */
    unsigned long long weights; /* number of the first */
};

/* What is read of a tile of queries. */
template <int HEAD> struct query_room {
    bf16 q[QUERIES * HEAD], dout[QUERIES * HEAD]; /* tiles */
    float2 statistics[QUERIES];
};

/* What a warp reads of its keys, and the part of dQ that it leaves; rows of those are 8 floats longer, so that the lanes of
 * a fragment lie in different banks. Two of what belongs to a tile: while the others add up the one, it makes the next. */
template <int HEAD> struct warp_room {
    bf16 k[warp_keys<HEAD> * HEAD], v[warp_keys<HEAD> * HEAD]; /* tiles */
    float start[warp_keys<HEAD>]; /* what a key's scores start from: 0, or MASKED */
    unsigned keep[2][WARP];       /* lane_bits of every lane */
    float dq[2][QUERIES][HEAD + 8];
};

/* Shared memory. Two tiles of queries: the next comes while this one is read. The place is here, not in registers, of which
 * there are none to spare. */
template <int HEAD> struct block_room {
    struct block_place at;
    struct query_room<HEAD> queries[2];
    struct warp_room<HEAD> warp[];
};
static_assert(sizeof(struct block_place) % 16 == 0, "tiles are read 16 bytes at a time");

/* Starts copying what the block needs of 16 queries. */
template <int HEAD>
static __device__ __forceinline__ void copy_queries(struct block_room<HEAD> *r,
                                                    const struct attention_shape &s, int tile)
{
    struct query_room<HEAD> *to = r->queries + (tile & 1);
    int first = tile * QUERIES, valid = s.Tq - first, width = s.heads * s.head;
    tile_copy<HEAD, QUERIES, 1>(to->q, r->at.q + first * s.ldq, s.ldq, valid, s.head, threadIdx.x,
                                blockDim.x);
    tile_copy<HEAD, QUERIES, 1>(to->dout, r->at.dout + (size_t)first * width, width, valid, s.head,
                                threadIdx.x, blockDim.x);
    if (threadIdx.x < QUERIES / 2)
        copy_async(to->statistics + 2 * threadIdx.x, r->at.statistics + first + 2 * threadIdx.x, true);
}

/* Starts copying a warp's keys, of which `valid` are any. */
template <int HEAD>
static __device__ __forceinline__ void copy_keys(struct warp_room<HEAD> *to, const bf16 *k, const bf16 *v,
                                                 size_t ld, int valid, int head)
{
    constexpr int KEYS = warp_keys<HEAD>;
    int lane = threadIdx.x % WARP;
    tile_copy<HEAD, KEYS, 1>(to->k, k, ld, valid, head, lane, WARP);
    tile_copy<HEAD, KEYS, 1>(to->v, v, ld, valid, head, lane, WARP);
    for (int i = lane; i < KEYS; i += WARP)
        to->start[i] = i < valid ? 0.0f : MASKED;
}

/* Which weights of 16 rows and the warp's keys are kept, from weight number `first` on, rows Tk apart. Lane l has those of
 * row l / 2 and of the first (l even) or second half of the keys; bit i: the half's key i. */
template <int KEYS>
static __device__ __forceinline__ unsigned lane_bits(const struct dropout_mask &m, unsigned long long first,
                                                     int Tk)
{
    int lane = threadIdx.x % WARP;
    unsigned long long index = first + (unsigned long long)(lane / 2) * Tk + lane % 2 * (KEYS / 2), bits = 0;
#pragma unroll 3
    for (int i = 0; i < KEYS / 8 + 1; i++) /* rows begin anywhere in a block of four: one more */
        bits |= (unsigned long long)keep_bits(m, index / 4 + i) << (4 * i);
    return (unsigned)(bits >> (index % 4));
}

/* A warp's share of one tile: adds to the gradients dk and dv of its keys, and leaves its part of the queries' in dq. keep
 * is lane_bits of every lane. */
template <int HEAD, bool DROP>
static __device__ __forceinline__ void
tile_gradients(float (*dk)[HEAD / 8][4], float (*dv)[HEAD / 8][4], const struct query_room<HEAD> *queries,
               const struct warp_room<HEAD> *keys, float (*dq_room)[HEAD + 8], const unsigned *keep,
               float exponent_scale)
{
    constexpr int KEYS = warp_keys<HEAD>, STEPS = HEAD / 16;
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    uint32_t q_rows[STEPS][4], dout_rows[STEPS][4], q_columns[STEPS][4], dout_columns[STEPS][4];
#pragma unroll
    for (int i = 0; i < STEPS; i++) {
        tile_rows<HEAD>(q_rows[i], queries->q, 0, i);
        tile_rows<HEAD>(dout_rows[i], queries->dout, 0, i);
        tile_columns<HEAD>(q_columns[i], queries->q, 0, i);
        tile_columns<HEAD>(dout_columns[i], queries->dout, 0, i);
    }
    unsigned kept[2][2] = {}; /* of a query: the half of the keys that m is in, from key g on */
    float dq[HEAD / 8][4] = {};
#pragma unroll
    for (int m = 0; m < KEYS / 16; m++) {
        constexpr int HALF = KEYS / 2;
        if (DROP && 16 * m % HALF == 0)
#pragma unroll
            for (int i = 0; i < 4; i++)
                kept[i / 2][i % 2] = keep[2 * (i / 2 * 8 + 2 * t + i % 2) + 16 * m / HALF] >> g;
        float s[2][4], dp[2][4], lse[2][2], delta[2][2];
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) { /* read anew: registers are short */
                float2 of = queries->statistics[8 * n + 2 * t + i];
                lse[n][i] = of.x;
                delta[n][i] = of.y;
            }
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                s[n][i] = keys->start[16 * m + g + i / 2 * 8];
                dp[n][i] = -delta[n][i % 2];
            }
#pragma unroll
        for (int i = 0; i < STEPS; i++) {
            uint32_t a[4];
            tile_factor<HEAD>(a, keys->k, 16 * m, i);
            mma_16x8x16(s[0], a, q_rows[i]);
            mma_16x8x16(s[1], a, q_rows[i] + 2);
            tile_factor<HEAD>(a, keys->v, 16 * m, i);
            mma_16x8x16(dp[0], a, dout_rows[i]);
            mma_16x8x16(dp[1], a, dout_rows[i] + 2);
        }
#pragma unroll
        for (int n = 0; n < 2; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float p = fast_exp2(fmaf(s[n][i], exponent_scale, -lse[n][i % 2]));
                bool on = !DROP || kept[n][i % 2] >> (16 * m % HALF + i / 2 * 8) & 1;
                s[n][i] = on ? p : 0.0f;
                dp[n][i] = p * (on ? dp[n][i] : -delta[n][i % 2]);
            }
        uint32_t p[4], ds[4], ds_turned[4];
        sums_as_factor(p, s[0], s[1]);
        sums_as_factor(ds, dp[0], dp[1]);
#pragma unroll
        for (int i = 0; i < STEPS; i++) {
            mma_16x8x16(dv[m][2 * i], p, dout_columns[i]);
            mma_16x8x16(dv[m][2 * i + 1], p, dout_columns[i] + 2);
            mma_16x8x16(dk[m][2 * i], ds, q_columns[i]);
            mma_16x8x16(dk[m][2 * i + 1], ds, q_columns[i] + 2);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) /* its four 8 x 8 matrices: the middle two change places */
            ds_turned[i] = transpose_matrix(ds[i % 2 * 2 + i / 2]);
#pragma unroll
        for (int i = 0; i < STEPS; i++) {
            uint32_t b[4];
            tile_columns<HEAD>(b, keys->k, 16 * m, i);
            mma_16x8x16(dq[2 * i], ds_turned, b);
            mma_16x8x16(dq[2 * i + 1], ds_turned, b + 2);
        }
    }
#pragma unroll
    for (int n = 0; n < HEAD / 8; n++) {
        *(float2 *)&dq_room[g][8 * n + 2 * t] = make_float2(dq[n][0], dq[n][1]);
        *(float2 *)&dq_room[g + 8][8 * n + 2 * t] = make_float2(dq[n][2], dq[n][3]);
    }
}

/* dQ of a tile that every warp is done with: the sum over the `warps` that have keys, added to what the launches before
 * left, times its factor when this is the last. A thread has four neighbouring elements. */
template <int HEAD>
static __device__ __forceinline__ void finish_queries(const struct block_room<HEAD> *r,
                                                      const struct backward &b, int tile, int warps,
                                                      bool first, bool last)
{
    for (int i = threadIdx.x; i < QUERIES * HEAD / 4; i += blockDim.x) {
        int row = i / (HEAD / 4), column = i % (HEAD / 4) * 4, query = tile * QUERIES + row;
        if (query >= b.shape.Tq || column >= b.shape.head)
            continue;
        float4 *kept = (float4 *)(r->at.dq_sums + (size_t)query * HEAD + column);
        float4 sum = first ? make_float4(0, 0, 0, 0) : *kept;
        for (int w = 0; w < warps; w++) {
            float4 part = *(const float4 *)&r->warp[w].dq[tile & 1][row][column];
            sum = make_float4(sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w);
        }
        if (last)
            store4(r->at.dq + query * b.shape.ldq + column,
                   make_float4(sum.x * b.factor, sum.y * b.factor, sum.z * b.factor, sum.w * b.factor));
        else
            *kept = sum;
    }
}

/* The sums of a warp's keys to rows of HEAD floats. */
template <int HEAD> static __device__ __forceinline__ void store_keys(float *to, float (*d)[HEAD / 8][4])
{
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int m = 0; m < warp_keys<HEAD> / 16; m++)
#pragma unroll
        for (int n = 0; n < HEAD / 8; n++) {
            float *at = to + (16 * m + g) * HEAD + 8 * n + 2 * t;
            *(float2 *)at = make_float2(d[m][n][0], d[m][n][1]);
            *(float2 *)(at + 8 * HEAD) = make_float2(d[m][n][2], d[m][n][3]);
        }
}

/* The place of a block; one thread writes it. */
static __device__ struct block_place
place_of(const struct backward &b, const struct backward_operands<bf16> &x, float *dq_sums, int head)
{
    const struct attention_shape &s = b.shape;
    int frame = head / s.heads, h = head % s.heads;
    size_t column = (size_t)h * s.head;
    struct block_place at;
    at.q = x.q + frame * s.q_batch + column;
    at.dout = x.dout + (size_t)frame * s.Tq * s.heads * s.head + column;
    at.statistics = b.statistics + (size_t)head * b.rows;
    at.dq = x.dq + frame * b.dq_batch + column;
    at.dq_sums = dq_sums + (size_t)head * s.Tq * b.width;
    at.weights = weight_row(s, frame, h, 0) + b.key_first;
    return at;
}

/* One launch: keys key_first .. key_first + key_rows - 1 of every frame. first, last: of the launches. */
template <int HEAD, bool DROP>
static __global__ void __launch_bounds__(WARPS *WARP, 1)
    key_block(struct backward b, struct backward_operands<bf16> x, float *dq_sums, bool first, bool last)
{
    constexpr int KEYS = warp_keys<HEAD>;
    const struct attention_shape &s = b.shape;
    struct block_room<HEAD> *r = (struct block_room<HEAD> *)shared_memory();
    int head = blockIdx.x / b.chunks, begin = blockIdx.x % b.chunks * b.chunk_tiles;
    int end = min(b.rows / QUERIES, begin + b.chunk_tiles);
    int valid = min(valid_keys(s, head / s.heads) - b.key_first, b.key_rows);
    if (valid <= 0 && !last) /* the last has to round dQ all the same */
        return;
    int warp = threadIdx.x / WARP, warps = (max(valid, 0) + KEYS - 1) / KEYS; /* that have keys */
    if (!threadIdx.x)
        r->at = place_of(b, x, dq_sums, head);
    if (warp < warps) {
        size_t from = head / s.heads * s.kv_batch + (b.key_first + warp * KEYS) * s.ldkv +
                      (size_t)(head % s.heads) * s.head;
        copy_keys(r->warp + warp, x.k + from, x.v + from, s.ldkv, valid - warp * KEYS, s.head);
    }
    __syncthreads();
    copy_queries(r, s, begin);
    copy_commit();

    float dk[KEYS / 16][HEAD / 8][4] = {}, dv[KEYS / 16][HEAD / 8][4] = {};
    for (int tile = begin; tile < end; tile++) {
        if constexpr (DROP) /* while the copies are on their way */
            r->warp[warp].keep[tile & 1][threadIdx.x % WARP] = lane_bits<KEYS>(
                s.dropout, r->at.weights + (unsigned long long)tile * QUERIES * s.Tk + warp * KEYS, s.Tk);
        copy_wait<0>();
        __syncthreads(); /* this tile is here; every warp is done with the one before */
        if (tile + 1 < end)
            copy_queries(r, s, tile + 1);
        copy_commit();
        if (tile > begin)
            finish_queries(r, b, tile - 1, warps, first, last);
        if (warp < warps)
            tile_gradients<HEAD, DROP>(dk, dv, r->queries + (tile & 1), r->warp + warp,
                                       r->warp[warp].dq[tile & 1], r->warp[warp].keep[tile & 1],
                                       s.scale * LOG2E);
    }
    __syncthreads();
    finish_queries(r, b, end - 1, warps, first, last);
    if (warp < warps) {
        float *to = b.partial + ((size_t)blockIdx.x * 2 * b.key_rows + warp * KEYS) * HEAD;
        store_keys<HEAD>(to, dk);
        store_keys<HEAD>(to + (size_t)b.key_rows * HEAD, dv);
    }
}

bool backward_tensor_serves(const struct op_attention *p, const struct backward_operands<bf16> *x)
{
    size_t dq_batch = p->q_batch ? p->q_batch : p->Tq * p->ldq;
    return p->head % 8 == 0 && p->head <= 64 && attention_aligned(x->q, p->ldq, p->q_batch) &&
           attention_aligned(x->k, p->ldkv, p->kv_batch) && attention_aligned(x->v, p->ldkv, p->kv_batch) &&
           attention_aligned(x->dout, 0, 0) && attention_aligned(x->dq, p->ldq, dq_batch);
}

template <int HEAD>
static int run(struct op_ctx *ctx, const struct op_attention *p, const float *lse,
               const struct backward_operands<bf16> *x, struct err *e)
{
    constexpr size_t KEYS = warp_keys<HEAD>;
    struct backward b = backward_of(p, QUERIES);
    /* 99 KB, which is all that devices for the desk have, are the rooms of five to seven warps of heads over 16. */
    size_t rooms =
        (cuda_state_of(ctx)->shared_max - sizeof(struct block_room<HEAD>)) / sizeof(struct warp_room<HEAD>);
    size_t most = (rooms < WARPS ? rooms : WARPS) * KEYS;
    size_t heads = p->B * p->heads, launches = (p->Tk + most - 1) / most;
    size_t warps = ((p->Tk + launches - 1) / launches + KEYS - 1) / KEYS; /* even shares */
    b.key_rows = (int)(warps * KEYS);
    b.width = HEAD;
    backward_choose_chunks(&b, b.rows / QUERIES, heads,
                           cuda_state_of(ctx)->multiprocessors * (WARPS / warps));
    size_t statistics = backward_statistics_bytes(&b), partial = backward_partial_bytes(&b);
    size_t dq_sums = launches > 1 ? heads * p->Tq * HEAD * sizeof(float) : 0;
    char *scratch;
    int r = cuda_scratch(ctx, statistics + partial + dq_sums, (void **)&scratch, e);
    if (r)
        return r;
    b.statistics = (float2 *)scratch;
    b.partial = (float *)(scratch + statistics);
    backward_statistics(ctx, &b, x->out, x->dout, lse);
    auto kernel = p->dropout.p > 0 ? key_block<HEAD, true> : key_block<HEAD, false>;
    for (size_t i = 0; i < launches && b.key_first < b.shape.Tk; i++) {
        bool last = b.key_first + b.key_rows >= b.shape.Tk;
        launch(ctx, (unsigned)(heads * b.chunks), (unsigned)(warps * WARP),
               sizeof(struct block_room<HEAD>) + warps * sizeof(struct warp_room<HEAD>), kernel, b, *x,
               (float *)(scratch + statistics + partial), i == 0, last);
        backward_finish_keys(ctx, &b, x->dk, x->dv);
        b.key_first += b.key_rows;
    }
    return 0;
}

int backward_tensor(struct op_ctx *ctx, const struct op_attention *p, const float *lse,
                    const struct backward_operands<bf16> *x, struct err *e)
{
    return p->head <= 16   ? run<16>(ctx, p, lse, x, e)
           : p->head <= 32 ? run<32>(ctx, p, lse, x, e)
           : p->head <= 48 ? run<48>(ctx, p, lse, x, e)
                           : run<64>(ctx, p, lse, x, e);
}
