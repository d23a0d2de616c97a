/* UTF-8 checked as it arrives: over a message's chunks, wherever they are cut. */
#ifndef SGAPS_LIVE_NET_UTF8_H
#define SGAPS_LIVE_NET_UTF8_H

#include <stddef.h>

/* All zero is the start and the end of a valid text. */
struct net_utf8 {
    unsigned char missing; /* continuation bytes still to come */
    unsigned char low,
        high; /* range of the next one, which excludes overlong forms, surrogates, > U+10FFFF */
};

/* Nonzero at the first byte that no valid text continues with. */
int net_utf8_feed(struct net_utf8 *u, const void *bytes, size_t n);

#endif
