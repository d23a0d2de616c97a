/* Checkpoints by key, for many sessions: DIR/<key>/best.h5, loaded in a thread of its own on first use, kept (least
 * recently used out at a memory limit), loaded again when the file changed or on models_reload. */
#ifndef SGAPS_LIVE_MODELS_H
#define SGAPS_LIVE_MODELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "recon/recon.h"

struct models;

/* One loaded checkpoint or the classical fallback; counted references. */
struct model {
    struct recon *recon; /* one thread at a time: the inference thread's */
    char key[65];        /* whose checkpoint it is: the one asked for, a variant, "default" or "linear" */
    char version[128];   /* model_version: key, step and the weights' hash; "linear" without a checkpoint */
    int exact;           /* checkpoint_loaded: it is the key's own */
    size_t max_state_dim;
    double sentinel;
};

struct models_options {
    const char *dir; /* NULL: none, all is linear */
    const char *device;
    int threads, bf16;
    size_t memory;        /* bytes of weights and activations kept; 0: 2 GiB */
    const char *variants; /* JSON of server.variants: key -> [checkpoint, ...], taken in turn; NULL */
};
int models_open(struct models **m, const struct models_options *o, struct err *e);
void models_close(struct models *m);

/* The model for a new session of this key; `ready` is called with a reference, at once when it is there, else from the
 * loader thread. Never fails: missing -> "default" -> "linear"; a file that is refused is logged by name and counts as
 * missing. key must be a name that message_parse let through. */
typedef void (*models_ready_fn)(void *user, struct model *model);
void models_request(struct models *m, const char *key, models_ready_fn ready, void *user);
struct model *models_hold(struct model *model);
void models_release(struct models *m, struct model *model);
/* What a session with this model should use now: the same, or its newer version once that is loaded; *model is released
 * and replaced. 1 when it changed. Looks at the file at most once a second. */
int models_renew(struct models *m, struct model **model);
void models_reload(struct models *m); /* SIGHUP; async */
/* "key":true|false pairs known so far, for /api/status */
typedef void (*models_list_fn)(void *user, const char *key, int loaded, const char *version);
void models_each(struct models *m, models_list_fn fn, void *user);

#endif
