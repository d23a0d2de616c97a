/* Plain loops behind cuBLASLt's interface. Each result is one sum over k in float, in order of k, as its kernels give it but
 * for their order. */
#include <cublasLt.h>

#include <cuda_bf16.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "emulator.h"

struct cublasLtContext {
    int open;
};

struct cublasLtMatrixLayoutOpaque_t {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t ld, stride;
    int32_t batch, order;
};

struct cublasLtMatmulDescOpaque_t {
    cublasComputeType_t compute;
    int32_t op_a, op_b, bias_type; /* -1: D's */
    uint32_t epilogue;
    const void *bias;
};

struct cublasLtMatmulPreferenceOpaque_t {
    uint64_t workspace;
    uint32_t reduction, alignment[4];
};

/* What the opaque words of an algorithm hold. */
struct algorithm {
    uint32_t alignment[4], bias_alignment;
    uint32_t reserved;
    uint64_t workspace;
};
static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t));

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
        return "CUBLAS_STATUS_INVALID_VALUE";
    }
}

template <typename T> static cublasStatus_t created(T **slot, const T &value)
{
    *slot = new (std::nothrow) T(value);
    return *slot ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

template <typename T> static cublasStatus_t assign(T &field, const void *value, size_t size)
{
    if (!value || size != sizeof field)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&field, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    return created(handle, {1});
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld)
{
    return created(layout, {type, rows, cols, ld, 0, 1, CUBLASLT_ORDER_COL});
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t size)
{
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
        return assign(layout->order, value, size);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
        return assign(layout->rows, value, size);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
        return assign(layout->cols, value, size);
    case CUBLASLT_MATRIX_LAYOUT_LD:
        return assign(layout->ld, value, size);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        return assign(layout->batch, value, size);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        return assign(layout->stride, value, size);
    default:
        return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    if (scale != CUDA_R_32F)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return created(desc, {compute, CUBLAS_OP_N, CUBLAS_OP_N, -1, CUBLASLT_EPILOGUE_DEFAULT, nullptr});
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, const void *value,
                                              size_t size)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return assign(desc->op_a, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return assign(desc->op_b, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return assign(desc->epilogue, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return assign(desc->bias, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return assign(desc->bias_type, value, size);
    default:
        return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    return created(preference, {0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}});
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t size)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return assign(preference->workspace, value, size);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return assign(preference->reduction, value, size);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return assign(preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
                      size);
    default:
        return CUBLAS_STATUS_INVALID_VALUE;
    }
}

/* --- what can be computed --- */

static bool bad_layout(const cublasLtMatrixLayoutOpaque_t *m)
{
    bool by_row = m->order == CUBLASLT_ORDER_ROW;
    if (m->order != CUBLASLT_ORDER_COL && !by_row)
        return true;
    uint64_t line = by_row ? m->cols : m->rows;
    return !m->rows || !m->cols || m->rows > INT32_MAX || m->cols > INT32_MAX || m->ld < 0 ||
           (uint64_t)m->ld < line || m->batch < 1;
}

/* NVIDIA's table of types for real matrices and float sums: A and B of one type, C and D of one type, float from either. */
static bool types_known(const cublasLtMatmulDescOpaque_t *p, cudaDataType a, cudaDataType b, cudaDataType c,
                        cudaDataType d)
{
    bool compute =
        p->compute == CUBLAS_COMPUTE_32F || (p->compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a == CUDA_R_32F);
    bool pair =
        (a == CUDA_R_32F && d == CUDA_R_32F) || (a == CUDA_R_16BF && (d == CUDA_R_16BF || d == CUDA_R_32F));
    /* outside the 8-bit types a bias has D's type */
    bool bias = !(p->epilogue & CUBLASLT_EPILOGUE_BIAS) || p->bias_type < 0 || p->bias_type == (int32_t)d;
    return compute && pair && bias && a == b && c == d;
}

static cublasStatus_t problem(const cublasLtMatmulDescOpaque_t *p, const cublasLtMatrixLayoutOpaque_t *a,
                              const cublasLtMatrixLayoutOpaque_t *b, const cublasLtMatrixLayoutOpaque_t *c,
                              const cublasLtMatrixLayoutOpaque_t *d)
{
    if (bad_layout(a) || bad_layout(b) || bad_layout(c) || bad_layout(d))
        return CUBLAS_STATUS_INVALID_VALUE;
    uint64_t rows = p->op_a ? a->cols : a->rows, inner = p->op_a ? a->rows : a->cols;
    uint64_t cols = p->op_b ? b->rows : b->cols, other = p->op_b ? b->cols : b->rows;
    if (inner != other || d->rows != rows || d->cols != cols || c->rows != rows || c->cols != cols ||
        a->batch != d->batch || b->batch != d->batch || c->batch != d->batch || c->order != d->order)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (p->epilogue != CUBLASLT_EPILOGUE_DEFAULT &&
        (p->epilogue & ~(uint32_t)CUBLASLT_EPILOGUE_RELU_BIAS || !p->epilogue))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    /* a bias runs along the columns of a column-major D */
    if (p->epilogue & CUBLASLT_EPILOGUE_BIAS && d->order != CUBLASLT_ORDER_COL)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return types_known(p, a->type, b->type, c->type, d->type) ? CUBLAS_STATUS_SUCCESS
                                                              : CUBLAS_STATUS_NOT_SUPPORTED;
}

static uint32_t size_of(cudaDataType type)
{
    return type == CUDA_R_16BF ? 2 : 4;
}

/* The alignment in bytes that every line of every matrix of a batch has. */
static uint64_t line_alignment(const cublasLtMatrixLayoutOpaque_t *m, uint64_t pointer)
{
    uint64_t bits = pointer | (uint64_t)m->ld * size_of(m->type);
    if (m->batch > 1)
        bits |= (uint64_t)m->stride * size_of(m->type);
    return bits & -bits;
}

/* Where its tensor-core kernels for bfloat16 need words of 4 bytes, cuBLASLt may have no other: here it never has, so that a
 * caller's way around it is used. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *returned)
{
    if (!handle || wanted < 1 || !results || !returned)
        return CUBLAS_STATUS_INVALID_VALUE;
    *returned = 0;
    cublasStatus_t status = problem(desc, a, b, c, d);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    const cublasLtMatrixLayout_t all[] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        if (all[i]->type == CUDA_R_16BF && line_alignment(all[i], preference->alignment[i]) < 4)
            return CUBLAS_STATUS_NOT_SUPPORTED;
    algorithm found = {};
    memcpy(found.alignment, preference->alignment, sizeof found.alignment);
    uintptr_t bias = (uintptr_t)desc->bias | 256;
    found.bias_alignment = (uint32_t)(bias & -bias);
    /* a split sum, of which cuBLASLt would keep parts there */
    found.workspace = preference->reduction && preference->workspace > 1 << 20 ? 1 << 20 : 0;
    results[0] = {};
    memcpy(&results[0].algo, &found, sizeof found);
    results[0].workspaceSize = found.workspace;
    results[0].state = CUBLAS_STATUS_SUCCESS;
    results[0].wavesCount = 1;
    *returned = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* --- computing it --- */

namespace
{
struct matrix {
    const char *at;
    cudaDataType type;
    size_t row, column, stride; /* elements from one row, column, matrix of a batch to the next */

    float get(size_t batch, size_t r, size_t c) const
    {
        const char *p = at + (batch * stride + r * row + c * column) * size_of(type);
        if (type == CUDA_R_32F)
            return *(const float *)p;
        return __bfloat162float(*(const __nv_bfloat16 *)p);
    }
    void put(size_t batch, size_t r, size_t c, float x) const
    {
        char *p = (char *)at + (batch * stride + r * row + c * column) * size_of(type);
        if (type == CUDA_R_32F)
            *(float *)p = x;
        else
            *(__nv_bfloat16 *)p = __float2bfloat16_rn(x);
    }
};

struct work {
    size_t rows, cols, inner, batch;
    matrix a, b, c, d, bias;
    float alpha, beta;
    bool with_bias, relu, tf32;
};
} // namespace

/* transposed: the matrix as op() gives it. */
static matrix matrix_of(const void *p, const cublasLtMatrixLayoutOpaque_t *m, bool transposed)
{
    size_t row = 1, column = (size_t)m->ld;
    if ((m->order == CUBLASLT_ORDER_ROW) != transposed)
        std::swap(row, column);
    return {(const char *)p, m->type, row, column, m->batch > 1 ? (size_t)m->stride : 0};
}

static float rounded(float x, bool tf32)
{
    return tf32 ? __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u) : x;
}

/* sum[j][i] += b[j][k] a[k][i] for four columns j. */
static void add_products(size_t rows, size_t inner, const float *a, const float *b, float *sum)
{
    float *s0 = sum, *s1 = sum + rows, *s2 = sum + 2 * rows, *s3 = sum + 3 * rows;
    for (size_t k = 0; k < inner; k++, a += rows) {
        float b0 = b[k], b1 = b[inner + k], b2 = b[2 * inner + k], b3 = b[3 * inner + k];
#pragma GCC ivdep
        for (size_t i = 0; i < rows; i++) {
            s0[i] += b0 * a[i];
            s1[i] += b1 * a[i];
            s2[i] += b2 * a[i];
            s3[i] += b3 * a[i];
        }
    }
}

static void finish(const work &w, size_t batch, size_t column, const float *sum)
{
    for (size_t i = 0; i < w.rows; i++) {
        float x = w.alpha * sum[i];
        if (w.beta != 0)
            x += w.beta * w.c.get(batch, i, column);
        if (w.with_bias)
            x += w.bias.get(0, i, 0);
        w.d.put(batch, i, column, w.relu && !(x > 0) ? 0 : x);
    }
}

static void multiply(const work &w)
{
    enum { COLUMNS = 4 };
    std::vector<float> a(w.inner * w.rows), b(COLUMNS * w.inner), sum(COLUMNS * w.rows);
    for (size_t batch = 0; batch < w.batch; batch++) {
        if (!batch || w.a.stride)
            for (size_t k = 0; k < w.inner; k++)
                for (size_t i = 0; i < w.rows; i++)
                    a[k * w.rows + i] = rounded(w.a.get(batch, i, k), w.tf32);
        for (size_t j0 = 0; j0 < w.cols; j0 += COLUMNS) {
            for (size_t j = 0; j < COLUMNS; j++)
                for (size_t k = 0; k < w.inner; k++)
                    b[j * w.inner + k] = j0 + j < w.cols ? rounded(w.b.get(batch, k, j0 + j), w.tf32) : 0;
            std::fill(sum.begin(), sum.end(), 0.0f);
            add_products(w.rows, w.inner, a.data(), b.data(), sum.data());
            for (size_t j = 0; j < COLUMNS && j0 + j < w.cols; j++)
                finish(w, batch, j0 + j, sum.data() + j * w.rows);
        }
    }
}

static bool less_aligned(const void *p, uint32_t than)
{
    return (uintptr_t)p % than != 0;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_size,
                              cudaStream_t stream)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    cublasStatus_t status = problem(desc, a, b, c, d);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    const void *kernel = (const void *)cublasLtMatmul;
    if (!alpha || !beta || !A || !B || !C || !D || !algo)
        emulator::fail_outside(kernel, "an argument is missing");
    bool bias = desc->epilogue & CUBLASLT_EPILOGUE_BIAS;
    algorithm chosen;
    memcpy(&chosen, algo, sizeof chosen);
    if (less_aligned(A, chosen.alignment[0]) || less_aligned(B, chosen.alignment[1]) ||
        less_aligned(C, chosen.alignment[2]) || less_aligned(D, chosen.alignment[3]) ||
        (bias && (!desc->bias || less_aligned(desc->bias, chosen.bias_alignment))) ||
        less_aligned(workspace, 16) || workspace_size < chosen.workspace)
        emulator::fail_outside(kernel, "less aligned, or less workspace, than the algorithm was chosen for");
    /* "C == D and Cdesc == Ddesc", or neither */
    if (C == D && c != d)
        emulator::fail_outside(kernel, "in place with two descriptors");
    const void *pointers[] = {A, B, C, D, bias ? desc->bias : nullptr, workspace};
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++)
        if (!emulator::device_can_read(pointers[i]))
            emulator::bad_argument(kernel, i, pointers[i]);
    work w = {};
    w.rows = d->rows, w.cols = d->cols, w.inner = desc->op_a ? a->rows : a->cols, w.batch = (size_t)d->batch;
    w.a = matrix_of(A, a, desc->op_a), w.b = matrix_of(B, b, desc->op_b);
    w.c = matrix_of(C, c, false), w.d = matrix_of(D, d, false);
    w.bias = {(const char *)desc->bias, d->type, 1, 0, 0};
    memcpy(&w.alpha, alpha, sizeof w.alpha);
    memcpy(&w.beta, beta, sizeof w.beta);
    w.with_bias = bias;
    w.relu = desc->epilogue & CUBLASLT_EPILOGUE_RELU && desc->epilogue != CUBLASLT_EPILOGUE_DEFAULT;
    w.tf32 = desc->compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    size_t used = chosen.workspace;
    cudaError_t r = emulator::enqueue(stream, [w, workspace, used] {
        memset(workspace, 0xff, used); /* it is the algorithm's while it runs */
        multiply(w);
    });
    return r == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
