/* Philox4x32-10 in kernels: the draws of base/philox.h, and through op.h's rule the same dropout masks as the CPU's. */
#ifndef SGAPS_OP_CUDA_PHILOX_CUH
#define SGAPS_OP_CUDA_PHILOX_CUH

#include "op/cuda/number.cuh"

static __device__ __forceinline__ uint4 philox4x32(uint4 counter, uint2 key)
{
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned high0 = __umulhi(0xD2511F53u, counter.x), low0 = 0xD2511F53u * counter.x;
        unsigned high1 = __umulhi(0xCD9E8D57u, counter.z), low1 = 0xCD9E8D57u * counter.z;
        counter = make_uint4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
        key.x += 0x9E3779B9u;
        key.y += 0xBB67AE85u;
    }
    return counter;
}

/* What a kernel needs of struct op_dropout. */
struct dropout_mask {
    unsigned threshold; /* a word below it is dropped */
    float scale;        /* of what is kept */
    uint2 key;
    unsigned stream_low, stream_high;
    bool on;
};

static inline struct dropout_mask dropout_mask_of(const struct op_dropout *p)
{
    struct dropout_mask m;
    m.on = p->p > 0;
    double threshold = (double)p->p * 4294967296.0;
    m.threshold = threshold >= 4294967295.0 ? 0xffffffffu : (unsigned)threshold;
    m.threshold += m.threshold < threshold; /* word >= p * 2^32 is kept: round up */
    m.scale = p->p < 1 ? 1.0f / (1.0f - p->p) : 0.0f;
    m.key = make_uint2((unsigned)p->seed, (unsigned)(p->seed >> 32));
    m.stream_low = (unsigned)p->stream;
    m.stream_high = (unsigned)(p->stream >> 32);
    return m;
}

/* The words of elements 4 * block .. 4 * block + 3. */
static __device__ __forceinline__ uint4 dropout_words(const struct dropout_mask &m, unsigned long long block)
{
    return philox4x32(make_uint4((unsigned)block, (unsigned)(block >> 32), m.stream_low, m.stream_high),
                      m.key);
}

/* 0 or the scale, for those four elements. */
static __device__ __forceinline__ float4 dropout_factors4(const struct dropout_mask &m,
                                                          unsigned long long block)
{
    uint4 word = dropout_words(m, block);
    return make_float4(word.x >= m.threshold ? m.scale : 0.0f, word.y >= m.threshold ? m.scale : 0.0f,
                       word.z >= m.threshold ? m.scale : 0.0f, word.w >= m.threshold ? m.scale : 0.0f);
}

static __device__ __forceinline__ unsigned word_at(uint4 words, unsigned i)
{
    return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w;
}

/* 0 or the scale, for one element. */
static __device__ __forceinline__ float dropout_factor(const struct dropout_mask &m, unsigned long long index)
{
    return word_at(dropout_words(m, index / 4), (unsigned)(index % 4)) >= m.threshold ? m.scale : 0.0f;
}

#endif
