#include "live/net_message.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "live/net.h"

enum { KEPT = 1 << 16 }; /* a buffer larger than that goes when its message was delivered */

static void begin(struct net_inbox *b, int binary, double now)
{
    if (b->capacity > KEPT) {
        free(b->at);
        b->at = NULL;
        b->capacity = 0;
    }
    b->n = b->fragments = 0;
    b->begun = 1;
    b->binary = binary;
    b->since = now;
    memset(&b->utf8, 0, sizeof b->utf8);
}

/* Room is taken as bytes arrive, not as a frame's header promises. */
static int append(struct net_inbox *b, const void *chunk, size_t n)
{
    struct err e;
    if (mem_grow(&b->at, &b->capacity, b->n + n, 1, "a message", &e))
        return -1;
    if (n)
        memcpy(b->at + b->n, chunk, n);
    b->n += n;
    return 0;
}

int net_inbox_take(struct net_inbox *b, struct lws *wsi, const void *chunk, size_t n,
                   const struct net_limits *limits, double now, const void **whole, size_t *size,
                   const char **reason)
{
    size_t to_come = lws_remaining_packet_payload(wsi);
    int last = lws_is_final_fragment(wsi);
    *whole = NULL;
    if (!b->begun)
        begin(b, lws_frame_is_binary(wsi), now);
    if (!b->inside_frame)
        b->fragments++;
    b->inside_frame = to_come != 0;
    if (limits->fragments && b->fragments > limits->fragments) {
        *reason = "too many fragments";
        return NET_POLICY;
    }
    if (limits->message &&
        (b->n > limits->message || n > limits->message - b->n || to_come > limits->message - b->n - n)) {
        *reason = "message too large";
        return NET_TOO_LARGE;
    }
    if (!b->binary && (net_utf8_feed(&b->utf8, chunk, n) || (last && b->utf8.missing))) {
        *reason = "text is not UTF-8";
        return NET_BAD_DATA;
    }
    if (last && !b->n) { /* the usual case: nothing is copied */
        *whole = chunk;
        *size = n;
    } else if (append(b, chunk, n)) {
        *reason = "out of memory";
        return NET_TOO_LARGE;
    } else if (last) {
        *whole = b->at;
        *size = b->n;
    }
    if (last) {
        b->begun = 0;
        if (!*whole)
            *whole = "";
    }
    return 0;
}

void net_inbox_release(struct net_inbox *b)
{
    free(b->at);
    memset(b, 0, sizeof *b);
}

void net_outbox_init(struct net_outbox *q)
{
    q->first = NULL;
    q->last = &q->first;
}

struct net_letter *net_letter_new(int binary, const void *data, size_t n)
{
    size_t bytes;
    if (mem_add(n, sizeof(struct net_letter) + LWS_PRE, &bytes))
        return NULL;
    struct net_letter *l = malloc(bytes);
    if (!l)
        return NULL;
    l->next = NULL;
    l->n = n;
    l->binary = binary;
    if (n)
        memcpy(l->room + LWS_PRE, data, n);
    return l;
}

void net_outbox_put(struct net_outbox *q, struct net_letter *l)
{
    *q->last = l;
    q->last = &l->next;
}

struct net_letter *net_outbox_take(struct net_outbox *q)
{
    struct net_letter *l = q->first;
    if (l) {
        q->first = l->next;
        if (!q->first)
            q->last = &q->first;
    }
    return l;
}

void net_outbox_clear(struct net_outbox *q)
{
    for (struct net_letter *l; (l = net_outbox_take(q));)
        free(l);
}

int net_letter_write(struct net_letter *l, struct lws *wsi)
{
    return lws_write(wsi, l->room + LWS_PRE, l->n, l->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < 0 ? -1
                                                                                                      : 0;
}
