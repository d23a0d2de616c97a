/* Vectors of floats in the compiler's own notation, as wide as the instruction set this unit is compiled for. */
#ifndef SGAPS_OP_CPU_SIMD_H
#define SGAPS_OP_CPU_SIMD_H

#include <stddef.h>
#include <stdint.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

/* ROWS x 2 accumulators, one vector pair and a broadcast fill the register file: 32, 16 and 16 registers. */
#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 12 };
#elif defined(__AVX2__)
enum { LANES = 8, ROWS = 6 };
#else
enum { LANES = 4, ROWS = 6 };
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef float vf_unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE vf v_load(const float *p)
{
    return *(const vf_unaligned *)p;
}

ALWAYS_INLINE void v_store(float *p, vf x)
{
    *(vf_unaligned *)p = x;
}

ALWAYS_INLINE vf v_set(float x)
{
    return x - (vf){0};
}

ALWAYS_INLINE vf v_max(vf a, vf b)
{
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#else
    vi m = a > b;
    return (vf)(((vi)a & m) | ((vi)b & ~m));
#endif
}

ALWAYS_INLINE vf v_min(vf a, vf b)
{
    return -v_max(-a, -b);
}

/* A fixed tree, so that the order of a sum is the same on every run. */
ALWAYS_INLINE float v_sum(vf x)
{
    float t[LANES];
    v_store(t, x);
    for (int n = LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++)
            t[i] += t[i + n];
    return t[0];
}

ALWAYS_INLINE float v_max_lane(vf x)
{
    float t[LANES];
    v_store(t, x);
    for (int n = LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++)
            t[i] = t[i] > t[i + n] ? t[i] : t[i + n];
    return t[0];
}

/* e^x to 2 units in the last place; below -87 it stays at 1.6e-38. x = n ln 2 + r, |r| <= ln 2 / 2: adding 1.5 * 2^23
 * rounds x / ln 2 to n and leaves n in the low bits; e^r is its Taylor series. */
ALWAYS_INLINE vf v_exp(vf x)
{
    const vf magic = v_set(12582912.0f);
    x = v_min(v_max(x, v_set(-87.0f)), v_set(88.0f));
    vf t = x * v_set(1.44269504f) + magic, n = t - magic;
    vf r = (x - n * v_set(0.693145751953125f)) - n * v_set(1.42860682e-6f);
    vf p = v_set(1.0f / 5040);
    p = p * r + v_set(1.0f / 720);
    p = p * r + v_set(1.0f / 120);
    p = p * r + v_set(1.0f / 24);
    p = p * r + v_set(1.0f / 6);
    p = p * r + v_set(0.5f);
    p = p * r + v_set(1.0f);
    p = p * r + v_set(1.0f);
    return (vf)((vu)p + ((vu)t << 23));
}

/* Natural logarithm of a positive normal number: x = 2^n m, m in [sqrt(1/2), sqrt 2), log m = 2 atanh((m-1)/(m+1)). */
ALWAYS_INLINE vf v_log(vf x)
{
    vi bits = (vi)x - 0x3f3504f3, n = bits >> 23;
    vf m = (vf)((bits & 0x7fffff) + 0x3f3504f3), k = __builtin_convertvector(n, vf);
    vf s = (m - v_set(1.0f)) / (m + v_set(1.0f)), q = s * s;
    vf p = v_set(2.0f / 9);
    p = p * q + v_set(2.0f / 7);
    p = p * q + v_set(2.0f / 5);
    p = p * q + v_set(2.0f / 3);
    p = p * q * s + v_set(2.0f) * s;
    return k * v_set(0.693145751953125f) + (k * v_set(1.42860682e-6f) + p);
}

/* Half as many 64-bit lanes, for the products of 32-bit numbers. */
enum { WIDE_LANES = LANES / 2 };
typedef uint64_t vw __attribute__((vector_size(4 * LANES)));

/* 0, 1, 2, ... */
ALWAYS_INLINE vw v_count(void)
{
    vw x = {0};
    for (uint64_t i = 0; i < WIDE_LANES; i++)
        x[i] = i;
    return x;
}

/* The low halves of the lanes times a 32-bit number. */
ALWAYS_INLINE vw v_multiply_low(vw a, uint32_t b)
{
    vw m = (uint64_t)b - (vw){0};
#if defined(__AVX512F__)
    return (vw)_mm512_mul_epu32((__m512i)a, (__m512i)m);
#elif defined(__AVX2__)
    return (vw)_mm256_mul_epu32((__m256i)a, (__m256i)m);
#else
    return (a & 0xffffffffu) * m;
#endif
}

/* p[0..] = a0 b0 a1 b1 ... */
ALWAYS_INLINE void v_store_interleaved(float *p, vw a, vw b)
{
#if defined(__AVX512F__)
    v_store(p, (vf)__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
    v_store(p + LANES, (vf)__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
#elif defined(__AVX2__)
    v_store(p, (vf)__builtin_shufflevector(a, b, 0, 4, 1, 5));
    v_store(p + LANES, (vf)__builtin_shufflevector(a, b, 2, 6, 3, 7));
#else
    v_store(p, (vf)__builtin_shufflevector(a, b, 0, 2));
    v_store(p + LANES, (vf)__builtin_shufflevector(a, b, 1, 3));
#endif
}

typedef float v4 __attribute__((vector_size(16)));
typedef float v4_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

/* to[k*ldt + i] = from[i*ldf + k] for i, k in 0..3 */
ALWAYS_INLINE void transpose_4x4(const float *from, size_t ldf, float *to, size_t ldt)
{
    const v4 a = *(const v4_unaligned *)from, b = *(const v4_unaligned *)(from + ldf),
             c = *(const v4_unaligned *)(from + 2 * ldf), d = *(const v4_unaligned *)(from + 3 * ldf);
    const v4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
             ef = __builtin_shufflevector(a, b, 2, 6, 3, 7), gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(v4_unaligned *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(v4_unaligned *)(to + ldt) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(v4_unaligned *)(to + 2 * ldt) = __builtin_shufflevector(ef, gh, 0, 1, 4, 5);
    *(v4_unaligned *)(to + 3 * ldt) = __builtin_shufflevector(ef, gh, 2, 3, 6, 7);
}

#endif
