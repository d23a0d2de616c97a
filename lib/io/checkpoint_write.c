#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "io/checkpoint.h"
#include "io/hdf5_util.h"

/* The first failure counts; everything after it is left out. */
static int put_tensor(hid_t group, const struct checkpoint_tensor *t, EVP_MD_CTX *sha)
{
    hsize_t dims[4];
    for (int i = 0; i < t->dims; i++)
        dims[i] = t->shape[i];
    hid_t space = t->dims ? H5Screate_simple(t->dims, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t create = h5_dataset_plist();
    hid_t id = H5Dcreate2(group, t->name, H5T_IEEE_F32LE, space, H5P_DEFAULT, create, H5P_DEFAULT);
    int bad =
        h5_failed(id) || h5_failed(H5Dwrite(id, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, t->data));
    if (id >= 0 && h5_failed(H5Dclose(id)))
        bad = 1;
    H5Pclose(create);
    H5Sclose(space);
    if (sha)
        EVP_DigestUpdate(sha, t->data, t->count * sizeof *t->data);
    return bad;
}

static int put_group(hid_t parent, const char *name, const struct checkpoint_tensor *t, size_t n,
                     EVP_MD_CTX *sha)
{
    hid_t group = h5_group_create(parent, name);
    int bad = group < 0;
    for (size_t i = 0; i < n && !bad; i++)
        bad = put_tensor(group, &t[i], sha);
    if (sha && !bad) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
        unsigned length = 0;
        EVP_DigestFinal_ex(sha, digest, &length);
        for (unsigned i = 0; i < length; i++)
            snprintf(hex + 2 * i, 3, "%02x", digest[i]);
        bad = h5_put_text(group, "sha256", hex);
    }
    if (group >= 0)
        H5Gclose(group);
    return bad;
}

static int put_attributes(hid_t file, const struct checkpoint *c, int no_history)
{
    int64_t version[2] = {1, 0};
    int bad = h5_put_text(file, "format", "sgaps-checkpoint");
    bad |= h5_put_number(file, "format_version", H5T_STD_I32LE, H5T_NATIVE_INT64, &version[0], 1);
    bad |= h5_put_number(file, "format_minor", H5T_STD_I32LE, H5T_NATIVE_INT64, &version[1], 1);
    bad |= h5_put_text(file, "model", "spt");
    bad |= h5_put_text(file, "config", c->config ? c->config : "{}");
    bad |= h5_put_text(file, "checkpoint_key", c->checkpoint_key ? c->checkpoint_key : "");
    bad |= h5_put_i64(file, "epoch", c->epoch);
    bad |= h5_put_i64(file, "step", c->step);
    bad |= h5_put_text(file, "metric", c->metric ? c->metric : "");
    bad |= h5_put_f64(file, "score", c->score); /* NAN without a validation */
    bad |= h5_put_number(file, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, &c->seed, 1);
    bad |= h5_put_text(file, "data_uuid", c->data_uuid ? c->data_uuid : "");
    bad |= h5_put_text(file, "creator", c->creator ? c->creator : "");
    if (!no_history) {
        char now[21];
        clock_iso8601(now);
        bad |= h5_put_text(file, "created_at", now);
        bad |= h5_put_text(file, "history", c->history ? c->history : "");
    }
    return bad;
}

static int put_optimizer(hid_t file, const struct checkpoint *c)
{
    double betas[2] = {c->beta1, c->beta2};
    hid_t group = h5_group_create(file, "optimizer");
    if (group < 0)
        return -1;
    int bad = put_group(group, "exp_avg", c->exp_avg, c->moment_count, NULL);
    bad = bad || put_group(group, "exp_avg_sq", c->exp_avg_sq, c->moment_count, NULL);
    bad = bad || h5_put_i64(group, "step", c->optimizer_step);
    bad = bad || h5_put_f64(group, "lr", c->lr);
    bad = bad || h5_put_number(group, "betas", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, betas, 2);
    bad = bad || h5_put_f64(group, "eps", c->eps);
    bad = bad || h5_put_f64(group, "weight_decay", c->weight_decay);
    H5Gclose(group);
    return bad;
}

/* Random numbers are functions of the seed and of where in the run they are drawn: these two are all the state. */
static int put_rng(hid_t file, const struct checkpoint *c)
{
    hid_t group = h5_group_create(file, "rng");
    if (group < 0)
        return -1;
    int bad = h5_put_text(group, "algorithm", "Philox4x32-10");
    bad |= h5_put_number(group, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, &c->seed, 1);
    bad |= h5_put_i64(group, "step", c->step);
    H5Gclose(group);
    return bad;
}

static int put_state(hid_t file, const struct checkpoint *c)
{
    int bad = 0;
    if (c->state_mean && c->state_std) {
        struct checkpoint_tensor mean = {"mean", 1, {c->state_n}, c->state_n, c->state_mean};
        struct checkpoint_tensor pair[2] = {mean, mean};
        snprintf(pair[1].name, sizeof pair[1].name, "std");
        pair[1].data = c->state_std;
        bad = put_group(file, "state_norm", pair, 2, NULL);
    }
    if (!bad && c->training && *c->training) {
        hid_t group = h5_group_create(file, "scheduler");
        bad = group < 0 || h5_put_text(group, "training", c->training);
        if (group >= 0)
            H5Gclose(group);
    }
    return bad;
}

static int put_all(hid_t file, const struct checkpoint *c, int no_history)
{
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    int bad = !sha || !EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
    bad = bad || put_attributes(file, c, no_history);
    bad = bad || put_group(file, "model_state_dict", c->tensors, c->tensor_count, sha);
    bad = bad || (c->exp_avg && c->exp_avg_sq && (put_optimizer(file, c) || put_rng(file, c)));
    bad = bad || put_state(file, c);
    EVP_MD_CTX_free(sha);
    return bad;
}

int checkpoint_write(const struct checkpoint *c, const char *path, int no_history, struct err *e)
{
    struct atomic_file output;
    hid_t file;
    int bad = atomic_file_begin(&output, path, e);
    if (bad)
        return bad;
    bad = h5_create(&file, output.part, path, e);
    if (!bad && put_all(file, c, no_history)) {
        bad = h5_error(e, ERR_IO, "%s: write failed", path);
        h5_close_all(file);
    } else if (!bad) {
        bad = h5_close_checked(file, output.part, path, e);
        if (bad)
            h5_close_all(file);
    }
    if (!bad)
        return atomic_file_commit(&output, e);
    atomic_file_abort(&output);
    return bad;
}
