/* The configuration: one table of keys (conf_keys.c) gives defaults, types, ranges, YAML, JSON and error messages.
 *
 * Order: defaults < presets < -c FILE ... < --set a.b=v ... < a tool's own options. `--set model=spt-small` picks a preset
 * of a group, as does `model: spt-small` in a file, and model.name when it is a preset's; a preset never overwrites what
 * was given explicitly, whichever came first. An unknown key is ERR_CONFIG and names the nearest known one. */
#ifndef SGAPS_CONF_CONF_H
#define SGAPS_CONF_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/model_config.h"

enum {
    CONF_PATTERNS = 6
}; /* in the order of enum pattern (lib/sample): grid, random, bluenoise, importance_only, ... */

enum loss_term {
    LOSS_SAMPLED_L2,
    LOSS_HELDOUT_L2,
    LOSS_L1,
    LOSS_L2,
    LOSS_CHARBONNIER,
    LOSS_SSIM,
    LOSS_GRADIENT,
    LOSS_NLL,
    LOSS_TERMS
};

struct training_config {
    int loss_auto;
    double loss[LOSS_TERMS]; /* weights; all 0 with auto */
    double mask_ratio;
    int sampling_random; /* else recorded */
    double samples[2];   /* share of the pixels */
    double patterns[CONF_PATTERNS];
    double drop, state_dropout;
    char augment[64]; /* none, flip, brightness, or both joined by + */
    double beta1, beta2, eps, weight_decay;
    double lr, min_lr;
    int scheduler_cosine; /* else constant */
    int64_t warmup_steps;
    double gradient_clip_norm;
    int precision; /* enum op_precision of op/op.h, in its order */
    int64_t batch_size, epochs, max_steps;
    double max_minutes;
    int shuffle;
    char validation[16]; /* sessions, none */
    double validation_share;
    int64_t validate_every, keep;
    uint64_t seed;
};

struct sampling_config {
    int64_t default_sample_count;
    char strategy[24], initial[24], importance[16];
    double hybrid_ratio, min_distance, floor, holdout;
};

struct mask_update_config {
    char mode[24];
    int64_t fixed_interval, min_interval, max_interval;
    double quality_threshold, low_quality_threshold, high_quality_threshold;
};

struct cleaning_config {
    int64_t min_pixels;
    char stationarity[16];
    double ratio, noise_floor;
    int64_t keep_every, clusters;
    char cap[24];
    uint64_t seed;
};

struct server_config {
    char host[256];
    int64_t port;
    uint32_t resolution[2];
    double target_fps;
    char coordinate_format[16];
    int64_t max_sessions, max_samples, max_batch;
    double max_wait_ms, stale_ms, idle_timeout_s, resume_s, max_frame_rate;
    int64_t max_message_bytes, max_unread_bytes, max_connections, max_per_address, model_memory_mb,
        record_floor_mb, record_queue_mb;
    char *variants; /* JSON */
};

struct config {
    struct model_config model;
    struct training_config training;
    struct sampling_config sampling;
    struct mask_update_config mask_update;
    struct cleaning_config cleaning;
    struct server_config server;
    uint8_t given
        [256]; /* by key: 0 default, 1 from a preset or a checkpoint, 2 from a file or --set (config_given) */
};

void config_init(struct config *c); /* the defaults */
void config_release(struct config *c);
int config_file(struct config *c, const char *path, struct err *e);      /* YAML; "-c" */
int config_set(struct config *c, const char *assignment, struct err *e); /* "training.lr=1e-3"; "--set" */
/* Was this key given explicitly (not through a preset)? */
int config_given(const struct config *c, const char *key);
/* Rules between keys: heads divide embed_dim, prefill needs patches, ... */
int config_check(const struct config *c, struct err *e);

/* The whole configuration as JSON on one line. free() it; NULL: out of memory. */
char *config_json(const struct config *c);
/* The model group of a checkpoint's JSON: missing keys take what sgaps-config(5) says of checkpoints (not the preset's),
 * sizes must be there, unknown keys are ignored. ERR_DATA; ERR_UNAVAILABLE for a feature that is not built in. */
int config_model_from_json(struct model_config *m, const char *json, struct err *e);
/* All groups of a checkpoint's JSON into c (for --resume): unknown keys ignored, keys that were given explicitly kept. */
int config_from_json(struct config *c, const char *json, struct err *e);
/* What the model group must fulfil together; code is what a failure returns. */
int config_model_check(const struct model_config *m, int code, struct err *e);
/* First key of the model group that differs, or NULL. */
const char *config_model_difference(const struct model_config *a, const struct model_config *b);
int config_preset_model(struct model_config *m, const char *name, struct err *e);

/* Every key with type, default and help, for the manual page and the completions. */
typedef void (*config_key_fn)(void *user, const char *key, const char *type, const char *value,
                              const char *help);
void config_each_key(const struct config *c, config_key_fn fn, void *user);

#endif
