/* V neighbours of a row in one access of up to 16 bytes (eight floats: in two), and how a grid walks over rows of them. */
#ifndef SGAPS_OP_CUDA_VECTOR_CUH
#define SGAPS_OP_CUDA_VECTOR_CUH

#include "op/cuda/number.cuh"

/* load_row, store_row: V floats in registers from or to p, which is aligned to V elements, or to 16 bytes. */
template <int V> static __device__ __forceinline__ void load_row(const float *p, float (&x)[V])
{
    if constexpr (V % 4 == 0) {
#pragma unroll
        for (int i = 0; i < V; i += 4) {
            float4 raw = *(const float4 *)(p + i);
            x[i] = raw.x, x[i + 1] = raw.y, x[i + 2] = raw.z, x[i + 3] = raw.w;
        }
    } else if constexpr (V == 2) {
        float2 raw = *(const float2 *)p;
        x[0] = raw.x, x[1] = raw.y;
    } else
        x[0] = *p;
}

static __device__ __forceinline__ void unpack2(unsigned raw, float *x)
{
    x[0] = __uint_as_float(raw << 16);
    x[1] = __uint_as_float(raw & 0xffff0000u);
}

template <int V> static __device__ __forceinline__ void load_row(const bf16 *p, float (&x)[V])
{
    if constexpr (V == 8) {
        uint4 raw = *(const uint4 *)p;
        unpack2(raw.x, x), unpack2(raw.y, x + 2), unpack2(raw.z, x + 4), unpack2(raw.w, x + 6);
    } else if constexpr (V == 2)
        unpack2(*(const unsigned *)p, x);
    else
        x[0] = to_float(*p);
}

template <int V> static __device__ __forceinline__ void store_row(float *p, const float (&x)[V])
{
    if constexpr (V == 4)
        *(float4 *)p = make_float4(x[0], x[1], x[2], x[3]);
    else if constexpr (V == 2)
        *(float2 *)p = make_float2(x[0], x[1]);
    else
        *p = x[0];
}

template <int V> static __device__ __forceinline__ void store_row(bf16 *p, const float (&x)[V])
{
    if constexpr (V == 8)
        *(uint4 *)p = make_uint4(pack2(x[0], x[1]), pack2(x[2], x[3]), pack2(x[4], x[5]), pack2(x[6], x[7]));
    else if constexpr (V == 2)
        *(unsigned *)p = pack2(x[0], x[1]);
    else
        store(p, x[0]);
}

/* Parameters, which are floats where activations may be bf16: V of them, without a claim on their alignment. */
template <int V> static __device__ __forceinline__ void load_parameters(const float *p, float (&x)[V])
{
#pragma unroll
    for (int i = 0; i < V; i++)
        x[i] = __ldg(p + i);
}

template <int n> struct width {
    static constexpr int V = n;
};

/* Calls f(width<V>()) with the widest V that all sizes and places allow: `bits` is them all in elements, or-ed. */
template <typename T, typename F> static inline void by_width(size_t bits, F f)
{
    constexpr int full = 16 / sizeof(T);
    if (bits % full == 0)
        f(width<full>());
    else if (bits % 2 == 0)
        f(width<2>());
    else
        f(width<1>());
}

/* A pointer to activations as a number of elements, for by_width. */
template <typename T> static inline size_t place(const void *p)
{
    return (uintptr_t)p % sizeof(T) ? 1 : (uintptr_t)p / sizeof(T);
}

/* A grid over `segments` times rows x columns, a column being V elements. A block of 256 threads is threadIdx.x along a
 * row and threadIdx.y down the rows, both powers of two, a warp's accesses side by side; blockIdx.x and .y go on from
 * there, blockIdx.z takes the segments. */
enum { WALK_THREADS = 256 };
struct walk {
    dim3 grid, block;
};

static inline unsigned power_of_two_from(size_t n, unsigned limit)
{
    unsigned p = 1;
    while (p < n && p < limit)
        p *= 2;
    return p;
}

/* blocks: how many keep the device busy. Every column has its thread in the grid (no stride in x); rows and segments
 * may take several rounds. */
static inline struct walk walk_of(size_t blocks, size_t segments, size_t rows, size_t columns)
{
    struct walk w;
    unsigned down = WALK_THREADS / power_of_two_from(columns, WARP);
    down = power_of_two_from(rows, down); /* few rows: the threads lie along them */
    w.block = dim3(WALK_THREADS / down, down);
    w.grid.x = blocks_for(columns, w.block.x);
    w.grid.z = (unsigned)(segments < 65535 ? segments : 65535);
    size_t most = blocks_for(rows, down), across = (size_t)w.grid.x * w.grid.z,
           fair = blocks / (across ? across : 1);
    most = most < fair ? most : fair ? fair : 1;
    w.grid.y = rows ? (unsigned)(most < 65535 ? most : 65535) : 0;
    return w;
}

/* For what only moves data. 12 blocks a multiprocessor are whole rounds where 2, 3, 4, 6 or 12 fit at a time. */
static inline struct walk walk_all(struct op_ctx *ctx, size_t segments, size_t rows, size_t columns)
{
    return walk_of((size_t)cuda_state_of(ctx)->multiprocessors * 12, segments, rows, columns);
}

/* This thread's column in elements, its first row, and how far the next is. */
static __device__ __forceinline__ size_t walk_column(int V)
{
    return ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
}

static __device__ __forceinline__ size_t walk_row()
{
    return (size_t)blockIdx.y * blockDim.y + threadIdx.y;
}

static __device__ __forceinline__ size_t walk_stride()
{
    return (size_t)gridDim.y * blockDim.y;
}

#endif
