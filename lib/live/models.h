/* Checkpoints by key, for many sessions: DIR/<key>/best.h5, loaded in a thread of its own on first use, kept (least
 * recently used out at a memory limit; what a session still uses is never dropped), loaded again when the file changed or
 * on models_reload. A file is read whole and checked (sha256, shapes, finite numbers) before anybody gets it; one that is
 * refused, half-written say, is logged by name and the version before it serves on. Links are followed, but not out of DIR.
 *
 * Every function returns at once: files are touched by the loader thread alone. Any thread may call. */
#ifndef SGAPS_LIVE_MODELS_H
#define SGAPS_LIVE_MODELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "recon/recon.h"

struct models;

/* One loaded checkpoint or the classical fallback, as one session asked for it; counted references. Sessions with the same
 * weights have the same recon. */
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
    int threads; /* 0: OpenMP's setting of the thread that calls models_open */
    enum op_precision precision;
    size_t memory;        /* bytes of weights and activations kept; 0: 2 GiB */
    const char *variants; /* JSON of server.variants: key -> [checkpoint, ...], taken in turn; NULL */
    uint32_t W, H; /* at which frames will be rebuilt: a checkpoint of another size is warned of; 0: any */
};
int models_open(struct models **m, const struct models_options *o, struct err *e);
void models_close(struct models *m);

/* The model for a new session of this key; `ready` is called with a reference, at once when it is there, else from the
 * loader thread (what still waits at models_close gets linear). Never fails: a variant in its turn, else the key's own, else
 * "default", else "linear"; a file that is refused counts as missing. key must be a name that message_parse let through. */
typedef void (*models_ready_fn)(void *user, struct model *model);
void models_request(struct models *m, const char *key, models_ready_fn ready, void *user);
struct model *models_hold(struct model *model);
void models_release(struct models *m, struct model *model);
/* What a session with this model should use now: the same, or its newer version once that is loaded; *model is released
 * and replaced. 1 when it changed. Has the file looked at at most once a second. A version that takes a shorter state than
 * the session was told of is for new sessions only. */
int models_renew(struct models *m, struct model **model);
/* From the thread that runs model->recon, after it ran: its memory grows with the batches. */
void models_measure(struct model *model);
void models_reload(struct models *m); /* SIGHUP; async */
/* The checkpoints found so far and "default", whether each is loaded now, for /api/status. fn must not call back. */
typedef void (*models_list_fn)(void *user, const char *key, int loaded, const char *version);
void models_each(struct models *m, models_list_fn fn, void *user);

#endif
