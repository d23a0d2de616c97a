/* Entropy and variance from the mean weights of keys, which come in pieces. */
#ifndef SGAPS_OP_CUDA_IMPORTANCE_CUH
#define SGAPS_OP_CUDA_IMPORTANCE_CUH

#include "op/cuda/cuda.cuh"

/* Of some keys of a query: the entropy in `first`, or the weights of keys 1.. and their first and second moments about the
 * frame's origin. */
struct importance_sums {
    float weight, first, second;
};

static __device__ __forceinline__ struct importance_sums importance_none()
{
    struct importance_sums s = {0, 0, 0};
    return s;
}

/* Moments are taken about the frame's first value: equal values give a variance of exactly 0, and no digits are lost to a
 * common offset. */
static __device__ __forceinline__ float importance_origin(enum op_importance kind, const float *values,
                                                          int keys)
{
    return kind == OP_IMPORTANCE_VARIANCE && keys > 1 ? values[0] : 0.0f;
}

/* weight: the mean over the heads of the weight of `key`; logarithm: of weight + 1e-9; value: of the key, less the origin. */
static __device__ __forceinline__ void importance_add(struct importance_sums &s, enum op_importance kind,
                                                      int key, float weight, float logarithm, float value)
{
    if (kind == OP_IMPORTANCE_ENTROPY)
        s.first -= weight * logarithm;
    else if (key > 0) {
        s.weight += weight;
        s.first += weight * value;
        s.second += weight * value * value;
    }
}

static __device__ __forceinline__ float importance_of(const struct importance_sums &s,
                                                      enum op_importance kind)
{
    if (kind == OP_IMPORTANCE_ENTROPY)
        return s.first;
    if (!(s.weight > 0))
        return 0;
    float mean = s.first / s.weight;
    return fmaxf(0.0f, s.second / s.weight - mean * mean);
}

#endif
