/* The Sparse Pixel Transformer: parameters by torch's names, forward and backward on any op table.
 *
 * The numbers are held against PyTorch (tests/reference/spt_torch.py, tests/golden). One struct spt is used by one
 * thread at a time.
 *
 *     struct op_ctx ctx;  op_open(&ctx, "cpu", 0, OP_FP32, &e);
 *     struct spt *m;      spt_create(&m, &config, &ctx, &e);
 *     spt_init_weights(m, seed)                   or  checkpoint tensors through spt_set_parameter
 *     spt_forward(m, &batch, &options, &e);  spt_output(m) -> (B,H,W)
 */
#ifndef SGAPS_SPT_SPT_H
#define SGAPS_SPT_SPT_H

#include <stddef.h>
#include <stdint.h>

#include "conf/model_config.h"
#include "op/op.h"

struct spt;

/* One tensor of the state_dict, in torch's creation order. */
struct spt_tensor {
    char name[96];
    size_t shape[4];
    int dims;
    size_t count;  /* elements */
    size_t offset; /* in its arena, floats */
    int trainable; /* 0: pos_encoder.freqs and running statistics */
};

/* Frames of one batch, all of the same size; host memory, read during spt_forward only. */
struct spt_batch {
    size_t B, N;           /* N: row length, >= every count */
    uint32_t H, W;         /* of the output, any size */
    const int32_t *counts; /* (B) samples a frame has, 1..N; NULL: N */
    const float *pixels;   /* (B,N,3) u, v, value/255 */
    const float *state;    /* (B,S) raw; entries whose mask is 0 are ignored */
    const float *mask;     /* (B,S) 1 = valid; all zero: no state */
    const float *prefill;  /* (B,2,Hp,Wp) of interp_prefill, at spt_padded's size; NULL without prefill */
};

struct spt_options {
    int train;           /* batch statistics, dropout, activations kept for spt_backward */
    uint64_t seed, step; /* of the dropout masks */
    int importance; /* also attention_importance of the last decoder layer; -1: none, else enum op_importance */
    int scale;      /* also the error head's scale; ERR_UNAVAILABLE of a network without one */
};

int spt_create(struct spt **m, const struct model_config *config, struct op_ctx *ctx, struct err *e);
void spt_free(struct spt *m);
const struct model_config *spt_config(const struct spt *m);
struct op_ctx *spt_context(const struct spt *m);

/* Linear: truncated normal .02; attention in-projection: Xavier uniform; convolutions: Kaiming, fan-out, the last one
 * zero; norms one; biases zero, but one in the patch head's convolutions at full resolution, and -3 in the error head: a scale
 * of .05. Deterministic. */
void spt_init_weights(struct spt *m, uint64_t seed);

size_t spt_tensor_count(const struct spt *m);
const struct spt_tensor *spt_tensor_at(const struct spt *m, size_t i);
const struct spt_tensor *spt_tensor_find(const struct spt *m, const char *name);
/* Copies between the host and the device; count floats of tensor i. */
void spt_set_parameter(struct spt *m, size_t i, const float *values);
void spt_get_parameter(struct spt *m, size_t i, float *values);
/* Gradient of tensor i (zero for what is not trained). */
void spt_get_gradient(struct spt *m, size_t i, float *values);

/* State statistics (S each): a valid entry becomes (x - mean) / std before the network. NULL, NULL: none. */
void spt_set_state_norm(struct spt *m, const float *mean, const float *std);
const float *spt_state_mean(const struct spt *m); /* NULL: none */
const float *spt_state_std(const struct spt *m);

/* Sides rounded up to the next multiple of query_patch. */
void spt_padded(const struct spt *m, uint32_t H, uint32_t W, uint32_t *Hp, uint32_t *Wp);
/* The map's size: (H,W) or with patches (ceil(H/p), ceil(W/p)). */
void spt_map_size(const struct spt *m, uint32_t H, uint32_t W, uint32_t *h, uint32_t *w);

/* Bytes of activations that a batch of like's B, N, H and W takes, and taking them now instead of at the first forward
 * pass (with the gradients, where train): what there is no memory for is told before the work begins. */
size_t spt_activation_bytes(struct spt *m, const struct spt_batch *like, int train);
int spt_reserve(struct spt *m, const struct spt_batch *like, int train, struct err *e);

/* Grows its arenas when a batch is larger than any before. */
int spt_forward(struct spt *m, const struct spt_batch *batch, const struct spt_options *options,
                struct err *e);
/* Device pointers, valid until the next forward: output (B,H,W) cropped to H,W, float; map (B,h,w), raw (not scaled
 * to 0..1). spt_download_* copy to the host, and tell when something of the forward pass failed on the device. */
const float *spt_output(const struct spt *m);
const float *spt_map(const struct spt *m);
int spt_download_output(struct spt *m, float *host, struct err *e);
int spt_download_map(struct spt *m, float *host, struct err *e);

/* With options.scale: what the error head says, raw (z of op_table.loss_nll; B,H,W on the device), and on the host as the scale b
 * of the error of each pixel: its expected absolute value, white = 1. */
const float *spt_raw_scale(const struct spt *m);
int spt_download_scale(struct spt *m, float *host, struct err *e);

/* After a training forward: doutput (B,H,W) device float. Parameter gradients accumulate until spt_zero_gradients. */
/* A zeroed (B,H,W) buffer to write into, valid until the next forward. */
float *spt_output_gradient(struct spt *m);
/* The same for the raw scale, after a forward with options.scale. */
float *spt_raw_scale_gradient(struct spt *m);
int spt_backward(struct spt *m, struct err *e);
void spt_zero_gradients(struct spt *m);

/* The trained parameters and their gradients as one array each, for the optimiser, norm and clipping; tensors lie at
 * their offsets, with zeros between that stay zero. What evaluation computes once from the parameters (query
 * projections, folded batch norm) is dropped by spt_set_parameter, by a training forward and by asking for
 * spt_parameters: who changes them in place between two evaluations asks again. spt_gradients takes its memory when
 * first asked, NULL when there is none. */
size_t spt_parameter_count(const struct spt *m);
float *spt_parameters(struct spt *m);
/* The same for op_table.adamw, which keeps what a backend has rounded from the parameters up to date itself. */
float *spt_parameters_for_adamw(struct spt *m);
float *spt_gradients(struct spt *m);

/* A stage by the name it has in the reference ("pixel_tokens", "encoder.0", "decoder.1", "refine.0", "refine.blocks",
 * "refine.shuffled") for tests: set before a forward; called with device data in rows of channels (NHWC for images).
 * "pixel_tokens" has the state token as the first row of each frame, "refine.shuffled" the prefill planes behind its 16
 * channels. */
typedef void (*spt_stage_fn)(void *user, const char *name, const act *x, size_t rows, size_t columns);
void spt_on_stage(struct spt *m, spt_stage_fn fn, void *user);

/* Bytes taken: parameters, optimiser-free gradients, activations. For the start-up line and the tests. */
struct spt_memory {
    size_t parameters, gradients, activations;
};
struct spt_memory spt_memory_use(const struct spt *m);
/* Floating point operations of one forward pass of one frame with N samples (multiply-add = 2). */
double spt_flops(const struct model_config *config, uint32_t H, uint32_t W, size_t N);

/* Raw map (n) -> [0,1] by its own minimum and maximum, 1e-9 in the denominator; a constant map becomes 0. */
void spt_scale_map(float *map, size_t n);

#endif
