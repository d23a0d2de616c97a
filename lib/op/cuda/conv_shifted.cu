/* 3x3 convolution as nine matrix products: in a copy of the image with a border of zeros, the pixel a tap reads lies a fixed
 * number of rows after the pixel it is for, so a tap is one product of the whole copy, shifted, with its (C,O) weights. The
 * copy's rows are W+2 pixels; what comes out at the two extra ones (and in the two extra rows of a frame) means nothing and
 * is dropped. Channels are filled up with zeros to a multiple of eight, so that every shift is a multiple of 16 bytes. */
#include "op/cuda/conv.cuh"
#include "op/cuda/linear.cuh"
#include "op/cuda/number.cuh"

/* A piece of the batch: `frames` whole frames, or `rows` rows of one where a frame is too large. */
struct conv_piece {
    int frames, rows, first_frame, first_row;
};

/* Bytes of a piece for each multiprocessor: together less than the second-level cache, so that what nine products read and
 * add to stays in it. */
static constexpr size_t PIECE_BYTES = 256 << 10;

static size_t up8(size_t n)
{
    return (n + 7) / 8 * 8;
}

/* Pixels of a piece's copy. */
static __host__ __device__ size_t copy_pixels(const struct conv_piece &q, int W)
{
    return (size_t)q.frames * (q.rows + 2) * (W + 2);
}

static struct conv_piece first_piece(struct op_ctx *ctx, const struct conv *p, size_t bytes_a_pixel)
{
    size_t most = PIECE_BYTES * cuda_state_of(ctx)->multiprocessors;
    size_t line = (size_t)(p->W + 2) * bytes_a_pixel, frames = most / (line * (p->H + 2)), rows = most / line;
    struct conv_piece q = {1, p->H, 0, 0};
    if (frames)
        q.frames = frames < (size_t)p->B ? (int)frames : p->B;
    else
        q.rows = rows > 2 ? (int)rows - 2 : 1;
    return q;
}

static bool next_piece(const struct conv *p, struct conv_piece *q)
{
    q->first_row += q->rows;
    if (q->first_row >= p->H) {
        q->first_row = 0;
        q->first_frame += q->frames;
    }
    return q->first_frame < p->B;
}

/* The last piece may be smaller. */
static struct conv_piece clipped(const struct conv *p, const struct conv_piece *q)
{
    struct conv_piece c = *q;
    c.frames = min(c.frames, p->B - c.first_frame);
    c.rows = min(c.rows, p->H - c.first_row);
    return c;
}

/* to (pixels, N8) = from (B,H,W,N) around the piece, pixel (row, column) of the copy from (row - border, column - border) of
 * the piece; 0 outside the image, in channels from N on, and in what `pixels` has beyond the copy. border 0: also in the two
 * rows that a frame of the copy has more than the piece. */
template <typename T>
static __global__ void copy_piece(struct conv p, struct conv_piece q, size_t pixels, int N, int N8,
                                  int border, const T *from, T *to)
{
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x, pixel = i / N8;
    if (pixel >= pixels)
        return;
    int n = (int)(i % N8), x = (int)(pixel % (p.W + 2)) - border;
    size_t line = pixel / (p.W + 2);
    int row = (int)(line % (q.rows + 2)) - border, frame = q.first_frame + (int)(line / (q.rows + 2));
    int y = q.first_row + row;
    bool inside = pixel < copy_pixels(q, p.W) && n < N && x >= 0 && x < p.W && y >= 0 && y < p.H &&
                  (border || row < q.rows);
    store(to + i, inside ? to_float(from[(((size_t)frame * p.H + y) * p.W + x) * N + n]) : 0);
}

/* to (9,O8,C8) from w. */
template <typename T> static __global__ void copy_weights(struct conv p, int O8, int C8, T *to)
{
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x, n = (size_t)O8 * C8;
    if (i >= 9 * n)
        return;
    int t = (int)(i / n), o = (int)(i % n / C8), c = (int)(i % C8);
    store(to + i, o < p.O && c < p.C ? p.w[conv_weight_at(p, o, c, t)] : 0);
}

/* y = relu(sums + bias + residual) of a piece; sums (copy_pixels,O8). */
template <typename T>
static __global__ void finish(struct conv p, struct conv_piece q, int O8, const float *sums, T *y)
{
    size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x, pixel = i / p.O;
    if (pixel >= (size_t)q.frames * q.rows * p.W)
        return;
    int o = (int)(i % p.O), x = (int)(pixel % p.W), row = (int)(pixel / p.W % q.rows);
    size_t frame = pixel / p.W / q.rows;
    size_t to = (((q.first_frame + frame) * p.H + q.first_row + row) * p.W + x) * p.O + o;
    float sum = sums[((frame * (q.rows + 2) + row) * (p.W + 2) + x) * O8 + o];
    if (p.bias)
        sum += p.bias[o];
    if (p.residual)
        sum += to_float(((const T *)p.residual)[to]);
    store(y + to, p.relu ? fmaxf(sum, 0) : sum);
}

enum { THREADS = 256, TAPS = 9 };

/* Rows of the copy from a pixel to the one that tap t reads, and rows for which all nine are there. */
static size_t shift(const struct conv *p, int t)
{
    return (size_t)(t / 3) * (p->W + 2) + t % 3;
}

static size_t product_rows(const struct conv *p, const struct conv_piece *q)
{
    return copy_pixels(*q, p->W) - shift(p, TAPS - 1);
}

template <typename T>
static void fill(struct op_ctx *ctx, const struct conv *p, const struct conv_piece *q, size_t pixels, int N,
                 int border, const T *from, T *to)
{
    launch(ctx, blocks_for(pixels * up8(N), THREADS), THREADS, 0, copy_piece<T>, *p, *q, pixels, N,
           (int)up8(N), border, from, to);
}

template <typename T>
static int forward(struct op_ctx *ctx, const struct conv *p, const T *x, T *y, struct err *e)
{
    size_t C8 = up8(p->C), O8 = up8(p->O), weights = TAPS * O8 * C8;
    struct conv_piece all = first_piece(ctx, p, C8 * sizeof(T) + O8 * sizeof(float));
    size_t pixels = copy_pixels(all, p->W);
    void *room;
    int r = cuda_scratch(ctx, (weights + pixels * C8) * sizeof(T) + pixels * O8 * sizeof(float), &room, e);
    if (r)
        return r;
    float *sums = (float *)room;
    T *w = (T *)(sums + pixels * O8), *copy = w + weights;
    launch(ctx, blocks_for(weights, THREADS), THREADS, 0, copy_weights<T>, *p, (int)O8, (int)C8, w);
    do {
        struct conv_piece q = clipped(p, &all);
        fill<T>(ctx, p, &q, copy_pixels(q, p->W), p->C, 1, x, copy);
        struct cuda_product product = {};
        product.M = product_rows(p, &q);
        product.N = product.ldc = product.ldd = O8;
        product.K = product.lda = product.ldb = C8;
        product.b_transposed = product.d_float = true;
        product.alpha = 1;
        product.batch = 1;
        for (int t = 0; t < TAPS && !r; t++) {
            product.beta = t ? 1.0f : 0.0f;
            r = cuda_multiply(ctx, &product, copy + shift(p, t) * C8, w + t * O8 * C8, sums, sums, e);
        }
        if (!r)
            launch(ctx, blocks_for((size_t)q.frames * q.rows * p->W * p->O, THREADS), THREADS, 0, finish<T>,
                   *p, q, (int)O8, (const float *)sums, y);
    } while (!r && next_piece(p, &all));
    return r;
}

/* The rows of dy's copy that belong to no pixel are zeros, so a product of all rows sums over all pixels of a piece. The
 * result is small and its sums are long: the rows are dealt out in equal parts, one product of a batch each, to fill the
 * device; the copies are long enough for all of them. */
template <typename T>
static int weight(struct op_ctx *ctx, const struct conv *p, const T *x, const T *dy, float *dw, struct err *e)
{
    size_t C8 = up8(p->C), O8 = up8(p->O), weights = TAPS * O8 * C8;
    struct conv_piece all = first_piece(ctx, p, (C8 + O8) * sizeof(T));
    size_t most = product_rows(p, &all), tiles = (size_t)blocks_for(O8, 128) * blocks_for(C8, 128);
    size_t parts = conv_parts(ctx, blocks_for(most, 1024), tiles, 2);
    size_t dy_pixels = up8(blocks_for(most, parts)) * parts, x_pixels = dy_pixels + shift(p, TAPS - 1);
    void *room;
    int r = cuda_scratch(ctx, parts * weights * sizeof(float) + (dy_pixels * O8 + x_pixels * C8) * sizeof(T),
                         &room, e);
    if (r)
        return r;
    float *sums = (float *)room;
    T *x_copy = (T *)(sums + parts * weights), *dy_copy = x_copy + x_pixels * C8;
    struct cuda_product product = {};
    product.M = product.lda = O8;
    product.N = product.ldb = product.ldc = product.ldd = C8;
    product.K = dy_pixels / parts;
    product.a_transposed = product.d_float = true;
    product.alpha = 1;
    product.batch = parts;
    product.stride_a = (long long)(product.K * O8);
    product.stride_b = (long long)(product.K * C8);
    product.stride_c = product.stride_d = (long long)weights;
    do {
        struct conv_piece q = clipped(p, &all);
        fill<T>(ctx, p, &q, x_pixels, p->C, 1, x, x_copy);
        fill<T>(ctx, p, &q, dy_pixels, p->O, 0, dy, dy_copy);
        for (int t = 0; t < TAPS && !r; t++) {
            float *to = sums + t * O8 * C8;
            r = cuda_multiply(ctx, &product, dy_copy, x_copy + shift(p, t) * C8, to, to, e);
        }
        product.beta = 1;
    } while (!r && next_piece(p, &all));
    if (!r)
        conv_add_parts(ctx, (int)parts, p->O, p->C, (int)O8, (int)C8, (const float *)sums, dw);
    return r;
}

int conv_shifted(struct op_ctx *ctx, const struct conv *p, const act *x, act *y, struct err *e)
{
    int r = 0;
    by_act(ctx, [&](auto *type) { r = forward(ctx, p, (decltype(type))x, (decltype(type))y, e); });
    return r;
}

int conv_shifted_weight(struct op_ctx *ctx, const struct conv *p, const act *x, const act *dy, float *dw,
                        struct err *e)
{
    int r = 0;
    by_act(ctx, [&](auto *type) { r = weight(ctx, p, (decltype(type))x, (decltype(type))dy, dw, e); });
    return r;
}
