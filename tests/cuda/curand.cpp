/* Our Philox against cuRAND's, which is header-only and compiles for the host: base/philox.c and the kernels' philox.cuh (on
 * the CPU, with tests/cuda/emulator), block by block, and the dropout masks drawn from them. Prints TAP; started by curand.t. */
#include "op/cuda/philox.cuh"

/* Wants CUDA's vector types declared before it. */
#define QUALIFIERS static inline
#include <curand_philox4x32_x.h>

extern "C" {
#include "base/philox.h"
}

#include <stdio.h>

enum { BLOCKS = 100000 };

/* Where curand_init(seed, subsequence = stream, offset = 4 * block) begins: the next curand4. */
static uint4 curand_block(uint64_t seed, uint64_t stream, uint64_t block)
{
    curandStatePhilox4_32_10_t s = {};
    s.key = make_uint2((unsigned)seed, (unsigned)(seed >> 32));
    Philox_State_Incr_hi(&s, stream);
    Philox_State_Incr(&s, block);
    return curand_Philox4x32_10(s.ctr, s.key);
}

static bool equal(uint4 a, const uint32_t b[4])
{
    return a.x == b[0] && a.y == b[1] && a.z == b[2] && a.w == b[3];
}

/* Numbers that also lie at the edges of their words. */
static uint64_t draw(struct philox *p)
{
    static const uint64_t edges[] = {0, 1, 0xffffffff, 0x100000000, 0xffffffffffffffff};
    uint64_t high = philox_u32(p), low = philox_u32(p);
    return philox_below(p, 4) ? high << 32 | low : edges[philox_below(p, 5)];
}

int main(void)
{
    struct philox numbers;
    size_t blocks = 0, kernels = 0, streams = 0, masks = 0;
    philox_init(&numbers, 5, 1);
    for (size_t i = 0; i < BLOCKS; i++) {
        uint64_t seed = draw(&numbers), stream = draw(&numbers), block = draw(&numbers);
        uint4 want = curand_block(seed, stream, block);

        const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                                     (uint32_t)(stream >> 32)},
                       key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
        uint32_t words[4];
        philox4x32(counter, key, words);
        blocks += equal(want, words);

        struct philox p;
        philox_init(&p, seed, stream);
        p.block = block;
        for (uint32_t &word : words)
            word = philox_u32(&p);
        streams += equal(want, words);

        struct op_dropout dropout = {(float)philox_uniform(&numbers), seed, stream};
        struct dropout_mask mask = dropout_mask_of(&dropout);
        uint4 ours = dropout_words(mask, block);
        const uint32_t own[4] = {ours.x, ours.y, ours.z, ours.w};
        kernels += equal(want, own);

        int right = 1;
        const uint32_t word[4] = {want.x, want.y, want.z, want.w};
        for (unsigned k = 0; k < 4 && block < 1ull << 62; k++) {
            float kept = (double)word[k] >= (double)dropout.p * 4294967296.0 ? 1 / (1 - dropout.p) : 0;
            right = right && dropout_factor(mask, 4 * block + k) == kept;
        }
        masks += right;
    }
    const struct {
        size_t good;
        const char *what;
    } check[] = {{blocks, "philox4x32 of base/philox.c is cuRAND's"},
                 {streams, "a stream of base/philox.h is curand_init(seed, stream, 4 * block)"},
                 {kernels, "the kernels' philox4x32 is cuRAND's"},
                 {masks, "dropout keeps what cuRAND's words keep"}};
    int failed = 0;
    for (size_t i = 0; i < sizeof check / sizeof *check; i++) {
        failed += check[i].good != BLOCKS;
        printf("%sok %zu - %s: %zu of %d blocks\n", check[i].good == BLOCKS ? "" : "not ", i + 1,
               check[i].what, check[i].good, BLOCKS);
    }
    printf("1..%zu\n", sizeof check / sizeof *check);
    return failed != 0;
}
