/* The `model` group of the configuration: all that decides the network's shapes and its arithmetic. Filled by
 * conf.h from presets, files and --set, or from the JSON a checkpoint carries. */
#ifndef SGAPS_CONF_MODEL_CONFIG_H
#define SGAPS_CONF_MODEL_CONFIG_H

#include <stdint.h>

enum coordinates { COORDINATES_CENTRES, COORDINATES_SEED };
enum self_attention { SELF_ATTENTION_NONE, SELF_ATTENTION_FULL };
enum prefill { PREFILL_NONE, PREFILL_LINEAR };

struct model_config {
    char name[64];
    uint32_t embed_dim; /* D: a multiple of 4 and of num_heads */
    uint32_t num_heads;
    uint32_t num_encoder_layers; /* 0.. */
    uint32_t num_decoder_layers; /* 1.. */
    uint32_t max_state_dim;      /* S */
    double sentinel_value;
    uint32_t resolution[2]; /* [H,W] */
    enum coordinates coordinates;
    double max_freq;      /* positional.max_freq; kind is always sinusoidal */
    enum prefill prefill; /* linear needs query_patch > 1 */
    int error_head;       /* a second last convolution: the expected error of each pixel */
    int state_norm;
    enum self_attention self_attention;
    uint32_t query_patch; /* p: 1 = a query a pixel */
    uint32_t head_width;  /* 0 = embed_dim */
    uint32_t feedforward_dim;
    double dropout;
    int skip;
    double skip_weight, skip_dropout;
};

#endif
