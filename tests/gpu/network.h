/* lib/spt and lib/op behind plain functions, for network.py (ctypes): one device, one network on it, one batch at a time.
 *
 * Built without HDF5, oneDNN or any other library, so that a machine that has a GPU and a compiler, and nothing else of what
 * the tools need, can hold the network against the golden cases and against PyTorch.
 *
 * All arrays are the host's. Functions that return int: 0, or not and network_error says why. One thread. */
#ifndef SGAPS_TESTS_GPU_NETWORK_H
#define SGAPS_TESTS_GPU_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "spt/spt.h"

struct network;

/* Guards network.py's copies of the two structures. */
size_t network_config_size(void);
size_t network_batch_size(void);

/* device: as op_open's. precision: enum op_precision. Never NULL; network_error is empty when the device is open. */
struct network *network_open(const char *device, int precision);
void network_close(struct network *n);
const char *network_error(const struct network *n);
const char *network_device(struct network *n);
void network_memory(struct network *n, size_t *available, size_t *total);
/* The open device as the backend knows it, for what sgaps_cuda_stream of libsgaps-cuda.so wants. */
struct op_ctx *network_ctx(struct network *n);
/* Waits; the first failure of what was started before. */
int network_check(struct network *n);

/* A network with seeded weights in place of the one before. */
int network_create(struct network *n, const struct model_config *config, uint64_t seed);
size_t network_tensors(const struct network *n);
const char *network_tensor(const struct network *n, size_t i, size_t *count, int *trainable);
void network_set(struct network *n, size_t i, const float *values);
void network_get(struct network *n, size_t i, float *values);
void network_gradient(struct network *n, size_t i, float *values);
double network_flops(const struct model_config *config, uint32_t H, uint32_t W, size_t N);

/* importance: enum op_importance or -1. The batch is read before the call returns. */
int network_forward(struct network *n, const struct spt_batch *batch, int train, uint64_t seed, uint64_t step,
                    int importance);
/* (B,H,W) and, of the last forward with importance, (B,h,w); their sizes are the caller's to know. */
int network_output(struct network *n, float *values);
int network_map(struct network *n, float *values);
/* Called in every forward with a stage's floats, rows x columns; NULL: no more. */
typedef void (*network_stage_fn)(const char *name, const float *values, size_t rows, size_t columns);
void network_on_stage(struct network *n, network_stage_fn fn);

/* What the losses compare the batch with: target (B,H,W); index, value and select (B,N) as op.h's loss_sampled wants them,
 * or all NULL. */
int network_target(struct network *n, const struct spt_batch *batch, const float *target,
                   const int32_t *index, const float *value, const uint8_t *select);
/* kind: "sampled_l2", "l1", "l2", or "nll" of a network with an error head. gradient: also into the network's output gradient, for network_backward. */
int network_loss(struct network *n, const char *kind, int gradient, double *loss);
void network_zero_gradients(struct network *n);
int network_backward(struct network *n);
/* torch.optim.AdamW's step number `step` on all parameters, betas .9 and .999, eps 1e-8. */
int network_adamw(struct network *n, double lr, double weight_decay, int64_t step);

/* A square product in the device's activations, for its matrix rate: once with size > 0 for memory and random numbers,
 * then with 0 as often as it is to run. */
int network_product(struct network *n, size_t size);

#endif
