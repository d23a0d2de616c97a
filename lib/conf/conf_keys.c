/* Every key, once: name, type, place, range, default, meaning. Parser, JSON, presets and error messages follow this
 * table, and a test holds the manual sgaps-config(5) against it. */
#include "conf/conf_keys.h"

#define AT(field) offsetof(struct config, field), sizeof(((struct config *)0)->field)
#define NOWHERE 0, 0
#define LOSSES "sampled_l2|heldout_l2|l1|l2|charbonnier|ssim|gradient|nll"
#define PATTERNS "grid|random|bluenoise|importance_only|hybrid|adaptive"

_Static_assert(offsetof(struct training_config, beta2) ==
                   offsetof(struct training_config, beta1) + sizeof(double),
               "optimizer.betas is stored as a pair");

// clang-format off
const struct key conf_keys[] = {
    {"model.name", KEY_TEXT, AT(model.name), 0, 0, NULL, "spt-fast", "", "a label; a preset's name picks that preset"},
    {"model.embed_dim", KEY_U32, AT(model.embed_dim), 4, 4096, NULL, "128", CONF_MUST, "width of a token; a multiple of 4 and of num_heads"},
    {"model.num_heads", KEY_U32, AT(model.num_heads), 1, 64, NULL, "4", CONF_MUST, "attention heads"},
    {"model.num_encoder_layers", KEY_U32, AT(model.num_encoder_layers), 0, 64, NULL, "4", CONF_MUST, "encoder layers"},
    {"model.num_decoder_layers", KEY_U32, AT(model.num_decoder_layers), 1, 64, NULL, "3", CONF_MUST, "decoder layers"},
    {"model.max_state_dim", KEY_U32, AT(model.max_state_dim), 1, 4096, NULL, "64", CONF_MUST, "state columns that the model takes"},
    {"model.sentinel_value", KEY_F64, AT(model.sentinel_value), -1e9, 1e9, NULL, "-999.0", NULL, "what marks a missing state entry"},
    {"model.resolution", KEY_RESOLUTION, AT(model.resolution), 1, 16384, NULL, "[224, 224]", CONF_MUST, "[H,W] of training and of live reconstruction"},
    {"model.coordinates", KEY_CHOICE, AT(model.coordinates), 0, 0, "centres|seed", "centres", "centres", "where a coordinate falls; seed: as the first Python code had it"},
    {"model.positional.kind", KEY_FIXED, NOWHERE, 0, 0, "sinusoidal", "sinusoidal", "sinusoidal", "positional encoding"},
    {"model.positional.max_freq", KEY_F64, AT(model.max_freq), 1, 65536, NULL, "56", "10", "highest frequency, cycles over the frame"},
    {"model.prefill", KEY_CHOICE, AT(model.prefill), 0, 0, "none|linear", "linear", "none", "what the network's output is added to; linear needs query_patch > 1"},
    {"model.error_head", KEY_BOOL, AT(model.error_head), 0, 0, NULL, "false", "false", "a map of expected error beside the picture, trained by the loss nll"},
    {"model.state_norm", KEY_BOOL, AT(model.state_norm), 0, 0, NULL, "true", "false", "standardise state columns with statistics of the training set"},
    {"model.decoder.self_attention", KEY_CHOICE, AT(model.self_attention), 0, 0, "none|full", "none", NULL, "attention among the queries"},
    {"model.decoder.query_patch", KEY_U32, AT(model.query_patch), 1, 64, NULL, "8", "1", "a query for each patch of p x p pixels"},
    {"model.decoder.head_width", KEY_U32, AT(model.head_width), 0, 4096, NULL, "64", "0", "channels of the refining head; 0 = embed_dim"},
    {"model.architecture.feedforward_dim", KEY_U32, AT(model.feedforward_dim), 1, 65536, NULL, "256", CONF_MUST, "width of the feed-forward layers"},
    {"model.architecture.dropout", KEY_F64, AT(model.dropout), 0, 0.99, NULL, "0.1", NULL, "drop-out in training"},
    {"model.architecture.skip.enabled", KEY_BOOL, AT(model.skip), 0, 0, NULL, "false", "false", "add the mean pixel token to the decoder's output"},
    {"model.architecture.skip.weight", KEY_F64, AT(model.skip_weight), -1e6, 1e6, NULL, "1.0", NULL, "its weight"},
    {"model.architecture.skip.dropout", KEY_F64, AT(model.skip_dropout), 0, 0.99, NULL, "0.2", NULL, "its drop-out"},

    {"training.loss", KEY_LOSS, AT(training), 0, 1e6, LOSSES, "auto", NULL, "a name, or weights as a map: {l1: 1, ssim: 0.15}; auto: by what the recordings hold, and 0.1 nll with an error head"},
    {"training.mask_ratio", KEY_F64, AT(training.mask_ratio), 0, 0.999, NULL, "0.75", NULL, "heldout_l2: share of the samples hidden from the input"},
    {"training.sampling", KEY_CHOICE, AT(training.sampling_random), 0, 0, "recorded|random", "random", NULL, "random: drawn anew each time, needs frames; recorded: the file's own samples"},
    {"training.samples", KEY_PAIR, AT(training.samples), 1e-6, 1, NULL, "[0.0025, 0.04]", NULL, "share of the pixels, log-uniform, for random"},
    {"training.patterns", KEY_WEIGHTS, AT(training.patterns), 0, 1e6, PATTERNS, "{bluenoise: 0.5, random: 0.25, grid: 0.25}", NULL, "mix of patterns for random"},
    {"training.drop", KEY_F64, AT(training.drop), 0, 0.99, NULL, "0.2", NULL, "up to this share of the samples lost at random"},
    {"training.state_dropout", KEY_F64, AT(training.state_dropout), 0, 1, NULL, "0.1", NULL, "share of the frames trained without their state"},
    {"training.augment", KEY_NAME, AT(training.augment), 0, 0, "none|flip|brightness|flip+brightness|brightness+flip", "none", NULL, "flips and brightness; they break the state's meaning"},
    {"training.optimizer.betas", KEY_PAIR, offsetof(struct config, training.beta1), 2 * sizeof(double), 0, 0.999999, NULL, "[0.9, 0.999]", NULL, "AdamW"},
    {"training.optimizer.eps", KEY_F64, AT(training.eps), 1e-16, 1, NULL, "1.0e-8", NULL, "AdamW"},
    {"training.optimizer.weight_decay", KEY_F64, AT(training.weight_decay), 0, 100, NULL, "0.01", NULL, "AdamW; on every parameter"},
    {"training.lr", KEY_F64, AT(training.lr), 0, 100, NULL, "4.0e-4", NULL, "learning rate"},
    {"training.min_lr", KEY_F64, AT(training.min_lr), 0, 100, NULL, "1.0e-6", NULL, "learning rate at the end of the cosine"},
    {"training.scheduler", KEY_CHOICE, AT(training.scheduler_cosine), 0, 0, "constant|cosine", "cosine", NULL, "course of the learning rate"},
    {"training.warmup_steps", KEY_I64, AT(training.warmup_steps), 0, 1e12, NULL, "200", NULL, "steps in which the learning rate rises"},
    {"training.gradient_clip_norm", KEY_F64, AT(training.gradient_clip_norm), 0, 1e9, NULL, "1.0", NULL, "longest gradient; 0 = off"},
    {"training.precision", KEY_CHOICE, AT(training.precision), 0, 0, "fp32|bf16|tf32|auto", "auto", NULL, "arithmetic of training; auto: bf16 on a CUDA device, fp32 on the CPU; bf16 keeps weights and sums in fp32"},
    {"training.batch_size", KEY_I64, AT(training.batch_size), 1, 65536, NULL, "26", NULL, "frames a step"},
    {"training.epochs", KEY_I64, AT(training.epochs), 1, 1e9, NULL, "50", NULL, "passes over the training set"},
    {"training.max_steps", KEY_I64, AT(training.max_steps), 0, 1e12, NULL, "0", NULL, "0 = no limit; the first limit reached ends the run"},
    {"training.max_minutes", KEY_F64, AT(training.max_minutes), 0, 1e7, NULL, "0", NULL, "0 = no limit"},
    {"training.shuffle", KEY_BOOL, AT(training.shuffle), 0, 0, NULL, "true", NULL, "frames in a new order each epoch"},
    {"training.validation", KEY_NAME, AT(training.validation), 0, 0, "sessions|none", "sessions", NULL, "what is held out of training"},
    {"training.validation_share", KEY_F64, AT(training.validation_share), 0, 0.9, NULL, "0.2", NULL, "share of the sessions (of one session's time) held out"},
    {"training.validate_every", KEY_I64, AT(training.validate_every), 0, 1e12, NULL, "0", NULL, "steps; 0 = each epoch, at least ten times a run"},
    {"training.keep", KEY_I64, AT(training.keep), 0, 1e6, NULL, "1", NULL, "checkpoints kept beside best.h5 and last.h5"},
    {"training.seed", KEY_U64, AT(training.seed), 0, 0x1p63, NULL, "42", NULL, "seed of weights, order and samples"},

    {"sampling.default_sample_count", KEY_I64, AT(sampling.default_sample_count), 1, 1e8, NULL, "500", NULL, "samples of a frame"},
    {"sampling.strategy", KEY_NAME, AT(sampling.strategy), 0, 0, PATTERNS, "bluenoise", NULL, "pattern"},
    {"sampling.initial", KEY_NAME, AT(sampling.initial), 0, 0, "grid|random|bluenoise", "bluenoise", NULL, "the first set of a session"},
    {"sampling.importance", KEY_NAME, AT(sampling.importance), 0, 0, "entropy|variance|error|residual|none", "entropy", NULL, "what guides the samples"},
    {"sampling.hybrid_ratio", KEY_F64, AT(sampling.hybrid_ratio), 0, 1, NULL, "0.7", NULL, "hybrid: share drawn by importance"},
    {"sampling.min_distance", KEY_F64, AT(sampling.min_distance), 0, 1, NULL, "0.02", NULL, "uv; importance_only and hybrid"},
    {"sampling.floor", KEY_F64, AT(sampling.floor), 0, 1, NULL, "0.35", NULL, "adaptive: least density"},
    {"sampling.holdout", KEY_F64, AT(sampling.holdout), 0, 0.9, NULL, "0.05", NULL, "share of a frame's samples withheld for the live quality figure"},

    {"mask_update.mode", KEY_NAME, AT(mask_update.mode), 0, 0, "fixed|adaptive|quality_based", "fixed", NULL, "when a new set is sent"},
    {"mask_update.fixed_interval", KEY_I64, AT(mask_update.fixed_interval), 1, 1e9, NULL, "5", NULL, "frames"},
    {"mask_update.adaptive.min_interval", KEY_I64, AT(mask_update.min_interval), 1, 1e9, NULL, "3", NULL, "frames"},
    {"mask_update.adaptive.max_interval", KEY_I64, AT(mask_update.max_interval), 1, 1e9, NULL, "10", NULL, "frames"},
    {"mask_update.adaptive.quality_threshold", KEY_F64, AT(mask_update.quality_threshold), 0, 1, NULL, "0.85", NULL, "below it: at once"},
    {"mask_update.quality_based.low_quality_threshold", KEY_F64, AT(mask_update.low_quality_threshold), 0, 1, NULL, "0.7", NULL, "below it: at once"},
    {"mask_update.quality_based.high_quality_threshold", KEY_F64, AT(mask_update.high_quality_threshold), 0, 1, NULL, "0.9", NULL, "above it: every 10 frames"},

    {"cleaning.min_pixels", KEY_I64, AT(cleaning.min_pixels), 0, 1e8, NULL, "10", NULL, "frames with fewer samples are dropped"},
    {"cleaning.stationarity", KEY_NAME, AT(cleaning.stationarity), 0, 0, "frame|session|none", "frame", NULL, "what standing still drops"},
    {"cleaning.ratio", KEY_F64, AT(cleaning.ratio), 0, 1e6, NULL, "0.1", NULL, "threshold of velocity, times its median"},
    {"cleaning.noise_floor", KEY_F64, AT(cleaning.noise_floor), 0, 1e9, NULL, "0.01", NULL, "least threshold of velocity"},
    {"cleaning.keep_every", KEY_I64, AT(cleaning.keep_every), 0, 1e9, NULL, "30", NULL, "of a run that stands still: its first frame and then one in so many; 0 = none"},
    {"cleaning.clusters", KEY_I64, AT(cleaning.clusters), 0, 100000, NULL, "100", NULL, "clusters of the balancing; 0 = none"},
    {"cleaning.cap", KEY_CAP, AT(cleaning.cap), 1, 1e12, "p80|median|mean", "p80", NULL, "largest cluster: p80, median, mean, or a number"},
    {"cleaning.seed", KEY_U64, AT(cleaning.seed), 0, 0x1p63, NULL, "42", NULL, "seed of the balancing"},

    {"server.host", KEY_TEXT, AT(server.host), 0, 0, NULL, "127.0.0.1", NULL, "address to listen on"},
    {"server.port", KEY_I64, AT(server.port), 0, 65535, NULL, "8080", NULL, "port; 0 = any free one"},
    {"server.resolution", KEY_RESOLUTION, AT(server.resolution), 1, 16384, NULL, "[224, 224]", NULL, "[H,W]"},
    {"server.target_fps", KEY_F64, AT(server.target_fps), 0.001, 10000, NULL, "10", NULL, "frames a second"},
    {"server.coordinate_format", KEY_NAME, AT(server.coordinate_format), 0, 0, "objects|array", "objects", NULL, "how coordinates are sent"},
    {"server.max_sessions", KEY_I64, AT(server.max_sessions), 1, 1e6, NULL, "256", NULL, "sessions at a time"},
    {"server.max_samples", KEY_I64, AT(server.max_samples), 1, 1e8, NULL, "5000", NULL, "samples of a frame"},
    {"server.max_batch", KEY_I64, AT(server.max_batch), 1, 65536, NULL, "32", NULL, "frames computed together; a network on the CPU takes one at a time unless this is given"},
    {"server.max_wait_ms", KEY_F64, AT(server.max_wait_ms), 0, 1e6, NULL, "0", NULL, "longest wait for a batch to fill"},
    {"server.stale_ms", KEY_F64, AT(server.stale_ms), 0, 1e9, NULL, "200", NULL, "older frames are left out"},
    {"server.idle_timeout_s", KEY_F64, AT(server.idle_timeout_s), 0, 1e9, NULL, "60", NULL, "silent sessions are closed; 0 = never"},
    {"server.resume_s", KEY_F64, AT(server.resume_s), 0, 1e6, NULL, "15", NULL, "a session whose connection was cut waits so long for resume"},
    {"server.max_frame_rate", KEY_F64, AT(server.max_frame_rate), 0, 1e6, NULL, "120", NULL, "messages a second of a client, over ten seconds; 0 = no limit"},
    {"server.max_message_bytes", KEY_I64, AT(server.max_message_bytes), 1024, 1e9, NULL, "8388608", NULL, "longest message, and most pixels of a full frame"},
    {"server.max_unread_bytes", KEY_I64, AT(server.max_unread_bytes), 65536, 1e9, NULL, "8388608", NULL, "what may wait for a client that does not read, before it is closed"},
    {"server.max_connections", KEY_I64, AT(server.max_connections), 1, 1e6, NULL, "2048", NULL, "connections at a time"},
    {"server.max_per_address", KEY_I64, AT(server.max_per_address), 1, 1e6, NULL, "512", NULL, "connections of one address"},
    {"server.model_memory_mb", KEY_I64, AT(server.model_memory_mb), 1, 1e9, NULL, "2048", NULL, "MiB of checkpoints kept loaded"},
    {"server.record_floor_mb", KEY_I64, AT(server.record_floor_mb), 0, 1e9, NULL, "256", NULL, "with fewer MiB free, new sessions are refused"},
    {"server.record_queue_mb", KEY_I64, AT(server.record_queue_mb), 1, 1e6, NULL, "64", NULL, "MiB that may wait for a slow disk"},
    {"server.variants", KEY_JSON, AT(server.variants), 0, 0, NULL, "{}", NULL, "key: [checkpoint, ...]: sessions of the key take turns"},
};

const struct preset conf_presets[] = {
    {"model", "spt-fast", NULL, "{}"},
    {"model", "spt-base", NULL, "{name: spt-base, embed_dim: 256, num_heads: 8, num_encoder_layers: 6, num_decoder_layers: 4,"
                                " positional: {max_freq: 10}, prefill: none, decoder: {query_patch: 1, head_width: 0},"
                                " architecture: {feedforward_dim: 1024}}"},
    {"model", "spt-seed", "spt-base", "{name: spt-seed, coordinates: seed, decoder: {self_attention: full}, state_norm: false}"},
    {"model", "spt-small", "spt-base", "{name: spt-small, embed_dim: 128, num_heads: 4, num_encoder_layers: 3, num_decoder_layers: 2,"
                                       " architecture: {feedforward_dim: 256}, resolution: 112}"},
    {"model", "spt-tiny", "spt-base", "{name: spt-tiny, embed_dim: 64, num_heads: 4, num_encoder_layers: 2, num_decoder_layers: 2,"
                                      " architecture: {feedforward_dim: 128}, resolution: 64}"},
    {"training", "phase1", NULL, "{loss: sampled_l2, sampling: recorded, drop: 0, state_dropout: 0, gradient_clip_norm: 0}"},
    {"training", "phase2", NULL, "{loss: heldout_l2, sampling: recorded}"},
    {"training", "phase3", NULL, "{loss: {l1: 1, ssim: 0.15}, sampling: random}"},
};
// clang-format on

const int conf_key_count = sizeof conf_keys / sizeof *conf_keys;
const int conf_preset_count = sizeof conf_presets / sizeof *conf_presets;

_Static_assert(sizeof conf_keys / sizeof *conf_keys <= sizeof(((struct config *)0)->given),
               "given[] has a place for every key");
_Static_assert(LOSS_TERMS == 8 && CONF_PATTERNS == 6, "LOSSES and PATTERNS name them all, in order");
