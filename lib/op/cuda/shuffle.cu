/* torch's pixel_shuffle: (B,h,w,C*p*p) and (B,h*p,w*p,C), there and back.
 *
 * For each of the B*h*w patches a small matrix C x p*p is transposed. It passes through shared memory, so that both
 * sides move whole rows: channels lie next to each other in y, the p*p places in x. Patches that do not fit are moved
 * element by element. */
#include "op/cuda/ops.cuh"
#include "op/cuda/ptx.cuh"
#include "op/cuda/vector.cuh"

/* n / d by a multiplication, exact for n and d below 2^31. */
struct divisor {
    unsigned d, magic, shift;
};

static struct divisor divisor_of(unsigned d)
{
    unsigned log = 0;
    while (1ull << log < d)
        log++;
    return {d, (unsigned)((1ull << (31 + log)) / d + 1), 31 + log};
}

static __device__ __forceinline__ unsigned divide(unsigned n, const struct divisor &by)
{
    return (unsigned)((unsigned long long)n * by.magic >> by.shift);
}

struct shuffle {
    size_t patches, w, ldy;
    unsigned C, p, pp, row; /* row: of the matrix in shared memory, a few more than pp */
    struct divisor by_C, by_p, by_pp;
};

/* Place 0 of a patch in y, in pixels. */
static __device__ __forceinline__ size_t patch_origin(const struct shuffle &s, size_t patch)
{
    size_t line = patch / s.w; /* of all frames */
    return line * s.p * (s.w * s.p) + (patch - line * s.w) * s.p;
}

/* Place i of a patch in y, in pixels from its place 0. */
static __device__ __forceinline__ size_t place_in(const struct shuffle &s, unsigned i)
{
    unsigned down = divide(i, s.by_p);
    return (size_t)down * (s.w * s.p) + (i - down * s.p);
}

/* A block to a patch. X: neighbours of x in one access, Y: of y; a warp's accesses lie side by side, and more than two
 * would meet in the banks of the shared memory. */
template <typename T, int X, int Y, bool back>
static __global__ void __launch_bounds__(WALK_THREADS) shuffle_patches(struct shuffle s, const T *from, T *to)
{
    T *room = (T *)shared_memory(); /* [channel][row] */
    unsigned n = s.C * s.pp;
    for (size_t patch = blockIdx.x; patch < s.patches; patch += gridDim.x) {
        size_t x = patch * n, y = patch_origin(s, patch) * s.ldy;
        /* Half 0 fills the room, half 1 empties it; `back` tells which side is x. */
        for (int half = 0; half < 2; half++) {
            if (half != back)
                for (unsigned i = threadIdx.x * Y; i < n; i += blockDim.x * Y) {
                    unsigned at = divide(i, s.by_C), c = i - at * s.C;
                    size_t pixel = y + place_in(s, at) * s.ldy + c;
                    float v[Y];
                    if (back)
                        load_row(from + pixel, v);
#pragma unroll
                    for (int k = 0; k < Y; k++)
                        if (back)
                            store(room + (c + k) * s.row + at, v[k]);
                        else
                            v[k] = to_float(room[(c + k) * s.row + at]);
                    if (!back)
                        store_row(to + pixel, v);
                }
            else
                for (unsigned i = threadIdx.x * X; i < n; i += blockDim.x * X) {
                    unsigned c = divide(i, s.by_pp), at = i - c * s.pp;
                    float v[X];
                    if (!back)
                        load_row(from + x + i, v);
#pragma unroll
                    for (int k = 0; k < X; k++)
                        if (back)
                            v[k] = to_float(room[c * s.row + at + k]);
                        else
                            store(room + c * s.row + at + k, v[k]);
                    if (back)
                        store_row(to + x + i, v);
                }
            __syncthreads();
        }
    }
}

/* Element by element, in x's order. */
template <typename T, bool back>
static __global__ void __launch_bounds__(WALK_THREADS)
    shuffle_elements(struct shuffle s, const T *from, T *to)
{
    size_t n = (size_t)s.C * s.pp, all = s.patches * n;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < all;
         i += (size_t)gridDim.x * blockDim.x) {
        size_t patch = i / n, c = (i - patch * n) / s.pp;
        unsigned at = (unsigned)(i - patch * n - c * s.pp);
        size_t y = (patch_origin(s, patch) + place_in(s, at)) * s.ldy + c;
        to[back ? i : y] = from[back ? y : i];
    }
}

template <typename T, bool back>
static void shuffle(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p, size_t ldy,
                    const T *x_side, const T *y_side, const T *from, T *to)
{
    size_t patches = B * h * w;
    struct shuffle s = {patches, w, ldy ? ldy : C, (unsigned)C, (unsigned)p, (unsigned)(p * p)};
    s.by_C = divisor_of(s.C);
    s.by_p = divisor_of(s.p);
    s.by_pp = divisor_of(s.pp);
    /* An odd number of words of 4 bytes: channels next to each other lie in different banks. */
    s.row = (unsigned)((s.pp * sizeof(T) + 3) / 4 | 1) * (unsigned)(4 / sizeof(T));
    size_t bytes = (size_t)s.C * s.row * sizeof(T);
    if (bytes > 40 * 1024) {
        launch(ctx, busy_blocks(ctx, patches * C * p * p, WALK_THREADS, 16), WALK_THREADS, 0,
               shuffle_elements<T, back>, s, from, to);
        return;
    }
    bool x_pairs = !((s.pp | place<T>(x_side)) & 1), y_pairs = !((s.C | s.ldy | place<T>(y_side)) & 1);
    launch(ctx, busy_blocks(ctx, patches, 1, 16), WALK_THREADS, bytes,
           x_pairs   ? y_pairs ? shuffle_patches<T, 2, 2, back> : shuffle_patches<T, 2, 1, back>
             : y_pairs ? shuffle_patches<T, 1, 2, back>
                     : shuffle_patches<T, 1, 1, back>,
           s, from, to);
}

void cuda_pixel_shuffle(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p, size_t ldy,
                        const act *x, act *y)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        shuffle<T, false>(ctx, B, h, w, C, p, ldy, (const T *)x, (const T *)y, (const T *)x, (T *)y);
    });
}

void cuda_pixel_shuffle_backward(struct op_ctx *ctx, size_t B, size_t h, size_t w, size_t C, size_t p,
                                 size_t lddy, const act *dy, act *dx)
{
    by_act(ctx, [&](auto *type) {
        typedef std::remove_reference_t<decltype(*type)> T;
        shuffle<T, true>(ctx, B, h, w, C, p, lddy, (const T *)dx, (const T *)dy, (const T *)dy, (T *)dx);
    });
}
