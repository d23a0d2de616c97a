/* The server that the conformance suite and the fault tests talk to: net.c, and every message goes back as it came.
 *
 *     echo [NAME=VALUE ...]      NAME: bind port max_message max_connections max_per_address max_queue first_message_s
 *                                message_s max_fragments ping_s token origin cert key worker flood
 *
 * Prints "port N" when it listens; ends when its stdin does, with the statistics as JSON on stdout. worker=1 answers from
 * a thread of its own. Words, as text messages, that do more than come back: "close CODE", "flood N BYTES" (N messages of
 * that size), "pause S" (not read from for S seconds). /big?N gives N bytes over HTTP. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "live/net.h"

struct job {
    struct job *next;
    net_id id;
    int binary;
    size_t n;
    char bytes[];
};

static struct net *net;
static struct {
    pthread_mutex_t lock;
    pthread_cond_t come;
    struct job *first, **last;
    int on, over;
} work = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &work.first, 0, 0};
static struct {
    net_id id;
    double until;
} paused;
static unsigned long opened_count, closed_count, woken_count;
static int last_code;

static void *worker(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&work.lock);
    while (!work.over) {
        struct job *j = work.first;
        if (!j) {
            pthread_cond_wait(&work.come, &work.lock);
            continue;
        }
        work.first = j->next;
        if (!work.first)
            work.last = &work.first;
        pthread_mutex_unlock(&work.lock);
        net_send(net, j->id, j->binary, j->bytes, j->n);
        free(j);
        pthread_mutex_lock(&work.lock);
    }
    pthread_mutex_unlock(&work.lock);
    return NULL;
}

static void hand_over(net_id id, int binary, const void *data, size_t n)
{
    struct job *j = malloc(sizeof *j + n);
    if (!j)
        return;
    *j = (struct job){NULL, id, binary, n};
    memcpy(j->bytes, data, n);
    pthread_mutex_lock(&work.lock);
    *work.last = j;
    work.last = &j->next;
    pthread_cond_signal(&work.come);
    pthread_mutex_unlock(&work.lock);
}

static int opened(void *user, const struct net_peer *peer)
{
    (void)user;
    (void)peer;
    opened_count++;
    return 0;
}

static void closed(void *user, net_id id, int code)
{
    (void)user;
    (void)id;
    closed_count++;
    last_code = code;
}

static int word(net_id id, const char *data, size_t n)
{
    char text[64];
    unsigned long count, size;
    int code;
    double s;
    if (n >= sizeof text)
        return 0;
    memcpy(text, data, n);
    text[n] = 0;
    if (sscanf(text, "close %d", &code) == 1)
        net_close(net, id, code, "as you wish");
    else if (sscanf(text, "flood %lu %lu", &count, &size) == 2) {
        char *bytes = calloc(1, size ? size : 1);
        while (bytes && count--)
            net_send(net, id, 1, bytes, size);
        free(bytes);
    } else if (sscanf(text, "pause %lf", &s) == 1) {
        paused.id = id;
        paused.until = clock_seconds() + s;
        net_pause(net, id, 1);
        net_send(net, id, 0, "paused", 6);
    } else
        return 0;
    return 1;
}

static void message(void *user, net_id id, int binary, const void *data, size_t n)
{
    (void)user;
    if (!binary && word(id, data, n))
        return;
    if (work.on)
        hand_over(id, binary, data, n);
    else
        net_send(net, id, binary, data, n);
}

static void request(void *user, const struct net_request *q, struct net_response *a)
{
    (void)user;
    if (!strcmp(q->path, "/big")) {
        size_t n = strtoul(q->query, NULL, 10);
        a->type = "application/octet-stream";
        for (size_t i = 0; i < n; i += 16)
            text_bytes(&a->body, "0123456789abcdef", n - i < 16 ? n - i : 16);
    } else if (!strcmp(q->path, "/none"))
        a->status = 404;
    else
        text_printf(&a->body, "%s %s ?%s %d\n", q->method, q->path, q->query, q->authorized);
}

static void woken(void *user)
{
    (void)user;
    woken_count++;
    net_stop(net, NET_GOING_AWAY);
}

static void tick(void *user)
{
    (void)user;
    if (paused.id && clock_seconds() > paused.until) {
        net_pause(net, paused.id, 0);
        paused.id = 0;
    }
}

static void *until_stdin_ends(void *arg)
{
    char c;
    (void)arg;
    while (read(0, &c, 1) > 0)
        ;
    net_wake(net);
    return NULL;
}

static int set(struct net_options *o, const char *origins[2], const char *name, const char *value)
{
    double x = atof(value);
    if (!strcmp(name, "bind"))
        o->bind = value;
    else if (!strcmp(name, "port"))
        o->port = (int)x;
    else if (!strcmp(name, "max_message"))
        o->max_message = (size_t)x;
    else if (!strcmp(name, "max_connections"))
        o->max_connections = (size_t)x;
    else if (!strcmp(name, "max_per_address"))
        o->max_per_address = (size_t)x;
    else if (!strcmp(name, "max_queue"))
        o->max_queue = (size_t)x;
    else if (!strcmp(name, "first_message_s"))
        o->first_message_s = x;
    else if (!strcmp(name, "message_s"))
        o->message_s = x;
    else if (!strcmp(name, "max_fragments"))
        o->max_fragments = (size_t)x;
    else if (!strcmp(name, "ping_s"))
        o->ping_s = x;
    else if (!strcmp(name, "token"))
        o->token = value;
    else if (!strcmp(name, "origin")) {
        origins[0] = value;
        o->origins = origins;
    } else if (!strcmp(name, "cert"))
        o->cert = value;
    else if (!strcmp(name, "key"))
        o->key = value;
    else if (!strcmp(name, "worker"))
        work.on = (int)x;
    else
        return -1;
    return 0;
}

static void report(void)
{
    struct net_stats s = net_stats(net);
    printf("{\"connections\": %ju, \"open\": %ju, \"refused\": %ju, \"messages_in\": %ju, \"messages_out\": "
           "%ju, "
           "\"bytes_in\": %ju, \"bytes_out\": %ju, \"too_slow\": %ju, \"too_large\": %ju, \"opened\": %lu, "
           "\"closed\": %lu, \"woken\": %lu, \"last_code\": %d}\n",
           (uintmax_t)s.connections, (uintmax_t)s.open, (uintmax_t)s.refused, (uintmax_t)s.messages_in,
           (uintmax_t)s.messages_out, (uintmax_t)s.bytes_in, (uintmax_t)s.bytes_out, (uintmax_t)s.too_slow,
           (uintmax_t)s.too_large, opened_count, closed_count, woken_count, last_code);
}

int main(int argc, char **argv)
{
    static const char *const protocols[] = {"echo.v1", "echo.v2", NULL};
    const char *origins[2] = {NULL, NULL};
    struct net_options o = {.bind = "127.0.0.1",
                            .path = "/ws/echo",
                            .protocols = protocols,
                            .max_message = 32 << 20,
                            .max_connections = 4096,
                            .max_queue = 64 << 20,
                            .first_message_s = 20,
                            .message_s = 60,
                            .max_fragments = 1 << 20,
                            .ping_s = 0};
    struct net_handlers h = {NULL, opened, message, closed, request, woken, tick};
    struct err e;
    pthread_t watcher, helper;
    log_setup("echo", LOG_WARNING);
    for (int i = 1; i < argc; i++) {
        char *eq = strchr(argv[i], '=');
        if (eq)
            *eq = 0;
        if (!eq || set(&o, origins, argv[i], eq + 1)) {
            fprintf(stderr, "echo: %s: what is that?\n", argv[i]);
            return 64;
        }
    }
    int code = net_open(&net, &o, &h, &e);
    if (code) {
        fprintf(stderr, "echo: %s\n", e.text);
        return code;
    }
    printf("port %d\n", net_port(net));
    fflush(stdout);
    if (work.on && pthread_create(&helper, NULL, worker, NULL))
        return 70;
    if (pthread_create(&watcher, NULL, until_stdin_ends, NULL))
        return 70;
    code = net_run(net, &e);
    pthread_join(watcher, NULL);
    if (work.on) {
        pthread_mutex_lock(&work.lock);
        work.over = 1;
        pthread_cond_signal(&work.come);
        pthread_mutex_unlock(&work.lock);
        pthread_join(helper, NULL);
    }
    report();
    net_release(net);
    return code;
}
