/* The emulator itself: what it computes, and that the faults it is there for are found. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "op/cuda/number.cuh"
#include "op/cuda/philox.cuh"
#include "op/cuda/ptx.cuh"

extern "C" {
#include "base/philox.h"
#include "tap.h"
}

static cudaStream_t stream;

template <typename... P, typename... A>
static cudaError_t start(dim3 grid, dim3 block, size_t shared, void (*kernel)(P...), A... args)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, P(args)...);
}

/* n floats of the device, which start as `from` has them or as NaN. */
static float *device_floats(size_t n, const float *from = NULL)
{
    void *p;
    if (cudaMalloc(&p, n * sizeof(float)) != cudaSuccess)
        abort();
    if (from)
        cudaMemcpyAsync(p, from, n * sizeof(float), cudaMemcpyHostToDevice, stream);
    return (float *)p;
}

static std::vector<float> host_floats(const float *p, size_t n)
{
    std::vector<float> x(n);
    cudaMemcpyAsync(x.data(), p, n * sizeof(float), cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
    return x;
}

/* The results of a kernel that fills out (n) in an order of its threads. */
static std::vector<float> results(const char *order, dim3 grid, dim3 block, size_t shared, size_t n,
                                  void (*kernel)(float *))
{
    setenv("SGAPS_EMULATOR_ORDER", order, 1);
    float *out = device_floats(n);
    start(grid, block, shared, kernel, out);
    std::vector<float> x = host_floats(out, n);
    cudaFree(out);
    setenv("SGAPS_EMULATOR_ORDER", "forward", 1);
    return x;
}

static bool same_in_all_orders(dim3 grid, dim3 block, size_t shared, size_t n, void (*kernel)(float *))
{
    std::vector<float> first = results("forward", grid, block, shared, n, kernel);
    bool same = true;
    for (const char *order : {"reversed", "1", "2", "3"}) {
        std::vector<float> x = results(order, grid, block, shared, n, kernel);
        same &= !memcmp(x.data(), first.data(), n * sizeof(float));
    }
    return same;
}

/* Runs f in a process of its own: whether that ends by a signal or an error, with `says` on its stderr. */
template <typename F> static bool dies(const char *says, F f)
{
    int ends[2], status;
    char text[8192];
    size_t used = 0;
    fflush(stdout);
    if (pipe(ends))
        return false;
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        f();
        cudaStreamSynchronize(stream);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; used < sizeof text - 1 && (n = read(ends[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)n;
    text[used] = 0;
    close(ends[0]);
    waitpid(child, &status, 0);
    if (status && strstr(text, says))
        return true;
    tap_diag("status %d, stderr: %s", status, text);
    return false;
}

/* --- what it computes --- */

/* D (16,8) = A (16,16) B (16,8), from rows of A and B in shared memory, 16 and 8 elements long. */
static __global__ void product(const float *A, const float *B, float *D)
{
    __shared__ __align__(16) bf16 a[16][16], b[16][8];
    int lane = threadIdx.x;
    for (int i = lane; i < 256; i += WARP)
        store(&a[i / 16][i % 16], A[i]);
    for (int i = lane; i < 128; i += WARP)
        store(&b[i / 8][i % 8], B[i]);
    __syncwarp();
    uint32_t fa[4], fb[4];
    float d[4] = {};
    load_matrices(fa, &a[lane % 16][lane / 16 * 8]);
    load_matrices_transposed(fb, b[lane % 16]); /* the upper lanes' matrices are not needed */
    mma_16x8x16(d, fa, fb);
    int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++)
        D[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

static void check_product()
{
    struct philox draw;
    std::vector<float> A(256), B(128);
    bool good = true;
    philox_init(&draw, 1, 2);
    for (float &x : A)
        x = (float)philox_below(&draw, 17) - 8;
    for (float &x : B)
        x = (float)philox_below(&draw, 17) - 8;
    float *a = device_floats(256, A.data()), *b = device_floats(128, B.data()), *d = device_floats(128);
    start(1, 32, 0, product, a, b, d);
    std::vector<float> D = host_floats(d, 128);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            float sum = 0;
            for (int k = 0; k < 16; k++)
                sum += A[i * 16 + k] * B[k * 8 + j];
            good &= sum == D[i * 8 + j];
        }
    ok(good, "load_matrices, transposed and not, and mma give a plain product of whole numbers exactly");
    cudaFree(a);
    cudaFree(b);
    cudaFree(d);
}

/* Which fragment holds what, by the PTX manual's formulas for m16n8k16: one element of A and one of B at a time. */
static __global__ void one_factor(int row, int column, float *D)
{
    int g = threadIdx.x / 4, t = threadIdx.x % 4;
    uint32_t a[4] = {}, b[2] = {};
    for (int i = 0; i < 8; i++) {
        int r = i < 2 || (i >= 4 && i < 6) ? g : g + 8, c = t * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        if (r == row && c == column)
            a[i / 2] |= pack2(1, 1) & (i % 2 ? 0xffff0000u : 0xffffu);
    }
    for (int i = 0; i < 4; i++) {
        int k = t * 2 + (i & 1) + (i >= 2 ? 8 : 0), n = g;
        b[i / 2] |= pack2((float)(k * 8 + n), (float)(k * 8 + n)) & (i % 2 ? 0xffff0000u : 0xffffu);
    }
    float d[4] = {};
    mma_16x8x16(d, a, b);
    for (int i = 0; i < 4; i++)
        D[(i < 2 ? g : g + 8) * 8 + t * 2 + (i & 1)] = d[i];
}

static void check_fragments()
{
    float *d = device_floats(128);
    bool good = true;
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 16; column++) {
            start(1, 32, 0, one_factor, row, column, d);
            std::vector<float> D = host_floats(d, 128);
            for (int i = 0; i < 128; i++)
                good &= D[i] == (i / 8 == row ? (float)(column * 8 + i % 8) : 0);
        }
    ok(good, "mma's fragments are where the PTX manual's formulas put them");
    cudaFree(d);
}

static __global__ void draw_words(unsigned seed, float *words)
{
    uint4 w = philox4x32(make_uint4(threadIdx.x, 0, 7, 9), make_uint2(seed, 3));
    for (int i = 0; i < 4; i++)
        words[threadIdx.x * 4 + i] = __uint_as_float(word_at(w, i));
}

static void check_philox()
{
    float *p = device_floats(256);
    bool good = true;
    start(1, 64, 0, draw_words, 11u, p);
    std::vector<float> words = host_floats(p, 256);
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t counter[4] = {i, 0, 7, 9}, key[2] = {11, 3}, want[4];
        philox4x32(counter, key, want);
        good &= !memcmp(want, &words[i * 4], sizeof want);
    }
    ok(good, "philox.cuh draws what base/philox.c draws");
    cudaFree(p);
}

static __global__ void collectives(float *out)
{
    int lane = threadIdx.x % 32;
    float x = (float)lane;
    out[threadIdx.x * 6 + 0] = __shfl_sync(ALL_LANES, x, 5);
    out[threadIdx.x * 6 + 1] = __shfl_xor_sync(ALL_LANES, x, 3);
    out[threadIdx.x * 6 + 2] = __shfl_up_sync(ALL_LANES, x, 1, 8);
    out[threadIdx.x * 6 + 3] = __shfl_down_sync(ALL_LANES, x, 2, 16);
    out[threadIdx.x * 6 + 4] = (float)__popc(__ballot_sync(ALL_LANES, lane % 3 == 0));
    out[threadIdx.x * 6 + 5] = warp_sum(x) + warp_max(x);
}

static void check_collectives()
{
    std::vector<float> x = results("1", 1, 64, 0, 384, collectives);
    bool good = true;
    for (int i = 0; i < 64; i++) {
        int l = i % 32;
        float want[6] = {5,  (float)(l ^ 3), (float)(l % 8 ? l - 1 : l), (float)(l % 16 < 14 ? l + 2 : l),
                         11, 496 + 31};
        good &= !memcmp(want, &x[i * 6], sizeof want);
    }
    ok(good, "shuffles, votes and sums over a warp");
    ok(same_in_all_orders(1, 64, 0, 384, collectives), "they are the same in every order");
}

/* --- barriers --- */

static __global__ void neighbours(float *out)
{
    __shared__ float x[128];
    x[threadIdx.x] = (float)threadIdx.x;
    __syncthreads();
    out[blockIdx.x * 128 + threadIdx.x] = x[127 - threadIdx.x];
}

static __global__ void neighbours_without_barrier(float *out)
{
    __shared__ float x[128];
    x[threadIdx.x] = (float)threadIdx.x;
    out[blockIdx.x * 128 + threadIdx.x] = x[127 - threadIdx.x];
}

static __global__ void lanes_without_syncwarp(float *out)
{
    float *x = (float *)shared_memory();
    x[threadIdx.x] = (float)threadIdx.x;
    out[threadIdx.x] = x[(threadIdx.x + 1) % 32];
}

/* The second round overwrites what others still read. */
static __global__ void reused_too_early(float *out)
{
    float *x = (float *)shared_memory(), sum = 0;
    for (int round = 0; round < 2; round++) {
        x[threadIdx.x] = (float)(threadIdx.x + 1000 * round);
        __syncthreads();
        sum += x[127 - threadIdx.x];
    }
    out[threadIdx.x] = sum;
}

static __global__ void blocks_meet(float *out)
{
    if (!threadIdx.x)
        out[0] = (float)blockIdx.x;
}

static __global__ void half_a_barrier(float *)
{
    if (threadIdx.x < 32)
        __syncthreads();
}

static __global__ void two_barriers(float *)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}

static __global__ void left_before_barrier(float *)
{
    if (threadIdx.x == 0)
        return;
    __syncthreads();
}

static __global__ void barrier_and_shuffle(float *out)
{
    if (threadIdx.x % 32 < 8)
        __syncthreads();
    else
        out[0] = __shfl_sync(ALL_LANES, 1.0f, 0);
}

static __global__ void lane_missing(float *out)
{
    if (threadIdx.x == 3)
        return;
    out[0] = __shfl_xor_sync(ALL_LANES, 1.0f, 1);
}

static __global__ void half_mask(float *out)
{
    out[0] = __shfl_xor_sync(0xffffu, 1.0f, 1);
}

static void check_barriers()
{
    ok(same_in_all_orders(3, 128, 0, 384, neighbours), "a barrier orders: every order gives the same");
    ok(!same_in_all_orders(3, 128, 0, 384, neighbours_without_barrier), "a missing barrier shows");
    ok(!same_in_all_orders(1, 32, 128, 32, lanes_without_syncwarp), "a missing __syncwarp shows");
    ok(!same_in_all_orders(1, 128, 512, 128, reused_too_early),
       "a missing barrier before memory is used again shows");
    ok(!same_in_all_orders(5, 32, 0, 1, blocks_meet), "blocks that write to the same place show");
    float *p = device_floats(64);
    ok(dies("comes to __syncthreads, but", [=] { start(1, 64, 0, left_before_barrier, p); }),
       "a barrier that a thread has left is a fault");
    ok(dies("while 32 threads wait at __syncthreads", [=] { start(1, 64, 0, half_a_barrier, p); }),
       "a barrier that half the block comes to is a fault");
    ok(dies("while others wait at __syncthreads", [=] { start(1, 64, 0, two_barriers, p); }),
       "two barriers for one are a fault");
    ok(dies("while others wait at __syncthreads", [=] { start(1, 64, 0, barrier_and_shuffle, p); }),
       "a barrier for some lanes and a shuffle for others are a fault");
    ok(dies("lane_missing", [=] { start(1, 64, 0, lane_missing, p); }), "a missing lane is a fault");
    ok(dies("the mask of __shfl is 0xffff", [=] { start(1, 64, 0, half_mask, p); }),
       "and so is a mask that leaves lanes out");
    cudaFree(p);
}

/* --- shared memory --- */

static __global__ void unwritten(float *out)
{
    float *x = (float *)shared_memory();
    out[blockIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = 1;
}

static __global__ void past_the_end(float *)
{
    ((float *)shared_memory())[threadIdx.x + 1] = 1;
}

/* An array is guarded by ASan, or else poisoned and counted. */
#ifdef __SANITIZE_ADDRESS__
static __global__ void past_the_array(float *out)
{
    __shared__ float x[32];
    float *volatile at = x; /* UBSan would find a plain index */
    at[threadIdx.x] = 1;
    out[threadIdx.x] = at[threadIdx.x + 1];
}
#else
static __global__ void unwritten_array(float *out)
{
    __shared__ float x[32];
    out[blockIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = 1;
}
#endif

static void check_shared()
{
    std::vector<float> x = results("forward", 2, 32, 128, 2, unwritten);
    float *p = device_floats(32);
    ok(isnan(x[0]) && isnan(x[1]), "dynamic shared memory is NaN at the start of each block");
#ifdef __SANITIZE_ADDRESS__
    const char *says = "AddressSanitizer";
    ok(dies(says, [=] { start(1, 32, 0, past_the_array, p); }), "a read past a shared array is a fault");
#else
    const char *says = "past its dynamic shared memory";
    x = results("forward", 2, 32, 0, 2, unwritten_array);
    ok(isnan(x[0]) && isnan(x[1]), "and so are shared arrays");
    ok(dies("49280 bytes of shared memory", [=] { start(1, 32, 48 * 1024, unwritten_array, p); }),
       "a shared array beside all that is allowed is a fault");
#endif
    ok(dies(says, [=] { start(1, 32, 128, past_the_end, p); }),
       "a write past dynamic shared memory is a fault");
    cudaFree(p);
}

/* --- cp.async --- */

template <bool waited> static __global__ void copied(const float *from, float *out)
{
    char *x = shared_memory();
    copy_async(x + 16 * threadIdx.x, from + 4 * threadIdx.x, threadIdx.x % 2 == 0);
    copy_commit();
    if (waited)
        copy_wait<0>();
    __syncthreads();
    out[threadIdx.x] = ((const float *)x)[4 * threadIdx.x];
}

/* The first group is due, the second need not be. */
static __global__ void copied_in_groups(const float *from, float *out)
{
    char *x = shared_memory();
    for (int i = 0; i < 2; i++) {
        copy_async(x + 16 * (threadIdx.x + 32 * i), from + 4 * threadIdx.x, true);
        copy_commit();
    }
    copy_wait<1>();
    __syncthreads();
    for (int i = 0; i < 2; i++)
        out[32 * i + threadIdx.x] = ((const float *)x)[4 * (threadIdx.x + 32 * i)];
}

static __global__ void misaligned_copy(const float *from, float *)
{
    copy_async(shared_memory() + 16 * threadIdx.x, from + 1, true);
}

static __global__ void copy_elsewhere(const float *from, float *out)
{
    copy_async(out, from, true);
}

static __global__ void misaligned_rows(const float *, float *)
{
    uint32_t f[4];
    load_matrices(f, shared_memory() + 8 * threadIdx.x);
}

static void check_copies()
{
    std::vector<float> from(128);
    for (size_t i = 0; i < from.size(); i++)
        from[i] = (float)i + 1;
    float *p = device_floats(128, from.data()), *out = device_floats(64);
    bool good = true, stale = true;
    start(1, 32, 512, copied<true>, p, out);
    std::vector<float> x = host_floats(out, 32);
    for (int i = 0; i < 32; i++)
        good &= x[i] == (i % 2 ? 0 : from[4 * i]);
    ok(good, "copy_async copies, or writes zeros");
    start(1, 32, 512, copied<false>, p, out);
    x = host_floats(out, 32);
    for (int i = 0; i < 32; i++)
        stale &= isnan(x[i]);
    ok(stale, "a missing copy_wait shows");
    start(1, 32, 1024, copied_in_groups, p, out);
    x = host_floats(out, 64);
    good = true;
    for (int i = 0; i < 32; i++)
        good &= x[i] == from[4 * i] && isnan(x[32 + i]);
    ok(good, "copy_wait<1> waits for all groups but the last");
    ok(dies("is not 16-byte aligned", [=] { start(1, 32, 512, misaligned_copy, p, out); }),
       "a misaligned copy is a fault");
    ok(dies("is not in shared memory", [=] { start(1, 32, 512, copy_elsewhere, p, out); }),
       "a copy to global memory is a fault");
    ok(dies("is not 16-byte aligned", [=] { start(1, 32, 512, misaligned_rows, p, out); }),
       "misaligned rows of matrices are a fault");
    cudaFree(p);
    cudaFree(out);
}

/* --- launches, memory, streams, graphs --- */

static __global__ void add_one(float *x)
{
    x[threadIdx.x] += 1;
}

static void check_launches()
{
    float *p = device_floats(1024), on_the_host[32];
    ok(start(1, 1056, 0, add_one, p) == cudaErrorInvalidConfiguration, "1056 threads are too many");
    ok(start(dim3(1, 65536), 32, 0, add_one, p) == cudaErrorInvalidConfiguration, "65536 rows of blocks too");
    ok(start(1, 32, 49153, add_one, p) == cudaErrorInvalidValue,
       "more than 48 KB of shared memory is asked for first");
    cudaFuncSetAttribute((const void *)add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 232448);
    ok(start(1, 32, 232448, add_one, p) == cudaSuccess, "and then given, 227 KB at the most");
    ok(cudaFuncSetAttribute((const void *)add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 232449) ==
           cudaErrorInvalidValue,
       "not more");
    ok(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess,
       "the last error is told once");
    float *host = on_the_host;
    ok(dies("neither device memory nor pinned", [=] { start(1, 32, 0, add_one, host); }),
       "a pointer to the host's memory is a fault");
    cudaFree(p);
}

static void check_memory()
{
    void *p, *q;
    size_t available, total;
    setenv("SGAPS_EMULATOR_MEMORY", "1000000", 1);
    ok(cudaMalloc(&p, 600000) == cudaSuccess && cudaMalloc(&q, 600000) == cudaErrorMemoryAllocation,
       "memory ends where it is said to");
    cudaMemGetInfo(&available, &total);
    ok(available == 400000 && total == 1000000, "what is left is told");
    cudaFree(p);
    ok(cudaMalloc(&p, 900000) == cudaSuccess, "what was freed is there again");
    cudaFree(p);
    unsetenv("SGAPS_EMULATOR_MEMORY");
    cudaGetLastError();
}

static void check_streams()
{
    void *pinned;
    float *p = device_floats(32);
    cudaMallocHost(&pinned, 32 * sizeof(float));
    float *x = (float *)pinned;
    for (const char *order : {"forward", "reversed"}) {
        setenv("SGAPS_EMULATOR_ORDER", order, 1);
        x[0] = 1;
        cudaMemcpyAsync(p, x, 4, cudaMemcpyHostToDevice, stream);
        x[0] = 2;
        cudaStreamSynchronize(stream);
        ok(host_floats(p, 1)[0] == (strcmp(order, "forward") ? 2 : 1), "pinned memory is read %s",
           strcmp(order, "forward") ? "when something waits" : "at once");
    }
    setenv("SGAPS_EMULATOR_ORDER", "forward", 1);
    cudaFreeHost(pinned);
    cudaFree(p);
}

static void check_graphs()
{
    float zero[32] = {}, *p = device_floats(32, zero);
    void *q;
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    start(1, 32, 0, add_one, p);
    start(1, 32, 0, add_one, p);
    ok(cudaStreamEndCapture(stream, &graph) == cudaSuccess && host_floats(p, 1)[0] == 0,
       "what is captured does not run");
    cudaGraphInstantiate(&ready, graph, 0);
    cudaGraphDestroy(graph);
    cudaGraphLaunch(ready, stream);
    cudaGraphLaunch(ready, stream);
    ok(host_floats(p, 1)[0] == 4, "it runs with each launch of its graph");
    cudaGraphExecDestroy(ready);
    cudaFuncSetAttribute((const void *)add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 60 << 10);
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    start(1, 32, 60 << 10, add_one, p);
    cudaStreamEndCapture(stream, &graph);
    cudaGraphInstantiate(&ready, graph, 0);
    cudaGraphDestroy(graph);
    cudaFuncSetAttribute((const void *)add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 40 << 10);
    ok(dies("were allowed when it was captured", [=] { cudaGraphLaunch(ready, stream); }),
       "shared memory that is no longer allowed is a fault in a graph");
    cudaGraphExecDestroy(ready);
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    ok(cudaMalloc(&q, 4) == cudaErrorStreamCaptureUnsupported, "memory is not to be had while capturing");
    ok(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && !graph,
       "and asking for it spoils the graph");
    cudaGetLastError();
    cudaFree(p);
}

int main()
{
    setenv("SGAPS_EMULATOR_ORDER", "forward", 1);
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    check_product();
    check_fragments();
    check_philox();
    check_collectives();
    check_barriers();
    check_shared();
    check_copies();
    check_launches();
    check_memory();
    check_streams();
    check_graphs();
    cudaStreamDestroy(stream);
    return tap_done();
}
