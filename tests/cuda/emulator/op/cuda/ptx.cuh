/* lib/op/cuda/ptx.cuh in plain C++: found in its place because this folder comes first in the include path. */
#ifndef SGAPS_OP_CUDA_PTX_CUH
#define SGAPS_OP_CUDA_PTX_CUH

#include <stdint.h>

#include "op/cuda/cuda.cuh"

namespace emulator
{
char *dynamic_shared();
void mma(float *d, const uint32_t *a, const uint32_t *b, const char *file, int line);
void load_matrices(collective kind, uint32_t *f, const void *row, const char *file, int line);
void copy_async(void *to, const void *from, bool valid, const char *file, int line);
void copy_commit();
void copy_wait(int groups);
} // namespace emulator

static inline char *shared_memory()
{
    return emulator::dynamic_shared();
}

static inline void mma_16x8x16(float d[4], const uint32_t a[4], const uint32_t b[2], EMULATOR_HERE)
{
    emulator::mma(d, a, b, file, line);
}

static inline void load_matrices(uint32_t f[4], const void *row, EMULATOR_HERE)
{
    emulator::load_matrices(emulator::LOAD_MATRICES, f, row, file, line);
}

static inline void load_matrices_transposed(uint32_t f[4], const void *row, EMULATOR_HERE)
{
    emulator::load_matrices(emulator::LOAD_TRANSPOSED, f, row, file, line);
}

static inline uint32_t transpose_matrix(uint32_t f)
{
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4, by = g % 2 * 16;
    uint32_t low = __shfl_sync(0xffffffffu, f, 2 * t * 4 + g / 2);
    uint32_t high = __shfl_sync(0xffffffffu, f, (2 * t + 1) * 4 + g / 2);
    return (low >> by & 0xffff) | high >> by << 16;
}

static inline void copy_async(void *to, const void *from, bool valid, EMULATOR_HERE)
{
    emulator::copy_async(to, from, valid, file, line);
}

static inline void copy_commit()
{
    emulator::copy_commit();
}

template <int groups> static inline void copy_wait()
{
    emulator::copy_wait(groups);
}

static inline float fast_exp2(float x)
{
    return exp2f(x);
}

#endif
