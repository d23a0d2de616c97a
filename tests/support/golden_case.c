#include "golden_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "tap.h"

static void *read_array(hid_t file, const char *path, hid_t type, size_t size, size_t *n, hsize_t shape[4])
{
    hsize_t dims[4] = {1, 1, 1, 1};
    char parent[256];
    snprintf(parent, sizeof parent, "%s", path);
    for (char *slash = strchr(parent, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (H5Lexists(file, parent, H5P_DEFAULT) <= 0)
            return NULL;
        *slash = '/';
    }
    if (H5Lexists(file, path, H5P_DEFAULT) <= 0)
        return NULL;
    hid_t set = H5Dopen2(file, path, H5P_DEFAULT), space = H5Dget_space(set);
    *n = (size_t)H5Sget_simple_extent_npoints(space);
    H5Sget_simple_extent_dims(space, dims, NULL);
    void *data = malloc(*n ? *n * size : 1);
    if (!data || H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        abort();
    H5Sclose(space);
    H5Dclose(set);
    if (shape)
        memcpy(shape, dims, sizeof dims);
    return data;
}

float *golden_floats(hid_t file, const char *path, size_t *n)
{
    return read_array(file, path, H5T_NATIVE_FLOAT, sizeof(float), n, NULL);
}

float *golden_shaped(hid_t file, const char *path, size_t *n, hsize_t shape[4])
{
    return read_array(file, path, H5T_NATIVE_FLOAT, sizeof(float), n, shape);
}

double golden_number(hid_t file, const char *path)
{
    size_t n;
    double *x = read_array(file, path, H5T_NATIVE_DOUBLE, sizeof *x, &n, NULL), y = x ? *x : NAN;
    free(x);
    return y;
}

static int read_config(struct golden *g, struct err *e)
{
    hid_t a = H5Aopen(g->checkpoint, "config", H5P_DEFAULT), type = H5Aget_type(a);
    char *json = NULL;
    H5Aread(a, type, &json);
    int code = config_model_from_json(&g->config, json, e);
    free(json);
    H5Tclose(type);
    H5Aclose(a);
    return code;
}

static void read_samples(struct golden *g)
{
    size_t n;
    uint64_t *offset =
        read_array(g->recording, "sessions/golden/samples/offset", H5T_NATIVE_UINT64, 8, &n, NULL);
    float *uv = golden_floats(g->recording, "sessions/golden/samples/uv", &n);
    float *value = golden_floats(g->recording, "sessions/golden/samples/value", &n);
    for (size_t b = 0; b < g->B; b++)
        if (offset[b + 1] - offset[b] > g->N)
            g->N = offset[b + 1] - offset[b];
    g->counts = calloc(g->B, sizeof *g->counts);
    g->pixels = calloc(g->B * g->N * 3, sizeof(float));
    g->index = calloc(g->B * g->N, sizeof *g->index);
    g->value = calloc(g->B * g->N, sizeof(float));
    g->select = calloc(g->B * g->N, 1);
    float w = (float)g->W, h = (float)g->H;
    for (size_t b = 0; b < g->B; b++) {
        g->counts[b] = (int32_t)(offset[b + 1] - offset[b]);
        for (size_t i = 0; i < (size_t)g->counts[b]; i++) {
            size_t at = b * g->N + i, from = offset[b] + i;
            float u = uv[2 * from], v = uv[2 * from + 1];
            int seed = g->config.coordinates == COORDINATES_SEED;
            size_t x = (size_t)(u * (seed ? w - 1 : w)), y = (size_t)(v * (seed ? h - 1 : h));
            x = x < g->W ? x : g->W - 1;
            y = y < g->H ? y : g->H - 1;
            g->pixels[3 * at] = u;
            g->pixels[3 * at + 1] = v;
            g->pixels[3 * at + 2] = value[from] / 255;
            g->index[at] = (int32_t)(y * g->W + x);
            g->value[at] = g->target[b * g->H * g->W + y * g->W + x];
            g->select[at] = 1;
        }
    }
    free(offset);
    free(uv);
    free(value);
}

int golden_open(struct golden *g, const char *dir, struct err *e)
{
    char path[512];
    hsize_t shape[4];
    size_t n;
    memset(g, 0, sizeof *g);
    const char *slash = strrchr(dir, '/');
    snprintf(g->name, sizeof g->name, "%s", slash ? slash + 1 : dir);
    snprintf(path, sizeof path, "%s/checkpoint.h5", dir);
    g->checkpoint = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    snprintf(path, sizeof path, "%s/recording.h5", dir);
    g->recording = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    snprintf(path, sizeof path, "%s/expected.h5", dir);
    g->expected = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (g->checkpoint < 0 || g->recording < 0 || g->expected < 0)
        return err_set(e, ERR_NOINPUT, "%s: not a golden case", dir);
    int code = read_config(g, e);
    if (code)
        return code;
    g->target = golden_shaped(g->recording, "sessions/golden/frames", &n, shape);
    g->B = shape[0];
    g->H = shape[1];
    g->W = shape[2];
    for (size_t i = 0; i < n; i++)
        g->target[i] /= 255;
    g->state = golden_shaped(g->recording, "sessions/golden/state", &n, shape);
    g->S = shape[1];
    g->mask = malloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        g->mask[i] = g->state[i] != (float)g->config.sentinel_value;
    g->prefill = golden_floats(g->expected, "prefill", &n);
    read_samples(g);
    return 0;
}

void golden_close(struct golden *g)
{
    void *blocks[] = {g->counts,  g->pixels, g->state, g->mask,  g->target,
                      g->prefill, g->index,  g->value, g->select};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
    H5Fclose(g->checkpoint);
    H5Fclose(g->recording);
    H5Fclose(g->expected);
}

struct spt_batch golden_batch(const struct golden *g)
{
    return (struct spt_batch){.B = g->B,
                              .N = g->N,
                              .H = (uint32_t)g->H,
                              .W = (uint32_t)g->W,
                              .counts = g->counts,
                              .pixels = g->pixels,
                              .state = g->state,
                              .mask = g->mask,
                              .prefill = g->prefill};
}

int golden_load(const struct golden *g, struct spt *m)
{
    int good = 1;
    for (size_t i = 0; i < spt_tensor_count(m); i++) {
        char path[160];
        size_t n = 0;
        snprintf(path, sizeof path, "model_state_dict/%s", spt_tensor_at(m, i)->name);
        float *data = golden_floats(g->checkpoint, path, &n);
        if (!data || n != spt_tensor_at(m, i)->count) {
            tap_diag("%s: %zu elements in the checkpoint, %zu in the network", path, n,
                     spt_tensor_at(m, i)->count);
            good = 0;
        } else {
            spt_set_parameter(m, i, data);
        }
        free(data);
    }
    return good;
}
