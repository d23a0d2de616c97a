#include "live/net_utf8.h"

#include <stdint.h>
#include <string.h>

/* What may follow a lead byte (Unicode 15, table 3-7); 0 missing means that it is no lead byte. */
static struct net_utf8 after_lead(unsigned char c)
{
    struct net_utf8 u = {0, 0x80, 0xBF};
    if (c >= 0xC2 && c <= 0xDF)
        u.missing = 1;
    else if (c >= 0xE0 && c <= 0xEF)
        u.missing = 2;
    else if (c >= 0xF0 && c <= 0xF4)
        u.missing = 3;
    if (c == 0xE0)
        u.low = 0xA0;
    else if (c == 0xED)
        u.high = 0x9F;
    else if (c == 0xF0)
        u.low = 0x90;
    else if (c == 0xF4)
        u.high = 0x8F;
    return u;
}

/* Frames are JSON: nearly all of it is ASCII, so eight bytes at a time. */
static size_t ascii_run(const unsigned char *p, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    while (i < n && p[i] < 0x80)
        i++;
    return i;
}

int net_utf8_feed(struct net_utf8 *u, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n;) {
        if (!u->missing) {
            i += ascii_run(p + i, n - i);
            if (i == n)
                break;
            *u = after_lead(p[i++]);
            if (!u->missing)
                return -1;
        } else {
            unsigned char c = p[i++];
            if (c < u->low || c > u->high)
                return -1;
            u->missing--;
            u->low = 0x80;
            u->high = 0xBF;
        }
    }
    return 0;
}
