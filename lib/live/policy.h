/* When to look again and where: one struct for each session, the same for the server and for sgaps-sample's closed loop, so
 * that a live session and its replay choose the same coordinates. No clock, no thread, no I/O. */
#ifndef SGAPS_LIVE_POLICY_H
#define SGAPS_LIVE_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "recon/recon.h"
#include "sample/mask_schedule.h"
#include "sample/sample.h"

struct policy {
    enum pattern initial, pattern;
    enum recon_importance importance;
    struct mask_schedule schedule;
    struct sample_request request; /* W, H, n, seed, session and the patterns' parameters */
    double holdout; /* share of the samples withheld from the model on frames without a full image */
    int64_t sets;   /* made so far: the next set's number */
};

enum { POLICY_SEED = 42 }; /* the tools' default --seed; who has another puts it into request.seed */

/* session_id: what sample_session() makes a number of. n 0: the configuration's default_sample_count. */
int policy_init(struct policy *p, const struct config *c, const char *session_id, uint32_t W, uint32_t H,
                size_t n, struct err *e);
/* Whether the next set wants the model's map. */
int policy_needs_map(const struct policy *p);
/* Whether rebuilding the next frame can change anything: its quality is asked for, or its map by a set that is due. Where
 * nobody looks at the frame itself it may be left out, and policy_frame told without quality and map. */
int policy_needs_frame(const struct policy *p);
/* The first set (no map, drawn for frame 0); uv (n,2). Its number is *set. */
int policy_first(struct policy *p, float *uv, int64_t *set, struct err *e);
/* A frame that was received and not rebuilt counts for the schedule. */
void policy_skipped(struct policy *p);
/* After a frame was rebuilt: *due says whether a new set was due, which is then in uv (n,2), numbered *set. quality as
 * mask_schedule_frame takes it; map (h,w) in [0,1] or NULL. */
int policy_frame(struct policy *p, int64_t frame_id, double quality, const float *map, uint32_t w, uint32_t h,
                 float *uv, int64_t *set, int *due, struct err *e);

/* Quality on a frame with a full image: the SSIM of the frame rebuilt, clipped and rounded to 8 bit; NAN below 11 pixels.
 * predicted (H,W), white = 1; rounded (H,W) is written. */
double policy_true_quality(const float *predicted, const uint8_t *truth, uint32_t W, uint32_t H,
                           uint8_t *rounded);

/* Which of n samples are withheld (held[i] = 1) on a frame without a full image: deterministic for the session, the newest set
 * and n, so that all frames of one set lack the same ones and share a triangulation. Returns how many; always leaves at
 * least one to the model. */
size_t policy_holdout(const struct policy *p, size_t n, uint8_t *held);
/* 1 - MSE / variance of predicted (clipped to 0..255) against received values at the withheld samples, in [0,1]; NAN for fewer than
 * 2 or no variance. *psnr (may be NULL) of the same, NAN for none. predicted (H,W), white = 1. */
double policy_heldout_quality(const float *predicted, uint32_t W, uint32_t H, const float *uv,
                              const uint8_t *value, const uint8_t *held, size_t n, double *psnr);

#endif
