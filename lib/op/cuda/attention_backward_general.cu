/* The backward pass of attention by plain multiply-adds, for fp32 and for what the tensor cores do not serve: any head
 * size, any alignment.
 *
 * Tiles of 64 queries x 64 keys. A block of 256 threads is 16 x 16: thread (y, x) has elements (y + 16a, x + 16b) of every
 * 64 x 64 matrix. The head is read in slices of 64 columns; one slice at a time is summed over for the scores, and each
 * block makes one slice of the gradients. Two kernels, one whose blocks own queries (dq) and one whose blocks own keys (dk,
 * dv), each make the weights anew: seven products instead of five, and no sum is shared. In bf16 a third one goes before
 * them: delta from the rounded output is too coarse for heads of a few elements. */
#include "op/cuda/attention_backward.cuh"
#include "op/cuda/number.cuh"

enum { SIDE = 64, STEP = 16, THREADS = STEP * STEP, EACH = SIDE / STEP };

/* Rows are a word longer, so that a column lies in different banks. */
typedef float matrix[SIDE][SIDE + 1];

/* 97.5 KB: as much as a block gets everywhere. */
struct room {
    matrix q, dout, k, v;   /* a slice of the head: row, column */
    matrix weight, dscores; /* query, key: P M and dS */
};

/* Rows 0..rows-1 and columns 0..columns-1 of `from`; the rest is 0. */
template <typename T> static __device__ void load(matrix to, const T *from, size_t ld, int rows, int columns)
{
    for (int i = threadIdx.x; i < SIDE * SIDE; i += THREADS) {
        int row = i / SIDE, column = i % SIDE;
        to[row][column] = row < rows && column < columns ? to_float(from[row * ld + column]) : 0.0f;
    }
}

/* One tile: which frame and head, its first query and key, and where those are. */
template <typename T> struct tile {
    int frame, h, query, key, keys; /* keys: how many the frame has */
    const T *q, *k, *v, *dout;      /* row `query` or `key`, column 0 of the head */
    size_t dout_ld;
};

template <typename T>
static __device__ struct tile<T> tile_of(const struct backward &b, const struct backward_operands<T> &x,
                                         int frame, int h, int query, int key) {
    const struct attention_shape &s = b.shape;
    struct tile<T> at = {
        .frame = frame, .h = h, .query = query, .key = key, .keys = valid_keys(s, frame)
    };
    size_t keys = frame * s.kv_batch + key * s.ldkv + (size_t)h * s.head;
    at.dout_ld = (size_t)s.heads * s.head;
    at.q = x.q + frame * s.q_batch + query * s.ldq + (size_t)h * s.head;
    at.k = x.k + keys;
    at.v = x.v + keys;
    at.dout = x.dout + ((size_t)frame * s.Tq + query) * at.dout_ld + (size_t)h * s.head;
    return at;
}

template <typename T>
static __device__ void load_slice(struct room *r, const struct attention_shape &s, const struct tile<T> &at,
                                  int slice)
{
    int first = slice * SIDE, columns = s.head - first;
    load(r->q, at.q + first, s.ldq, s.Tq - at.query, columns);
    load(r->dout, at.dout + first, at.dout_ld, s.Tq - at.query, columns);
    load(r->k, at.k + first, s.ldkv, at.keys - at.key, columns);
    load(r->v, at.v + first, s.ldkv, at.keys - at.key, columns);
}

/* sum += left right^T over the columns of a slice. */
static __device__ void add_product(float sum[EACH][EACH], const matrix left, const matrix right, int columns)
{
    int y = threadIdx.x / STEP, x = threadIdx.x % STEP;
    for (int c = 0; c < columns; c++)
#pragma unroll
        for (int a = 0; a < EACH; a++)
#pragma unroll
            for (int b = 0; b < EACH; b++)
                sum[a][b] = fmaf(left[y + STEP * a][c], right[x + STEP * b][c], sum[a][b]);
}

/* Fills r->weight and r->dscores, and leaves slice `slice` of the operands in place. All threads; ends with a barrier. */
template <typename T>
static __device__ void make_weights(struct room *r, const struct backward &b, const struct tile<T> &at,
                                    int slice)
{
    const struct attention_shape &s = b.shape;
    int y = threadIdx.x / STEP, x = threadIdx.x % STEP, slices = (s.head + SIDE - 1) / SIDE;
    float score[EACH][EACH] = {}, dweight[EACH][EACH] = {};
    for (int i = 1; i <= slices; i++) { /* the one that stays comes last */
        __syncthreads();
        int now = (slice + i) % slices, columns = min((int)SIDE, s.head - now * SIDE);
        load_slice(r, s, at, now);
        __syncthreads();
        add_product(score, r->q, r->k, columns);
        add_product(dweight, r->dout, r->v, columns);
    }
    const float2 *statistics = b.statistics + ((size_t)at.frame * s.heads + at.h) * b.rows + at.query;
    for (int i = 0; i < EACH; i++) {
        float2 of = statistics[y + STEP * i];
        unsigned long long row = weight_row(s, at.frame, at.h, at.query + y + STEP * i) + at.key;
        for (int j = 0; j < EACH; j++) {
            int key = x + STEP * j;
            bool valid = at.key + key < at.keys;
            float p = valid ? exp2f(fmaf(score[i][j], s.scale * LOG2E, -of.x)) : 0.0f;
            bool kept = !s.dropout.on || dropout_factor(s.dropout, row + key) > 0;
            r->weight[y + STEP * i][key] = kept ? p : 0.0f;
            r->dscores[y + STEP * i][key] = p * ((kept ? dweight[i][j] : 0.0f) - of.y);
        }
    }
    __syncthreads();
}

/* sum (row of left, column of right) += left right, or left^T right, over the 64 rows of right. */
template <bool TRANSPOSED>
static __device__ void add_gradient(float sum[EACH][EACH], const matrix left, const matrix right)
{
    int y = threadIdx.x / STEP, x = threadIdx.x % STEP;
    for (int i = 0; i < SIDE; i++)
#pragma unroll
        for (int a = 0; a < EACH; a++)
#pragma unroll
            for (int b = 0; b < EACH; b++) {
                int row = y + STEP * a;
                sum[a][b] = fmaf(TRANSPOSED ? left[i][row] : left[row][i], right[i][x + STEP * b], sum[a][b]);
            }
}

/* The rows of dS sum to 0, as the weights of a row sum to 1: what they are off 0 is what delta is off. Blocks own 64 queries
 * of one head. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    refine_deltas(struct backward b, struct backward_operands<T> x)
{
    const struct attention_shape &s = b.shape;
    struct room *r = (struct room *)shared_memory();
    int tiles = b.rows / SIDE, query = blockIdx.x % tiles * SIDE, head = blockIdx.x / tiles;
    int frame = head / s.heads, h = head % s.heads, keys = valid_keys(s, frame);
    float off = 0;
    for (int key = 0; key < keys; key += SIDE) {
        make_weights(r, b, tile_of(b, x, frame, h, query, key), 0);
        for (int j = 0; j < SIDE && threadIdx.x < SIDE; j++)
            off += r->dscores[threadIdx.x][j];
    }
    if (threadIdx.x < SIDE)
        b.statistics[(size_t)head * b.rows + query + threadIdx.x].y += off;
}

/* Blocks own 64 queries, one head, one slice. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    query_gradients(struct backward b, struct backward_operands<T> x)
{
    const struct attention_shape &s = b.shape;
    struct room *r = (struct room *)shared_memory();
    int slices = (s.head + SIDE - 1) / SIDE, tiles = b.rows / SIDE;
    int slice = blockIdx.x % slices, query = blockIdx.x / slices % tiles * SIDE;
    int head = blockIdx.x / slices / tiles, frame = head / s.heads, h = head % s.heads;
    int keys = valid_keys(s, frame);
    float dq[EACH][EACH] = {};
    for (int key = 0; key < keys; key += SIDE) {
        make_weights(r, b, tile_of(b, x, frame, h, query, key), slice);
        add_gradient<false>(dq, r->dscores, r->k);
    }
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            int row = query + threadIdx.x / STEP + STEP * i;
            int column = slice * SIDE + threadIdx.x % STEP + STEP * j;
            if (row < s.Tq && column < s.head)
                store(x.dq + frame * b.dq_batch + row * s.ldq + (size_t)h * s.head + column,
                      dq[i][j] * b.factor);
        }
}

/* Blocks own 64 keys, one head, one slice, and a chunk of the queries. */
template <typename T>
static __global__ void __launch_bounds__(THREADS)
    key_gradients(struct backward b, struct backward_operands<T> x)
{
    const struct attention_shape &s = b.shape;
    struct room *r = (struct room *)shared_memory();
    int slices = (s.head + SIDE - 1) / SIDE, tiles = (s.Tk + SIDE - 1) / SIDE;
    int slice = blockIdx.x % slices, key = blockIdx.x / slices % tiles * SIDE;
    int chunk = blockIdx.x / slices / tiles % b.chunks, head = blockIdx.x / slices / tiles / b.chunks;
    int frame = head / s.heads, h = head % s.heads;
    if (key >= valid_keys(s, frame)) /* the sums of padding are not read */
        return;
    int first = chunk * b.chunk_tiles * SIDE, end = min(b.rows, first + b.chunk_tiles * SIDE);
    float dk[EACH][EACH] = {}, dv[EACH][EACH] = {};
    for (int query = first; query < end; query += SIDE) {
        make_weights(r, b, tile_of(b, x, frame, h, query, key), slice);
        add_gradient<true>(dk, r->dscores, r->q);
        add_gradient<true>(dv, r->weight, r->dout);
    }
    float *to = b.partial + ((size_t)head * b.chunks + chunk) * 2 * b.key_rows * b.width;
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            size_t row = key + threadIdx.x / STEP + STEP * i;
            int column = slice * SIDE + threadIdx.x % STEP + STEP * j;
            if (row < (size_t)b.key_rows && column < b.width) {
                to[row * b.width + column] = dk[i][j];
                to[(b.key_rows + row) * b.width + column] = dv[i][j];
            }
        }
}

template <typename T>
int backward_general(struct op_ctx *ctx, const struct op_attention *p, const float *lse,
                     const struct backward_operands<T> *x, struct err *e)
{
    struct backward b = backward_of(p, SIDE);
    size_t heads = p->B * p->heads, slices = (p->head + SIDE - 1) / SIDE, tiles = b.rows / SIDE;
    size_t key_blocks = (p->Tk + SIDE - 1) / SIDE * slices;
    b.key_rows = b.shape.Tk;
    b.width = b.shape.head;
    backward_choose_chunks(&b, tiles, heads * key_blocks, 2 * (size_t)cuda_state_of(ctx)->multiprocessors);
    char *scratch;
    int r =
        cuda_scratch(ctx, backward_statistics_bytes(&b) + backward_partial_bytes(&b), (void **)&scratch, e);
    if (r)
        return r;
    b.statistics = (float2 *)scratch;
    b.partial = (float *)(scratch + backward_statistics_bytes(&b));
    backward_statistics(ctx, &b, x->out, x->dout, lse);
    if constexpr (sizeof(T) == 2)
        launch(ctx, (unsigned)(heads * tiles), THREADS, sizeof(struct room), refine_deltas<T>, b, *x);
    launch(ctx, (unsigned)(heads * tiles * slices), THREADS, sizeof(struct room), query_gradients<T>, b, *x);
    launch(ctx, (unsigned)(heads * b.chunks * key_blocks), THREADS, sizeof(struct room), key_gradients<T>, b,
           *x);
    backward_finish_keys(ctx, &b, x->dk, x->dv);
    return 0;
}

template int backward_general<float>(struct op_ctx *, const struct op_attention *, const float *,
                                     const struct backward_operands<float> *, struct err *);
template int backward_general<bf16>(struct op_ctx *, const struct op_attention *, const float *,
                                    const struct backward_operands<bf16> *, struct err *);
