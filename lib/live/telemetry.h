/* Counters, latency histograms and the newest pictures: what /metrics, the API, the live page and the JSON-lines log tell. Any
 * thread may call; each call takes a lock for a moment only. */
#ifndef SGAPS_LIVE_TELEMETRY_H
#define SGAPS_LIVE_TELEMETRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"
#include "live/engine.h"
#include "live/models.h"
#include "live/net.h"
#include "live/recorder.h"

struct telemetry;

enum telemetry_stage { STAGE_PARSE, STAGE_QUEUE, STAGE_INFERENCE, STAGE_ANSWER, STAGE_RECORD, STAGES };
enum telemetry_event { EVENT_FRAME, EVENT_REJECTED, EVENT_COORDINATES, EVENT_ERROR, EVENTS };

struct telemetry_options {
    const char *version, *device;
    const char *log; /* --log-metrics FILE, or NULL: appended to, with the step after its last; at most once a
                        second pictures: live.jsonl's in live.pictures/ beside it */
};
int telemetry_open(struct telemetry **t, const struct telemetry_options *o, struct err *e);
void telemetry_close(struct telemetry *t);

void telemetry_session(struct telemetry *t, const char *session_id, const char *key,
                       const char *model_version, const char *client_name, const char *client_address);
void telemetry_session_closed(struct telemetry *t, const char *session_id); /* its pictures go */
void telemetry_frame(struct telemetry *t, const char *session_id, enum telemetry_event event);
void telemetry_stage(struct telemetry *t, enum telemetry_stage stage, double seconds);
/* A rebuilt frame: keeps the pictures, counts STAGE_QUEUE, STAGE_INFERENCE and the whole latency (the other stages are the
 * caller's to tell), puts the log's line with the next global step into its queue. */
void telemetry_result(struct telemetry *t, const char *session_id, const struct engine_result *r);

/* What the others know, asked for when a report is made; NULL members are left out. */
struct telemetry_sources {
    struct net *net;
    struct engine *engine;
    struct recorder *recorder;
    struct models *models;
};
/* Answers GET / (the page), /api/health, /api/status, /api/ready, /api/sessions, /api/sessions/{id},
 * /api/sessions/{id}/frames/latest.png, importance.png and samples.png, /metrics. Anything else: 404, 405, 401.
 * The page and health are open, the rest wants q->authorized.
 * DELETE /api/sessions/{id}: calls end(user, id), which returns 0 when there was one. */
struct telemetry_http {
    struct telemetry_sources sources;
    int (*end)(void *user, const char *session_id);
    int (*ready)(void *user);
    void *user;
};
void telemetry_answer(struct telemetry *t, const struct telemetry_http *h, const struct net_request *q,
                      struct net_response *a);

#endif
