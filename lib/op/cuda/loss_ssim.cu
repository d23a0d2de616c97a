/* 1 - SSIM. The Gaussian window is a product of two, so a block smooths the rows of its tile into shared memory and then the
 * columns. With a = pred, b = target and S the smoothing, the windows' SSIM comes from S a, S b, S a^2, S b^2 and S ab; its
 * derivatives by S a, S a^2 and S ab are kept, and a second kernel smooths them back over the pixels of each window.
 *
 * In double: variances are differences of squares, and in flat parts the derivatives are large and cancel. It is 0.3 GFLOP
 * for 26 frames of 224x224, nothing beside the network. */
#include <math.h>

#include "op/cuda/ops.cuh"
#include "op/cuda/sums.cuh"

static constexpr int TAPS = 11, REACH = TAPS - 1, ACROSS = WARP, DOWN = SUM_THREADS / ACROSS, FIELDS = 5,
                     SLOPES = 3;
static constexpr int WIDE = ACROSS + REACH, TALL = DOWN + REACH; /* a tile with all that its windows see */

struct gaussian {
    double tap[TAPS];
};

/* Sigma 1.5, normalised. */
static struct gaussian gaussian_window()
{
    struct gaussian g;
    double sum = 0;
    for (int i = 0; i < TAPS; i++)
        sum += g.tap[i] = exp(-(double)((i - TAPS / 2) * (i - TAPS / 2)) / (2 * 1.5 * 1.5));
    for (int i = 0; i < TAPS; i++)
        g.tap[i] /= sum;
    return g;
}

/* Windows by their upper left pixel: height x width of them to a frame of H x W. */
struct ssim_shape {
    size_t B, H, W, height, width;
};

/* Which tile a block has, of ACROSS x DOWN places in a plane of h x w; tiles are counted row by row, frame by frame. */
struct tile {
    size_t frame, y, x;
};

static __device__ __forceinline__ struct tile tile_of(size_t h, size_t w)
{
    size_t across = (w + ACROSS - 1) / ACROSS, down = (h + DOWN - 1) / DOWN;
    struct tile t;
    t.x = blockIdx.x % across * ACROSS;
    t.y = blockIdx.x / across % down * DOWN;
    t.frame = blockIdx.x / across / down;
    return t;
}

static size_t tiles_in(size_t B, size_t h, size_t w)
{
    return B * blocks_for(w, ACROSS) * blocks_for(h, DOWN);
}

/* SSIM from the five smoothed fields, and its slopes by those of a, a^2 and ab. */
static __device__ double ssim_of(const double f[FIELDS], double slope[SLOPES])
{
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    double a = f[0], b = f[1], va = f[2] - a * a, vb = f[3] - b * b, cov = f[4] - a * b;
    double n1 = 2 * a * b + c1, n2 = 2 * cov + c2, d1 = a * a + b * b + c1, d2 = va + vb + c2;
    double by = 1 / (d1 * d2), ssim = n1 * n2 * by;
    slope[0] = 2 * b * (n2 - n1) * by + 2 * a * ssim * (1 / d2 - 1 / d1);
    slope[1] = -ssim / d2;
    slope[2] = 2 * n1 * by;
    return ssim;
}

/* Thread t has window (t / 32, t % 32) of the tile. slopes (3, B, height, width) or NULL. */
static __global__ void __launch_bounds__(SUM_THREADS)
    ssim_windows(struct ssim_shape s, struct gaussian g, const float *pred, const float *target,
                 double *slopes, double *share)
{
    __shared__ float a[TALL][WIDE], b[TALL][WIDE];
    __shared__ double row[FIELDS][TALL][ACROSS];
    struct tile at = tile_of(s.height, s.width);
    for (int i = threadIdx.x; i < TALL * WIDE; i += SUM_THREADS) {
        size_t y = at.y + i / WIDE, x = at.x + i % WIDE, from = (at.frame * s.H + y) * s.W + x;
        bool inside = y < s.H && x < s.W;
        a[i / WIDE][i % WIDE] = inside ? pred[from] : 0;
        b[i / WIDE][i % WIDE] = inside ? target[from] : 0;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < TALL * ACROSS; i += SUM_THREADS) {
        int y = i / ACROSS, x = i % ACROSS;
        double sum[FIELDS] = {};
        for (int k = 0; k < TAPS; k++) {
            double p = (double)a[y][x + k], q = (double)b[y][x + k], t = g.tap[k];
            sum[0] += t * p, sum[1] += t * q;
            sum[2] += t * p * p, sum[3] += t * q * q, sum[4] += t * p * q;
        }
        for (int f = 0; f < FIELDS; f++)
            row[f][y][x] = sum[f];
    }
    __syncthreads();
    int y = threadIdx.x / ACROSS, x = threadIdx.x % ACROSS;
    double ssim = 0;
    if (at.y + y < s.height && at.x + x < s.width) {
        double field[FIELDS] = {}, slope[SLOPES];
        for (int k = 0; k < TAPS; k++)
            for (int f = 0; f < FIELDS; f++)
                field[f] += g.tap[k] * row[f][y + k][x];
        ssim = ssim_of(field, slope);
        size_t plane = s.B * s.height * s.width, to = (at.frame * s.height + at.y + y) * s.width + at.x + x;
        for (int f = 0; slopes && f < SLOPES; f++)
            slopes[f * plane + to] = slope[f];
    }
    leave_share(ssim, share);
}

/* Thread t has pixel (t / 32, t % 32) of the tile; it lies in the windows up to 10 above and left of it. */
static __global__ void __launch_bounds__(SUM_THREADS)
    ssim_gradient(struct ssim_shape s, struct gaussian g, double step, const float *pred, const float *target,
                  const double *slopes, float *dpred)
{
    __shared__ double window[TALL][WIDE], row[TALL][ACROSS];
    struct tile at = tile_of(s.H, s.W);
    int y = threadIdx.x / ACROSS, x = threadIdx.x % ACROSS;
    double sum[SLOPES] = {};
#pragma unroll
    for (int f = 0; f < SLOPES; f++) {
        const double *plane = slopes + (f * s.B + at.frame) * s.height * s.width;
        for (int i = threadIdx.x; i < TALL * WIDE; i += SUM_THREADS) {
            /* window (wy, wx) = this - REACH, kept unsigned */
            size_t wy = at.y + i / WIDE, wx = at.x + i % WIDE;
            bool inside = wy >= REACH && wx >= REACH && wy - REACH < s.height && wx - REACH < s.width;
            window[i / WIDE][i % WIDE] = inside ? plane[(wy - REACH) * s.width + wx - REACH] : 0;
        }
        __syncthreads();
        for (int i = threadIdx.x; i < TALL * ACROSS; i += SUM_THREADS) {
            double total = 0;
            for (int k = 0; k < TAPS; k++)
                total += g.tap[k] * window[i / ACROSS][i % ACROSS + REACH - k];
            row[i / ACROSS][i % ACROSS] = total;
        }
        __syncthreads();
        for (int k = 0; k < TAPS; k++)
            sum[f] += g.tap[k] * row[y + REACH - k][x];
    }
    if (at.y + y >= s.H || at.x + x >= s.W)
        return;
    size_t i = (at.frame * s.H + at.y + y) * s.W + at.x + x;
    dpred[i] += (float)(step * (sum[0] + 2 * (double)pred[i] * sum[1] + (double)target[i] * sum[2]));
}

int cuda_loss_ssim(struct op_ctx *ctx, size_t B, size_t H, size_t W, double weight, const float *pred,
                   const float *target, double *loss, float *dpred, struct err *e)
{
    if (H < TAPS || W < TAPS)
        return err_set(e, ERR_DATA, "the ssim loss needs frames of at least 11x11, not %zux%zu", W, H);
    struct ssim_shape s = {B, H, W, H - REACH, W - REACH};
    struct gaussian g = gaussian_window();
    size_t windows = B * s.height * s.width, tiles = tiles_in(B, s.height, s.width),
           kept = dpred ? windows : 0;
    void *room;
    double sum = 0;
    int r = cuda_scratch(ctx, SLOPES * kept * sizeof(double) + cuda_shares_size(tiles, 1), &room, e);
    if (r)
        return r;
    double *slopes = dpred ? (double *)room : NULL, *share = (double *)room + SLOPES * kept;
    launch(ctx, (unsigned)tiles, SUM_THREADS, 0, ssim_windows, s, g, pred, target, slopes, share);
    if (dpred)
        launch(ctx, (unsigned)tiles_in(B, H, W), SUM_THREADS, 0, ssim_gradient, s, g,
               -weight / (double)windows, pred, target, (const double *)slopes, dpred);
    r = cuda_add_shares(ctx, tiles, 1, share, &sum, e);
    *loss += weight * (1 - sum / (double)windows);
    return r;
}
