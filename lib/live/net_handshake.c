/* Who may come in: everything about an upgrade that libwebsockets 4.1.6 does not look at (it takes any method, path and
 * version, and a key of any length) or answers by hanging up. */
#include <ctype.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "live/net_private.h"

enum { HEADER = 1024, PROTOCOL_LIST = 126 /* libwebsockets copies it into 127 bytes */ };

/* A header into a buffer of HEADER bytes: its length, 0 when it is not there, -1 when it is longer. */
static int header(struct lws *wsi, enum lws_token_indexes which, char *out)
{
    out[0] = 0;
    return lws_hdr_copy(wsi, out, HEADER, which);
}

/* The answer to a request that will not become a WebSocket; libwebsockets knows no HTTP version yet at this point. */
static int refuse(struct conn *c, struct lws *wsi, int status, const char *reason)
{
    unsigned char room[LWS_PRE + 512];
    char *text = (char *)room + LWS_PRE;
    const char *extra = status == 426   ? "Sec-WebSocket-Version: 13\r\n"
                        : status == 401 ? "WWW-Authenticate: Bearer\r\n"
                                        : "";
    NET_COUNT(c->net, refused, 1);
    int n = snprintf(text, sizeof room - LWS_PRE,
                     "HTTP/1.1 %d Refused\r\n%sConnection: close\r\nContent-Type: text/plain\r\n"
                     "Content-Length: %zu\r\n\r\n%s\n",
                     status, extra, strlen(reason) + 1, reason);
    return lws_write(wsi, room + LWS_PRE, (size_t)n, LWS_WRITE_HTTP) == n ? 1 : -1;
}

/* Whether a comma-separated list has this token. exact: case counts. */
static int list_has(const char *list, const char *token, int exact)
{
    size_t want = strlen(token);
    while (*list) {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, ","), bare = n;
        while (bare && (list[bare - 1] == ' ' || list[bare - 1] == '\t'))
            bare--;
        if (bare == want && (exact ? !strncmp(list, token, want) : !strncasecmp(list, token, want)))
            return 1;
        list += n;
    }
    return 0;
}

int handshake_token(const struct net *n, struct lws *wsi)
{
    char sent[HEADER];
    if (!n->o.token)
        return 1;
    int length = header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, sent);
    if (!length)
        return 0;
    if (length < 7 || strncasecmp(sent, "Bearer ", 7))
        return -1;
    const char *token = sent + 7 + strspn(sent + 7, " ");
    size_t bytes = strlen(n->o.token);
    return strlen(token) == bytes && !CRYPTO_memcmp(token, n->o.token, bytes) ? 1 : -1;
}

int handshake_origin(const struct net *n, struct lws *wsi)
{
    char origin[HEADER], host[HEADER];
    int length = header(wsi, WSI_TOKEN_ORIGIN, origin);
    if (!length)
        return 1;
    if (length < 0)
        return 0;
    if (n->o.origins) {
        for (const char *const *o = n->o.origins; *o; o++)
            if (!strcmp(*o, "*") || !strcasecmp(*o, origin))
                return 1;
        return 0;
    }
    const char *at = strstr(origin, "://");
    return at && header(wsi, WSI_TOKEN_HOST, host) > 0 && !strcasecmp(at + 3, host);
}

/* 16 random bytes in base64: 22 characters and "==". */
static int key_is_right(struct lws *wsi)
{
    char key[HEADER];
    if (header(wsi, WSI_TOKEN_KEY, key) != 24 || strcmp(key + 22, "=="))
        return 0;
    for (int i = 0; i < 22; i++)
        if (!isalnum((unsigned char)key[i]) && key[i] != '+' && key[i] != '/')
            return 0;
    return 1;
}

static int protocol_is_known(const struct net *n, struct lws *wsi)
{
    char list[HEADER];
    int length = header(wsi, WSI_TOKEN_PROTOCOL, list);
    if (!length)
        return 1;
    if (length < 0 || length > PROTOCOL_LIST)
        return 0;
    for (const char *const *p = n->o.protocols; p && *p; p++)
        if (list_has(list, *p, 1))
            return 1;
    return 0;
}

int handshake_check(struct conn *c, struct lws *wsi)
{
    const struct net *n = c->net;
    char value[HEADER], *path = NULL;
    int length = 0, method = lws_http_get_uri_and_method(wsi, &path, &length);
    /* An unknown upgrade: libwebsockets has answered 403 already, let go of the headers, and asks all the same. */
    if (header(wsi, WSI_TOKEN_UPGRADE, value) <= 0)
        return -1;
    if (strcasecmp(value, "websocket"))
        return refuse(c, wsi, 400, "the only upgrade here is websocket");
    if (method != LWSHUMETH_GET)
        return refuse(c, wsi, 405, "a WebSocket begins with GET");
    if (length < 0 || strlen(n->o.path) != (size_t)length || memcmp(path, n->o.path, (size_t)length))
        return refuse(c, wsi, 404, "no WebSocket at this path");
    if (header(wsi, WSI_TOKEN_HTTP, value) < 0 || strcmp(value, "HTTP/1.1"))
        return refuse(c, wsi, 505, "a WebSocket needs HTTP/1.1");
    if (header(wsi, WSI_TOKEN_HOST, value) <= 0)
        return refuse(c, wsi, 400, "no Host header");
    if (header(wsi, WSI_TOKEN_CONNECTION, value) <= 0 || !list_has(value, "upgrade", 0))
        return refuse(c, wsi, 400, "the Connection header has no Upgrade");
    if (header(wsi, WSI_TOKEN_VERSION, value) <= 0 || strcmp(value, "13"))
        return refuse(c, wsi, 426, "Sec-WebSocket-Version has to be 13");
    if (!key_is_right(wsi))
        return refuse(c, wsi, 400, "Sec-WebSocket-Key has to be 16 bytes in base64");
    if (!handshake_origin(n, wsi))
        return refuse(c, wsi, 403, "this Origin is not allowed");
    c->authorized = handshake_token(n, wsi);
    if (c->authorized < 0)
        return refuse(c, wsi, 401, "wrong token");
    if (!protocol_is_known(n, wsi))
        return refuse(c, wsi, 400, "no subprotocol that is known here");
    return n->stopped ? refuse(c, wsi, 503, "the server is going away") : 0;
}
