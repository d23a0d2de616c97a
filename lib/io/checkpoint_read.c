#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/checkpoint.h"
#include "io/hdf5_util.h"
#include "io/recording_private.h"
#include "io/spool.h"

enum { TENSOR_LIMIT = 65536 };

/* "_orig_mod." is what torch.compile puts in front. */
static const char *plain_name(const char *name)
{
    static const char wrapper[] = "_orig_mod.";
    return strncmp(name, wrapper, sizeof wrapper - 1) ? name : name + sizeof wrapper - 1;
}

static int ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

static int is_skipped(const char *name)
{
    return ends_with(name, "num_batches_tracked") || ends_with(name, "query_grid");
}

static int read_data(hid_t id, struct checkpoint_tensor *t, EVP_MD_CTX *sha, struct err *e)
{
    int bad = mem_alloc(&t->data, t->count, sizeof *t->data, t->name, e);
    if (bad)
        return bad;
    if (H5Dread(id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, t->data) < 0)
        return h5_error(e, ERR_DATA, "%s: cannot be read", t->name);
    if (sha)
        EVP_DigestUpdate(sha, t->data, t->count * sizeof *t->data); /* stored and held little-endian */
    for (size_t i = 0; i < t->count; i++)
        if (!isfinite(t->data[i]))
            return err_set(e, ERR_DATA, "%s: value %zu is %s", t->name, i,
                           isnan(t->data[i]) ? "NaN" : "infinite");
    return 0;
}

static int read_tensor(hid_t group, const char *name, struct checkpoint_tensor *t, EVP_MD_CTX *sha,
                       struct err *e)
{
    struct h5_shape shape;
    hid_t id;
    *t = (struct checkpoint_tensor){0};
    const char *plain = plain_name(name);
    if (strlen(plain) >= sizeof t->name)
        return err_set(e, ERR_DATA, "%.60s...: the name is too long", plain);
    snprintf(t->name, sizeof t->name, "%s", plain);
    int bad = h5_dataset(&id, &shape, group, name, H5_NUMBER, e);
    if (bad)
        return bad;
    if (id < 0)
        return err_set(e, ERR_DATA, "%s: cannot be opened", name);
    t->dims = shape.dims;
    t->count = 1;
    for (int i = 0; i < shape.dims; i++) {
        t->shape[i] = shape.size[i];
        t->count *= shape.size[i]; /* bounded by h5_dataset */
    }
    bad = read_data(id, t, sha, e);
    H5Dclose(id);
    return bad;
}

static void free_tensors(struct checkpoint_tensor *t, size_t n)
{
    for (size_t i = 0; t && i < n; i++)
        free(t[i].data);
    free(t);
}

/* All tensors of a group, in file order. */
static int read_group(hid_t group, struct checkpoint_tensor **tensors, size_t *count, EVP_MD_CTX *sha,
                      struct err *e)
{
    char **names = NULL;
    size_t n = 0, kept = 0;
    struct checkpoint_tensor *t = NULL;
    int bad = recording_members(group, TENSOR_LIMIT, &names, &n, e);
    bad = bad ? bad : mem_alloc(&t, n, sizeof *t, "tensors", e);
    for (size_t i = 0; i < n; i++) {
        if (!bad && !is_skipped(names[i]))
            bad = read_tensor(group, names[i], &t[kept++], sha, e);
        free(names[i]);
    }
    free(names);
    *tensors = t;
    *count = kept;
    return bad;
}

static int check_sum(hid_t group, const char *hex, const char *shown, struct err *e)
{
    char *said = h5_text(group, "sha256");
    if (!said) {
        log_note("%s: /model_state_dict has no sha256, taken as it is", shown);
        return 0;
    }
    for (char *p = said; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    int bad = strcmp(hex, said)
                  ? err_set(e, ERR_DATA, "sha256 does not fit: the file is damaged or was edited")
                  : 0;
    free(said);
    return bad;
}

static void digest_hex(EVP_MD_CTX *sha, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_DigestFinal_ex(sha, digest, &n);
    for (unsigned i = 0; i < n && i < 32; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
}

static int read_model(struct checkpoint *c, hid_t file, const char *shown, struct err *e)
{
    hid_t group = h5_exists(file, "model_state_dict") ? H5Gopen2(file, "model_state_dict", H5P_DEFAULT) : -1;
    if (group < 0) {
        H5Eclear2(H5E_DEFAULT);
        return err_set(e, ERR_DATA, "%s: has no /model_state_dict", shown);
    }
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    int bad = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL)
                  ? 0
                  : err_set(e, ERR_INTERNAL, "SHA-256 is not available");
    bad = bad ? bad : read_group(group, &c->tensors, &c->tensor_count, sha, e);
    if (!bad && !c->tensor_count)
        bad = err_set(e, ERR_DATA, "holds no tensors");
    if (!bad) {
        digest_hex(sha, c->sha256);
        bad = check_sum(group, c->sha256, shown, e);
    }
    EVP_MD_CTX_free(sha);
    H5Gclose(group);
    return bad ? err_prefix(e, "%s: /model_state_dict: ", shown) : 0;
}

static int read_moments(hid_t optimizer, const char *name, struct checkpoint_tensor **t, size_t *n,
                        const char *shown, struct err *e)
{
    hid_t group = h5_exists(optimizer, name) ? H5Gopen2(optimizer, name, H5P_DEFAULT) : -1;
    if (group < 0)
        return h5_error(e, ERR_DATA, "%s: /optimizer has no group %s", shown, name);
    int bad = read_group(group, t, n, NULL, e);
    H5Gclose(group);
    return bad ? err_prefix(e, "%s: /optimizer/%s: ", shown, name) : 0;
}

static int read_optimizer(struct checkpoint *c, hid_t file, const char *shown, struct err *e)
{
    if (!h5_exists(file, "optimizer"))
        return 0;
    hid_t group = H5Gopen2(file, "optimizer", H5P_DEFAULT);
    if (group < 0)
        return h5_error(e, ERR_DATA, "%s: /optimizer: is not a group", shown);
    size_t squares = 0;
    double betas[2];
    int bad = read_moments(group, "exp_avg", &c->exp_avg, &c->moment_count, shown, e);
    bad = bad ? bad : read_moments(group, "exp_avg_sq", &c->exp_avg_sq, &squares, shown, e);
    if (!bad && squares != c->moment_count)
        bad = err_set(e, ERR_DATA, "%s: /optimizer: exp_avg has %zu tensors, exp_avg_sq %zu", shown,
                      c->moment_count, squares);
    if (bad) {
        free_tensors(c->exp_avg_sq, squares);
        c->exp_avg_sq = NULL;
    }
    h5_integers(group, "step", &c->optimizer_step, 1);
    h5_doubles(group, "lr", &c->lr, 1);
    h5_doubles(group, "eps", &c->eps, 1);
    h5_doubles(group, "weight_decay", &c->weight_decay, 1);
    if (h5_doubles(group, "betas", betas, 2) == 2) {
        c->beta1 = betas[0];
        c->beta2 = betas[1];
    }
    H5Gclose(group);
    return bad;
}

static int read_norm(struct checkpoint *c, hid_t file, const char *shown, struct err *e)
{
    if (!h5_exists(file, "state_norm"))
        return 0;
    hid_t group = H5Gopen2(file, "state_norm", H5P_DEFAULT);
    if (group < 0)
        return h5_error(e, ERR_DATA, "%s: /state_norm: is not a group", shown);
    struct checkpoint_tensor mean = {0}, std = {0};
    int bad = read_tensor(group, "mean", &mean, NULL, e);
    bad = bad ? bad : read_tensor(group, "std", &std, NULL, e);
    if (!bad && (mean.dims != 1 || std.dims != 1 || mean.count != std.count))
        bad = err_set(e, ERR_DATA, "mean and std differ in shape");
    for (size_t i = 0; i < std.count && !bad; i++)
        if (!(std.data[i] > 0))
            bad = err_set(e, ERR_DATA, "std[%zu]: is %g, not positive", i, (double)std.data[i]);
    c->state_mean = mean.data;
    c->state_std = std.data;
    c->state_n = mean.count;
    H5Gclose(group);
    return bad ? err_prefix(e, "%s: /state_norm/", shown) : 0;
}

static int take(char **out, hid_t object, const char *name, struct err *e)
{
    *out = h5_text(object, name);
    return *out ? 0 : mem_string(out, "", e);
}

static int read_attributes(struct checkpoint *c, hid_t file, struct err *e)
{
    int bad = take(&c->config, file, "config", e);
    bad = bad ? bad : take(&c->checkpoint_key, file, "checkpoint_key", e);
    bad = bad ? bad : take(&c->metric, file, "metric", e);
    bad = bad ? bad : take(&c->data_uuid, file, "data_uuid", e);
    bad = bad ? bad : take(&c->creator, file, "creator", e);
    bad = bad ? bad : take(&c->created_at, file, "created_at", e);
    bad = bad ? bad : take(&c->history, file, "history", e);
    h5_integers(file, "epoch", &c->epoch, 1);
    h5_integers(file, "step", &c->step, 1);
    if (!h5_doubles(file, "score", &c->score, 1))
        c->score = NAN;
    h5_unsigned(file, "seed", &c->seed, 1);
    hid_t scheduler = h5_exists(file, "scheduler") ? H5Gopen2(file, "scheduler", H5P_DEFAULT) : -1;
    bad = bad              ? bad
          : scheduler >= 0 ? take(&c->training, scheduler, "training", e)
                           : mem_string(&c->training, "", e);
    if (scheduler >= 0)
        H5Gclose(scheduler);
    return bad;
}

static int check_model(hid_t file, const char *shown, struct err *e)
{
    char *format = NULL;
    int bad = h5_check_format(file, "sgaps-checkpoint", &format, e);
    if (bad && format && !strcmp(format, "sgaps-recording"))
        bad = err_set(e, ERR_DATA, "%s: is a recording, a checkpoint is expected", shown);
    else if (bad && !format)
        bad = err_set(e, ERR_DATA, "%s: is an HDF5 file, but no checkpoint", shown);
    else if (bad)
        err_prefix(e, "%s: ", shown);
    free(format);
    char *model = bad ? NULL : h5_text(file, "model");
    if (model && strcmp(model, "spt"))
        bad = err_set(e, ERR_DATA, "%s: holds the model \"%.40s\", this program knows \"spt\"", shown, model);
    free(model);
    return bad;
}

/* path, or the copy of it in spool; spool is released in any case. */
static int read_file(struct checkpoint *c, const char *path, struct spool *spool, int with_optimizer,
                     struct err *e)
{
    hid_t file;
    const char *shown = !strcmp(path, "-") ? "standard input" : path;
    snprintf(c->path, sizeof c->path, "%s", shown);
    int bad = h5_open(&file, spool->path ? spool->path : path, shown, e);
    spool_release(spool);
    if (bad)
        return bad;
    bad = check_model(file, shown, e);
    bad = bad ? bad : read_attributes(c, file, e);
    bad = bad ? bad : read_model(c, file, shown, e);
    bad = bad ? bad : read_norm(c, file, shown, e);
    if (!bad && with_optimizer)
        bad = read_optimizer(c, file, shown, e);
    H5Fclose(file);
    H5Eclear2(H5E_DEFAULT);
    if (bad)
        checkpoint_release(c);
    return bad;
}

int checkpoint_read(struct checkpoint *c, const char *path, int with_optimizer, struct err *e)
{
    struct spool spool = {.file = {.slot = -1}};
    *c = (struct checkpoint){.score = NAN};
    int bad = spool_needed(path) ? spool_input(&spool, path, e) : 0;
    return bad ? bad : read_file(c, path, &spool, with_optimizer, e);
}

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int checkpoint_read_copy(struct checkpoint *c, const char *path, struct err *e)
{
    struct spool spool = {.file = {.slot = -1}};
    struct stat before, after;
    *c = (struct checkpoint){.score = NAN};
    if (stat(path, &before))
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", path, strerror(errno));
    int bad = spool_input(&spool, path, e);
    if (bad)
        return bad;
    if (stat(path, &after) || !same_file(&before, &after)) {
        spool_release(&spool);
        return err_set(e, ERR_TEMPFAIL, "%s: changed while it was read", path);
    }
    return read_file(c, path, &spool, 0, e);
}

void checkpoint_release(struct checkpoint *c)
{
    free(c->config);
    free(c->checkpoint_key);
    free(c->metric);
    free(c->data_uuid);
    free(c->creator);
    free(c->created_at);
    free(c->history);
    free(c->training);
    free_tensors(c->tensors, c->tensor_count);
    free_tensors(c->exp_avg, c->moment_count);
    free_tensors(c->exp_avg_sq, c->moment_count);
    free(c->state_mean);
    free(c->state_std);
    *c = (struct checkpoint){.score = NAN};
}

const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    for (size_t i = 0; i < c->tensor_count; i++)
        if (!strcmp(c->tensors[i].name, name))
            return &c->tensors[i];
    return NULL;
}

int checkpoint_probe(const char *path)
{
    hid_t file;
    struct err e;
    if (spool_needed(path) || h5_open(&file, path, path, &e))
        return 0;
    char *format = h5_text(file, "format");
    int yes = format && !strcmp(format, "sgaps-checkpoint");
    free(format);
    H5Fclose(file);
    return yes;
}
