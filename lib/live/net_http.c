/* Plain requests: asked of the user as a whole, answered with a body of any size in pieces. What a client sends as a body
 * is read and dropped. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "live/net_private.h"

enum { IDLE_S = 5, PROGRESS_S = 20, HEAD = 1024 };

static const char *method_name(int method)
{
    switch (method) {
    case LWSHUMETH_GET:
    case LWSHUMETH_HEAD: /* answered as GET, without the body */
        return "GET";
    case LWSHUMETH_POST:
        return "POST";
    case LWSHUMETH_OPTIONS:
        return "OPTIONS";
    case LWSHUMETH_PUT:
        return "PUT";
    case LWSHUMETH_PATCH:
        return "PATCH";
    case LWSHUMETH_DELETE:
        return "DELETE";
    default:
        return "?";
    }
}

static int add_header(struct lws *wsi, const char *name, const char *value, unsigned char **p,
                      unsigned char *end)
{
    return lws_add_http_header_by_name(wsi, (const unsigned char *)name, (const unsigned char *)value,
                                       (int)strlen(value), p, end);
}

static int write_head(struct lws *wsi, const struct net_response *a)
{
    unsigned char room[LWS_PRE + HEAD], *start = room + LWS_PRE, *p = start, *end = room + sizeof room;
    if (lws_add_http_common_headers(wsi, (unsigned)a->status, a->type, a->body.n, &p, end) ||
        add_header(wsi, "X-Content-Type-Options:", "nosniff", &p, end) ||
        add_header(wsi, "Cache-Control:", "no-store", &p, end) ||
        (a->status == 401 && add_header(wsi, "WWW-Authenticate:", "Bearer", &p, end)) ||
        (a->policy && add_header(wsi, "Content-Security-Policy:", a->policy, &p, end)) ||
        (a->policy && add_header(wsi, "Referrer-Policy:", "no-referrer", &p, end)))
        return -1;
    return lws_finalize_write_http_header(wsi, start, &p, end) ? -1 : 0;
}

/* The whole transaction is over: the connection may bring another. */
static int finish(struct conn *c, struct lws *wsi)
{
    http_release(c);
    c->due = clock_seconds() + IDLE_S;
    return lws_http_transaction_completed(wsi) || c->net->stopped ? -1 : 0;
}

/* libwebsockets keeps the arguments apart. out holds NET_HEADERS bytes, which all headers together do not exceed. */
static void query_text(struct lws *wsi, char *out)
{
    size_t n = 0;
    int k;
    for (int i = 0; (k = lws_hdr_copy_fragment(wsi, out + n + !!i, (int)(NET_HEADERS - n - 1),
                                               WSI_TOKEN_HTTP_URI_ARGS, i)) > 0;
         i++) {
        if (i)
            out[n++] = '&';
        n += (size_t)k;
    }
    out[n] = 0;
}

static void ask(struct conn *c, const struct net_request *q, int origin, struct net_response *a)
{
    struct net *n = c->net;
    if (!origin) {
        a->status = 403;
        text_add(&a->body, "{\"error\":\"this Origin is not allowed\"}\n");
    } else if (!strcmp(q->path, n->o.path)) {
        a->status = 426;
        text_add(&a->body, "{\"error\":\"this path is a WebSocket's\"}\n");
    } else if (n->h.request) {
        n->h.request(n->h.user, q, a);
    } else
        a->status = 404;
    if (a->body.failed) {
        text_clear(&a->body);
        a->status = 503;
    }
}

int http_request(struct conn *c, struct lws *wsi)
{
    char path[NET_HEADERS], query[NET_HEADERS], *uri = NULL;
    int length = 0, method = lws_http_get_uri_and_method(wsi, &uri, &length);
    if (method < 0 || length < 0 || (size_t)length >= sizeof path)
        return -1;
    query_text(wsi, query);
    memcpy(path, uri, (size_t)length);
    path[length] = 0;
    struct net_request q = {.method = method_name(method),
                            .path = path,
                            .query = query,
                            .authorized = handshake_token(c->net, wsi) > 0};
    memcpy(q.address, c->address, sizeof q.address);
    struct net_response a = {.status = 200, .type = "application/json"};
    c->state = CONN_HTTP;
    c->due = clock_seconds() + PROGRESS_S;
    ask(c, &q, method == LWSHUMETH_GET || method == LWSHUMETH_HEAD || handshake_origin(c->net, wsi), &a);
    http_release(c);
    c->http.body = a.body.at;
    c->http.n = a.body.n;
    if (write_head(wsi, &a))
        return -1;
    if (!c->http.n || method == LWSHUMETH_HEAD)
        return finish(c, wsi);
    lws_callback_on_writable(wsi);
    return 0;
}

int http_writable(struct conn *c, struct lws *wsi)
{
    if (!c->http.body)
        return 0;
    size_t left = c->http.n - c->http.sent, piece = left < NET_BUFFER ? left : NET_BUFFER;
    int last = piece == left;
    if (lws_write(wsi, (unsigned char *)c->http.body + c->http.sent, piece,
                  last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0)
        return -1;
    c->http.sent += piece;
    c->due = clock_seconds() + PROGRESS_S;
    if (last)
        return finish(c, wsi);
    lws_callback_on_writable(wsi);
    return 0;
}

void http_release(struct conn *c)
{
    free(c->http.body);
    memset(&c->http, 0, sizeof c->http);
}
