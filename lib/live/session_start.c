#include "live/session_start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "live/server_private.h"

/* --- lines; with the lock --- */

static void stand_in(struct start **line, struct start *t)
{
    while (*line)
        line = &(*line)->next_in_line;
    t->next_in_line = NULL;
    *line = t;
}

static struct start *step_out(struct start **line)
{
    struct start *t = *line;
    if (t)
        *line = t->next_in_line;
    return t;
}

/* --- the thread --- */

static void *make_loop(void *user)
{
    struct server *v = user;
    struct starts *s = &v->starts;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->line && !s->closed)
            pthread_cond_wait(&s->work, &s->lock);
        if (s->closed)
            break;
        struct start *t = step_out(&s->line);
        pthread_mutex_unlock(&s->lock);
        session_make(t);
        pthread_mutex_lock(&s->lock);
        stand_in(&s->ready, t);
        net_wake(v->net);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int starts_open(struct server *v, struct err *e)
{
    struct starts *s = &v->starts;
    int r = pthread_create(&s->thread, NULL, make_loop, v);
    s->running = !r;
    return r ? err_set(e, ERR_INTERNAL, "the thread that opens sessions: %s", strerror(r)) : 0;
}

/* --- asking --- */

/* models_ready_fn: from the loader thread, or at once. */
static void model_is_there(void *user, struct model *model)
{
    struct start *t = user;
    struct server *v = t->server;
    pthread_mutex_lock(&v->starts.lock);
    int closed = v->starts.closed;
    if (!closed) {
        t->model = model;
        stand_in(&v->starts.line, t);
        pthread_cond_signal(&v->starts.work);
    }
    pthread_mutex_unlock(&v->starts.lock);
    if (closed)
        models_release(v->models, model);
}

int starts_request(struct server *v, struct connection *c, const struct message *m, struct err *e)
{
    struct start *t;
    int r = mem_alloc(&t, 1, sizeof *t, "a session", e);
    if (r)
        return r;
    *t = (struct start){.server = v,
                        .next = v->starts.all,
                        .connection = c->id,
                        .screen_w = m->width,
                        .screen_h = m->height,
                        .value_range = m->value_range,
                        .debug = m->debug,
                        .array = m->coordinates_array};
    snprintf(t->key, sizeof t->key, "%s", m->checkpoint_key);
    snprintf(t->client_name, sizeof t->client_name, "%s", m->client_name);
    v->starts.all = t;
    v->starts.n++;
    c->start = t;
    if (v->models)
        models_request(v->models, t->key, model_is_there, t);
    else
        model_is_there(t, NULL);
    return 0;
}

struct start *starts_ready(struct server *v)
{
    pthread_mutex_lock(&v->starts.lock);
    struct start *t = step_out(&v->starts.ready);
    pthread_mutex_unlock(&v->starts.lock);
    return t;
}

void starts_done(struct server *v, struct start *t)
{
    struct start **at = &v->starts.all;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    v->starts.n--;
    free(t);
}

void starts_close(struct server *v)
{
    struct starts *s = &v->starts;
    if (!s->running)
        return;
    pthread_mutex_lock(&s->lock);
    s->closed = 1;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->running = 0;
    for (struct start *t; (t = starts_ready(v)); starts_done(v, t))
        if (t->session)
            session_discard(t->session);
    for (struct start *t; (t = step_out(&s->line)); starts_done(v, t))
        if (t->model)
            models_release(v->models, t->model);
}

void starts_release(struct server *v)
{
    while (v->starts.all)
        starts_done(v, v->starts.all);
}
