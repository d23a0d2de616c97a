#include "live/session_sets.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/message_binary.h"
#include "io/message_write.h"
#include "live/server_private.h"
#include "live/session_record.h"

int session_remember(struct session *s, int64_t set_id, const float *uv, size_t n)
{
    pthread_mutex_lock(&s->lock);
    int at = (s->newest + 1) % SETS_KEPT;
    struct sent_set *set = &s->sets[at];
    int kept = 1;
    if (!set->uv || set->n != n) {
        free(set->uv);
        set->uv = NULL;
        kept = !mem_alloc(&set->uv, n, 2 * sizeof *uv, "a set of coordinates", NULL);
    }
    if (kept) {
        memcpy(set->uv, uv, n * 2 * sizeof *uv);
        set->n = n;
        set->id = set_id;
        s->newest = at;
    }
    pthread_mutex_unlock(&s->lock);
    return kept;
}

const float *session_set(void *session, int64_t set_id, size_t *n)
{
    struct session *s = session;
    for (int i = 0; i < SETS_KEPT; i++)
        if (s->sets[i].uv && s->sets[i].id == set_id) {
            *n = s->sets[i].n;
            return s->sets[i].uv;
        }
    return NULL;
}

/* Recorded first: the frames that are sampled with it come behind it in the journal. */
static void send_set(struct session *s, int64_t target, int64_t set_id, const float *uv, size_t n)
{
    pthread_mutex_lock(&s->lock);
    net_id to = s->to;
    int binary = s->binary, array = s->array;
    pthread_mutex_unlock(&s->lock);
    if (!to)
        return;
    struct text t = {0};
    if (binary)
        message_write_coordinates_binary(&t, target, set_id, uv, n);
    else
        message_write_coordinates(&t, target, set_id, uv, n, array);
    session_record_set(s, target, set_id, uv, n);
    if (!t.failed)
        net_send(s->server->net, to, binary, t.at, t.n);
    text_release(&t);
    telemetry_frame(s->server->telemetry, s->id, EVENT_COORDINATES);
}

void session_send_set(struct session *s, int64_t target_frame_id, int64_t set_id, const float *uv, size_t n)
{
    session_remember(s, set_id, uv, n);
    send_set(s, target_frame_id, set_id, uv, n);
}

/* A copy of the newest set; NULL: out of memory. *target: the frame after the newest one. */
static float *copy_newest(struct session *s, int64_t *target, int64_t *set_id, size_t *n)
{
    float *uv = NULL;
    pthread_mutex_lock(&s->lock);
    const struct sent_set *set = &s->sets[s->newest];
    if (!mem_alloc(&uv, set->n, 2 * sizeof *uv, "a set of coordinates", NULL))
        memcpy(uv, set->uv, set->n * 2 * sizeof *uv);
    *n = set->n;
    *set_id = set->id;
    *target = s->last_frame + 1;
    pthread_mutex_unlock(&s->lock);
    return uv;
}

void session_send_newest(struct session *s)
{
    int64_t target, set_id;
    size_t n;
    float *uv = copy_newest(s, &target, &set_id, &n);
    if (uv)
        send_set(s, target, set_id, uv, n);
    free(uv);
}

void session_null_answer(struct session *s, int64_t frame_id)
{
    int64_t target, set_id;
    size_t n;
    if (s->frames % (uint64_t)s->server->c->mask_update.fixed_interval)
        return;
    float *uv = copy_newest(s, &target, &set_id, &n);
    if (uv)
        session_send_set(s, frame_id + 1, set_id + 1, uv, n);
    free(uv);
}
