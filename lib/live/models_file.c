#include "live/models_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/checkpoint.h"

/* What is told to clients where no checkpoint says otherwise: the defaults of the model's configuration. */
enum { LINEAR_STATE = 64 };
static const double SENTINEL = -999;
static const double YOUNG_S = 2;

static int create(struct weights **w, struct err *e)
{
    int r = mem_alloc(w, 1, sizeof **w, "a model", e);
    if (!r)
        atomic_init(&(*w)->refs, 1);
    return r;
}

int weights_linear(struct weights **w, struct err *e)
{
    int r = create(w, e);
    if (r)
        return r;
    (*w)->max_state_dim = LINEAR_STATE;
    (*w)->sentinel = SENTINEL;
    snprintf((*w)->version, sizeof(*w)->version, "linear");
    r = recon_open_method(&(*w)->recon, RECON_LINEAR, e);
    if (r) {
        weights_release(*w);
        *w = NULL;
    }
    return r;
}

void weights_hold(struct weights *w)
{
    atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
}

void weights_release(struct weights *w)
{
    if (!w || atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) > 1)
        return;
    recon_close(w->recon);
    free(w);
}

void weights_measure(struct weights *w)
{
    struct spt *network = recon_model(w->recon);
    if (!network)
        return;
    struct spt_memory use = spt_memory_use(network);
    atomic_store_explicit(&w->bytes, use.parameters + use.gradients + use.activations, memory_order_relaxed);
}

int file_mark_equal(const struct file_mark *a, const struct file_mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

int file_mark_young(const struct file_mark *mark)
{
    return clock_unix() - ((double)mark->changed.tv_sec + 1e-9 * (double)mark->changed.tv_nsec) < YOUNG_S;
}

static int under(const char *root, const char *path)
{
    size_t n = strlen(root);
    while (n && root[n - 1] == '/')
        n--; /* the root "/" is under itself */
    return !strncmp(path, root, n) && path[n] == '/';
}

int models_file_find(const char *root, const char *name, char **path, struct file_mark *mark, struct err *e)
{
    char *asked = NULL;
    struct stat s;
    *path = NULL;
    if (asprintf(&asked, "%s/%s/best.h5", root, name) < 0)
        return err_memory(e, "a path", strlen(root) + strlen(name));
    char *real = realpath(asked, NULL);
    int r = 0;
    if (!real)
        r = err_set(e, errno == ENOENT || errno == ENOTDIR ? ERR_NOINPUT : ERR_DATA, "%s: %s", asked,
                    strerror(errno));
    else if (!under(root, real))
        r = err_set(e, ERR_DATA, "%s: leads out of %s, to %s: it is not opened", asked, root, real);
    else if (stat(real, &s))
        r = err_set(e, errno == ENOENT ? ERR_NOINPUT : ERR_DATA, "%s: %s", asked, strerror(errno));
    else if (!S_ISREG(s.st_mode))
        r = err_set(e, ERR_DATA, "%s: is no regular file", asked);
    free(asked);
    if (r) {
        free(real);
        return r;
    }
    *mark = (struct file_mark){s.st_dev, s.st_ino, s.st_size, s.st_mtim};
    *path = real;
    return 0;
}

static void describe(const struct weights *w, const char *name)
{
    char device[160];
    op_describe(spt_context(recon_model(w->recon)), device, sizeof device);
    log_note("checkpoint %s: %s on %s, parameters %.1f MB", name, w->version, device,
             (double)spt_memory_use(recon_model(w->recon)).parameters / 1e6);
}

int weights_load(struct weights **w, const char *path, const char *name, const char *device, int threads,
                 enum op_precision precision, struct err *e)
{
    struct checkpoint c;
    *w = NULL;
    int r = checkpoint_read_copy(&c, path, e);
    if (r)
        return r;
    struct weights *it = NULL;
    r = create(&it, e);
    if (!r)
        r = recon_open_checkpoint(&it->recon, &c, device, threads, precision, e);
    if (!r) {
        const struct model_config *config = spt_config(recon_model(it->recon));
        it->max_state_dim = config->max_state_dim;
        it->sentinel = config->sentinel_value;
        memcpy(it->sha256, c.sha256, sizeof it->sha256);
        snprintf(it->version, sizeof it->version, "%s@%" PRId64 "-%.8s", name, c.step, c.sha256);
        weights_measure(it);
        describe(it, name);
        *w = it;
    } else {
        weights_release(it);
    }
    checkpoint_release(&c);
    return r;
}
