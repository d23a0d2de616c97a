/* Inference for many sessions in a thread of its own. A session's newest frame waits in its mailbox; an older one that was
 * not begun is superseded, one older than stale_ms (0: none) is stale; both are counted. Frames of sessions with the same
 * weights run as one batch (max_batch, max_wait_ms; a network on the CPU one frame at a time unless max_batch was given, a
 * batch gains nothing there). Sessions with a frame waiting stand in one line, a frame that takes
 * another's place keeps its place in the line: nobody starves, however fast the others send.
 *
 * A frame with a full image is judged by SSIM and rebuilt from all its samples; of any other frame sampling.holdout of the
 * samples are withheld from the model, and it is judged by them (policy.h). Without a network the map is the residual,
 * whatever sampling.importance says, and of one without an error head entropy where it says error. */
#ifndef SGAPS_LIVE_ENGINE_H
#define SGAPS_LIVE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "io/message.h"
#include "live/models.h"
#include "live/policy.h"

struct engine;
struct engine_session; /* the engine's side of a session */

/* What came of one frame; everything lives during the call only. */
struct engine_result {
    void *session_user;
    int64_t frame_id;
    uint64_t count; /* frames of this session rebuilt, this one too */
    uint32_t W, H, map_w, map_h;
    const float *image; /* (H,W), white = 1, not clipped */
    const float
        *map; /* (map_h,map_w) in [0,1], or NULL: nothing asked for it (residual: at most once a second) */
    const float *uv; /* all samples of the frame, those withheld too */
    const uint8_t *value;
    size_t n;
    const uint8_t *truth;         /* the full frame at W x H when the client sent one, or NULL */
    double psnr, ssim;            /* against truth, else held-out PSNR and NAN */
    int heldout;                  /* psnr is the held-out one, NAN where too few were withheld */
    double quality;               /* what the schedule got; NAN: not known */
    double received, begun, done; /* clock_seconds */
    size_t batch;
    const char *model_version;
    /* a new set, or NULL */
    const float *set_uv;
    size_t set_n;
    int64_t set_id, target_frame_id;
};

struct engine_handlers {
    void *user;
    void (*result)(void *user, const struct engine_result *r); /* inference thread */
    /* That frame only, the session goes on. */
    void (*failed)(void *user, void *session_user, int64_t frame_id, const struct err *e);
    /* The device is lost: no frame will be rebuilt any more (after failed; inference thread; NULL: nobody asks). */
    void (*lost)(void *user, const struct err *e);
};

/* Frames received = inferred + superseded + stale + failed, once nothing waits or runs. What waited when its session ended
 * counts as stale. */
struct engine_stats {
    uint64_t inferred, superseded, stale, failed, batches;
    size_t waiting, sessions;
};

int engine_open(struct engine **g, const struct config *c, struct models *models,
                const struct engine_handlers *h, struct err *e);
/* Takes over a reference to model, also when it fails. The first set is drawn at once: uv (n,2), *set; n is
 * sampling.default_sample_count. */
int engine_session_open(struct engine *g, struct model *model, const char *session_id, void *session_user,
                        struct engine_session **s, float *uv, int64_t *set, struct err *e);
size_t engine_session_samples(const struct engine_session *s);
/* The frame is copied. received: clock_seconds. One thread at a time for one session. */
void engine_frame(struct engine *g, struct engine_session *s, const struct message *frame, double received);
/* No result of this session comes after it returned: it waits for one that is being told right now (not for a batch that
 * runs). So it must not be called from a handler, nor with a lock that a handler takes. */
void engine_session_close(struct engine *g, struct engine_session *s);
struct engine_stats engine_stats(struct engine *g);
/* Finishes what waits when drain, else drops it. Sessions still open are closed. */
void engine_close(struct engine *g, int drain);

#endif
