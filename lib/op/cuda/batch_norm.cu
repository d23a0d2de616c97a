/* Batch norm over rows x C with the residual and ReLU.
 *
 * Training reads x for the statistics, and x (and the residual) again to write y; the second pass starts where the
 * first one ended, which the cache still holds. The gradient reads dy and x (and y, where a residual hides the sign that
 * ReLU saw) for two sums of each channel, and once more to write dx. In all passes a thread keeps to its V channels and
 * walks down the rows. */
#include "op/cuda/columns.cuh"
#include "op/cuda/ops.cuh"

/* Rows that part p of `parts` takes, when they go round in turn in lots of `lot`. */
static __device__ __forceinline__ double rows_of_part(size_t rows, size_t part, size_t parts, unsigned lot)
{
    size_t round = parts * lot, rest = rows % round, before = part * lot;
    size_t last = rest > before ? rest - before : 0;
    return (double)(rows / round * lot + (last < lot ? last : lot));
}

/* Of each thread's rows the mean and the sum of squared differences from it (Welford: no cancellation however far the
 * mean is from zero), merged over the block: partial[block][0: mean, 1: squares][channel]. */
template <typename T, int V>
static __global__ void __launch_bounds__(WALK_THREADS)
    moments(size_t rows, size_t C, const T *__restrict__ x, float *__restrict__ partial)
{
    float *room = (float *)shared_memory(); /* [down][mean, squares][width] */
    size_t c = walk_column(V), first = (size_t)blockIdx.x * blockDim.x * V;
    unsigned width = blockDim.x * V, down = blockDim.y, me = threadIdx.y * blockDim.x + threadIdx.x;
    float mean[V] = {}, squares[V] = {}, n = 0;
#pragma unroll 4
    for (size_t r = walk_row(); r < (c < C ? rows : 0); r += walk_stride()) {
        float v[V];
        load_row(x + r * C + c, v);
        n++;
        float share = 1.0f / n;
#pragma unroll
        for (int i = 0; i < V; i++) {
            float d = v[i] - mean[i];
            mean[i] += d * share;
            squares[i] += d * (v[i] - mean[i]);
        }
    }
#pragma unroll
    for (int i = 0; i < V; i++) {
        room[threadIdx.y * 2 * width + threadIdx.x * V + i] = mean[i];
        room[(threadIdx.y * 2 + 1) * width + threadIdx.x * V + i] = squares[i];
    }
    __syncthreads();
    for (unsigned i = me; i < width; i += WALK_THREADS) {
        if (first + i >= C)
            continue;
        double sum = 0, count = 0, m2 = 0;
        for (unsigned t = 0; t < down; t++) {
            double k = rows_of_part(rows, (size_t)blockIdx.y * down + t, (size_t)gridDim.y * down, 1);
            sum += k * (double)room[t * 2 * width + i];
            count += k;
        }
        double centre = count > 0 ? sum / count : 0;
        for (unsigned t = 0; t < down; t++) {
            double k = rows_of_part(rows, (size_t)blockIdx.y * down + t, (size_t)gridDim.y * down, 1);
            double d = (double)room[t * 2 * width + i] - centre;
            m2 += (double)room[(t * 2 + 1) * width + i] + k * d * d;
        }
        float *to = partial + (size_t)blockIdx.y * 2 * C + first + i;
        to[0] = (float)centre;
        to[C] = (float)m2;
    }
}

/* The blocks' moments become the batch's, and the running statistics move. lot: rows a block takes at a time. */
static __global__ void __launch_bounds__(FINISH_COLUMNS *FINISH_LANES)
    finish_moments(size_t rows, size_t C, unsigned parts, unsigned lot, float eps, float momentum,
                   const float *partial, float *mean, float *rstd, float *running_mean, float *running_var)
{
    __shared__ double room[FINISH_LANES][FINISH_COLUMNS];
    __shared__ double centre[FINISH_COLUMNS];
    size_t c = (size_t)blockIdx.x * FINISH_COLUMNS + threadIdx.x;
    double sum = 0, m2 = 0;
    if (c < C)
#pragma unroll 4
        for (unsigned part = threadIdx.y; part < parts; part += FINISH_LANES)
            sum += rows_of_part(rows, part, parts, lot) * (double)partial[(size_t)part * 2 * C + c];
    sum = finish_total(sum, room);
    if (!threadIdx.y)
        centre[threadIdx.x] = sum / (double)rows;
    __syncthreads();
    if (c < C)
#pragma unroll 4
        for (unsigned part = threadIdx.y; part < parts; part += FINISH_LANES) {
            const float *p = partial + (size_t)part * 2 * C + c;
            double d = (double)p[0] - centre[threadIdx.x];
            m2 += (double)p[C] + rows_of_part(rows, part, parts, lot) * d * d;
        }
    m2 = finish_total(m2, room);
    if (threadIdx.y || c >= C)
        return;
    double m = centre[threadIdx.x], unbiased = rows > 1 ? m2 / (double)(rows - 1) : m2;
    mean[c] = (float)m;
    rstd[c] = (float)(1 / sqrt(m2 / (double)rows + (double)eps));
    running_mean[c] += momentum * (float)(m - (double)running_mean[c]);
    running_var[c] += momentum * (float)(unbiased - (double)running_var[c]);
}

/* What ReLU sees without a residual: the forward pass and the gradient compute the same bits. */
static __device__ __forceinline__ float normal(float x, float mean, float slope, float beta)
{
    return fmaf(x - mean, slope, beta);
}

/* y = normal(x) (+ residual) (ReLU). var: the running variance in evaluation, where rstd is NULL. From the last row to the
 * first. y may be x or the residual: every thread reads an element before it writes it. */
template <typename T, int V>
static __global__ void __launch_bounds__(WALK_THREADS)
    normalise(size_t rows, size_t C, int relu, float eps, const float *gamma, const float *beta,
              const float *mean, const float *rstd, const float *var, const T *x, const T *residual, T *y)
{
    enum { AT_ONCE = 2 }; /* rows on their way to a thread: stores to y hold back what is read after them */
    size_t c = walk_column(V), stride = walk_stride();
    if (c >= C)
        return;
    float slope[V], shift[V], centre[V];
    load_parameters(gamma + c, slope);
    load_parameters(beta + c, shift);
    load_parameters(mean + c, centre);
#pragma unroll
    for (int i = 0; i < V; i++)
        slope[i] *= rstd ? rstd[c + i] : 1 / sqrtf(var[c + i] + eps);
    for (size_t r = walk_row(); r < rows; r += stride * AT_ONCE) {
        float v[AT_ONCE][V], plus[AT_ONCE][V] = {};
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            if (r + k * stride < rows) {
                size_t at = (rows - 1 - r - k * stride) * C + c;
                load_row(x + at, v[k]);
                if (residual)
                    load_row(residual + at, plus[k]);
            }
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            if (r + k * stride < rows) {
#pragma unroll
                for (int i = 0; i < V; i++) {
                    v[k][i] = normal(v[k][i], centre[i], slope[i], shift[i]) + plus[k][i];
                    v[k][i] = relu ? fmaxf(v[k][i], 0) : v[k][i];
                }
                store_row(y + (rows - 1 - r - k * stride) * C + c, v[k]);
            }
    }
}

template <typename T>
static void launch_normalise(struct op_ctx *ctx, const struct op_batch_norm *p, const T *x, T *y,
                             const float *mean, const float *rstd, const float *var)
{
    const T *residual = (const T *)p->residual;
    by_width<T>(p->C | place<T>(x) | place<T>(y) | place<T>(residual), [&](auto w) {
        constexpr int V = decltype(w)::V;
        struct walk walk = walk_all(ctx, 1, p->rows, p->C / V);
        launch(ctx, walk.grid, walk.block, 0, normalise<T, V>, p->rows, p->C, p->relu, p->eps, p->gamma,
               p->beta, mean, rstd, var, x, residual, y);
    });
}

void cuda_batch_norm(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y, float *mean,
                     float *rstd, float *running_mean, float *running_var)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(p->C | place<T>(x), [&](auto w) {
            constexpr int V = decltype(w)::V;
            struct walk walk = walk_sums(ctx, 1, p->rows, p->C / V);
            float *partial = (float *)cuda_scratch_or_note(ctx, partial_bytes(&walk, 1, 2, p->C));
            if (!partial)
                return;
            launch(ctx, walk.grid, walk.block, WALK_THREADS * 2 * V * sizeof(float), moments<T, V>, p->rows,
                   p->C, (const T *)x, partial);
            launch(ctx, blocks_for(p->C, FINISH_COLUMNS), dim3(FINISH_COLUMNS, FINISH_LANES), 0,
                   finish_moments, p->rows, p->C, walk.grid.y, walk.block.y, p->eps, p->momentum, partial,
                   mean, rstd, running_mean, running_var);
        });
        launch_normalise<T>(ctx, p, (const T *)x, (T *)y, mean, rstd, NULL);
    });
}

void cuda_batch_norm_infer(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, act *y,
                           const float *running_mean, const float *running_var)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        launch_normalise<T>(ctx, p, (const T *)x, (T *)y, running_mean, NULL, running_var);
    });
}

/* --- the gradient --- */

/* How the gradient knows what ReLU let pass. */
enum mask {
    MASK_NONE,   /* no ReLU */
    MASK_NORMAL, /* no residual: the sign of normal(x), one read less */
    MASK_Y
};

/* Of V channels what both passes of the gradient keep in registers. */
template <int V> struct channels {
    float mean[V], slope[V], beta[V];
};

template <int V>
static __device__ __forceinline__ void load_channels(struct channels<V> &k, size_t c, const float *gamma,
                                                     const float *beta, const float *mean, const float *rstd)
{
    load_parameters(mean + c, k.mean);
    load_parameters(gamma + c, k.slope);
    load_parameters(beta + c, k.beta);
#pragma unroll
    for (int i = 0; i < V; i++)
        k.slope[i] *= rstd[c + i];
}

/* d: dy where ReLU let it pass, else 0. */
template <typename T, int V>
static __device__ __forceinline__ void pass_relu(enum mask mask, const struct channels<V> &k,
                                                 const float (&x)[V], const T *y, float (&d)[V])
{
    float seen[V];
    if (mask == MASK_NONE)
        return;
    if (mask == MASK_Y)
        load_row(y, seen);
    else
#pragma unroll
        for (int i = 0; i < V; i++)
            seen[i] = normal(x[i], k.mean[i], k.slope[i], k.beta[i]);
#pragma unroll
    for (int i = 0; i < V; i++)
        d[i] = seen[i] > 0 ? d[i] : 0;
}

/* Sums of d and of d (x - mean). */
template <typename T, int width> struct gradient_row {
    static constexpr int K = 2, V = width;
    size_t n, C;
    enum mask mask;
    const float *gamma, *beta, *mean, *rstd;
    const T *x, *y, *dy;

    __device__ __forceinline__ size_t rows(size_t) const
    {
        return n;
    }

    __device__ __forceinline__ void add(size_t, size_t r, size_t c, float (&sum)[K][V]) const
    {
        struct channels<V> k;
        float d[V], v[V];
        size_t at = r * C + c;
        load_channels(k, c, gamma, beta, mean, rstd); /* the same in every round: read once */
        load_row(x + at, v);
        load_row(dy + at, d);
        pass_relu(mask, k, v, y + at, d);
#pragma unroll
        for (int i = 0; i < V; i++) {
            sum[0][i] += d[i];
            sum[1][i] += d[i] * (v[i] - k.mean[i]);
        }
    }
};

/* The parameters' gradients, and for dx the channel's mean of d and its slope over x - mean. */
struct gradient_done {
    size_t C;
    double rows;
    const float *rstd;
    float *dgamma, *dbeta, *centre, *slope;

    __device__ __forceinline__ void operator()(size_t, size_t c, const double (&sum)[2]) const
    {
        double s = (double)rstd[c];
        dbeta[c] += (float)sum[0];
        dgamma[c] += (float)(sum[1] * s);
        centre[c] = (float)(sum[0] / rows);
        slope[c] = (float)(sum[1] / rows * s * s);
    }
};

/* dx = gamma rstd (d - centre - (x - mean) slope); dresidual = d. From the last row to the first; dx and dresidual may
 * be dy. */
template <typename T, int V>
static __global__ void __launch_bounds__(WALK_THREADS)
    gradient(size_t rows, size_t C, enum mask mask, const float *gamma, const float *beta, const float *mean,
             const float *rstd, const float *centre, const float *slope, const T *x, const T *y, const T *dy,
             T *dx, T *dresidual)
{
    size_t c = walk_column(V);
    if (c >= C)
        return;
    struct channels<V> k;
    float middle[V], lean[V];
    load_channels(k, c, gamma, beta, mean, rstd);
    load_parameters(centre + c, middle);
    load_parameters(slope + c, lean);
    for (size_t r = walk_row(); r < rows; r += walk_stride()) {
        size_t at = (rows - 1 - r) * C + c;
        float d[V], v[V];
        load_row(dy + at, d);
        load_row(x + at, v);
        pass_relu(mask, k, v, y + at, d);
        if (dresidual)
            store_row(dresidual + at, d);
#pragma unroll
        for (int i = 0; i < V; i++)
            v[i] = k.slope[i] * (d[i] - middle[i] - (v[i] - k.mean[i]) * lean[i]);
        store_row(dx + at, v);
    }
}

template <typename T, int V>
static void launch_gradient(struct op_ctx *ctx, const struct op_batch_norm *p, const T *x, const T *y,
                            const float *mean, const float *rstd, const T *dy, T *dx, T *dresidual,
                            float *dgamma, float *dbeta)
{
    struct walk walk = walk_sums(ctx, 1, p->rows, p->C / V);
    size_t partial = partial_bytes(&walk, 1, 2, p->C) / sizeof(float);
    float *room = (float *)cuda_scratch_or_note(ctx, (partial + 2 * p->C) * sizeof(float));
    if (!room)
        return;
    enum mask mask = !p->relu ? MASK_NONE : p->residual ? MASK_Y : MASK_NORMAL;
    float *centre = room + partial, *slope = centre + p->C;
    struct gradient_row<T, V> row = {
        p->rows, p->C, mask, p->gamma, p->beta, mean, rstd, x, y, dy
    };
    struct gradient_done done = {p->C, (double)p->rows, rstd, dgamma, dbeta, centre, slope};
    launch_sums(ctx, &walk, row, 1, p->C, room);
    launch_finish<2>(ctx, done, 1, walk.grid.y, p->C, room);
    walk = walk_all(ctx, 1, p->rows, p->C / V);
    launch(ctx, walk.grid, walk.block, 0, gradient<T, V>, p->rows, p->C, mask, p->gamma, p->beta, mean, rstd,
           centre, slope, x, y, dy, dx, dresidual);
}

void cuda_batch_norm_backward(struct op_ctx *ctx, const struct op_batch_norm *p, const act *x, const act *y,
                              const float *mean, const float *rstd, const act *dy, act *dx, act *dresidual,
                              float *dgamma, float *dbeta)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        by_width<T>(p->C | place<T>(x) | place<T>(y) | place<T>(dy) | place<T>(dx) | place<T>(dresidual),
                    [&](auto w) {
                        launch_gradient<T, decltype(w)::V>(ctx, p, (const T *)x, (const T *)y, mean, rstd,
                                                           (const T *)dy, (T *)dx, (T *)dresidual, dgamma,
                                                           dbeta);
                    });
    });
}
