/* net_utf8 against the definition: a byte sequence is UTF-8 when it is what encoding some code points gives. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "live/net_utf8.h"
#include "tap.h"

/* Code point to bytes, as RFC 3629 has it; 0 when there is no such code point. */
static size_t encode(uint32_t c, unsigned char out[4])
{
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3F));
    out[0] = (unsigned char)(lead[n] | c);
    return n;
}

static int valid(const unsigned char *p, size_t n)
{
    struct net_utf8 u = {0};
    return !net_utf8_feed(&u, p, n) && !u.missing;
}

/* By trying: decodes each piece in the most obvious way and asks whether encoding gives it back. */
static int valid_slowly(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        unsigned char again[4];
        size_t k = p[i] < 0x80 ? 1 : p[i] < 0xE0 ? 2 : p[i] < 0xF0 ? 3 : 4;
        uint32_t c = k == 1 ? p[i] : p[i] & (0xFFu >> (k + 1));
        if (i + k > n)
            return 0;
        for (size_t j = 1; j < k; j++)
            c = c << 6 | (p[i + j] & 0x3F);
        if (encode(c, again) != k || memcmp(again, p + i, k))
            return 0;
        i += k;
    }
    return 1;
}

int main(void)
{
    unsigned char b[64];
    unsigned long wrong = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        size_t n = encode(c, b);
        wrong += n && !valid(b, n);
    }
    ok(!wrong, "every code point is taken: %lu are not", wrong);

    wrong = 0;
    for (uint32_t x = 0; x < 1u << 24; x++) {
        b[0] = (unsigned char)(x >> 16);
        b[1] = (unsigned char)(x >> 8);
        b[2] = (unsigned char)x;
        wrong += valid(b, 3) != valid_slowly(b, 3);
    }
    ok(!wrong, "all sequences of three bytes: %lu differ", wrong);

    wrong = 0;
    srand(1);
    for (int k = 0; k < 2000000; k++) { /* four bytes whose lead is one, and what is near the borders */
        static const unsigned char near[] = {0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0};
        b[0] = (unsigned char)(0xEF + rand() % 7);
        for (int i = 1; i < 4; i++)
            b[i] = rand() % 2 ? near[rand() % 8] : (unsigned char)rand();
        wrong += valid(b, 4) != valid_slowly(b, 4);
    }
    ok(!wrong, "two million sequences of four bytes: %lu differ", wrong);

    wrong = 0;
    for (int k = 0; k < 200000; k++) { /* texts with a byte changed now and then, cut anywhere */
        size_t n = 0;
        while (n < sizeof b - 4)
            n += encode(rand() % 3 ? (uint32_t)rand() % 0x80 : (uint32_t)rand() % 0xD800, b + n);
        if (k % 2)
            b[(size_t)rand() % n] ^= (unsigned char)(1 << rand() % 8);
        size_t cut = (size_t)rand() % (n + 1);
        struct net_utf8 u = {0};
        int good = !net_utf8_feed(&u, b, cut) && !net_utf8_feed(&u, b + cut, n - cut) && !u.missing;
        wrong += good != valid_slowly(b, n);
    }
    ok(!wrong, "200,000 texts in two pieces: %lu differ", wrong);
    return tap_done();
}
