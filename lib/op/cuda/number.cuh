/* Numbers in kernels: float and bfloat16 behind one set of names, four at a time, sums over warps and blocks. */
#ifndef SGAPS_OP_CUDA_NUMBER_CUH
#define SGAPS_OP_CUDA_NUMBER_CUH

#include "op/cuda/cuda.cuh"

static __device__ __forceinline__ float to_float(float x)
{
    return x;
}

static __device__ __forceinline__ float to_float(bf16 x)
{
    return __bfloat162float(x);
}

/* store(p, x): *p = x rounded to p's type. */
static __device__ __forceinline__ void store(float *p, float x)
{
    *p = x;
}

static __device__ __forceinline__ void store(bf16 *p, float x)
{
    *p = __float2bfloat16_rn(x);
}

/* Four neighbours; p is aligned to four elements. */
static __device__ __forceinline__ float4 load4(const float *p)
{
    return *(const float4 *)p;
}

static __device__ __forceinline__ float4 load4(const bf16 *p)
{
    uint2 raw = *(const uint2 *)p;
    return make_float4(__uint_as_float(raw.x << 16), __uint_as_float(raw.x & 0xffff0000u),
                       __uint_as_float(raw.y << 16), __uint_as_float(raw.y & 0xffff0000u));
}

/* Two floats rounded into one word, the first in the low half, as mma and memory want them. */
static __device__ __forceinline__ unsigned pack2(float low, float high)
{
    return (unsigned)__bfloat16_as_ushort(__float2bfloat16_rn(low)) |
           (unsigned)__bfloat16_as_ushort(__float2bfloat16_rn(high)) << 16;
}

static __device__ __forceinline__ void store4(float *p, float4 x)
{
    *(float4 *)p = x;
}

static __device__ __forceinline__ void store4(bf16 *p, float4 x)
{
    *(uint2 *)p = make_uint2(pack2(x.x, x.y), pack2(x.z, x.w));
}

enum { WARP = 32 };
#define ALL_LANES 0xffffffffu

/* The sum, or maximum, over a warp, or over each LANES neighbours in it (a power of two). */
template <int LANES = WARP, typename T> static __device__ __forceinline__ T warp_sum(T x)
{
    for (int offset = LANES / 2; offset; offset /= 2)
        x += __shfl_xor_sync(ALL_LANES, x, offset);
    return x;
}

template <int LANES = WARP> static __device__ __forceinline__ float warp_max(float x)
{
    for (int offset = LANES / 2; offset; offset /= 2)
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, offset));
    return x;
}

/* The sum over a block of whole warps, in every thread; room: 32 elements of shared memory, free again when it returns. */
template <typename T> static __device__ __forceinline__ T block_sum(T x, T *room)
{
    int warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
    x = warp_sum(x);
    if (!lane)
        room[threadIdx.x / WARP] = x;
    __syncthreads();
    T sum = lane < warps ? room[lane] : T(0);
    __syncthreads();
    return warp_sum(sum);
}

#endif
