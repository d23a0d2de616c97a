/* CUDA for a machine without a GPU: the part of the language and of the runtime that lib/op/cuda uses, for the CPU.
 *
 * Put before the CUDA headers in the include path, it lets a C++20 compiler build the .cu files as they are. A launch runs
 * its blocks one after another; the threads of a block are fibers, each with its own stack, that run until they wait.
 *
 * What a fault of a kernel comes to here: the program ends (abort) with the kernel, block, thread and source line on stderr.
 *   - a barrier that not every thread of the block reaches, or that they reach at different lines
 *   - a warp collective (__shfl_*_sync, __ballot_sync, mma, ldmatrix ...) that not all 32 lanes reach, or a mask that says so
 *   - an address of cp.async or ldmatrix that is not 16-byte aligned, or not in shared memory
 *   - a write past the dynamic shared memory; with ASan any access past it, past static shared memory or a device allocation
 *   - a misaligned vector access, with UBSan
 *   - a pointer argument that is neither device memory nor pinned
 *   - dynamic and static shared memory that together are over 48 KB without having been asked for, or over what the device
 *     has (not with ASan)
 * and what shows as wrong numbers: shared memory starts as NaN in every block, device memory as NaN bytes; a copy by cp.async is NaN
 * until it has been waited for.
 *
 * Threads run in an order that SGAPS_EMULATOR_ORDER chooses, read at each launch: `forward` (the default), `reversed`, or a
 * number that seeds a random one. A missing barrier between threads gives different results in different orders. In orders
 * other than forward, work on a stream is put off until something waits for it, and copies by cp.async may be early or late.
 * SGAPS_EMULATOR_MEMORY: bytes of the device, 4 GiB unless given. SGAPS_EMULATOR_MULTIPROCESSORS: 3 unless given, and kernels
 * are chosen by it; SGAPS_EMULATOR_SHARED: bytes of shared memory that a block may ask for, 227 KB unless given.
 *
 * What it cannot see: the finer points of the memory model (fences, visibility between blocks that run at once), registers and
 * __launch_bounds__ (ptxas says those), how fast anything is. */
#ifndef SGAPS_EMULATOR_CUDA_RUNTIME_H
#define SGAPS_EMULATOR_CUDA_RUNTIME_H

#include <asan.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <type_traits>

/* --- the language --- */

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/* One block runs at a time. ASan guards a static array on both sides but not a thread-local one; the library's thread-local
 * data, which is nothing else, can be found and poisoned as one piece. */
#ifdef __SANITIZE_ADDRESS__
#define __shared__ static
#else
#define __shared__ static __thread
#endif

#define EMULATOR_VECTOR2(name, type, bytes)                                                                  \
    struct __align__(bytes) name                                                                             \
    {                                                                                                        \
        type x, y;                                                                                           \
    };                                                                                                       \
    static inline name make_##name(type x, type y)                                                           \
    {                                                                                                        \
        return {x, y};                                                                                       \
    }
#define EMULATOR_VECTOR4(name, type, bytes)                                                                  \
    struct __align__(bytes) name                                                                             \
    {                                                                                                        \
        type x, y, z, w;                                                                                     \
    };                                                                                                       \
    static inline name make_##name(type x, type y, type z, type w)                                           \
    {                                                                                                        \
        return {x, y, z, w};                                                                                 \
    }
EMULATOR_VECTOR2(float2, float, 8)
EMULATOR_VECTOR4(float4, float, 16)
EMULATOR_VECTOR2(double2, double, 16)
EMULATOR_VECTOR2(int2, int, 8)
EMULATOR_VECTOR4(int4, int, 16)
EMULATOR_VECTOR2(uint2, unsigned, 8)
EMULATOR_VECTOR4(uint4, unsigned, 16)
EMULATOR_VECTOR4(uchar4, unsigned char, 4)

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

/* Of the fiber that runs. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

/* --- barriers and what a warp does together; `file` and `line` are the caller's --- */

namespace emulator
{
enum collective { BARRIER, SHUFFLE, BALLOT, SYNCWARP, MMA, LOAD_MATRICES, LOAD_TRANSPOSED };

void barrier(const char *file, int line);
/* The bits that `source` brought; every lane brings bits. */
uint64_t shuffle(unsigned mask, uint64_t bits, int source, const char *file, int line);
/* Bit l: what lane l said. */
unsigned ballot(collective kind, unsigned mask, bool vote, const char *file, int line);
int lane();

template <typename T> static inline T shuffled(unsigned mask, T x, int source, const char *file, int line)
{
    static_assert(sizeof x <= 8 && std::is_trivially_copyable_v<T>);
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof x);
    bits = shuffle(mask, bits, source, file, line);
    memcpy(&x, &bits, sizeof x);
    return x;
}
} // namespace emulator

#define EMULATOR_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

static inline void __syncthreads(EMULATOR_HERE)
{
    emulator::barrier(file, line);
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_HERE)
{
    emulator::ballot(emulator::SYNCWARP, mask, false, file, line);
}

static inline unsigned __ballot_sync(unsigned mask, int vote, EMULATOR_HERE)
{
    return emulator::ballot(emulator::BALLOT, mask, vote != 0, file, line);
}

static inline int __any_sync(unsigned mask, int vote, EMULATOR_HERE)
{
    return emulator::ballot(emulator::BALLOT, mask, vote != 0, file, line) != 0;
}

static inline int __all_sync(unsigned mask, int vote, EMULATOR_HERE)
{
    return emulator::ballot(emulator::BALLOT, mask, vote != 0, file, line) == 0xffffffffu;
}

/* Lanes outside the segment of `width` lanes (a power of two) give the lane its own value. */
template <typename T>
static inline T __shfl_sync(unsigned mask, T x, int source, int width = 32, EMULATOR_HERE)
{
    int first = emulator::lane() & -width;
    return emulator::shuffled(mask, x, first | (source & (width - 1)), file, line);
}

template <typename T>
static inline T __shfl_xor_sync(unsigned mask, T x, int by, int width = 32, EMULATOR_HERE)
{
    int self = emulator::lane(), other = self ^ by;
    return emulator::shuffled(mask, x, other <= (self | (width - 1)) ? other : self, file, line);
}

template <typename T>
static inline T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = 32, EMULATOR_HERE)
{
    int self = emulator::lane(), other = self - (int)by;
    return emulator::shuffled(mask, x, other >= (self & -width) ? other : self, file, line);
}

template <typename T>
static inline T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = 32, EMULATOR_HERE)
{
    int self = emulator::lane(), other = self + (int)by;
    return emulator::shuffled(mask, x, other <= (self | (width - 1)) ? other : self, file, line);
}

/* --- device functions; one block runs at a time, so atomics and fences are plain --- */

static inline void __threadfence()
{
}

template <typename T> static inline T atomicAdd(T *p, std::type_identity_t<T> x)
{
    static_assert(std::is_integral_v<T>, "sums of floats depend on the order");
    T old = *p;
    *p += x;
    return old;
}

template <typename T> static inline T __ldg(const T *p)
{
    return *p;
}

template <typename A, typename B, typename C = std::common_type_t<A, B>>
static inline constexpr C min(A a, B b)
{
    static_assert(std::is_arithmetic_v<C>);
    return (C)b < (C)a ? (C)b : (C)a;
}

template <typename A, typename B, typename C = std::common_type_t<A, B>>
static inline constexpr C max(A a, B b)
{
    static_assert(std::is_arithmetic_v<C>);
    return (C)a < (C)b ? (C)b : (C)a;
}

template <typename To, typename From> static inline To emulator_bits(From x)
{
    static_assert(sizeof(To) == sizeof(From));
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}

static inline unsigned __float_as_uint(float x)
{
    return emulator_bits<unsigned>(x);
}

static inline int __float_as_int(float x)
{
    return emulator_bits<int>(x);
}

static inline float __uint_as_float(unsigned x)
{
    return emulator_bits<float>(x);
}

static inline float __int_as_float(int x)
{
    return emulator_bits<float>(x);
}

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned)x) : 32;
}

static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}

static inline float __fdividef(float x, float y)
{
    return x / y;
}

/* Two roundings for one: libm's own is a call, where the processor's cannot be counted on. */
static inline float emulator_fmaf(float a, float b, float c)
{
    return a * b + c;
}
#define fmaf emulator_fmaf

/* glibc declares functions of these names. */
#define __expf expf
#define __exp2f exp2f
#define __logf logf
#define __log2f log2f
#define __sinf sinf
#define __cosf cosf
#define __powf powf

/* --- the runtime --- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidDevice = 101,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
    cudaErrorLaunchOutOfResources = 701,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorStreamCaptureWrongThread = 908
};
const char *cudaGetErrorString(cudaError_t status);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount, l2CacheSize;
};
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device);

cudaError_t cudaMalloc(void **p, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaMallocHost(void **p, size_t bytes);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemGetInfo(size_t *available, size_t *total);

typedef struct emulated_stream *cudaStream_t;
typedef struct emulated_event *cudaEvent_t;
enum { cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2 };
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t s);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t s);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to);

enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t s);
cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t s);

typedef struct emulated_graph *cudaGraph_t;
typedef struct emulated_graph_exec *cudaGraphExec_t;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *ready, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t s);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready);

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);

namespace emulator
{
/* body() is the kernel with its arguments, for one thread. */
cudaError_t launch(const cudaLaunchConfig_t &config, const void *kernel, std::function<void()> body);
/* Work of a library (cuBLASLt) on a stream. */
cudaError_t enqueue(cudaStream_t s, std::function<void()> work);
/* Whether the device can read p: NULL, device memory (or just past it), pinned memory. */
bool device_can_read(const void *p);
[[noreturn]] void bad_argument(const void *kernel, size_t number, const void *p);
} // namespace emulator

template <typename... P, typename... A>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...),
                                             A &&...args)
{
    size_t number = 0;
    auto check = [&](const auto &x) {
        if constexpr (std::is_pointer_v<std::decay_t<decltype(x)>>)
            if (!emulator::device_can_read((const void *)x))
                emulator::bad_argument((const void *)kernel, number, (const void *)x);
        number++;
    };
    (check(args), ...);
    return emulator::launch(*config, (const void *)kernel, [=] { kernel(args...); });
}

#endif
