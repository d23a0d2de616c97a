#include "io/crc32c.h"

#include <pthread.h>
#include <string.h>

enum { SLICES = 8 };
static uint32_t table[SLICES][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* table[k][b]: what the byte b does to the sum k bytes later. */
static void fill(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t c = b;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? 0x82F63B78u : 0);
        table[0][b] = c;
    }
    for (int k = 1; k < SLICES; k++)
        for (uint32_t b = 0; b < 256; b++)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
}

uint32_t crc32c_tables(uint32_t crc, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    pthread_once(&once, fill);
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        crc ^= p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = table[7][crc & 255] ^ table[6][crc >> 8 & 255] ^ table[5][crc >> 16 & 255] ^
              table[4][crc >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; n; n--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return ~crc;
}

#if defined __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = (uint32_t)~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t eight;
        memcpy(&eight, p, sizeof eight);
        c = _mm_crc32_u64(c, eight);
    }
    uint32_t rest = (uint32_t)c;
    for (; n; n--, p++)
        rest = _mm_crc32_u8(rest, *p);
    return ~rest;
}

int crc32c_instruction(uint32_t *crc, const void *bytes, size_t n)
{
    if (!__builtin_cpu_supports("sse4.2"))
        return 0;
    *crc = by_instruction(*crc, bytes, n);
    return 1;
}
#else
int crc32c_instruction(uint32_t *crc, const void *bytes, size_t n)
{
    (void)crc;
    (void)bytes;
    (void)n;
    return 0;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
    return crc32c_instruction(&crc, bytes, n) ? crc : crc32c_tables(crc, bytes, n);
}
