/* Attention on tensor cores: bf16, heads of 8, 16 .. 64; attention_general.cu does the rest.
 *
 * A block of four warps has one head of one frame. Each warp takes 32 queries, whose factors stay in its registers, through
 * the keys in steps of KEYS: scores (two products of 16 rows), weights, sums of values; nothing of Tq x Tk leaves the
 * registers. 32 queries a warp and not 16, so that a step's fragments of keys and values are read from shared memory half as
 * often: with 16 those reads would take as long as the exponentials.
 *
 * What limits it at head 32: 16 exponentials a clock and multiprocessor. The rest of a score costs 5 1/2 instructions and one
 * product of 16x8x16 for 32 scores, which fit beside the 8 clocks that 32 exponentials take. So
 * - scale and log2(e) go into the one multiply-add that also subtracts the maximum;
 * - sums are rescaled only when a score passes the row's reference by more than 2^8, which is voted for by the whole warp: the
 *   four lanes that share a row need not agree on its maximum in any other step. Floats have the room: weights reach 2^8 and
 *   sums 2^8 Tk, and the reference cancels in the end;
 * - the row's sum of weights is kept by each lane for its own columns and added up at the end.
 *
 * GROUPS: where there are few queries the warps of a block share them, each group of warps takes every GROUPS-th step, and
 * the groups' sums are put together in shared memory, in the groups' order.
 *
 * Keys and values lie in shared memory as steps; where all of a head's fit they stay there for all the block's queries, and
 * the warps run without a barrier. Else the steps pass through twice GROUPS places. */
#include "op/cuda/attention.cuh"
#include "op/cuda/ops.cuh"

enum { WARPS = 4, THREADS = WARPS * WARP };

/* Sizes of the kernel for a head padded to HEAD. */
template <int HEAD, int GROUPS, bool DROP> struct forward_sizes {
    static constexpr int KEYS = HEAD <= 32 ? 64 : 32; /* of a step: what the registers hold */
    static constexpr int TILE = KEYS * HEAD;          /* elements of keys; as many of values follow */
    static constexpr int STEP = 2 * TILE;
    static constexpr int ROWS = 32 * WARPS / GROUPS; /* queries of a block */
    /* A warp's sums, references and totals, when groups are put together. */
    static constexpr int SUMS = HEAD + 8;
    static constexpr size_t ROOM = GROUPS > 1 ? WARPS *SUMS *WARP * sizeof(float) : 0;
    static constexpr int BLOCKS =
        HEAD <= 32 && GROUPS == 1 && !DROP ? 3 : 2; /* of a multiprocessor: 168 or 255 registers */
};

/* A block's frame and head: written once to shared memory and read where it is wanted, between steps, so that a step has the
 * registers to itself. */
struct attention_place {
    const bf16 *q, *k, *v; /* of (b,0,h) */
    bf16 *out;
    float *lse;               /* of (b,h,0) */
    unsigned long long index; /* of the weight (b,h,0,0) */
    int keys;
};

/* What a lane has of its warp's 32 queries: rows 16 * m + 8 * half + lane / 4. */
template <int HEAD> struct query_rows {
    uint32_t q[2][HEAD / 16][4];
    float sum[2][HEAD / 8][4];          /* of weight * value, 16x8 fragments */
    float reference[2][2], total[2][2]; /* [m][half]; total of this lane's columns */
};

/* The reference is below every score, so that the first step moves it. */
template <int HEAD> static __device__ __forceinline__ void start_rows(struct query_rows<HEAD> &r)
{
#pragma unroll
    for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int n = 0; n < HEAD / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                r.sum[m][n][i] = 0;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            r.reference[m][half] = MASKED;
            r.total[m][half] = 0;
        }
    }
}

/* p, which are 0, become scores of the warp's queries with the tile's keys, of which the first `valid` are some. */
template <int HEAD, int KEYS>
static __device__ __forceinline__ void score_step(float (*p)[KEYS / 8][4], const struct query_rows<HEAD> &r,
                                                  const bf16 *tile, int valid)
{
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++) {
        float(*const d[2])[4] = {p[0] + 2 * n, p[1] + 2 * n};
        add_scores<HEAD>(d, r.q, tile, 16 * n);
    }
    if (valid >= KEYS)
        return;
    int t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (8 * n + 2 * t + i % 2 >= valid)
                p[0][n][i] = p[1][n][i] = MASKED;
}

/* Moves the references up to the scores' maxima where one is passed by 2^8; scale: of a score to base 2. */
template <int HEAD, int KEYS>
static __device__ __forceinline__ void move_references(struct query_rows<HEAD> &r, float (*p)[KEYS / 8][4],
                                                       float scale)
{
    float top[2][2];
    bool passed = false;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = MASKED;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
                x = fmaxf(x, fmaxf(p[m][n][2 * half], p[m][n][2 * half + 1]));
            top[m][half] = x * scale;
            passed |= top[m][half] > r.reference[m][half] + 8;
        }
    if (!__any_sync(ALL_LANES, passed))
        return;
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = fmaxf(r.reference[m][half], top[m][half]);
            x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
            x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
            float factor = fast_exp2(r.reference[m][half] - x);
            r.reference[m][half] = x;
            r.total[m][half] *= factor;
#pragma unroll
            for (int n = 0; n < HEAD / 8; n++) {
                r.sum[m][n][2 * half] *= factor;
                r.sum[m][n][2 * half + 1] *= factor;
            }
        }
}

/* Zeroes the dropped weights of a step; index: of the weight (row lane / 4, first key). */
template <int KEYS>
static __device__ __forceinline__ void drop_step(float (*p)[KEYS / 8][4], const struct attention_shape &s,
                                                 unsigned long long index)
{
    unsigned long long row[4];
    unsigned keep[4][KEYS / 32];
#pragma unroll
    for (int r = 0; r < 4; r++)
        row[r] = index + 8ull * r * s.Tk;
    keep_rows<4, KEYS>(keep, s.dropout, row, s.Tk % 4 == 0);
    int t = threadIdx.x % 4;
#pragma unroll
    for (int r = 0; r < 4; r++)
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++)
                if (!(keep[r][n / 4] >> 2 * t & 1u << (n % 4 * 8 + i)))
                    p[r / 2][n][r % 2 * 2 + i] = 0;
}

/* One step: keys and values of `tile`, from `key` on; the warp's queries begin at `row`. */
template <int HEAD, int KEYS, bool DROP>
static __device__ __forceinline__ void
attend_step(struct query_rows<HEAD> &r, const struct attention_shape &s, const struct attention_place &at,
            const bf16 *tile, int row, int key)
{
    float p[2][KEYS / 8][4] = {}, scale = s.scale * LOG2E;
    score_step<HEAD, KEYS>(p, r, tile, at.keys - key);
    move_references<HEAD, KEYS>(r, p, scale);
#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                p[m][n][i] = fast_exp2(fmaf(p[m][n][i], scale, -r.reference[m][i / 2]));
                r.total[m][i / 2] += p[m][n][i];
            }
    if (DROP)
        drop_step<KEYS>(p, s, at.index + (row + threadIdx.x % WARP / 4) * (unsigned long long)s.Tk + key);
    const bf16 *values = tile + KEYS * HEAD;
#pragma unroll
    for (int k = 0; k < KEYS / 16; k++) {
        uint32_t a[2][4];
#pragma unroll
        for (int m = 0; m < 2; m++)
            sums_as_factor(a[m], p[m][2 * k], p[m][2 * k + 1]);
#pragma unroll
        for (int n = 0; n < HEAD / 16; n++) {
            uint32_t f[4];
            tile_columns<HEAD>(f, values, 16 * k, n);
#pragma unroll
            for (int m = 0; m < 2; m++) {
                mma_16x8x16(r.sum[m][2 * n], a[m], f);
                mma_16x8x16(r.sum[m][2 * n + 1], a[m], f + 2);
            }
        }
    }
}

/* Writes 16 queries from `row` on, of whose sums each lane has its share; reference and total are those of rows lane / 4 and
 * lane / 4 + 8. */
template <int HEAD>
static __device__ __forceinline__ void finish_rows(const struct attention_shape &s,
                                                   const struct attention_place &to, int row, float (*sum)[4],
                                                   const float *reference, const float *total)
{
    float keep = s.dropout.on ? s.dropout.scale : 1.0f;
    float factor[2] = {keep / total[0], keep / total[1]};
    size_t width = (size_t)s.heads * s.head;
    store_sums<HEAD>(to.out + row * width, width, s.Tq - row, s.head, sum, factor);
    int lane = threadIdx.x % WARP, mine = row + lane / 4 + 8 * (lane % 2);
    /* Lane 4g has row g, lane 4g + 1 row g + 8. */
    float log_sum = lane % 2 ? reference[1] * LN2 + logf(total[1]) : reference[0] * LN2 + logf(total[0]);
    if (lane % 4 < 2 && mine < s.Tq)
        to.lse[mine] = log_sum;
}

/* Adds up the groups' sums of the same 32 queries, which begin at `row`: group 0 the first 16, group 1 the others. */
template <int HEAD, int GROUPS>
static __device__ __forceinline__ void join_groups(const struct attention_shape &s,
                                                   const struct attention_place &to, int row,
                                                   const struct query_rows<HEAD> &r, float *room)
{
    constexpr int SUMS = HEAD + 8, SETS = WARPS / GROUPS;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, set = warp % SETS, group = warp / SETS;
    float *mine = room + warp * SUMS * WARP + lane;
#pragma unroll
    for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int i = 0; i < HEAD / 2; i++)
            mine[(m * SUMS / 2 + i) * WARP] = r.sum[m][i / 4][i % 4];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            mine[(m * SUMS / 2 + HEAD / 2 + half) * WARP] = r.reference[m][half];
            mine[(m * SUMS / 2 + HEAD / 2 + 2 + half) * WARP] = r.total[m][half];
        }
    }
    __syncthreads();
    if (group < 2) {
        float sum[HEAD / 8][4] = {}, reference[2] = {MASKED, MASKED}, total[2] = {0, 0};
        const float *first = room + (set * SUMS + group * SUMS / 2) * WARP + lane;
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int from = 0; from < GROUPS; from++)
                reference[half] =
                    fmaxf(reference[half], first[(from * SETS * SUMS + HEAD / 2 + half) * WARP]);
#pragma unroll
        for (int from = 0; from < GROUPS; from++) {
            const float *theirs = first + from * SETS * SUMS * WARP;
            float factor[2];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                factor[half] = fast_exp2(theirs[(HEAD / 2 + half) * WARP] - reference[half]);
                total[half] += factor[half] * theirs[(HEAD / 2 + 2 + half) * WARP];
            }
#pragma unroll
            for (int i = 0; i < HEAD / 2; i++)
                sum[i / 4][i % 4] += factor[i / 2 % 2] * theirs[i * WARP];
        }
        finish_rows<HEAD>(s, to, row + 16 * group, sum, reference, total);
    }
    __syncthreads();
}

/* Starts the copies of the steps first .. first + count - 1 into their places, as one group. */
template <int HEAD, int KEYS>
static __device__ __forceinline__ void copy_steps(bf16 *memory, int places, const struct attention_shape &s,
                                                  const struct attention_place &at, int first, int count)
{
    for (int step = first; step < first + count && step * KEYS < at.keys; step++) {
        bf16 *tile = memory + step % places * 2 * KEYS * HEAD;
        size_t from = (size_t)step * KEYS * s.ldkv;
        int valid = at.keys - step * KEYS;
        tile_copy<HEAD, KEYS, 4>(tile, at.k + from, s.ldkv, valid, s.head, threadIdx.x, THREADS);
        tile_copy<HEAD, KEYS, 4>(tile + KEYS * HEAD, at.v + from, s.ldkv, valid, s.head, threadIdx.x,
                                 THREADS);
    }
    copy_commit();
}

/* parts: blocks that share the tiles of queries of one (frame, head). places: steps that shared memory holds, all of them or
 * twice GROUPS. */
template <int HEAD, int GROUPS, bool DROP>
static __global__ void __launch_bounds__(THREADS, (forward_sizes<HEAD, GROUPS, DROP>::BLOCKS))
    attention_forward(struct attention_shape s, const bf16 *q, const bf16 *k, const bf16 *v, bf16 *out,
                      float *lse, int parts, int places)
{
    using sizes = forward_sizes<HEAD, GROUPS, DROP>;
    constexpr int KEYS = sizes::KEYS, SETS = WARPS / GROUPS;
    __shared__ struct attention_place at;
    bf16 *memory = (bf16 *)shared_memory();
    int warp = threadIdx.x / WARP, set = warp % SETS, group = warp / SETS;
    if (threadIdx.x == 0) {
        int bh = blockIdx.x / parts, b = bh / s.heads, h = bh % s.heads;
        at.q = q + b * s.q_batch + h * s.head;
        at.k = k + b * s.kv_batch + h * s.head;
        at.v = v + b * s.kv_batch + h * s.head;
        at.out = out + (size_t)b * s.Tq * s.heads * s.head + h * s.head;
        at.lse = lse + (size_t)bh * s.Tq;
        at.index = weight_row(s, b, h, 0);
        at.keys = valid_keys(s, b);
    }
    __syncthreads();
    int steps = (at.keys + KEYS - 1) / KEYS;
    bool resident = places >= steps;
    if (resident) {
        copy_steps<HEAD, KEYS>(memory, places, s, at, 0, steps);
        copy_wait<0>();
        __syncthreads();
    }
    for (int tile = blockIdx.x % parts; tile * sizes::ROWS < s.Tq; tile += parts) {
        int row = tile * sizes::ROWS + set * 32;
        struct query_rows<HEAD> r;
#pragma unroll
        for (int m = 0; m < 2; m++)
            load_factor<HEAD>(r.q[m], at.q + (row + 16 * m) * s.ldq, s.ldq, s.Tq - row - 16 * m, s.head);
        start_rows(r);
        if (!resident)
            copy_steps<HEAD, KEYS>(memory, places, s, at, 0, GROUPS);
        for (int first = 0; first < steps; first += GROUPS) {
            if (!resident) {
                copy_wait<0>();
                __syncthreads(); /* the copies of all threads are there, and the step before is done with */
                copy_steps<HEAD, KEYS>(memory, places, s, at, first + GROUPS, GROUPS);
            }
            int step = first + group;
            if (step < steps)
                attend_step<HEAD, KEYS, DROP>(r, s, at, memory + step % places * sizes::STEP, row,
                                              step * KEYS);
        }
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                r.total[m][half] += __shfl_xor_sync(ALL_LANES, r.total[m][half], 1);
                r.total[m][half] += __shfl_xor_sync(ALL_LANES, r.total[m][half], 2);
            }
        if (GROUPS > 1)
            join_groups<HEAD, GROUPS>(s, at, row, r, (float *)(memory + places * sizes::STEP));
        else
#pragma unroll
            for (int m = 0; m < 2; m++)
                finish_rows<HEAD>(s, at, row + 16 * m, r.sum[m], r.reference[m], r.total[m]);
        if (!resident)
            __syncthreads(); /* the next tile's copies overwrite */
    }
}

/* The whole of a head's keys and values stay in shared memory up to this: three blocks have room beside each other. */
static const size_t resident_limit = 64 * 1024;

/* Tiles of queries a block of resident keys takes, so that `slots` blocks at once are done soonest with all: copying keys takes
 * about a quarter of a tile's time. */
static size_t tiles_each(size_t tiles, size_t heads, size_t slots)
{
    size_t best = 1, least = (size_t)-1;
    for (size_t each = 1; each <= 8; each++) {
        size_t blocks = heads * blocks_for(tiles, each), cost = blocks_for(blocks, slots) * (4 * each + 1);
        if (cost < least) {
            least = cost;
            best = each;
        }
    }
    return best;
}

template <int HEAD, int GROUPS, bool DROP>
static void run_forward(struct op_ctx *ctx, const struct attention_shape &s, const bf16 *q, const bf16 *k,
                        const bf16 *v, bf16 *out, float *lse)
{
    using sizes = forward_sizes<HEAD, GROUPS, DROP>;
    size_t steps = blocks_for(s.Tk, sizes::KEYS), step_bytes = sizes::STEP * sizeof(bf16);
    size_t tiles = blocks_for(s.Tq, sizes::ROWS), heads = (size_t)s.B * s.heads;
    bool resident = steps * step_bytes <= resident_limit;
    size_t places = resident ? steps : 2 * GROUPS;
    size_t slots = (size_t)cuda_state_of(ctx)->multiprocessors * sizes::BLOCKS;
    size_t parts = resident ? blocks_for(tiles, tiles_each(tiles, heads, slots)) : tiles;
    launch(ctx, (unsigned)(parts * heads), THREADS, places * step_bytes + sizes::ROOM,
           attention_forward<HEAD, GROUPS, DROP>, s, q, k, v, out, lse, (int)parts, (int)places);
}

/* Warps share queries where tiles of 128 would leave multiprocessors without work. */
template <int HEAD>
static void choose_kernel(struct op_ctx *ctx, const struct attention_shape &s, const bf16 *q, const bf16 *k,
                          const bf16 *v, bf16 *out, float *lse)
{
    size_t blocks = (size_t)s.B * s.heads * blocks_for(s.Tq, forward_sizes<HEAD, 1, false>::ROWS);
    bool few =
        blocks < (size_t)cuda_state_of(ctx)->multiprocessors && s.Tk > forward_sizes<HEAD, 1, false>::KEYS;
    /* Their sums need room beside the keys, which devices of 99 KB a block do not have for heads of 64. */
    few =
        few && resident_limit + forward_sizes<HEAD, 4, false>::ROOM + 1024 <= cuda_state_of(ctx)->shared_max;
    if (few && s.dropout.on)
        run_forward<HEAD, 4, true>(ctx, s, q, k, v, out, lse);
    else if (few)
        run_forward<HEAD, 4, false>(ctx, s, q, k, v, out, lse);
    else if (s.dropout.on)
        run_forward<HEAD, 1, true>(ctx, s, q, k, v, out, lse);
    else
        run_forward<HEAD, 1, false>(ctx, s, q, k, v, out, lse);
}

int cuda_attention(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k, const act *v,
                   act *out, float *lse, struct err *e)
{
    int code = attention_check(p, e);
    if (code)
        return code;
    struct attention_shape s = attention_shape_of(p);
    bool fits = ctx->bf16 && s.head % 8 == 0 && s.head <= 64 && attention_aligned(q, s.ldq, s.q_batch) &&
                attention_aligned(k, s.ldkv, s.kv_batch) && attention_aligned(v, s.ldkv, s.kv_batch) &&
                attention_aligned(out, 0, 0);
    if (!fits)
        attention_general(ctx, p, q, k, v, out, lse);
    else if (s.head <= 16)
        choose_kernel<16>(ctx, s, (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, (bf16 *)out, lse);
    else if (s.head <= 32)
        choose_kernel<32>(ctx, s, (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, (bf16 *)out, lse);
    else if (s.head <= 48)
        choose_kernel<48>(ctx, s, (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, (bf16 *)out, lse);
    else
        choose_kernel<64>(ctx, s, (const bf16 *)q, (const bf16 *)k, (const bf16 *)v, (bf16 *)out, lse);
    return 0;
}
