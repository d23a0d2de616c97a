/* Frames in, results out. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "live/server_private.h"
#include "live/session_record.h"
#include "live/session_sets.h"

int session_frame(struct session *s, const struct message *m, double received, struct err *e)
{
    struct server *v = s->server;
    /* What the recorder refuses for another reason than room it tells by itself; serving goes on. */
    if (session_record_frame(s, m, e) == ERR_TEMPFAIL)
        return ERR_TEMPFAIL;
    pthread_mutex_lock(&s->lock);
    s->last_frame = m->frame_id;
    pthread_mutex_unlock(&s->lock);
    s->frames++;
    telemetry_frame(v->telemetry, s->id, EVENT_FRAME);
    if (s->engine)
        engine_frame(v->engine, s->engine, m, received);
    else
        session_null_answer(s, m->frame_id);
    return 0;
}

void session_result(void *user, const struct engine_result *r)
{
    struct server *v = user;
    struct session *s = r->session_user;
    if (r->set_uv)
        session_send_set(s, r->target_frame_id, r->set_id, r->set_uv, r->set_n);
    if (v->o.record_reconstruction)
        session_record_reconstruction(s, r);
    telemetry_stage(v->telemetry, STAGE_ANSWER, clock_seconds() - r->received);
    telemetry_result(v->telemetry, s->id, r);
}

void session_failed(void *user, void *session_user, int64_t frame_id, const struct err *e)
{
    struct server *v = user;
    struct session *s = session_user;
    telemetry_frame(v->telemetry, s->id, EVENT_ERROR);
    log_warning("%s: frame %lld could not be rebuilt: %s", s->id, (long long)frame_id, e->text);
}
