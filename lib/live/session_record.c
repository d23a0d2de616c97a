#include "live/session_record.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "live/server_private.h"
#include "metric/metric.h"

static int put(struct session *s, struct journal_record *j, struct err *e)
{
    j->session = s->record;
    j->monotonic = clock_seconds();
    j->unix_time = clock_unix();
    return recorder_put(s->server->recorder, j, e);
}

int session_record_open(struct session *s, struct err *e)
{
    struct server *v = s->server;
    if (!v->recorder)
        return 0;
    struct journal_record j = {.type = JOURNAL_OPEN,
                               .monotonic = clock_seconds(),
                               .unix_time = clock_unix(),
                               .id = s->id,
                               .checkpoint_key = s->key,
                               .client_name = s->client_name,
                               .config = v->config_json,
                               .W = v->c->server.resolution[1],
                               .H = v->c->server.resolution[0],
                               .screen_w = s->screen_w,
                               .screen_h = s->screen_h,
                               .state_dim = (uint32_t)s->max_state,
                               .fps = v->c->server.target_fps,
                               .sentinel = s->sentinel,
                               .value_range = s->value_range};
    int r = recorder_session(v->recorder, &j, e);
    s->record = r ? 0 : j.session;
    return r;
}

int session_record_frame(struct session *s, const struct message *m, struct err *e)
{
    if (!s->record)
        return 0;
    struct journal_record j = {.type = JOURNAL_FRAME,
                               .frame_id = m->frame_id,
                               .set_id = m->set_id,
                               .timestamp = m->timestamp,
                               .n = m->n,
                               .uv = m->uv,
                               .value = m->value,
                               .state_n = m->state_n,
                               .state = m->state,
                               .image = m->image,
                               .image_w = m->image_w,
                               .image_h = m->image_h};
    return put(s, &j, e);
}

void session_record_set(struct session *s, int64_t target_frame_id, int64_t set_id, const float *uv, size_t n)
{
    if (!s->record)
        return;
    struct err e = {0};
    struct journal_record j = {
        .type = JOURNAL_SET, .frame_id = target_frame_id, .set_id = set_id, .n = n, .uv = uv};
    if (put(s, &j, &e))
        log_note("%s: set %lld is not recorded: %s", s->id, (long long)set_id, e.text);
}

void session_record_reconstruction(struct session *s, const struct engine_result *r)
{
    if (!s->record)
        return;
    struct err e = {0};
    uint8_t *image;
    size_t pixels = (size_t)r->W * r->H;
    int bad = mem_alloc(&image, pixels, 1, "a reconstruction", &e);
    if (!bad) {
        metric_quantise(r->image, image, pixels);
        struct journal_record j = {.type = JOURNAL_RECONSTRUCTION,
                                   .frame_id = r->frame_id,
                                   .image = image,
                                   .image_w = r->W,
                                   .image_h = r->H,
                                   .map = r->map,
                                   .map_w = r->map_w,
                                   .map_h = r->map_h};
        bad = put(s, &j, &e);
        free(image);
    }
    if (bad)
        log_note("%s: the reconstruction of frame %lld is not recorded: %s", s->id, (long long)r->frame_id,
                 e.text);
}

void session_record_close(struct session *s, int close_code, const char *reason)
{
    if (!s->record)
        return;
    struct err e = {0};
    struct journal_record j = {.type = JOURNAL_CLOSE, .close_code = close_code, .reason = reason};
    if (put(s, &j, &e))
        log_warning("%s: its end is not recorded: %s", s->id, e.text);
}
