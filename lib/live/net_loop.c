#include "live/net_loop.h"

#include <string.h>
#include <sys/resource.h>

#include "base/log.h"

enum { FILES = 1 << 16 };

/* What a client did wrong is no warning of ours: everything libwebsockets says is for -vv. */
static void say(int level, const char *line)
{
    (void)level;
    log_debug("libwebsockets: %.*s", (int)strcspn(line, "\n"), line);
}

/* Pings and time limits are ours (net_conn.c), counted whatever the load. */
static const lws_retry_bo_t no_policy;

/* Its table of connections is indexed by file descriptor and as long as the limit of these, which in a container may be a
 * billion; the option for a shorter one makes it search. So it is created under a limit of its own. */
static int create(struct net_loop *l, struct lws_context_creation_info *info)
{
    struct rlimit files = {.rlim_cur = FILES}, fewer;
    int lower = !getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur > FILES;
    l->files = lower ? FILES : (int)files.rlim_cur;
    if (lower) {
        fewer = files;
        fewer.rlim_cur = FILES;
        setrlimit(RLIMIT_NOFILE, &fewer);
    }
    l->lws = lws_create_context(info);
    if (lower)
        setrlimit(RLIMIT_NOFILE, &files);
    return l->lws ? 0 : -1;
}

int net_loop_open(struct net_loop *l, struct lws_context_creation_info *info,
                  void (*tick)(struct ev_loop *ev, ev_timer *timer, int events), void *user, struct err *e)
{
    l->lws = NULL;
    l->ev = ev_loop_new(EVFLAG_NOENV);
    if (!l->ev)
        return err_set(e, ERR_INTERNAL, "libev: no event loop (out of file descriptors?)");
    lws_set_log_level(LLL_ERR | LLL_WARN, say);
    void *loops[1] = {l->ev};
    info->foreign_loops = loops;
    info->options |= LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    info->extensions =
        NULL; /* permessage-deflate: an assertion of 4.1.6 ends the process at a crafted frame */
    info->alpn = "http/1.1"; /* its HTTP/2 code can be made to write out of bounds */
    info->pt_serv_buf_size = NET_BUFFER;
    info->retry_and_idle_policy = &no_policy;
    info->gid = info->uid = -1;
    if (create(l, info)) {
        ev_loop_destroy(l->ev);
        l->ev = NULL;
        return err_set(
            e, ERR_UNAVAILABLE,
            "libwebsockets does not start on libev (is Debian's libwebsockets-evlib-ev installed?)");
    }
    l->vhost = lws_create_vhost(l->lws, info);
    if (!l->vhost) {
        net_loop_release(l);
        return err_set(e, ERR_UNAVAILABLE, "libwebsockets makes no virtual host%s",
                       info->ssl_cert_filepath ? ": do the certificate and its key fit together?" : "");
    }
    ev_timer_init(&l->tick, tick, NET_TICK, NET_TICK);
    l->tick.data = user;
    ev_timer_start(l->ev, &l->tick);
    return 0;
}

void net_loop_nudge(struct net_loop *l)
{
    lws_cancel_service(l->lws);
}

void net_loop_release(struct net_loop *l)
{
    if (l->lws)
        lws_context_destroy(l->lws);
    if (l->ev)
        ev_loop_destroy(l->ev);
    l->lws = NULL;
    l->ev = NULL;
}
