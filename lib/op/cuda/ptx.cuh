/* The instructions that C++ has no name for. tests/cuda/emulator/op/cuda/ptx.cuh does the same in plain C++. */
#ifndef SGAPS_OP_CUDA_PTX_CUH
#define SGAPS_OP_CUDA_PTX_CUH

#include <stdint.h>

#include "op/cuda/cuda.cuh"

/* The block's dynamic shared memory. */
static __device__ __forceinline__ char *shared_memory()
{
    extern __shared__ __align__(128) char sgaps_shared_memory[];
    return sgaps_shared_memory;
}

static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* d (16x8) += a (16x16) b (16x8), bf16 factors, float sums; the fragments of mma.sync.m16n8k16: with g = lane / 4 and
 * t = lane % 4, a[0] holds (g, 2t..), a[1] (g+8, 2t..), a[2] (g, 2t+8..), a[3] (g+8, 2t+8..); b[0] (k 2t.., n g),
 * b[1] (k 2t+8.., n g); d[0..1] (g, 2t..), d[2..3] (g+8, 2t..). The lower index of two is in the low half of a word. */
static __device__ __forceinline__ void mma_16x8x16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four 8x8 matrices of 16-bit elements from shared memory; lane 8i + r gives the 16-byte aligned address of row r of matrix
 * i. Afterwards f[i] of lane l holds elements 2(l%4) and 2(l%4)+1 of row l/4 of matrix i; transposed: of column l/4. */
static __device__ __forceinline__ void load_matrices(uint32_t f[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(f[0]), "=r"(f[1]), "=r"(f[2]), "=r"(f[3])
                 : "r"(shared_address(row))
                 : "memory");
}

static __device__ __forceinline__ void load_matrices_transposed(uint32_t f[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(f[0]), "=r"(f[1]), "=r"(f[2]), "=r"(f[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* An 8x8 matrix of 16-bit elements spread over the warp as load_matrices leaves one, transposed: lane l gives elements 2(l%4)
 * and 2(l%4)+1 of row l/4 and gets those of column l/4. */
static __device__ __forceinline__ uint32_t transpose_matrix(uint32_t f)
{
    uint32_t to;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;\n" : "=r"(to) : "r"(f));
    return to;
}

/* Starts copying 16 bytes from global to shared memory, both 16-byte aligned; !valid writes zeros and does not read. */
static __device__ __forceinline__ void copy_async(void *to, const void *from, bool valid)
{
    int size = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from),
                 "r"(size)
                 : "memory");
}

/* Closes a group of this thread's copies. */
static __device__ __forceinline__ void copy_commit()
{
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}

/* Waits until at most `groups` of this thread's groups are on their way; a barrier makes them visible to the others. */
template <int groups> static __device__ __forceinline__ void copy_wait()
{
    asm volatile("cp.async.wait_group %0;\n" ::"n"(groups) : "memory");
}

/* 2^x, and 1/x, by the special-function unit: 2 ulp. */
static __device__ __forceinline__ float fast_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif
