/* Sums over the rows of a matrix, one for each column, always in the same order: a thread adds its rows, a block its
 * threads, and a second kernel the blocks, in double. */
#ifndef SGAPS_OP_CUDA_COLUMNS_CUH
#define SGAPS_OP_CUDA_COLUMNS_CUH

#include "op/cuda/ptx.cuh"
#include "op/cuda/vector.cuh"

/* What the blocks leave: K sums of each column, partial[part][k][column]. */

/* room[down][k][i] holds the sums of a block's threads for columns first + i, i < width; their totals go to
 * to[k][first + i]. Threads of the whole block, before and after a barrier of the caller's. */
template <int K>
static __device__ void add_threads(const float *room, unsigned down, unsigned width, size_t first, size_t C,
                                   float *to)
{
    unsigned me = threadIdx.y * blockDim.x + threadIdx.x, n = K * width;
    for (unsigned i = me; i < n; i += blockDim.x * blockDim.y) {
        float sum = 0;
        for (unsigned t = 0; t < down; t++)
            sum += room[t * n + i];
        if (first + i % width < C)
            to[i / width * C + first + i % width] = sum;
    }
}

/* Row is what is summed: Row::K sums in columns of Row::V; row.rows(segment) of them; and row.add(segment, r, c, sum)
 * adds those of row r, columns c .. c + V - 1, to sum[K][V]. Parts: segments times gridDim.y. */
template <typename Row>
static __global__ void __launch_bounds__(WALK_THREADS)
    column_sums(Row row, size_t segments, size_t C, float *partial)
{
    constexpr int K = Row::K, V = Row::V;
    float *room = (float *)shared_memory();
    size_t c = walk_column(V), first = (size_t)blockIdx.x * blockDim.x * V;
    unsigned width = blockDim.x * V;
    for (size_t segment = blockIdx.z; segment < segments; segment += gridDim.z) {
        float sum[K][V] = {};
        size_t rows = c < C ? row.rows(segment) : 0;
#pragma unroll 4
        for (size_t r = walk_row(); r < rows; r += walk_stride())
            row.add(segment, r, c, sum);
#pragma unroll
        for (int k = 0; k < K; k++)
#pragma unroll
            for (int i = 0; i < V; i++)
                room[(threadIdx.y * K + k) * width + threadIdx.x * V + i] = sum[k][i];
        __syncthreads();
        add_threads<K>(room, blockDim.y, width, first, C,
                       partial + (segment * gridDim.y + blockIdx.y) * K * C);
        __syncthreads();
    }
}

/* The total over y of a block of FINISH_COLUMNS x FINISH_LANES threads, in those with threadIdx.y = 0. */
enum { FINISH_COLUMNS = 32, FINISH_LANES = 16 };
static __device__ __forceinline__ double finish_total(double x, double (*room)[FINISH_COLUMNS])
{
    room[threadIdx.y][threadIdx.x] = x;
    __syncthreads();
    double total = 0;
    if (!threadIdx.y)
        for (int i = 0; i < FINISH_LANES; i++)
            total += room[i][threadIdx.x];
    __syncthreads();
    return total;
}

/* done(segment, c, total[K]) for each column c, of the `parts` parts of each segment. */
template <int K, typename Done>
static __global__ void __launch_bounds__(FINISH_COLUMNS *FINISH_LANES)
    finish_sums(Done done, size_t segments, unsigned parts, size_t C, const float *partial)
{
    __shared__ double room[FINISH_LANES][FINISH_COLUMNS];
    size_t c = (size_t)blockIdx.x * FINISH_COLUMNS + threadIdx.x;
    for (size_t segment = blockIdx.z; segment < segments; segment += gridDim.z) {
        double total[K] = {};
        if (c < C)
#pragma unroll 4
            for (unsigned part = threadIdx.y; part < parts; part += FINISH_LANES)
#pragma unroll
                for (int k = 0; k < K; k++)
                    total[k] += (double)partial[((segment * parts + part) * K + k) * C + c];
#pragma unroll
        for (int k = 0; k < K; k++)
            total[k] = finish_total(total[k], room);
        if (!threadIdx.y && c < C)
            done(segment, c, total);
    }
}

template <int K, typename Done>
static inline void launch_finish(struct op_ctx *ctx, Done done, size_t segments, unsigned parts, size_t C,
                                 const float *partial)
{
    dim3 grid(blocks_for(C, FINISH_COLUMNS), 1, (unsigned)(segments < 65535 ? segments : 65535));
    launch(ctx, grid, dim3(FINISH_COLUMNS, FINISH_LANES), 0, finish_sums<K, Done>, done, segments, parts, C,
           partial);
}

/* A walk for sums: fewer blocks than for moving data, for each leaves K * C floats to be read again. Two or three fit on a
 * multiprocessor at a time. */
static inline struct walk walk_sums(struct op_ctx *ctx, size_t segments, size_t rows, size_t columns)
{
    struct walk w = walk_of((size_t)cuda_state_of(ctx)->multiprocessors * 6, segments, rows, columns);
    size_t useful = blocks_for(rows, (size_t)w.block.y * 4); /* four rows a thread at least */
    w.grid.y = w.grid.y < useful ? w.grid.y : (unsigned)useful;
    return w;
}

static inline size_t partial_bytes(const struct walk *w, size_t segments, int K, size_t C)
{
    return segments * w->grid.y * (size_t)K * C * sizeof(float);
}

template <typename Row>
static inline void launch_sums(struct op_ctx *ctx, const struct walk *w, Row row, size_t segments, size_t C,
                               float *partial)
{
    size_t room = (size_t)WALK_THREADS * Row::K * Row::V * sizeof(float);
    launch(ctx, w->grid, w->block, room, column_sums<Row>, row, segments, C, partial);
}

#endif
