/* Many WebSocket connections from one thread, on the same loop as the server's (net_loop.h). */
#include "live/net_client.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/net_loop.h"
#include "live/net_message.h"

enum { CLOSE_S = 2, URL = 1024, LARGEST = 64 << 20 };
enum { NO_STATUS = 1005, ABNORMAL = 1006 };

enum link_state { LINK_NONE, LINK_CONNECTING, LINK_OPEN, LINK_CLOSING };

/* Connection i of the caller. Its memory stays while it is used again and again. */
struct link {
    struct net_client *client;
    size_t i;
    struct lws *wsi;
    enum link_state state;
    int close_begun;             /* libwebsockets was told to close */
    int close_code, closed_code; /* ours, to be sent; the one it was closed with */
    double due;                  /* clock_seconds by which a close has to be answered */
    struct net_inbox in;
    struct net_outbox out;
    size_t waiting, in_flight;
};

struct net_client {
    struct net_client_options o;
    struct net_client_handlers h;
    struct net_loop loop;
    struct lws_protocols protocols[2];
    char url[URL], path[URL];
    const char *host;
    int port, tls;
    struct link **links;
    size_t n_links, capacity;
    ev_timer timer;
    ev_async stop;
    atomic_int stopped;
};

static void link_over(struct link *l, int code, const char *reason)
{
    if (l->state == LINK_NONE)
        return;
    l->state = LINK_NONE;
    if (l->wsi)
        lws_set_opaque_user_data(l->wsi, NULL);
    l->wsi = NULL;
    l->waiting = l->in_flight = 0;
    net_outbox_clear(&l->out);
    net_inbox_release(&l->in);
    if (l->client->h.closed)
        l->client->h.closed(l->client->h.user, l->i, code, reason);
}

static void link_close(struct link *l, int code)
{
    if (l->state != LINK_OPEN)
        return;
    l->state = LINK_CLOSING;
    l->close_code = l->closed_code = code;
    l->due = clock_seconds() + CLOSE_S;
    lws_callback_on_writable(l->wsi);
}

static int link_receive(struct link *l, struct lws *wsi, const void *chunk, size_t n)
{
    static const struct net_limits limits = {.message = LARGEST};
    const void *whole;
    const char *reason;
    size_t size;
    if (l->state != LINK_OPEN)
        return 0;
    int code = net_inbox_take(&l->in, wsi, chunk, n, &limits, 0, &whole, &size, &reason);
    if (code)
        link_close(l, code);
    else if (whole && l->client->h.message)
        l->client->h.message(l->client->h.user, l->i, l->in.binary, whole, size);
    return 0;
}

static int link_writable(struct link *l, struct lws *wsi)
{
    l->waiting -= l->in_flight;
    l->in_flight = 0;
    struct net_letter *letter = net_outbox_take(&l->out);
    if (!letter) {
        if (l->state != LINK_CLOSING || !l->close_code || l->close_begun)
            return 0;
        l->close_begun = 1;
        lws_close_reason(wsi, (enum lws_close_status)l->close_code, NULL, 0);
        return -1;
    }
    int bad = net_letter_write(letter, wsi);
    if (lws_partial_buffered(wsi))
        l->in_flight = letter->n;
    else
        l->waiting -= letter->n;
    free(letter);
    if (l->out.first || l->in_flight || l->close_code)
        lws_callback_on_writable(wsi);
    return bad;
}

static int add_token(const struct net_client *c, unsigned char **at, size_t room)
{
    if (!c->o.token)
        return 0;
    int n = snprintf((char *)*at, room, "Authorization: Bearer %s\r\n", c->o.token);
    if (n < 0 || (size_t)n >= room)
        return -1;
    *at += n;
    return 0;
}

static void opened(struct link *l, struct lws *wsi)
{
    l->wsi = wsi;
    l->state = LINK_OPEN;
    if (l->client->h.opened)
        l->client->h.opened(l->client->h.user, l->i);
    lws_callback_on_writable(wsi); /* a first message may have come with the handshake */
}

/* libwebsockets tells a certificate that it does not trust as OpenSSL's "error 1, reason 1". */
static const char *why(const char *said)
{
    if (!said)
        return "the connection failed";
    return strstr(said, "SSL err") ? "the TLS handshake failed (is the certificate trusted on this machine?)"
                                   : said;
}

static int service(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t size)
{
    struct link *l = NULL;
    (void)user;
    switch (reason) { /* before the others: here wsi may be no real connection */
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
    case LWS_CALLBACK_CLIENT_RECEIVE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        l = lws_get_opaque_user_data(wsi);
        break;
    default:
        return 0;
    }
    if (!l)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_token(l->client, in, size);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        link_over(l, 0, why(in));
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        opened(l, wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return link_receive(l, wsi, in, size);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return link_writable(l, wsi);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        l->state = LINK_CLOSING;
        l->due = clock_seconds() + CLOSE_S;
        l->closed_code = size >= 2 ? ((unsigned char *)in)[0] << 8 | ((unsigned char *)in)[1] : NO_STATUS;
        return 0;
    default:
        link_over(l, l->state == LINK_CONNECTING ? 0 : l->closed_code,
                  l->state == LINK_CONNECTING ? "the connection failed" : "closed");
        return 0;
    }
}

static void ring(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct net_client *c = timer->data;
    (void)events;
    double s = c->h.timer(c->h.user);
    ev_now_update(ev);
    ev_timer_stop(ev, timer);
    ev_timer_set(timer, s > 0 ? s : 0, 0);
    ev_timer_start(ev, timer);
}

static void tick(struct ev_loop *ev, ev_timer *timer, int events)
{
    struct net_client *c = timer->data;
    double now = clock_seconds();
    (void)ev;
    (void)events;
    for (size_t i = 0; i < c->n_links; i++)
        if (c->links[i] && c->links[i]->state == LINK_CLOSING && now > c->links[i]->due)
            lws_set_timeout(c->links[i]->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    net_loop_nudge(&c->loop);
}

static void stop_asked(struct ev_loop *ev, ev_async *async, int events)
{
    struct net_client *c = async->data;
    (void)events;
    if (atomic_load(&c->stopped))
        ev_break(ev, EVBREAK_ALL);
}

/* ws://host[:port]/path; libwebsockets cuts a copy apart. */
static int read_url(struct net_client *c, struct err *e)
{
    const char *scheme, *path;
    if (strlen(c->o.url) >= URL - 1 || (strncmp(c->o.url, "ws://", 5) && strncmp(c->o.url, "wss://", 6)))
        return err_set(e, ERR_USAGE, "%s: has to be ws://HOST:PORT/PATH or wss://HOST:PORT/PATH", c->o.url);
    snprintf(c->url, sizeof c->url, "%s", c->o.url);
    if (lws_parse_uri(c->url, &scheme, &c->host, &c->port, &path) || !*c->host || c->port <= 0 ||
        c->port > 65535)
        return err_set(e, ERR_USAGE, "%s: has to be ws://HOST:PORT/PATH or wss://HOST:PORT/PATH", c->o.url);
    c->tls = !strcmp(scheme, "wss");
    snprintf(c->path, sizeof c->path, "/%.*s", URL - 2, path[0] == '/' ? path + 1 : path);
    return 0;
}

static int open_loop(struct net_client *c, struct err *e)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN, .protocols = c->protocols, .vhost_name = "client", .user = c};
    if (c->tls)
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    c->protocols[0] = (struct lws_protocols){.name = c->o.protocol ? c->o.protocol : "none",
                                             .callback = service,
                                             .rx_buffer_size = NET_BUFFER,
                                             .tx_packet_size = 1 << 30};
    return net_loop_open(&c->loop, &info, tick, c, e);
}

int net_client_open(struct net_client **out, const struct net_client_options *o,
                    const struct net_client_handlers *h, struct err *e)
{
    struct net_client *c;
    *out = NULL;
    int code = mem_alloc(&c, 1, sizeof *c, "the client", e);
    if (code)
        return code;
    c->o = *o;
    c->h = *h;
    code = read_url(c, e);
    if (!code)
        code = open_loop(c, e);
    if (code) {
        net_client_release(c);
        return code;
    }
    ev_async_init(&c->stop, stop_asked);
    c->stop.data = c;
    ev_async_start(c->loop.ev, &c->stop);
    ev_timer_init(&c->timer, ring, 0, 0);
    c->timer.data = c;
    if (h->timer)
        ev_timer_start(c->loop.ev, &c->timer);
    *out = c;
    return 0;
}

static struct link *find(const struct net_client *c, size_t i)
{
    return i < c->n_links ? c->links[i] : NULL;
}

static struct link *link_new(struct net_client *c, size_t i)
{
    struct err e;
    if (mem_grow(&c->links, &c->capacity, i + 1, sizeof *c->links, "connections", &e))
        return NULL;
    while (c->n_links <= i)
        c->links[c->n_links++] = NULL;
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->client = c;
    l->i = i;
    net_outbox_init(&l->out);
    return c->links[i] = l;
}

void net_client_connect(struct net_client *c, size_t i)
{
    struct link *l = find(c, i);
    if (!l && !(l = link_new(c, i))) {
        c->h.closed(c->h.user, i, 0, "out of memory");
        return;
    }
    if (l->state != LINK_NONE)
        return;
    l->state = LINK_CONNECTING;
    l->close_code = l->close_begun = 0;
    l->closed_code = ABNORMAL;
    char host[URL];
    snprintf(host, sizeof host, strchr(c->host, ':') ? "[%s]:%d" : "%s:%d", c->host, c->port);
    int tls = c->tls ? LCCSCF_USE_SSL : 0;
    if (c->tls && c->o.insecure)
        tls |= LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_ALLOW_EXPIRED |
               LCCSCF_ALLOW_INSECURE;
    struct lws_client_connect_info info = {.context = c->loop.lws,
                                           .vhost = c->loop.vhost,
                                           .address = c->host,
                                           .port = c->port,
                                           .path = c->path,
                                           .host = host,
                                           .protocol = c->o.protocol,
                                           .ssl_connection = tls,
                                           .ietf_version_or_minus_one = -1,
                                           .alpn = "http/1.1",
                                           .local_protocol_name = c->protocols[0].name,
                                           .opaque_user_data = l,
                                           .pwsi = &l->wsi};
    if (!lws_client_connect_via_info(&info))
        link_over(l, 0, "the connection failed");
}

void net_client_send(struct net_client *c, size_t i, int binary, const void *data, size_t n)
{
    struct link *l = find(c, i);
    if (!l || l->state != LINK_OPEN)
        return;
    struct net_letter *letter = net_letter_new(binary, data, n);
    if (!letter) {
        link_close(l, 1001);
        return;
    }
    net_outbox_put(&l->out, letter);
    l->waiting += n;
    lws_callback_on_writable(l->wsi);
}

void net_client_close(struct net_client *c, size_t i, int code)
{
    struct link *l = find(c, i);
    if (l)
        link_close(l, code);
}

size_t net_client_waiting(const struct net_client *c, size_t i)
{
    const struct link *l = find(c, i);
    return l ? l->waiting : 0;
}

int net_client_run(struct net_client *c, struct err *e)
{
    (void)e;
    if (!atomic_load(&c->stopped))
        ev_run(c->loop.ev, 0);
    return 0;
}

void net_client_stop(struct net_client *c)
{
    atomic_store(&c->stopped, 1);
    ev_async_send(c->loop.ev, &c->stop);
}

void net_client_release(struct net_client *c)
{
    if (!c)
        return;
    net_loop_release(&c->loop);
    for (size_t i = 0; i < c->n_links; i++)
        if (c->links[i]) {
            net_outbox_clear(&c->links[i]->out);
            net_inbox_release(&c->links[i]->in);
            free(c->links[i]);
        }
    free(c->links);
    free(c);
}
