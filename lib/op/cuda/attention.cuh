/* What the attention kernels on tensor cores share: shapes, tiles of keys in shared memory, fragments, dropout.
 *
 * A warp's lane has g = lane / 4 and t = lane % 4; lanes of equal g are a quad, which together hold rows g and g + 8 of
 * every 16-row fragment of mma_16x8x16 (ptx.cuh). Heads are multiples of 8 and are padded with zeros to HEAD: 16, 32, 48 or
 * 64. Scores are kept as s * scale * log2(e), so that a weight is one exp2; the log-sum-exp in memory is natural, so
 * log2 of it is lse * LOG2E. Padding keys get the score MASKED, whose weight is 0. */
#ifndef SGAPS_OP_CUDA_ATTENTION_CUH
#define SGAPS_OP_CUDA_ATTENTION_CUH

#include <math.h>

#include "op/cuda/philox.cuh"
#include "op/cuda/ptx.cuh"

#define LOG2E 1.44269504088896340736f
#define LN2 0.69314718055994530942f
#define MASKED (-1e30f) /* finite: a difference of two of them is 0, not NaN */

/* struct op_attention for a kernel. */
struct attention_shape {
    size_t ldq, ldkv, q_batch, kv_batch;
    const int32_t *keys; /* NULL: Tk */
    int B, heads, head, Tq, Tk;
    float scale; /* 1 / sqrt(head) */
    struct dropout_mask dropout;
};

/* Kernels count rows and heads in 32 bits, weights and elements in 64; a grid has a block for no fewer than 16 queries or keys. */
static inline int attention_check(const struct op_attention *p, struct err *e)
{
    const size_t most = 1u << 30;
    size_t rows = p->Tq > p->Tk ? p->Tq : p->Tk, heads = p->B * p->heads;
    if (rows <= most && heads <= most && p->head <= 1u << 20 && heads * (rows / 16 + 1) <= most)
        return 0;
    return err_set(
        e, ERR_DATA,
        "attention of %zu frames of %zu queries and %zu keys, %zu heads of %zu: more than the cuda backend "
        "counts (take smaller batches or frames)",
        p->B, p->Tq, p->Tk, p->heads, p->head);
}

static inline struct attention_shape attention_shape_of(const struct op_attention *p)
{
    struct attention_shape s = {
        .ldq = p->ldq, .ldkv = p->ldkv, .q_batch = p->q_batch, .kv_batch = p->kv_batch};
    s.keys = p->keys;
    s.B = (int)p->B;
    s.heads = (int)p->heads;
    s.head = (int)p->head;
    s.Tq = (int)p->Tq;
    s.Tk = (int)p->Tk;
    s.scale = 1.0f / sqrtf((float)p->head);
    s.dropout = dropout_mask_of(&p->dropout);
    return s;
}

/* Whether rows of a matrix at p, ld elements apart and frames `batch` elements apart, can be read 16 bytes at a time. */
static inline bool attention_aligned(const void *p, size_t ld, size_t batch)
{
    return (uintptr_t)p % 16 == 0 && ld % 8 == 0 && batch % 8 == 0;
}

/* Any sizes and alignment, float or bf16, on the FMA units; attention_general.cu. */
void attention_general(struct op_ctx *ctx, const struct op_attention *p, const act *q, const act *k,
                       const act *v, act *out, float *lse);
void importance_general(struct op_ctx *ctx, const struct op_attention *p, enum op_importance kind,
                        const act *q, const act *k, const float *lse, const float *values, float *map);

static __device__ __forceinline__ int valid_keys(const struct attention_shape &s, int b)
{
    return s.keys ? s.keys[b] : s.Tk;
}

/* Index of (b,h,i,0) among all weights. */
static __device__ __forceinline__ unsigned long long weight_row(const struct attention_shape &s, int b, int h,
                                                                int i)
{
    return (((unsigned long long)b * s.heads + h) * s.Tq + i) * s.Tk;
}

/* --- tiles: rows of one head, bf16, HEAD wide, in shared memory in units of 8 elements (16 bytes) ---
 *
 * ldmatrix reads the same unit of 8 consecutive rows at once and is free of bank conflicts when they lie in 8 different
 * places modulo 128 bytes. A row of HEAD / 8 = 8, 4, 6 or 2 units begins at place 0, {0 4}, {0 6 4 2} or {0 2 4 6}, repeated
 * every 1, 2, 4 or 4 rows; so the unit's number is xored with the number of that repetition: 8, 4, 2 and 2 of them fall on
 * the places between. No padding, and the copies into the tile, whole rows at a time, have no conflicts either. */
template <int HEAD> static __device__ __forceinline__ int tile_at(int row, int unit)
{
    constexpr int UNITS = HEAD / 8;
    static_assert(HEAD == 16 || HEAD == 32 || HEAD == 48 || HEAD == 64, "padded head");
    int turn = UNITS == 8 ? row & 7 : UNITS == 4 ? row >> 1 & 3 : row >> 2 & 1;
    return (row * UNITS + (unit ^ turn)) * 8;
}

/* Starts copying rows 0..ROWS-1 of `from` (rows ld apart, `head` wide) into the tile; rows from `valid` on, and columns from
 * head on, become 0. This is thread number `thread` of `threads`; each commits its own group. UNROLL: copies side by side,
 * where there are registers for them. */
template <int HEAD, int ROWS, int UNROLL>
static __device__ __forceinline__ void tile_copy(bf16 *tile, const bf16 *from, size_t ld, int valid, int head,
                                                 int thread, int threads)
{
    constexpr int UNITS = HEAD / 8;
#pragma unroll UNROLL
    for (int i = thread; i < ROWS * UNITS; i += threads) {
        int row = i / UNITS, unit = i % UNITS;
        bool inside = row < valid && unit * 8 < head;
        copy_async(tile + tile_at<HEAD>(row, unit), inside ? from + row * ld + unit * 8 : from, inside);
    }
}

/* Rows are taken 16 at a time, from a multiple of 8 on: there the turn begins anew.
 *
 * The factor b of products with the transpose of a tile (scores: columns are its rows): rows row..row+15, columns
 * 16 * k..: f[0..1] for rows row..row+7, f[2..3] for the next 8. */
template <int HEAD>
static __device__ __forceinline__ void tile_rows(uint32_t f[4], const bf16 *tile, int row, int k)
{
    int lane = threadIdx.x % WARP;
    load_matrices(f, tile + row * HEAD + tile_at<HEAD>(lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
}

/* d[m][0..1] += the scores of 32 queries, rows 16 * m.. of which are factors q[m], with the keys in a tile's rows row..row+15,
 * eight in each. */
template <int HEAD>
static __device__ __forceinline__ void add_scores(float (*const d[2])[4], const uint32_t (*q)[HEAD / 16][4],
                                                  const bf16 *tile, int row)
{
#pragma unroll
    for (int k = 0; k < HEAD / 16; k++) {
        uint32_t f[4];
        tile_rows<HEAD>(f, tile, row, k);
#pragma unroll
        for (int m = 0; m < 2; m++) {
            mma_16x8x16(d[m][0], q[m][k], f);
            mma_16x8x16(d[m][1], q[m][k], f + 2);
        }
    }
}

/* The factor b of products with the tile itself (sums over its rows): rows row..row+15, columns 16 * n..: f[0..1] for
 * columns 16n..16n+7, f[2..3] for the next 8. */
template <int HEAD>
static __device__ __forceinline__ void tile_columns(uint32_t f[4], const bf16 *tile, int row, int n)
{
    int lane = threadIdx.x % WARP;
    load_matrices_transposed(f, tile + row * HEAD + tile_at<HEAD>(lane % 16, 2 * n + lane / 16));
}

/* The factor a (16 rows x 16 columns from 16 * k on) of a tile's rows row..row+15. */
template <int HEAD>
static __device__ __forceinline__ void tile_factor(uint32_t a[4], const bf16 *tile, int row, int k)
{
    int lane = threadIdx.x % WARP;
    load_matrices(a, tile + row * HEAD + tile_at<HEAD>(lane % 16, 2 * k + lane / 16));
}

/* --- fragments and global memory, without a detour through shared memory --- */

/* Word i of lane t of a quad goes to word t of lane i. */
static __device__ __forceinline__ void quad_transpose(uint32_t w[4])
{
#pragma unroll
    for (int bit = 1; bit <= 2; bit *= 2) {
        bool upper = threadIdx.x & bit;
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (!(i & bit)) {
                uint32_t other = __shfl_xor_sync(ALL_LANES, upper ? w[i] : w[i | bit], bit);
                w[i] = upper ? other : w[i];
                w[i | bit] = upper ? w[i | bit] : other;
            }
    }
}

/* a[k] = factor a of the 16 rows of `from` (rows ld apart, `head` wide; rows from `valid` on are 0), columns 16 * k... A
 * lane reads 16 bytes of a row, a quad 64, and the quad sorts them into fragments. */
template <int HEAD>
static __device__ __forceinline__ void load_factor(uint32_t (*a)[4], const bf16 *from, size_t ld, int valid,
                                                   int head)
{
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int c = 0; c < HEAD; c += 32) {
            uint4 raw = make_uint4(0, 0, 0, 0);
            if (g + 8 * half < valid && c + 8 * t < head)
                raw = *(const uint4 *)(from + (g + 8 * half) * ld + c + 8 * t);
            uint32_t w[4] = {raw.x, raw.y, raw.z, raw.w};
            quad_transpose(w);
#pragma unroll
            for (int u = 0; u < 4; u++)
                if (c + 8 * u < HEAD)
                    a[c / 16 + u / 2][half + 2 * (u % 2)] = w[u];
        }
}

/* The 16 x HEAD sums d[n] (columns 8 * n..) times factor[0] (rows g) and factor[1] (rows g + 8), rounded, to `to`. */
template <int HEAD>
static __device__ __forceinline__ void store_sums(bf16 *to, size_t ld, int valid, int head, float (*d)[4],
                                                  const float factor[2])
{
    int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
        for (int c = 0; c < HEAD; c += 32) {
            uint32_t w[4] = {0, 0, 0, 0};
#pragma unroll
            for (int u = 0; u < 4; u++)
                if (c + 8 * u < HEAD)
                    w[u] = pack2(d[c / 8 + u][2 * half] * factor[half],
                                 d[c / 8 + u][2 * half + 1] * factor[half]);
            quad_transpose(w);
            if (g + 8 * half < valid && c + 8 * t < head)
                *(uint4 *)(to + (g + 8 * half) * ld + c + 8 * t) = make_uint4(w[0], w[1], w[2], w[3]);
        }
}

/* Two neighbouring 16x8 sums as factor a of the next product (their columns are its sum). */
static __device__ __forceinline__ void sums_as_factor(uint32_t a[4], const float left[4],
                                                      const float right[4])
{
    a[0] = pack2(left[0], left[1]);
    a[1] = pack2(left[2], left[3]);
    a[2] = pack2(right[0], right[1]);
    a[3] = pack2(right[2], right[3]);
}

/* 2^x for x <= 100 by the FMA units, relative error 1e-4: a share of a kernel's exponentials, where the special-function unit
 * (16 a clock and multiprocessor) is what it waits for and instructions are left over. Adding 1.5 * 2^23 rounds x to an integer,
 * which the sum's low bits hold and which then moves into the exponent of a cubic on -1/2..1/2. */
static __device__ __forceinline__ float polynomial_exp2(float x)
{
    x = fmaxf(x, -125.0f);
    float rounded = x + 12582912.0f, f = x - (rounded - 12582912.0f);
    float p = fmaf(fmaf(fmaf(0.055171665f, f, 0.24261113f), f, 0.69326097f), f, 0.99992806f);
    return __uint_as_float(__float_as_uint(p) + (__float_as_uint(rounded) << 23));
}

/* --- dropout --- */

/* Bit i: element 4 * block + i is kept. */
static __device__ __forceinline__ unsigned keep_bits(const struct dropout_mask &m, unsigned long long block)
{
    uint4 w = dropout_words(m, block);
    return (unsigned)(w.x >= m.threshold) | (unsigned)(w.y >= m.threshold) << 1 |
           (unsigned)(w.z >= m.threshold) << 2 | (unsigned)(w.w >= m.threshold) << 3;
}

/* The masks of ROWS rows of a quad (2 or 4) over KEYS keys (32 or 64): bit j % 32 of keep[r][j / 32] is whether the weight
 * number index[r] + j is kept; index is the same in all lanes of a quad. Each lane draws a quarter of a row's blocks and the
 * quad puts them together. Rows do not begin at a multiple of four where Tk is none: then a row needs one more block, which
 * lane r draws for row r, and the bits move down. `aligned`, the same in the whole warp: all indices are multiples of 4. */
template <int ROWS, int KEYS>
static __device__ __forceinline__ void keep_rows(unsigned (*keep)[KEYS / 32], const struct dropout_mask &m,
                                                 const unsigned long long index[ROWS], bool aligned)
{
    int lane = threadIdx.x % WARP, t = lane % 4;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int w = 0; w < KEYS / 32; w++) {
            unsigned long long block = index[r] / 4 + 8 * w + t;
            unsigned bits = keep_bits(m, block) << 4 * t | keep_bits(m, block + 4) << (4 * t + 16);
            bits |= __shfl_xor_sync(ALL_LANES, bits, 1);
            keep[r][w] = bits | __shfl_xor_sync(ALL_LANES, bits, 2);
        }
    if (aligned)
        return;
    unsigned long long mine = index[0];
#pragma unroll
    for (int r = 1; r < ROWS; r++)
        mine = t % ROWS == r ? index[r] : mine;
    unsigned more = keep_bits(m, mine / 4 + KEYS / 4);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        unsigned next = __shfl_sync(ALL_LANES, more, lane / 4 * 4 + r), by = (unsigned)(index[r] % 4);
#pragma unroll
        for (int w = 0; w < KEYS / 32; w++) {
            unsigned above = w + 1 < KEYS / 32 ? keep[r][w + 1] : next;
            keep[r][w] = by ? keep[r][w] >> by | above << (32 - by) : keep[r][w];
        }
    }
}

#endif
