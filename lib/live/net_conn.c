/* A WebSocket connection on the service thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "live/net_private.h"

enum { CLOSE_S = 2, LEAVE_S = 1, SILENT_PINGS = 3 };

void conn_open(struct conn *c, struct lws *wsi, int protocol)
{
    struct net_peer peer = {.id = c->id, .protocol = protocol, .authorized = c->authorized};
    memcpy(peer.address, c->address, sizeof peer.address);
    c->state = CONN_OPEN;
    c->heard = clock_seconds();
    c->due = c->net->o.first_message_s > 0 ? c->heard + c->net->o.first_message_s : 0;
    c->announced = 1;
    NET_COUNT(c->net, open, 1);
    int code = c->net->h.opened ? c->net->h.opened(c->net->h.user, &peer) : 0;
    if (code)
        conn_close(c, code, "refused", 0);
    /* A client may have sent its first frame together with the handshake: this event makes libwebsockets look at it. */
    lws_callback_on_writable(wsi);
}

void conn_ended(struct conn *c, int code)
{
    if (!c->announced)
        return;
    c->state = CONN_CLOSING;
    c->due = clock_seconds() + CLOSE_S;
    c->announced = 0;
    NET_COUNT(c->net, open, -1);
    if (c->net->h.closed)
        c->net->h.closed(c->net->h.user, c->id, code);
}

/* libwebsockets ends the connection itself: the client is gone, or broke the protocol. What follows a broken frame would
 * be taken for further faults, and the second one ends TCP before the close frame is out: so nothing more is read. */
void conn_failed(struct conn *c, struct lws *wsi)
{
    const unsigned char *code = lws_get_close_payload(wsi);
    if (c->state != CONN_OPEN)
        return;
    conn_ended(c, lws_get_close_length(wsi) >= 2 ? code[0] << 8 | code[1] : ABNORMAL);
    c->due = clock_seconds() + LEAVE_S;
    lws_rx_flow_control(wsi, 0);
}

void conn_heard(struct conn *c)
{
    c->heard = clock_seconds();
    c->pinged = 0;
}

void conn_close(struct conn *c, int code, const char *reason, int at_once)
{
    if (c->state != CONN_OPEN)
        return;
    c->close_code = code;
    c->at_once = at_once;
    snprintf(c->close_reason, sizeof c->close_reason, "%s", reason ? reason : "");
    if (code == NET_TOO_LARGE)
        NET_COUNT(c->net, too_large, 1);
    conn_ended(c, code);
    lws_callback_on_writable(c->wsi);
}

/* The end without a word. libwebsockets would still wait for what it holds back to leave: the shut socket and the
 * timeout, whichever comes first, make it let go. */
void conn_kill(struct conn *c)
{
    shutdown(lws_get_socket_fd(c->wsi), SHUT_RDWR);
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

int conn_receive(struct conn *c, struct lws *wsi, const void *chunk, size_t n)
{
    const void *whole;
    const char *reason = "";
    size_t size = 0;
    if (c->state != CONN_OPEN)
        return 0;
    conn_heard(c);
    NET_COUNT(c->net, bytes_in, n);
    int begun = c->in.begun;
    int code = net_inbox_take(&c->in, wsi, chunk, n, &c->net->limits, c->heard, &whole, &size, &reason);
    if (code) { /* who sent too much may be told so first, by what `closed` queues */
        conn_close(c, code, reason, code != NET_TOO_LARGE);
        return 0;
    }
    if (whole) {
        c->due = 0;
        NET_COUNT(c->net, messages_in, 1);
        if (c->net->h.message)
            c->net->h.message(c->net->h.user, c->id, c->in.binary, whole, size);
    } else if (!begun && c->net->o.message_s > 0) {
        double due = c->heard + c->net->o.message_s;
        if (!c->due || due < c->due)
            c->due = due;
    }
    return 0;
}

/* The peer's close frame; libwebsockets answers with the same code, and with 1002 to a code that must not be sent. */
int conn_peer_close(struct conn *c, struct lws *wsi, const unsigned char *body, size_t n)
{
    struct net_utf8 u = {0};
    int code = n >= 2 ? body[0] << 8 | body[1] : NO_STATUS;
    conn_ended(c, code);
    c->due = clock_seconds() + LEAVE_S;
    if (n == 1) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_PROTOCOL_ERR, (unsigned char *)"half a close code", 17);
        return -1;
    }
    if (n > 2 && (net_utf8_feed(&u, body + 2, n - 2) || u.missing)) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD, (unsigned char *)"reason is not UTF-8", 19);
        return -1;
    }
    return 0;
}

/* Not empty: libwebsockets keeps an empty pong to itself. */
static int write_ping(struct lws *wsi)
{
    unsigned char room[LWS_PRE + 4];
    memcpy(room + LWS_PRE, "ping", 4);
    return lws_write(wsi, room + LWS_PRE, 4, LWS_WRITE_PING) < 0 ? -1 : 0;
}

/* The connection takes more: one write at a time. Comes only when libwebsockets itself holds nothing back. */
int conn_writable(struct conn *c, struct lws *wsi)
{
    struct net *n = c->net;
    if (c->ping) {
        c->ping = 0;
        if (write_ping(wsi))
            return -1;
        lws_callback_on_writable(wsi);
        return 0;
    }
    pthread_mutex_lock(&n->lock);
    c->queued -= c->in_flight;
    c->in_flight = 0;
    struct net_letter *l = c->at_once ? NULL : net_outbox_take(&c->out);
    int more = c->out.first || c->close_code;
    if (l)
        c->in_flight = l->n;
    pthread_mutex_unlock(&n->lock);
    if (!l) {
        if (!c->close_code || c->close_begun)
            return 0;
        c->close_begun = 1; /* once: a second time would end TCP before the client has answered */
        lws_close_reason(wsi, (enum lws_close_status)c->close_code, (unsigned char *)c->close_reason,
                         strlen(c->close_reason));
        return -1;
    }
    int bad = net_letter_write(l, wsi);
    if (!bad) {
        NET_COUNT(n, messages_out, 1);
        NET_COUNT(n, bytes_out, l->n);
    }
    free(l);
    if (more || lws_partial_buffered(wsi))
        lws_callback_on_writable(wsi);
    else {
        pthread_mutex_lock(&n->lock);
        c->queued -= c->in_flight;
        c->in_flight = 0;
        pthread_mutex_unlock(&n->lock);
    }
    return bad;
}

void conn_tick(struct conn *c, double now)
{
    const struct net_options *o = &c->net->o;
    if (c->due && now > c->due && !(c->paused_now && c->state == CONN_OPEN)) {
        if (c->state == CONN_HANDSHAKE || c->state == CONN_OPEN || c->http.body)
            NET_COUNT(c->net, too_slow, 1);
        if (c->state != CONN_OPEN) {
            c->due = now + LEAVE_S;
            conn_kill(c);
            return;
        }
        conn_close(c, NET_POLICY, c->in.begun ? "message not whole in time" : "no first message in time", 1);
    } else if (c->state == CONN_OPEN && o->ping_s > 0 && !c->paused_now) {
        if (now - c->heard > SILENT_PINGS * o->ping_s && c->pinged) {
            NET_COUNT(c->net, too_slow, 1);
            conn_ended(c, ABNORMAL);
            conn_kill(c);
        } else if (now - c->heard > o->ping_s && !c->pinged) {
            c->ping = c->pinged = 1;
            lws_callback_on_writable(c->wsi);
        }
    }
}
