/* Image tiles in shared memory, as the tensor-core convolutions read them.
 *
 * A unit is 8 channels of a pixel: 16 bytes, what one copy moves and one row of ldmatrix reads. A plane holds the same unit of
 * every pixel of the tile, row by row, border included. So
 * - eight neighbouring pixels of a plane are 128 bytes one after the other, each bank once: no read by ldmatrix conflicts,
 *   whichever tap it is for, and no address needs a swizzle: a tap is a constant added to it;
 * - neighbouring threads copy the units of a pixel, so whole sectors leave global memory, and the planes' distance is chosen
 *   so that eight such writes meet each bank once as well. */
#ifndef SGAPS_OP_CUDA_CONV_TILE_CUH
#define SGAPS_OP_CUDA_CONV_TILE_CUH

#include "op/cuda/ptx.cuh"
#include "op/cuda/vector.cuh"

enum {
    UNIT = 8,        /* channels */
    UNIT_BYTES = 16, /* in shared memory */
    TILE_WIDTH = 16, /* pixels of a tile's row: the 16 rows of one mma, or the 16 products of its sum */
    TILE_PITCH = TILE_WIDTH + 2 /* with the border */
};

/* Bytes from one plane of `pixels` to the next, where a pixel has `planes` of them: the remainder by 128 spreads the units
 * that eight threads write at once over the banks. */
constexpr int plane_bytes(int pixels, int planes)
{
    int step = 128 / (planes < 8 ? planes : 8), bytes = pixels * UNIT_BYTES;
    return (bytes - step + 127) / 128 * 128 + step;
}

/* How many elements of a row may be read at a time, where rows of n elements follow each other from p on. */
static inline int grain_of(const bf16 *p, int n)
{
    return n % UNIT == 0 && (uintptr_t)p % 16 == 0 ? UNIT : n % 2 == 0 && (uintptr_t)p % 4 == 0 ? 2 : 1;
}

/* The first n elements from `from` on, and zeros, for a grain of one or two. */
static __device__ __forceinline__ uint4 gather_unit(int grain, const bf16 *from, int n)
{
    uint32_t word[UNIT / 2] = {};
#pragma unroll
    for (int i = 0; i < UNIT / 2; i++) {
        if (2 * i >= n)
            break;
        if (grain == 2) {
            word[i] = *(const uint32_t *)(from + 2 * i);
        } else {
            word[i] = __bfloat16_as_ushort(from[2 * i]);
            if (2 * i + 1 < n)
                word[i] |= (uint32_t)__bfloat16_as_ushort(from[2 * i + 1]) << 16;
        }
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
}

/* Starts copying a unit of which n elements exist (n <= 0: zeros, and `from` is not read). With a grain of less than a unit
 * the copy is done when this returns. */
static __device__ __forceinline__ void copy_unit(int grain, char *to, const bf16 *from, int n)
{
    if (grain == UNIT)
        copy_async(to, from, n > 0);
    else
        *(uint4 *)to = gather_unit(grain, from, n);
}

#endif
