#include "base/philox.h"

#include <math.h>

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void philox_init(struct philox *p, uint64_t seed, uint64_t stream)
{
    *p = (struct philox){.seed = seed, .stream = stream};
}

uint32_t philox_u32(struct philox *p)
{
    if (!p->left) {
        const uint32_t counter[4] = {(uint32_t)p->block, (uint32_t)(p->block >> 32), (uint32_t)p->stream,
                                     (uint32_t)(p->stream >> 32)};
        const uint32_t key[2] = {(uint32_t)p->seed, (uint32_t)(p->seed >> 32)};
        philox4x32(counter, key, p->word);
        p->block++;
        p->left = 4;
    }
    return p->word[4 - p->left--];
}

double philox_uniform(struct philox *p)
{
    uint64_t high = philox_u32(p) >> 5, low = philox_u32(p) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

uint32_t philox_below(struct philox *p, uint32_t n)
{
    /* Lemire's method: reject the few products that would favour small numbers. */
    uint64_t product = (uint64_t)philox_u32(p) * n;
    if ((uint32_t)product < n) {
        uint32_t threshold = -n % n;
        while ((uint32_t)product < threshold)
            product = (uint64_t)philox_u32(p) * n;
    }
    return (uint32_t)(product >> 32);
}

double philox_normal(struct philox *p)
{
    double r = sqrt(-2 * log(1 - philox_uniform(p))), angle = 2 * M_PI * philox_uniform(p);
    return r * cos(angle);
}

void philox_shuffle(struct philox *p, uint32_t *items, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = philox_below(p, i), t = items[i - 1];
        items[i - 1] = items[j];
        items[j] = t;
    }
}

static uint64_t mix(uint64_t x)
{
    /* The finaliser of splitmix64. */
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

uint64_t philox_stream(uint32_t use, uint64_t a, uint64_t b)
{
    return mix(mix(mix(use + 0x9E3779B97F4A7C15u) + a) + b);
}
