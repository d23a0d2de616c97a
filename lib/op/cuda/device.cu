/* The backend's door: device, memory, moves between host and device, failures. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op/cuda/linear.cuh"
#include "op/cuda/number.cuh"
#include "op/cuda/ops.cuh"
#include "op/cuda/parameters.cuh"

enum { STAGING = 8 << 20 };

/* Does the context, or the device, not come back from this? The rest is a fault of ours, a matter of memory, or a recording
 * that cannot be made. */
static bool is_lost(cudaError_t status)
{
    switch (status) {
    case cudaErrorMemoryAllocation:
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidResourceHandle:
    case cudaErrorLaunchOutOfResources:
        return false;
    default: /* what capturing a stream ends with comes in one row */
        return status < cudaErrorStreamCaptureUnsupported || status > cudaErrorStreamCaptureWrongThread;
    }
}

int cuda_try(cudaError_t status, const char *what, struct err *e)
{
    if (status == cudaSuccess)
        return 0;
    return err_set(e, is_lost(status) ? ERR_UNAVAILABLE : ERR_INTERNAL, "CUDA %s: %s", what,
                   cudaGetErrorString(status));
}

struct cuda_retired {
    void *p;
    struct cuda_retired *next;
};

void cuda_use(const struct op_ctx *ctx)
{
    static thread_local int current = -1;
    if (current != ctx->device && cudaSetDevice(ctx->device) == cudaSuccess)
        current = ctx->device;
}

void cuda_note(struct op_ctx *ctx, cudaError_t status, const char *what)
{
    struct cuda_state *s = cuda_state_of(ctx);
    if (status != cudaSuccess && !s->failure.code)
        cuda_try(status, what, &s->failure);
}

/* The runtime keeps one limit for each kernel and device, the last that was asked for, and looks at it when a kernel is
 * launched and when a graph with it is made ready. So limits only grow, and asking is one thread's at a time. */
void cuda_allow_shared(struct op_ctx *ctx, const void *kernel, size_t bytes)
{
    static struct allowance {
        const void *kernel;
        int device;
        size_t bytes;
        struct allowance *next;
    } * all;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    struct allowance *a = all;
    while (a && (a->kernel != kernel || a->device != ctx->device))
        a = a->next;
    if (!a && (a = (struct allowance *)calloc(1, sizeof *a))) {
        *a = {kernel, ctx->device, 0, all};
        all = a;
    }
    if (!a || a->bytes < bytes) {
        cudaError_t status =
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
        cuda_note(ctx, status, "shared memory");
        if (a && status == cudaSuccess)
            a->bytes = bytes;
    }
    pthread_mutex_unlock(&lock);
}

int cuda_check(struct op_ctx *ctx, struct err *e)
{
    struct cuda_state *s = cuda_state_of(ctx);
    cuda_use(ctx);
    cuda_note(ctx, cudaStreamSynchronize(s->stream), "a kernel");
    int code = s->failure.code;
    if (code && e)
        *e = s->failure;
    if (code && code != ERR_UNAVAILABLE) { /* told; what comes next may go well */
        s->failure = {};
        cudaGetLastError();
    }
    return code;
}

/* What open took so far, in the order it took it. */
static int take_all(struct op_ctx *ctx, struct cuda_state *s, struct err *e)
{
    struct cudaDeviceProp properties;
    cuda_use(ctx);
    int r = cuda_try(cudaSetDevice(ctx->device), "device", e);
    if (!r)
        r = cuda_try(cudaGetDeviceProperties(&properties, ctx->device), "device", e);
    if (r)
        return r;
    snprintf(s->name, sizeof s->name, "%.120s", properties.name);
    s->multiprocessors = properties.multiProcessorCount;
    s->shared_max = properties.sharedMemPerBlockOptin;
    if (properties.major < 8)
        return err_set(e, ERR_UNAVAILABLE, "%s has compute capability %d.%d, 8.0 or later is needed", s->name,
                       properties.major, properties.minor);
    r = cuda_try(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), "stream", e);
    for (int i = 0; i < 2 && !r; i++) {
        r = cuda_try(cudaMallocHost((void **)&s->staging[i], STAGING), "pinned memory", e);
        if (!r)
            r = cuda_try(cudaEventCreateWithFlags(&s->staged[i], cudaEventDisableTiming), "event", e);
    }
    if (!r && cublasLtCreate(&s->blas) != CUBLAS_STATUS_SUCCESS)
        r = err_set(e, ERR_UNAVAILABLE, "cuBLASLt cannot start on %s", s->name);
    if (!r)
        r = cuda_linear_open(&s->plans, e);
    return r ? r : cuda_mirrors_open(&s->mirrors, e);
}

int cuda_open(struct op_ctx *ctx, struct err *e)
{
    struct cuda_state *s = (struct cuda_state *)calloc(1, sizeof *s);
    if (!s)
        return err_memory(e, "the cuda backend", sizeof *s);
    ctx->state = s;
    ctx->tile_rows = 1 << 16;
    int r = take_all(ctx, s, e);
    if (r)
        cuda_close(ctx);
    return r;
}

void cuda_close(struct op_ctx *ctx)
{
    struct cuda_state *s = cuda_state_of(ctx);
    if (!s)
        return;
    cuda_use(ctx);
    if (s->stream)
        cudaStreamSynchronize(s->stream);
    cuda_release_retired(ctx);
    cuda_mirrors_close(s->mirrors);
    cuda_linear_close(s->plans);
    if (s->blas)
        cublasLtDestroy(s->blas);
    for (int i = 0; i < 2; i++) {
        if (s->staged[i])
            cudaEventDestroy(s->staged[i]);
        cudaFreeHost(s->staging[i]);
    }
    cudaFree(s->scratch);
    if (s->stream)
        cudaStreamDestroy(s->stream);
    free(s);
    ctx->state = NULL;
}

const char *cuda_device_name(struct op_ctx *ctx)
{
    return cuda_state_of(ctx)->name;
}

void cuda_memory(struct op_ctx *ctx, size_t *available, size_t *total)
{
    *available = *total = 0;
    cuda_use(ctx);
    cuda_note(ctx, cudaMemGetInfo(available, total), "memory");
}

int cuda_alloc(struct op_ctx *ctx, void **p, size_t bytes, struct err *e)
{
    size_t available, total;
    *p = NULL;
    cuda_use(ctx);
    cudaError_t status = cudaMalloc(p, bytes ? bytes : 1);
    if (status != cudaSuccess && status != cudaErrorMemoryAllocation)
        return cuda_try(status, "memory", e);
    if (status != cudaSuccess) {
        cudaGetLastError(); /* what it leaves behind would be the next launch's */
        cuda_memory(ctx, &available, &total);
        return err_set(e, ERR_INTERNAL, "%s: out of memory: %.3g GB wanted, %.3g of %.3g GB are free",
                       cuda_state_of(ctx)->name, (double)bytes / 1e9, (double)available / 1e9,
                       (double)total / 1e9);
    }
    cuda_zero(ctx, *p, bytes);
    return 0;
}

void cuda_free(struct op_ctx *ctx, void *p)
{
    if (!p)
        return;
    cuda_use(ctx);
    cuda_mirrors_forget(ctx, p);
    cuda_note(ctx, cudaStreamSynchronize(cuda_state_of(ctx)->stream), "a kernel");
    cuda_note(ctx, cudaFree(p), "memory");
}

void cuda_release_retired(struct op_ctx *ctx)
{
    struct cuda_state *s = cuda_state_of(ctx);
    while (s->retired) {
        struct cuda_retired *r = s->retired;
        s->retired = r->next;
        cuda_free(ctx, r->p);
        free(r);
    }
}

static int give_up_scratch(struct op_ctx *ctx, struct err *e)
{
    struct cuda_state *s = cuda_state_of(ctx);
    if (s->recordings && s->scratch) {
        struct cuda_retired *r = (struct cuda_retired *)malloc(sizeof *r);
        if (!r)
            return err_memory(e, "the cuda backend", sizeof *r);
        *r = {s->scratch, s->retired};
        s->retired = r;
    } else {
        cuda_free(ctx, s->scratch);
    }
    s->scratch = NULL;
    s->scratch_size = 0;
    return 0;
}

int cuda_scratch(struct op_ctx *ctx, size_t n, void **p, struct err *e)
{
    struct cuda_state *s = cuda_state_of(ctx);
    *p = NULL;
    n = n ? n : 1;
    if (n > s->scratch_size) {
        if (s->recording)
            return err_set(e, ERR_INTERNAL, "an operation takes memory while it is recorded");
        int r = give_up_scratch(ctx, e);
        if (r)
            return r;
        r = cuda_alloc(ctx, &s->scratch, n, e);
        if (r)
            return err_prefix(e, "scratch memory: ");
        s->scratch_size = n;
    }
    *p = s->scratch;
    return 0;
}

void *cuda_scratch_or_note(struct op_ctx *ctx, size_t n)
{
    struct err e = {};
    void *p;
    if (cuda_scratch(ctx, n, &p, &e) && !cuda_state_of(ctx)->failure.code)
        cuda_state_of(ctx)->failure = e;
    return p;
}

/* Goes on to the other buffer, when the device has read it. */
static void turn_staging(struct op_ctx *ctx)
{
    struct cuda_state *s = cuda_state_of(ctx);
    cuda_note(ctx, cudaEventRecord(s->staged[s->staging_now], s->stream), "upload");
    s->staging_now = !s->staging_now;
    s->staging_used = 0;
    cuda_note(ctx, cudaEventSynchronize(s->staged[s->staging_now]), "upload");
}

void cuda_upload(struct op_ctx *ctx, void *device, const void *host, size_t bytes)
{
    struct cuda_state *s = cuda_state_of(ctx);
    cuda_use(ctx);
    for (size_t done = 0, n; done < bytes; done += n) {
        if (s->staging_used == STAGING)
            turn_staging(ctx);
        size_t room = STAGING - s->staging_used;
        n = bytes - done < room ? bytes - done : room;
        char *from = s->staging[s->staging_now] + s->staging_used;
        memcpy(from, (const char *)host + done, n);
        cuda_note(ctx, cudaMemcpyAsync((char *)device + done, from, n, cudaMemcpyHostToDevice, s->stream),
                  "upload");
        s->staging_used += (n + 63) / 64 * 64; /* never past STAGING, which is a multiple, too */
    }
}

void cuda_download(struct op_ctx *ctx, void *host, const void *device, size_t bytes)
{
    struct cuda_state *s = cuda_state_of(ctx);
    if (!bytes)
        return;
    cuda_use(ctx);
    cuda_note(ctx, cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, s->stream), "download");
    cuda_note(ctx, cudaStreamSynchronize(s->stream), "download");
}

/* Through scratch memory in pieces. */
void cuda_upload_act(struct op_ctx *ctx, act *device, const float *host, size_t n)
{
    if (!ctx->bf16) {
        cuda_upload(ctx, device, host, n * sizeof(float));
        return;
    }
    enum { PIECE = STAGING / sizeof(float) };
    float *room = (float *)cuda_scratch_or_note(ctx, (n < PIECE ? n : PIECE) * sizeof(float));
    for (size_t done = 0, k; room && done < n; done += k) {
        k = n - done < PIECE ? n - done : PIECE;
        cuda_upload(ctx, room, host + done, k * sizeof(float));
        cuda_to_act(ctx, k, room, (bf16 *)device + done);
    }
}

void cuda_download_act(struct op_ctx *ctx, float *host, const act *device, size_t n)
{
    if (!ctx->bf16) {
        cuda_download(ctx, host, device, n * sizeof(float));
        return;
    }
    float *room = (float *)cuda_scratch_or_note(ctx, n * sizeof(float));
    if (!room)
        return;
    cuda_to_float(ctx, n, device, NULL, room);
    cuda_download(ctx, host, room, n * sizeof(float));
}

void cuda_zero(struct op_ctx *ctx, void *p, size_t bytes)
{
    cuda_use(ctx);
    if (bytes)
        cuda_note(ctx, cudaMemsetAsync(p, 0, bytes, cuda_state_of(ctx)->stream), "memset");
}

void cuda_synchronise(struct op_ctx *ctx)
{
    cuda_use(ctx);
    cuda_note(ctx, cudaStreamSynchronize(cuda_state_of(ctx)->stream), "a kernel");
}

enum { CONVERT_THREADS = 256 };

/* y = x + base, x where there is none. */
template <typename From, typename To>
static __global__ void convert(size_t n, const From *x, const float *base, To *y)
{
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x)
        store(y + i, base ? to_float(x[i]) + base[i] : to_float(x[i]));
}

void cuda_to_float(struct op_ctx *ctx, size_t n, const act *x, const float *base, float *y)
{
    by_act(ctx, [&](auto *type) {
        launch(ctx, busy_blocks(ctx, n, CONVERT_THREADS, 16), CONVERT_THREADS, 0,
               convert<std::remove_reference_t<decltype(*type)>, float>, n, (decltype(type))x, base, y);
    });
}

void cuda_to_act(struct op_ctx *ctx, size_t n, const float *x, act *y)
{
    by_act(ctx, [&](auto *type) {
        launch(ctx, busy_blocks(ctx, n, CONVERT_THREADS, 16), CONVERT_THREADS, 0,
               convert<float, std::remove_reference_t<decltype(*type)>>, n, x, (const float *)NULL,
               (decltype(type))y);
    });
}
