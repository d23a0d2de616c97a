#include "op/cuda/column_sums.cuh"

#include "op/cuda/columns.cuh"

template <typename T, int width> struct matrix_row {
    static constexpr int K = 1, V = width;
    size_t n, ld;
    const T *x;

    __device__ __forceinline__ size_t rows(size_t) const
    {
        return n;
    }

    __device__ __forceinline__ void add(size_t, size_t r, size_t c, float (&sum)[K][V]) const
    {
        float v[V];
        load_row(x + r * ld + c, v);
#pragma unroll
        for (int i = 0; i < V; i++)
            sum[0][i] += v[i];
    }
};

struct matrix_done {
    float *sums;

    __device__ __forceinline__ void operator()(size_t, size_t c, const double (&sum)[1]) const
    {
        sums[c] += (float)sum[0];
    }
};

int cuda_add_column_sums(struct op_ctx *ctx, size_t rows, size_t columns, const act *x, size_t ld,
                         float *sums, struct err *e)
{
    int r = 0;
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(columns | ld | place<T>(x), [&](auto w) {
            constexpr int V = decltype(w)::V;
            struct walk walk = walk_sums(ctx, 1, rows, columns / V);
            struct matrix_row<T, V> row = {
                rows, ld, (const T *)x
            };
            void *partial;
            r = cuda_scratch(ctx, partial_bytes(&walk, 1, 1, columns), &partial, e);
            if (r)
                return;
            launch_sums(ctx, &walk, row, 1, columns, (float *)partial);
            launch_finish<1>(ctx, matrix_done{sums}, 1, walk.grid.y, columns, (float *)partial);
        });
    });
    return r;
}
