/* Listening and accepting. libwebsockets' own is not used: out of file descriptors it spins, and it knows no cap. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "live/net_private.h"

enum { BACKLOG = 1024, ACCEPT_AT_ONCE = 64 };

int accept_listen(struct net *n, const char *host, int port, struct err *e)
{
    struct addrinfo want = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                            .ai_socktype = SOCK_STREAM},
                    *found = NULL;
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char text[16];
    int on = 1;
    snprintf(text, sizeof text, "%d", port);
    if (getaddrinfo(host, text, &want, &found))
        return err_set(e, ERR_USAGE, "--bind %s: has to be a numeric address", host);
    n->listen_fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (n->listen_fd >= 0)
        setsockopt(n->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int bad = n->listen_fd < 0 || bind(n->listen_fd, found->ai_addr, found->ai_addrlen) ||
              listen(n->listen_fd, BACKLOG) || getsockname(n->listen_fd, (struct sockaddr *)&at, &size);
    freeaddrinfo(found);
    if (bad)
        return err_set(e, errno == EADDRINUSE ? ERR_TEMPFAIL : ERR_UNAVAILABLE,
                       "cannot listen at %s port %d: %s", host, port, strerror(errno));
    n->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&at)->sin6_port
                                             : ((struct sockaddr_in *)(void *)&at)->sin_port);
    return 0;
}

static size_t from_address(const struct net *n, const struct in6_addr *ip)
{
    size_t count = 0;
    for (const struct conn *c = n->conns; c; c = c->next)
        count += !memcmp(&c->ip, ip, sizeof *ip);
    return count;
}

/* The address as 16 bytes and as text; an IPv4 one in IPv6 is the IPv4 one. */
static void name_address(const struct sockaddr_storage *from, struct in6_addr *ip, char *text, size_t size)
{
    memset(ip, 0, sizeof *ip);
    text[0] = 0;
    if (from->ss_family == AF_INET) {
        const struct in_addr *v4 = &((const struct sockaddr_in *)(const void *)from)->sin_addr;
        ip->s6_addr[10] = ip->s6_addr[11] = 0xff;
        memcpy(ip->s6_addr + 12, v4, 4);
    } else if (from->ss_family == AF_INET6)
        *ip = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(ip))
        inet_ntop(AF_INET, ip->s6_addr + 12, text, (socklen_t)size);
    else
        inet_ntop(AF_INET6, ip, text, (socklen_t)size);
}

/* No room: an answer that any client understands, and gone. A TLS client just sees the end. */
static void turn_away(struct net *n, int fd)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\n"
                               "Content-Length: 0\r\n\r\n";
    NET_COUNT(n, refused, 1);
    if (!n->o.cert && send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        shutdown(fd, SHUT_WR);
    close(fd);
}

static void take_in(struct net *n, int fd, const struct sockaddr_storage *from)
{
    struct in6_addr ip;
    char address[64];
    int on = 1;
    name_address(from, &ip, address, sizeof address);
    if (fd >= n->loop.files || (n->o.max_connections && n->n_conns >= n->o.max_connections) ||
        (n->o.max_per_address && from_address(n, &ip) >= n->o.max_per_address)) {
        turn_away(n, fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct conn *c = conn_new(n, &ip, address);
    if (!c) {
        turn_away(n, fd);
        return;
    }
    NET_COUNT(n, connections, 1);
    lws_adopt_desc_t d = {.vh = n->loop.vhost,
                          .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
                          .fd.sockfd = fd,
                          .opaque = c};
    n->adopting = c;
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&d);
    if (wsi)
        c->wsi = wsi;
    else if (n->adopting) /* else LWS_CALLBACK_WSI_DESTROY has let it go */
        conn_release(c);
    n->adopting = NULL;
}

void accept_ready(struct ev_loop *ev, ev_io *io, int events)
{
    struct net *n = io->data;
    (void)events;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        int fd = accept4(n->listen_fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take_in(n, fd, &from);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            if (!n->full_told)
                log_warning("no new connection: %s; those that wait are taken when others have gone",
                            strerror(errno));
            n->full_told = 1;
            ev_io_stop(ev, io); /* until the tick: ready and refused, it would spin */
            return;
        }
    }
}
