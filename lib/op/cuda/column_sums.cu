/* Column sums of tall matrices, at the speed of memory: the rows are dealt out in pieces to as many blocks as keep the whole
 * device reading, each leaves one row of sums, and a second kernel adds those up. */
#include "op/cuda/column_sums.cuh"

#include "op/cuda/number.cuh"
#include "op/cuda/ptx.cuh"

static constexpr int THREADS = 256, COLUMNS_LAST = WARP;
static constexpr size_t ROWS_LEAST = 64; /* a piece below this costs more in its sums than in its reading */

static unsigned pieces_of(const struct op_ctx *ctx, size_t rows)
{
    return busy_blocks(ctx, rows, ROWS_LEAST, 8);
}

size_t cuda_column_sums_room(const struct op_ctx *ctx, size_t rows, size_t columns)
{
    return (size_t)pieces_of(ctx, rows) * columns;
}

/* Block (p, g) sums rows [p, p+1) * ceil(rows / pieces) of the columns [g, g+1) * across * each. Its threads stand `across`
 * to a row, each over `each` neighbouring columns, and THREADS / across rows deep; the depths are added through shared
 * memory, in order. */
template <int each, typename T>
static __global__ void __launch_bounds__(THREADS)
    sum_pieces(size_t rows, size_t columns, const T *x, size_t ld, int across, float *part)
{
    float *room = (float *)shared_memory(); /* (depth, across * each) */
    int depth = THREADS / across, at = threadIdx.x % across, level = threadIdx.x / across;
    size_t piece = (rows + gridDim.x - 1) / gridDim.x, first = blockIdx.x * piece;
    size_t last = first + piece < rows ? first + piece : rows;
    size_t column = ((size_t)blockIdx.y * across + at) * each;
    float sum[each] = {};
    if (column < columns)
#pragma unroll 4
        for (size_t m = first + level; m < last; m += depth) {
            const T *from = x + m * ld + column;
            if constexpr (each == 4) {
                float4 four = load4(from);
                sum[0] += four.x, sum[1] += four.y, sum[2] += four.z, sum[3] += four.w;
            } else {
                sum[0] += to_float(*from);
            }
        }
    for (int i = 0; i < each; i++)
        room[(level * across + at) * each + i] = sum[i];
    __syncthreads();
    size_t start = (size_t)blockIdx.y * across * each;
    for (int c = threadIdx.x; c < across * each && start + c < columns; c += THREADS) {
        float total = 0;
        for (int k = 0; k < depth; k++)
            total += room[k * across * each + c];
        part[blockIdx.x * columns + start + c] = total;
    }
}

/* Block b adds up columns 32 b ..: lane = column, its 8 warps take pieces in turn and are then added in order. */
static __global__ void __launch_bounds__(THREADS)
    add_pieces(size_t pieces, size_t columns, const float *part, float *sums)
{
    __shared__ float room[THREADS / WARP][COLUMNS_LAST];
    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    size_t column = (size_t)blockIdx.x * COLUMNS_LAST + lane;
    float sum = 0;
    if (column < columns)
#pragma unroll 4
        for (size_t p = warp; p < pieces; p += THREADS / WARP)
            sum += part[p * columns + column];
    room[warp][lane] = sum;
    __syncthreads();
    if (warp || column >= columns)
        return;
    for (int w = 1; w < THREADS / WARP; w++)
        sum += room[w][lane];
    sums[column] += sum;
}

void cuda_add_column_sums(struct op_ctx *ctx, size_t rows, size_t columns, const act *x, size_t ld,
                          float *room, float *sums)
{
    size_t pieces = pieces_of(ctx, rows), element = ctx->bf16 ? sizeof(bf16) : sizeof(float);
    int each = columns % 4 || ld % 4 || (uintptr_t)x % (4 * element) ? 1 : 4;
    size_t wanted = (columns + (size_t)each - 1) / (size_t)each;
    int across = 1;
    while (across < 64 && (size_t)across < wanted)
        across *= 2;
    dim3 grid((unsigned)pieces, blocks_for(wanted, (size_t)across));
    by_act(ctx, [&](auto *type) {
        using T = std::remove_reference_t<decltype(*type)>;
        launch(ctx, grid, THREADS, THREADS * (size_t)each * sizeof(float),
               each == 4 ? sum_pieces<4, T> : sum_pieces<1, T>, rows, columns, (const T *)x, ld, across,
               room);
    });
    launch(ctx, blocks_for(columns, COLUMNS_LAST), THREADS, 0, add_pieces, pieces, columns,
           (const float *)room, sums);
}
