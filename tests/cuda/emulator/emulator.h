/* Private to the emulator: what its parts share. */
#ifndef SGAPS_EMULATOR_EMULATOR_H
#define SGAPS_EMULATOR_EMULATOR_H

#include <cuda_runtime.h>

namespace emulator
{
enum { LANES = 32, MOST_THREADS = 1024, SHARED_DEFAULT = 48 << 10, SHARED_MOST = 227 << 10 };

/* Runs every block of a grid, each of which may use `allowed` bytes of shared memory in all. */
void run_grid(const cudaLaunchConfig_t &config, size_t allowed, const void *kernel,
              const std::function<void()> &body);

/* Ends the program: what is wrong, and where. */
[[noreturn]] void fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
[[noreturn]] void fail_outside(const void *kernel, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* SGAPS_EMULATOR_ORDER. */
struct order {
    enum { FORWARD, REVERSED, RANDOM } kind;
    uint64_t seed;
};
order order_now();

/* Shared memory of the block that runs. */
void shared_begin(size_t bytes); /* of a launch */
void shared_poison();            /* at the start of a block */
bool shared_intact();            /* at its end: nothing was written past it */
size_t shared_used();            /* dynamic, and of __shared__ arrays what the first block wrote, at least */
bool shared_holds(const void *p, size_t n);

/* What the lanes of a warp brought to a collective, and what they get. */
struct operand {
    uint64_t bits;
    int source;
    bool vote;
    float *d;
    const uint32_t *a, *b;
    const void *row;
    uint32_t *f;
};
void mma_of(operand lane[LANES]);
void matrices_of(operand lane[LANES], bool transposed);

/* Copies by cp.async that a thread has on their way. */
void copies_forget(unsigned threads, order how);
unsigned current_thread(); /* its number in the block */
} // namespace emulator

#endif
