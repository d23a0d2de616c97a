/* From sparse samples to frames: a checkpoint, or a classical method, behind one interface. What sgaps-reconstruct,
 * sgaps-eval, sgaps-sample, validation during training and the server use. */
#ifndef SGAPS_RECON_RECON_H
#define SGAPS_RECON_RECON_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/model_config.h"
#include "op/op.h"
#include "spt/spt.h"

enum recon_method { RECON_MODEL, RECON_NEAREST, RECON_LINEAR, RECON_NATURAL, RECON_THUMBNAIL };
/* -1: no such name. */
int recon_method_by_name(const char *name);
enum recon_importance {
    RECON_IMPORTANCE_NONE,
    RECON_IMPORTANCE_ENTROPY,
    RECON_IMPORTANCE_VARIANCE,
    RECON_IMPORTANCE_ERROR,
    RECON_IMPORTANCE_RESIDUAL
};
int recon_importance_by_name(const char *name);

struct recon;
/* Loads a checkpoint onto a device, as op_open. */
int recon_open_model(struct recon **r, const char *path, const char *device, int threads,
                     enum op_precision precision, struct err *e);
/* Of a checkpoint that was read already; what it holds is copied. */
struct checkpoint;
int recon_open_checkpoint(struct recon **r, const struct checkpoint *c, const char *device, int threads,
                          enum op_precision precision, struct err *e);
int recon_open_method(struct recon **r, enum recon_method method, struct err *e);
/* Around a model that somebody else owns (validation during training). */
int recon_wrap_model(struct recon **r, struct spt *model, struct err *e);
void recon_close(struct recon *r);
const char *recon_name(const struct recon *r);  /* the checkpoint's file, or the method */
struct spt *recon_model(const struct recon *r); /* NULL for a method */

struct recon_frame {
    size_t n;             /* samples, >= 1 */
    const float *uv;      /* (n,2) */
    const uint8_t *value; /* (n) */
    const float *state;   /* (state_n) or NULL; sentinel = missing; longer than the model's S: ERR_DATA */
    size_t state_n;
    float sentinel;
    const uint8_t *truth; /* (H,W), for thumbnail only */
};
/* B frames of W x H into out (B,H,W) float, white = 1, not clipped, and when wanted importance (B,h,w) scaled to [0,1]. What
 * surrounds the network runs a frame a thread; coordinates that come again cost less (recon_plans.h). */
int recon_run(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H, float *out,
              enum recon_importance importance, float *map, struct err *e);
/* As recon_run, and where scale is not NULL the error head's scale as it is (B,H,W): the expected absolute error of each pixel, white
 * = 1. */
int recon_run_scale(struct recon *r, const struct recon_frame *frames, size_t B, uint32_t W, uint32_t H,
                    float *out, float *scale, struct err *e);
/* Whether a map of this kind can be had: ERR_USAGE where it takes a model, ERR_UNAVAILABLE where it takes one with an error head. */
int recon_check_importance(const struct recon *r, enum recon_importance kind, struct err *e);
int recon_has_error_head(const struct recon *r);
/* The residual of those frames whose wanted[b] is not 0 (NULL: all), scaled to [0,1], into map (B,H,W): for who runs without a
 * map and wants one of some frames only. */
int recon_residual_maps(struct recon *r, const struct recon_frame *frames, size_t B, const uint8_t *wanted,
                        uint32_t W, uint32_t H, float *map, struct err *e);
/* A network works at any size, and knows things by their place and width at the one that it was trained at: another one is
 * warned of, once, with what chooses the size here. */
void recon_warn_of_size(struct recon *r, uint32_t W, uint32_t H, const char *chooser);
/* The map's size for a kind at W x H. */
void recon_map_size(const struct recon *r, enum recon_importance kind, uint32_t W, uint32_t H, uint32_t *w,
                    uint32_t *h);
/* A batch size that keeps activations within about this many bytes, or within a quarter of what a GPU had free. */
size_t recon_batch(const struct recon *r, uint32_t W, uint32_t H, size_t n, size_t bytes);
/* Whether a batch takes less time than its frames one after the other: not for a network on the CPU. */
int recon_gains_by_batch(const struct recon *r);

/* Checkpoint <-> network. */
int recon_load(struct spt **m, const struct checkpoint *c, struct op_ctx *ctx, struct err *e);
int recon_fill(struct spt *m, const struct checkpoint *c, struct err *e);

#endif
