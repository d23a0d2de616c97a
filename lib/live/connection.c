#include "live/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int connections_init(struct connections *t, size_t expected, struct err *e)
{
    t->buckets = 64;
    while (t->buckets < expected)
        t->buckets *= 2;
    return mem_alloc(&t->bucket, t->buckets, sizeof *t->bucket, "the connections", e);
}

static struct connection **bucket_of(const struct connections *t, net_id id)
{
    return &t->bucket[id & (t->buckets - 1)];
}

struct connection *connections_add(struct connections *t, const struct net_peer *peer, double now)
{
    struct connection *c;
    if (mem_alloc(&c, 1, sizeof *c, "a connection", NULL))
        return NULL;
    struct connection **at = bucket_of(t, peer->id);
    *c = (struct connection){.id = peer->id,
                             .next = *at,
                             .authorized = peer->authorized,
                             .heard = now,
                             .filled = now,
                             .tokens = -1};
    snprintf(c->address, sizeof c->address, "%s", peer->address);
    c->last = &c->first;
    *at = c;
    return c;
}

struct connection *connections_find(const struct connections *t, net_id id)
{
    struct connection *c = *bucket_of(t, id);
    while (c && c->id != id)
        c = c->next;
    return c;
}

void connections_remove(struct connections *t, struct connection *c)
{
    struct connection **at = bucket_of(t, c->id);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    connection_drop_all(c);
    free(c);
}

void connections_each(struct connections *t, void (*fn)(void *user, struct connection *c), void *user)
{
    for (size_t i = 0; i < t->buckets; i++)
        for (struct connection *c = t->bucket[i], *next; c; c = next) {
            next = c->next;
            fn(user, c);
        }
}

void connections_release(struct connections *t)
{
    for (size_t i = 0; t->bucket && i < t->buckets; i++)
        while (t->bucket[i])
            connections_remove(t, t->bucket[i]);
    free(t->bucket);
    *t = (struct connections){0};
}

int connection_may_send(struct connection *c, double per_second, double now)
{
    if (per_second <= 0)
        return 1;
    /* A network that stood still for seconds delivers everything at once: that is no flood. */
    double most = 10 * per_second > 60 ? 10 * per_second : 60;
    c->tokens = c->tokens < 0 ? most : c->tokens + (now - c->filled) * per_second;
    c->filled = now;
    if (c->tokens > most)
        c->tokens = most;
    if (c->tokens < 1)
        return 0;
    c->tokens -= 1;
    return 1;
}

int connection_keep(struct connection *c, int binary, const void *data, size_t n, size_t limit, struct err *e)
{
    if (n > limit || c->waiting_bytes > limit - n)
        return err_set(e, ERR_TEMPFAIL, "more than %zu bytes wait for their turn", limit);
    struct waiting *w = malloc(sizeof *w + n);
    if (!w)
        return err_memory(e, "a message", n);
    *w = (struct waiting){.n = n, .binary = binary};
    memcpy(w->data, data, n);
    *c->last = w;
    c->last = &w->next;
    c->waiting_bytes += n;
    return 0;
}

void connection_drop_first(struct connection *c)
{
    struct waiting *w = c->first;
    c->first = w->next;
    if (!c->first)
        c->last = &c->first;
    c->waiting_bytes -= w->n;
    free(w);
}

void connection_drop_all(struct connection *c)
{
    while (c->first)
        connection_drop_first(c);
}
