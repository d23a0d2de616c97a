/* Products on cuBLASLt. Its matrices are column-major, which a row-major matrix is when it is read transposed: for
 * D = op(A) op(B) it is asked for D^T = op(B)^T op(A)^T, so B is its first factor, the columns of D are its rows, and a bias
 * per column of D is what it calls a bias vector.
 *
 * What it wants to know of a product (descriptors) and what it answers (an algorithm) costs the host tens of microseconds
 * and is the same for every call of a shape: a plan is made once for each and kept. Only split sums through the workspace
 * are allowed, which are added up in a fixed order; so a plan gives the same bits each time. */
#include <stdlib.h>
#include <string.h>

#include "op/cuda/linear.cuh"
#include "op/cuda/multiply_plain.cuh"
#include "op/cuda/parameters.cuh"

enum {
    WORKSPACE = 32 << 20, /* what NVIDIA recommends for sm_90 */
    BIAS_ROOM = 1 << 16,  /* elements of a bias that is rounded for one product */
    VECTOR = 16,          /* bytes: bias vectors are read by this */
    MAX_ALIGNMENT = 256,  /* more helps no algorithm */
    MOST_PLANS =
        4096 /* training draws a new number of samples each step, and each is a shape: a few MB at most */
};

/* Everything an algorithm may depend on. Compared as bytes: no padding, and zeroed first. */
struct plan_key {
    uint64_t M, N, K, lda, ldb, ldc, ldd, batch;
    int64_t stride_a, stride_b, stride_c, stride_d;
    uint32_t align_a, align_b, align_c, align_d, align_bias; /* bytes; 0: no bias */
    uint32_t flags;
};
enum { A_TRANSPOSED = 1, B_TRANSPOSED = 2, D_FLOAT = 4, WITH_RELU = 8, IN_BF16 = 16, IN_TF32 = 32 };

struct plan {
    struct plan_key key;
    bool refused; /* cuBLASLt has no algorithm: the plain kernel does it */
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatrixLayout_t c; /* NULL: d, which is what cuBLASLt asks for where C is D */
    cublasLtMatmulAlgo_t algorithm;
};

/* Open addressing; size is a power of two and at least twice count. */
struct cuda_linear_plans {
    struct plan **slot;
    size_t size, count;
    char *workspace; /* and the room for a bias behind it */
};

int cuda_linear_open(struct cuda_linear_plans **plans, struct err *e)
{
    struct cuda_linear_plans *p = (struct cuda_linear_plans *)calloc(1, sizeof *p);
    if (!p)
        return err_memory(e, "plans of matrix products", sizeof *p);
    *plans = p;
    p->size = 64;
    p->slot = (struct plan **)calloc(p->size, sizeof *p->slot);
    if (!p->slot)
        return err_memory(e, "plans of matrix products", p->size * sizeof *p->slot);
    return cuda_try(cudaMalloc((void **)&p->workspace, WORKSPACE + BIAS_ROOM * sizeof(bf16)),
                    "workspace of matrix products", e);
}

static void plan_free(struct plan *p)
{
    if (!p)
        return;
    if (p->product)
        cublasLtMatmulDescDestroy(p->product);
    for (cublasLtMatrixLayout_t layout : {p->a, p->b, p->c, p->d})
        if (layout)
            cublasLtMatrixLayoutDestroy(layout);
    free(p);
}

static void forget_all(struct cuda_linear_plans *plans)
{
    for (size_t i = 0; plans->slot && i < plans->size; i++) {
        plan_free(plans->slot[i]);
        plans->slot[i] = NULL;
    }
    plans->count = 0;
}

void cuda_linear_close(struct cuda_linear_plans *plans)
{
    if (!plans)
        return;
    forget_all(plans);
    cudaFree(plans->workspace);
    free(plans->slot);
    free(plans);
}

/* The slot of a key, or the free one where it belongs: FNV-1a, then the next free. */
static struct plan **find_slot(const struct cuda_linear_plans *plans, const struct plan_key *key)
{
    const unsigned char *byte = (const unsigned char *)key;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof *key; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3u;
    for (size_t i = hash ^ hash >> 32;; i++) {
        struct plan **slot = plans->slot + (i & (plans->size - 1));
        if (!*slot || !memcmp(&(*slot)->key, key, sizeof *key))
            return slot;
    }
}

/* Makes room for one more; recorded sequences have what they need of a plan in them. */
static int grow(struct cuda_linear_plans *plans, struct err *e)
{
    struct cuda_linear_plans bigger = *plans;
    if (plans->count >= MOST_PLANS)
        forget_all(plans);
    if (2 * (plans->count + 1) <= plans->size)
        return 0;
    bigger.size = 2 * plans->size;
    bigger.slot = (struct plan **)calloc(bigger.size, sizeof *bigger.slot);
    if (!bigger.slot)
        return err_memory(e, "plans of matrix products", bigger.size * sizeof *bigger.slot);
    for (size_t i = 0; i < plans->size; i++)
        if (plans->slot[i])
            *find_slot(&bigger, &plans->slot[i]->key) = plans->slot[i];
    free(plans->slot);
    *plans = bigger;
    return 0;
}

static int blas_try(cublasStatus_t status, const char *what, struct err *e)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return 0;
    return err_set(e, ERR_INTERNAL, "cuBLASLt %s: %s", what, cublasLtGetStatusString(status));
}

/* A stored row-major matrix of rows x cols, which is cols x rows to cuBLASLt. */
static int make_layout(cublasLtMatrixLayout_t *layout, cudaDataType_t type, size_t rows, size_t cols,
                       size_t ld, size_t batch, int64_t stride, struct err *e)
{
    int32_t count = (int32_t)batch;
    int r = blas_try(cublasLtMatrixLayoutCreate(layout, type, cols, rows, (int64_t)ld), "layout", e);
    if (r || batch <= 1)
        return r;
    r = blas_try(
        cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
        "layout", e);
    return r ? r
             : blas_try(cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                                         &stride, sizeof stride),
                        "layout", e);
}

static int set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, const void *value,
               size_t size, struct err *e)
{
    return blas_try(cublasLtMatmulDescSetAttribute(product, attribute, value, size), "product", e);
}

/* The product and its four matrices. The bias is set at each call; here so that the heuristic sees how it is aligned. */
static int describe(struct plan *p, const void *bias, struct err *e)
{
    const struct plan_key *k = &p->key;
    cudaDataType_t factor = k->flags & IN_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    cudaDataType_t result = k->flags & D_FLOAT ? CUDA_R_32F : factor;
    cublasComputeType_t compute = k->flags & IN_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    int32_t op_a = k->flags & A_TRANSPOSED ? CUBLAS_OP_T : CUBLAS_OP_N;
    int32_t op_b = k->flags & B_TRANSPOSED ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint32_t epilogue =
        (k->align_bias ? CUBLASLT_EPILOGUE_BIAS : 0) | (k->flags & WITH_RELU ? CUBLASLT_EPILOGUE_RELU : 0);
    if (!epilogue)
        epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    int r = blas_try(cublasLtMatmulDescCreate(&p->product, compute, CUDA_R_32F), "product", e);
    if (!r)
        r = set(p->product, CUBLASLT_MATMUL_DESC_TRANSA, &op_b, sizeof op_b, e);
    if (!r)
        r = set(p->product, CUBLASLT_MATMUL_DESC_TRANSB, &op_a, sizeof op_a, e);
    if (!r)
        r = set(p->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue, e);
    if (!r && bias)
        r = set(p->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias, e);
    bool ta = k->flags & A_TRANSPOSED, tb = k->flags & B_TRANSPOSED;
    if (!r)
        r = make_layout(&p->a, factor, ta ? k->K : k->M, ta ? k->M : k->K, k->lda, k->batch, k->stride_a, e);
    if (!r)
        r = make_layout(&p->b, factor, tb ? k->N : k->K, tb ? k->K : k->N, k->ldb, k->batch, k->stride_b, e);
    if (!r)
        r = make_layout(&p->d, result, k->M, k->N, k->ldd, k->batch, k->stride_d, e);
    return r || (k->ldc == k->ldd && k->stride_c == k->stride_d)
               ? r
               : make_layout(&p->c, result, k->M, k->N, k->ldc, k->batch, k->stride_c, e);
}

static cublasLtMatrixLayout_t layout_of_c(const struct plan *p)
{
    return p->c ? p->c : p->d;
}

/* The algorithm that cuBLASLt takes for the fastest, for pointers aligned as the key says. */
static int choose(cublasLtHandle_t blas, struct plan *p, struct err *e)
{
    const struct plan_key *k = &p->key;
    cublasLtMatmulPreference_t wish = NULL;
    uint64_t workspace = WORKSPACE;
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        const void *value;
        size_t size;
    } wishes[] = {
        {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &k->align_b, sizeof k->align_b},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &k->align_a, sizeof k->align_a},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &k->align_c, sizeof k->align_c},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &k->align_d, sizeof k->align_d},
    };
    int r = blas_try(cublasLtMatmulPreferenceCreate(&wish), "preference", e);
    for (size_t i = 0; !r && i < sizeof wishes / sizeof *wishes; i++)
        r = blas_try(
            cublasLtMatmulPreferenceSetAttribute(wish, wishes[i].attribute, wishes[i].value, wishes[i].size),
            "preference", e);
    if (r) {
        if (wish)
            cublasLtMatmulPreferenceDestroy(wish);
        return r;
    }
    cublasLtMatmulHeuristicResult_t found = {};
    int count = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(blas, p->product, p->b, p->a, layout_of_c(p), p->d,
                                                           wish, 1, &found, &count);
    cublasLtMatmulPreferenceDestroy(wish);
    p->refused = status != CUBLAS_STATUS_SUCCESS || !count || found.state != CUBLAS_STATUS_SUCCESS;
    p->algorithm = found.algo;
    return 0;
}

static int plan_of(struct cuda_state *s, const struct plan_key *key, const void *bias, struct plan **plan,
                   struct err *e)
{
    struct cuda_linear_plans *plans = s->plans;
    *plan = *find_slot(plans, key);
    if (*plan)
        return 0;
    int r = grow(plans, e);
    if (r)
        return r;
    struct plan *p = (struct plan *)calloc(1, sizeof *p);
    if (!p)
        return err_memory(e, "plan of a matrix product", sizeof *p);
    p->key = *key;
    /* cuBLASLt counts rows and columns in 32 bits, from 1 */
    p->refused =
        key->M > INT32_MAX || key->N > INT32_MAX || key->K > INT32_MAX || key->batch > INT32_MAX || !key->K;
    if (!p->refused && ((r = describe(p, bias, e)) || (r = choose(s->blas, p, e)))) {
        plan_free(p);
        return r;
    }
    *find_slot(plans, key) = *plan = p;
    plans->count++;
    return 0;
}

static uint32_t alignment_of(const void *p)
{
    uintptr_t at = (uintptr_t)p | MAX_ALIGNMENT;
    return (uint32_t)(at & -at);
}

static struct plan_key key_of(const struct op_ctx *ctx, const struct cuda_product *p, const void *A,
                              const void *B, const void *C, const void *D, const void *bias)
{
    struct plan_key k;
    memset(&k, 0, sizeof k);
    k.M = p->M, k.N = p->N, k.K = p->K;
    k.lda = p->lda, k.ldb = p->ldb, k.ldc = p->ldc, k.ldd = p->ldd;
    k.batch = p->batch > 1 ? p->batch : 1;
    if (k.batch > 1)
        k.stride_a = p->stride_a, k.stride_b = p->stride_b, k.stride_c = p->stride_c,
        k.stride_d = p->stride_d;
    k.align_a = alignment_of(A), k.align_b = alignment_of(B);
    k.align_c = alignment_of(C), k.align_d = alignment_of(D);
    k.align_bias = bias ? alignment_of(bias) : 0;
    k.flags = (p->a_transposed ? A_TRANSPOSED : 0) | (p->b_transposed ? B_TRANSPOSED : 0) |
              (p->d_float ? D_FLOAT : 0) | (p->relu ? WITH_RELU : 0) | (ctx->bf16 ? IN_BF16 : 0) |
              (ctx->tf32 && !ctx->bf16 ? IN_TF32 : 0);
    return k;
}

/* The bias as cuBLASLt's epilogue takes it: of D's type, and aligned to whole vectors; NULL: it cannot. */
static const void *epilogue_bias(struct op_ctx *ctx, const struct cuda_product *p)
{
    if (!ctx->bf16 || p->d_float)
        return (uintptr_t)p->bias % VECTOR ? NULL : p->bias;
    if (p->N > BIAS_ROOM && !cuda_parameters_mirrored(ctx, p->bias, p->N))
        return NULL;
    bf16 *room = (bf16 *)(cuda_state_of(ctx)->plans->workspace + WORKSPACE);
    const bf16 *bias = cuda_parameters_bf16(ctx, p->bias, p->N, room);
    return (uintptr_t)bias % VECTOR ? NULL : bias;
}

int cuda_multiply(struct op_ctx *ctx, const struct cuda_product *product, const void *A, const void *B,
                  const void *C, void *D, struct err *e)
{
    struct cuda_state *s = cuda_state_of(ctx);
    struct cuda_product p = *product;
    const void *bias = NULL;
    if (!p.M || !p.N)
        return 0;
    if (p.beta == 0)
        C = D, p.ldc = p.ldd, p.stride_c = p.stride_d;
    if (p.bias && !(bias = epilogue_bias(ctx, &p)))
        return cuda_multiply_plain(ctx, &p, A, B, C, D);
    struct plan_key key = key_of(ctx, &p, A, B, C, D, bias);
    struct plan *plan;
    int r = plan_of(s, &key, bias, &plan, e);
    if (r)
        return r;
    if (plan->refused)
        return cuda_multiply_plain(ctx, &p, A, B, C, D);
    if (bias && (r = set(plan->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias, e)))
        return r;
    cublasStatus_t status = cublasLtMatmul(s->blas, plan->product, &p.alpha, B, plan->b, A, plan->a, &p.beta,
                                           C, layout_of_c(plan), D, plan->d, &plan->algorithm,
                                           s->plans->workspace, WORKSPACE, s->stream);
    /* The heuristic only estimates; these say that nothing was started. */
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE &&
        status != CUBLAS_STATUS_ARCH_MISMATCH)
        return blas_try(status, "product", e);
    plan->refused = true;
    return cuda_multiply_plain(ctx, &p, A, B, C, D);
}
