/* The runtime: memory, streams, events, graphs, launches. One lock over all of it, held while kernels run. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "emulator.h"

typedef std::function<void()> work;

struct emulated_stream {
    std::vector<work> queue; /* put off until something waits */
    bool capturing, spoilt;  /* spoilt: what was captured cannot become a graph */
    std::thread::id capturer;
    std::vector<work> captured;
};

struct emulated_event {
    cudaStream_t stream; /* where it was recorded last, NULL: nowhere */
    bool passed;
    double time;
};

struct emulated_graph {
    std::vector<work> works;
};

struct emulated_graph_exec {
    std::vector<work> works;
};

static std::recursive_mutex lock;
static cudaError_t last_error;
static std::set<cudaStream_t> streams;
static std::map<const char *, size_t> device_memory, pinned_memory;
static size_t used;
static std::map<const void *, size_t> shared_allowed; /* by kernel, where it was asked for */

#define LOCKED std::lock_guard<std::recursive_mutex> held(lock)

static cudaError_t say(cudaError_t status)
{
    if (status != cudaSuccess)
        last_error = status;
    return status;
}

const char *cudaGetErrorString(cudaError_t status)
{
    switch (status) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorLaunchOutOfResources:
        return "too many resources requested for launch";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
        return "invalid resource handle";
    case cudaErrorNotReady:
        return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
        return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureWrongThread:
        return "attempt to terminate a thread-local capture sequence from another thread";
    }
    return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError()
{
    LOCKED;
    return last_error;
}

cudaError_t cudaGetLastError()
{
    LOCKED;
    cudaError_t status = last_error;
    last_error = cudaSuccess;
    return status;
}

/* --- the device --- */

static size_t given(const char *variable, size_t otherwise)
{
    const char *s = getenv(variable);
    return s && *s ? strtoull(s, NULL, 10) : otherwise;
}

static size_t total_memory()
{
    return given("SGAPS_EMULATOR_MEMORY", (size_t)4 << 30);
}

/* What a block may ask for. */
static size_t most_shared()
{
    size_t most = given("SGAPS_EMULATOR_SHARED", emulator::SHARED_MOST);
    return most < emulator::SHARED_MOST ? most : emulator::SHARED_MOST;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    LOCKED;
    return say(device ? cudaErrorInvalidDevice : cudaSuccess);
}

/* Few multiprocessors, so that kernels with as many blocks as keep the device busy go round their loops. */
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    LOCKED;
    *p = {};
    if (device)
        return say(cudaErrorInvalidDevice);
    snprintf(p->name, sizeof p->name, "emulated CUDA device");
    p->totalGlobalMem = total_memory();
    p->sharedMemPerBlock = emulator::SHARED_DEFAULT;
    p->sharedMemPerBlockOptin = most_shared();
    p->major = 9;
    p->multiProcessorCount = (int)given("SGAPS_EMULATOR_MULTIPROCESSORS", 3);
    p->l2CacheSize = 50 << 20;
    return cudaSuccess;
}

/* --- streams --- */

/* Whether this thread captures: then neither memory nor waiting is to be had, and asking spoils the graph. */
static bool spoils_capture()
{
    bool spoilt = false;
    for (cudaStream_t s : streams)
        if (s->capturing && s->capturer == std::this_thread::get_id())
            spoilt = s->spoilt = true;
    return spoilt;
}

static void run_queue(cudaStream_t s)
{
    std::vector<work> queue;
    queue.swap(s->queue);
    for (const work &w : queue)
        w();
}

static void run_all()
{
    for (cudaStream_t s : streams)
        run_queue(s);
}

cudaError_t emulator::enqueue(cudaStream_t s, work w)
{
    LOCKED;
    if (!streams.count(s)) /* the default stream is not emulated */
        return say(cudaErrorInvalidResourceHandle);
    if (s->capturing) {
        if (s->spoilt)
            return say(cudaErrorStreamCaptureInvalidated);
        s->captured.push_back(w);
        return cudaSuccess;
    }
    s->queue.push_back(w);
    if (order_now().kind == order::FORWARD)
        run_queue(s);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    LOCKED;
    *s = new emulated_stream();
    streams.insert(*s);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    LOCKED;
    if (!streams.count(s))
        return say(cudaErrorInvalidResourceHandle);
    run_queue(s);
    streams.erase(s);
    delete s;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    LOCKED;
    if (!streams.count(s))
        return say(cudaErrorInvalidResourceHandle);
    if (s->capturing || spoils_capture()) {
        s->spoilt |= s->capturing;
        return say(cudaErrorStreamCaptureUnsupported);
    }
    run_queue(s);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize()
{
    LOCKED;
    if (spoils_capture())
        return say(cudaErrorStreamCaptureUnsupported);
    run_all();
    return cudaSuccess;
}

/* --- memory --- */

/* Whether [p, p + n) lies in one of the blocks; n = 0: p may stand at its end. */
static bool inside(const std::map<const char *, size_t> &blocks, const void *p, size_t n)
{
    auto after = blocks.upper_bound((const char *)p);
    if (after == blocks.begin())
        return false;
    const auto &[start, size] = *--after;
    return (const char *)p + n <= start + size;
}

bool emulator::device_can_read(const void *p)
{
    LOCKED;
    return !p || inside(device_memory, p, 0) || inside(pinned_memory, p, 0);
}

void emulator::bad_argument(const void *kernel, size_t number, const void *p)
{
    fail_outside(kernel, "argument %zu, %p, is neither device memory nor pinned", number, p);
}

static cudaError_t take(std::map<const char *, size_t> &blocks, void **p, size_t bytes)
{
    *p = NULL;
    if (spoils_capture())
        return say(cudaErrorStreamCaptureUnsupported);
    if (!bytes)
        return cudaSuccess;
    bool device = &blocks == &device_memory;
    if ((device && bytes > total_memory() - used) || posix_memalign(p, 256, bytes))
        return say(cudaErrorMemoryAllocation);
    memset(*p, 0xff, bytes);
    blocks[(const char *)*p] = bytes;
    used += device ? bytes : 0;
    return cudaSuccess;
}

static cudaError_t give(std::map<const char *, size_t> &blocks, void *p)
{
    if (!p)
        return cudaSuccess;
    if (spoils_capture())
        return say(cudaErrorStreamCaptureUnsupported);
    auto found = blocks.find((const char *)p);
    if (found == blocks.end())
        return say(cudaErrorInvalidValue);
    run_all();
    used -= &blocks == &device_memory ? found->second : 0;
    blocks.erase(found);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    LOCKED;
    return take(device_memory, p, bytes);
}

cudaError_t cudaFree(void *p)
{
    LOCKED;
    return give(device_memory, p);
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    LOCKED;
    return take(pinned_memory, p, bytes);
}

cudaError_t cudaFreeHost(void *p)
{
    LOCKED;
    return give(pinned_memory, p);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    LOCKED;
    *total = total_memory();
    *available = *total - used;
    return cudaSuccess;
}

/* A host block that is not pinned is read before the call returns, and has been written when it returns. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t s)
{
    LOCKED;
    bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
    if (!n)
        return cudaSuccess;
    if (inside(device_memory, to, n) != to_device || inside(device_memory, from, n) != from_device)
        return say(cudaErrorInvalidValue);
    bool capturing = streams.count(s) && s->capturing;
    if (!from_device && !inside(pinned_memory, from, n) && !capturing) {
        std::vector<char> bytes((const char *)from, (const char *)from + n);
        return emulator::enqueue(s, [=] { memcpy(to, bytes.data(), n); });
    }
    cudaError_t status = emulator::enqueue(s, [=] { memmove(to, from, n); });
    if (status == cudaSuccess && !to_device && !inside(pinned_memory, to, n) && !capturing)
        run_queue(s);
    return status;
}

cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t s)
{
    LOCKED;
    if (n && !inside(device_memory, p, n))
        return say(cudaErrorInvalidValue);
    return emulator::enqueue(s, [=] { memset(p, byte, n); });
}

/* --- events --- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new emulated_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    LOCKED;
    if (event->stream && streams.count(event->stream))
        run_queue(event->stream);
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t s)
{
    LOCKED;
    event->stream = s;
    event->passed = false;
    return emulator::enqueue(s, [=] {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        event->time = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
        event->passed = true;
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    LOCKED;
    if (spoils_capture())
        return say(cudaErrorStreamCaptureUnsupported);
    if (event->stream && streams.count(event->stream))
        run_queue(event->stream);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    LOCKED;
    if (!from->stream || !to->stream)
        return say(cudaErrorInvalidResourceHandle);
    if (!from->passed || !to->passed)
        return say(cudaErrorNotReady);
    *milliseconds = (float)(to->time - from->time);
    return cudaSuccess;
}

/* --- graphs --- */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
    LOCKED;
    if (!streams.count(s))
        return say(cudaErrorInvalidResourceHandle);
    if (s->capturing)
        return say(cudaErrorInvalidValue);
    s->capturing = true;
    s->spoilt = false;
    s->capturer = std::this_thread::get_id();
    s->captured.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
    LOCKED;
    *graph = NULL;
    if (!streams.count(s))
        return say(cudaErrorInvalidResourceHandle);
    if (!s->capturing)
        return say(cudaErrorInvalidValue);
    s->capturing = false;
    if (s->spoilt)
        return say(cudaErrorStreamCaptureInvalidated);
    *graph = new emulated_graph{s->captured};
    s->captured.clear();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *ready, cudaGraph_t graph, unsigned long long)
{
    *ready = new emulated_graph_exec{graph->works};
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t s)
{
    LOCKED;
    for (const work &w : ready->works) {
        cudaError_t status = emulator::enqueue(s, w);
        if (status != cudaSuccess)
            return status;
    }
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready)
{
    delete ready;
    return cudaSuccess;
}

/* --- launches --- */

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    LOCKED;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value > most_shared())
        return say(cudaErrorInvalidValue);
    shared_allowed[kernel] = (size_t)value;
    return cudaSuccess;
}

cudaError_t emulator::launch(const cudaLaunchConfig_t &config, const void *kernel, work body)
{
    LOCKED;
    const dim3 &g = config.gridDim, &b = config.blockDim;
    size_t threads = (size_t)b.x * b.y * b.z;
    auto asked = shared_allowed.find(kernel);
    bool was_asked = asked != shared_allowed.end();
    size_t dynamic = was_asked ? asked->second : SHARED_DEFAULT,
           all = was_asked ? most_shared() : SHARED_DEFAULT;
    if (!g.x || !g.y || !g.z || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535 || !threads ||
        threads > MOST_THREADS || b.z > 64)
        return say(cudaErrorInvalidConfiguration);
    if (config.dynamicSmemBytes > dynamic)
        return say(cudaErrorInvalidValue);
    if (threads % LANES)
        fail_outside(kernel, "blocks of %zu threads: whole warps are wanted here", threads);
    return enqueue(config.stream, [=] {
        /* A graph's kernels need their shared memory allowed when the graph runs, too. */
        if (was_asked && config.dynamicSmemBytes > shared_allowed[kernel])
            fail_outside(kernel,
                         "%zu bytes of shared memory were allowed when it was captured, and are not now",
                         (size_t)config.dynamicSmemBytes);
        run_grid(config, all, kernel, body);
    });
}
