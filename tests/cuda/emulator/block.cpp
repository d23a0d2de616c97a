/* A block's threads: who runs, who waits for what, and what comes of it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <dlfcn.h>

#include "emulator.h"
#include "fiber.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator
{
/* Where a thread waits. */
struct place {
    collective kind;
    const char *file;
    int line;
};

struct thread {
    fiber *stack; /* NULL: has not started, or has returned */
    uint3 index;
};

struct warp {
    uint32_t ready, at_barrier, at_collective, returned; /* a bit for each lane */
    place where;                                         /* of those at the collective */
    operand lane[LANES];
};

static struct {
    const void *kernel;
    const std::function<void()> *body;
    struct order order;
    uint64_t random;
    unsigned threads, warps, returned, arrived;
    unsigned current;     /* the thread that runs */
    uint32_t ready_warps; /* with a thread that can go on */
    place barrier;        /* of those that arrived */
    struct thread thread[MOST_THREADS];
    struct warp warp[LANES];
} block;

static const char *const collective_name[] = {
    "__syncthreads", "__shfl", "a vote", "__syncwarp", "mma", "load_matrices", "load_matrices_transposed"};

unsigned current_thread()
{
    return block.current;
}

int lane()
{
    return (int)(block.current % LANES);
}

/* --- faults --- */

/* "name of the kernel", or where to look for it. */
static void print_kernel(const void *kernel)
{
    Dl_info where;
    char command[512], name[400] = "";
    if (!dladdr(kernel, &where))
        return;
    size_t offset = (size_t)((const char *)kernel - (const char *)where.dli_fbase);
    snprintf(command, sizeof command, "addr2line -Cfse '%s' %#zx 2>/dev/null", where.dli_fname, offset);
    FILE *f = popen(command, "r");
    if (!f || !fgets(name, sizeof name, f) || name[0] == '?')
        snprintf(name, sizeof name, "%s+%#zx\n", where.dli_fname, offset);
    if (f)
        pclose(f);
    fprintf(stderr, "CUDA emulator: kernel %s", name);
}

void fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    print_kernel(block.kernel);
    fprintf(stderr,
            "CUDA emulator: block (%u,%u,%u) of (%u,%u,%u), thread (%u,%u,%u) of (%u,%u,%u): ", blockIdx.x,
            blockIdx.y, blockIdx.z, gridDim.x, gridDim.y, gridDim.z, threadIdx.x, threadIdx.y, threadIdx.z,
            blockDim.x, blockDim.y, blockDim.z);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (file)
        fprintf(stderr, " (%s:%d)", file, line);
    fputc('\n', stderr);
    abort();
}

void fail_outside(const void *kernel, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    print_kernel(kernel);
    fputs("CUDA emulator: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* --- who goes on --- */

static uint32_t next_random()
{
    block.random ^= block.random << 13;
    block.random ^= block.random >> 7;
    block.random ^= block.random << 17;
    return (uint32_t)(block.random >> 32);
}

/* The number of one of the bits that are set. */
static unsigned choose(uint32_t bits)
{
    if (block.order.kind == order::FORWARD)
        return (unsigned)__builtin_ctz(bits);
    if (block.order.kind == order::REVERSED)
        return 31u - (unsigned)__builtin_clz(bits);
    unsigned start = next_random() % 32;
    uint32_t from_start = bits >> start << start;
    return (unsigned)__builtin_ctz(from_start ? from_start : bits);
}

/* Faults are found where they arise, so somebody is ready unless all have returned. */
static unsigned choose_thread()
{
    unsigned w = choose(block.ready_warps);
    return w * LANES + choose(block.warp[w].ready);
}

static void become(unsigned thread)
{
    block.current = thread;
    threadIdx = block.thread[thread].index;
}

static void set_ready(warp *w, uint32_t lanes)
{
    uint32_t bit = 1u << (w - block.warp);
    w->ready = lanes;
    block.ready_warps = lanes ? block.ready_warps | bit : block.ready_warps & ~bit;
}

static void thread_entry();

/* Another thread goes on; returns when this one may. */
static void wait()
{
    struct thread *self = block.thread + block.current;
    unsigned next = choose_thread();
    struct thread *other = block.thread + next;
    if (self == other)
        return;
    become(next);
    if (!other->stack)
        other->stack = fiber_take(thread_entry);
    fiber_switch(self->stack, other->stack);
}

/* --- what they wait for --- */

static void arrive(place *first, bool is_first, const place &here)
{
    if (is_first)
        *first = here;
    else if (first->kind != here.kind || first->line != here.line)
        fail(here.file, here.line, "comes to %s, while others wait at %s (%s:%d)", collective_name[here.kind],
             collective_name[first->kind], first->file, first->line);
}

void barrier(const char *file, int line)
{
    warp *w = block.warp + block.current / LANES;
    uint32_t bit = 1u << block.current % LANES;
    place here = {BARRIER, file, line};
    if (block.returned)
        fail(file, line, "comes to __syncthreads, but %u of the block's threads have returned",
             block.returned);
    if (w->at_collective)
        arrive(&w->where, false, here);
    arrive(&block.barrier, !block.arrived, here);
    w->at_barrier |= bit;
    set_ready(w, w->ready & ~bit);
    if (++block.arrived == block.threads) {
        block.arrived = 0;
        for (unsigned i = 0; i < block.warps; i++) {
            block.warp[i].at_barrier = 0;
            set_ready(block.warp + i, 0xffffffffu);
        }
    }
    wait();
}

/* What each lane gets, once all of them have come. */
static void complete(warp *w)
{
    uint64_t bits[LANES], votes = 0;
    switch (w->where.kind) {
    case SHUFFLE:
        for (int i = 0; i < LANES; i++)
            bits[i] = w->lane[w->lane[i].source].bits;
        for (int i = 0; i < LANES; i++)
            w->lane[i].bits = bits[i];
        break;
    case MMA:
        mma_of(w->lane);
        break;
    case LOAD_MATRICES:
    case LOAD_TRANSPOSED:
        matrices_of(w->lane, w->where.kind == LOAD_TRANSPOSED);
        break;
    default:
        for (int i = 0; i < LANES; i++)
            votes |= (uint64_t)w->lane[i].vote << i;
        for (int i = 0; i < LANES; i++)
            w->lane[i].bits = votes;
    }
}

/* What the lane brings, and later gets. */
static operand *own_operand()
{
    return block.warp[block.current / LANES].lane + block.current % LANES;
}

/* All lanes of the warp meet. */
static void gather(unsigned mask, collective kind, const char *file, int line)
{
    warp *w = block.warp + block.current / LANES;
    uint32_t bit = 1u << block.current % LANES;
    place here = {kind, file, line};
    if (mask != 0xffffffffu)
        fail(file, line, "the mask of %s is %#x: all lanes take part here", collective_name[kind], mask);
    if (w->returned)
        fail(file, line, "comes to %s, but lanes %#x of its warp have returned", collective_name[kind],
             w->returned);
    if (w->at_barrier)
        arrive(&block.barrier, false, here);
    arrive(&w->where, !w->at_collective, here);
    w->at_collective |= bit;
    if (w->at_collective == 0xffffffffu) {
        complete(w);
        w->at_collective = 0;
        set_ready(w, 0xffffffffu);
    } else {
        set_ready(w, w->ready & ~bit);
    }
    wait();
}

uint64_t shuffle(unsigned mask, uint64_t bits, int source, const char *file, int line)
{
    operand *own = own_operand();
    own->bits = bits;
    own->source = source & (LANES - 1);
    gather(mask, SHUFFLE, file, line);
    return own->bits;
}

unsigned ballot(collective kind, unsigned mask, bool vote, const char *file, int line)
{
    operand *own = own_operand();
    own->vote = vote;
    gather(mask, kind, file, line);
    return (unsigned)own->bits;
}

void mma(float *d, const uint32_t *a, const uint32_t *b, const char *file, int line)
{
    operand *own = own_operand();
    own->d = d;
    own->a = a;
    own->b = b;
    gather(0xffffffffu, MMA, file, line);
}

void load_matrices(collective kind, uint32_t *f, const void *row, const char *file, int line)
{
    operand *own = own_operand();
    if ((uintptr_t)row % 16)
        fail(file, line, "%s: the row at %p is not 16-byte aligned", collective_name[kind], row);
    if (!shared_holds(row, 16))
        fail(file, line, "%s: the row at %p is not in shared memory", collective_name[kind], row);
    own->f = f;
    own->row = row;
    gather(0xffffffffu, kind, file, line);
}

/* --- from the first thread of a block to the last --- */

static void thread_returned()
{
    warp *w = block.warp + block.current / LANES;
    uint32_t bit = 1u << block.current % LANES;
    if (block.arrived)
        fail(NULL, 0, "has returned, while %u threads wait at __syncthreads (%s:%d)", block.arrived,
             block.barrier.file, block.barrier.line);
    if (w->at_collective)
        fail(NULL, 0, "has returned, while lanes %#x of its warp wait at %s (%s:%d)", w->at_collective,
             collective_name[w->where.kind], w->where.file, w->where.line);
    w->returned |= bit;
    set_ready(w, w->ready & ~bit);
    block.returned++;
}

/* A stack runs one thread after another as long as the next has not started; so a kernel without barriers never switches. */
static void thread_entry()
{
    fiber_arrived();
    for (;;) {
        (*block.body)();
        struct thread *self = block.thread + block.current;
        fiber *stack = self->stack;
        self->stack = NULL;
        thread_returned();
        fiber *next = fiber_host();
        if (block.returned < block.threads) {
            unsigned thread = choose_thread();
            become(thread);
            if (!block.thread[thread].stack) {
                block.thread[thread].stack = stack;
                continue;
            }
            next = block.thread[thread].stack;
        }
        fiber_give_back(stack);
        fiber_switch(stack, next, true);
    }
}

static void run_block()
{
    shared_poison();
    copies_forget(block.threads, block.order);
    block.returned = block.arrived = 0;
    for (unsigned i = 0; i < block.warps; i++) {
        warp *w = block.warp + i;
        w->at_barrier = w->at_collective = w->returned = 0;
        set_ready(w, 0xffffffffu);
    }
    unsigned first = choose_thread();
    become(first);
    block.thread[first].stack = fiber_take(thread_entry);
    fiber_switch(fiber_host(), block.thread[first].stack);
    if (!shared_intact())
        fail(NULL, 0, "the block has written past its dynamic shared memory");
}

static size_t gcd(size_t a, size_t b)
{
    return b ? gcd(b, a % b) : a;
}

order order_now()
{
    const char *s = getenv("SGAPS_EMULATOR_ORDER");
    if (!s || !*s || !strcmp(s, "forward"))
        return {order::FORWARD, 0};
    if (!strcmp(s, "reversed"))
        return {order::REVERSED, 0};
    return {order::RANDOM, strtoull(s, NULL, 10)};
}

void run_grid(const cudaLaunchConfig_t &config, size_t allowed, const void *kernel,
              const std::function<void()> &body)
{
    block.kernel = kernel;
    block.body = &body;
    block.order = order_now();
    block.random = block.order.seed * 0x9E3779B97F4A7C15u | 1;
    gridDim = config.gridDim;
    blockDim = config.blockDim;
    block.threads = blockDim.x * blockDim.y * blockDim.z;
    block.warps = block.threads / LANES;
    block.ready_warps = 0;
    for (unsigned i = 0; i < block.threads; i++)
        block.thread[i] = {NULL, {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y}};
    shared_begin(config.dynamicSmemBytes);
    size_t blocks = (size_t)gridDim.x * gridDim.y * gridDim.z, stride = 1, first = 0;
    if (block.order.kind == order::REVERSED) {
        first = stride = blocks - 1;
    } else if (block.order.kind == order::RANDOM) {
        first = next_random() % blocks;
        for (stride = 1 + next_random() % blocks; gcd(stride, blocks) != 1; stride++)
            ;
    }
    for (size_t i = 0, at = first; i < blocks; i++, at = (at + stride) % blocks) {
        blockIdx = {(unsigned)(at % gridDim.x), (unsigned)(at / gridDim.x % gridDim.y),
                    (unsigned)(at / gridDim.x / gridDim.y)};
        run_block();
        if (!i && shared_used() > allowed)
            fail(NULL, 0, "%zu bytes of shared memory, its own arrays among them: %zu are allowed",
                 shared_used(), allowed);
    }
}
} // namespace emulator
