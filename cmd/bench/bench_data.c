/* Recordings: written, read and cleaned, against the same bytes written and read plainly. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/philox.h"
#include "bench.h"
#include "clean/clean.h"
#include "io/recording.h"

enum { SIDE = 112, STATE = 12, SAMPLES = 125 };

/* A folder of our own with one recording in it, and what a frame is made of. */
struct data {
    char folder[256], path[300], plain[300];
    uint8_t *image, *value, *bytes;
    float *uv;
    size_t size; /* of the file */
    size_t frames;
    struct config config;
    uint64_t seed;
};

static int data_open(struct bench *b, struct data *d, struct err *e)
{
    const char *tmp = getenv("TMPDIR");
    memset(d, 0, sizeof *d);
    config_init(&d->config);
    d->seed = b->seed;
    d->frames = b->frames;
    snprintf(d->folder, sizeof d->folder, "%.200s/sgaps-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(d->folder)) {
        d->folder[0] = 0;
        return err_set(e, ERR_CANTCREATE, "%.200s: no folder can be made here (TMPDIR)",
                       tmp && *tmp ? tmp : "/tmp");
    }
    snprintf(d->path, sizeof d->path, "%s/rec.h5", d->folder);
    snprintf(d->plain, sizeof d->plain, "%s/plain", d->folder);
    int code = mem_alloc(&d->image, SIDE * SIDE, 1, "a frame", e);
    if (!code)
        code = mem_alloc(&d->value, SAMPLES, 1, "samples", e);
    if (!code)
        code = mem_alloc(&d->uv, SAMPLES * 2, sizeof *d->uv, "samples", e);
    return code;
}

static void data_close(struct data *d)
{
    if (d->folder[0]) {
        unlink(d->path);
        unlink(d->plain);
        rmdir(d->folder);
    }
    config_release(&d->config);
    free(d->image);
    free(d->value);
    free(d->uv);
    free(d->bytes);
}

/* Waves with some noise: compresses about as well as a game's frames. */
static void draw_frame(struct data *d, size_t t, float *state)
{
    struct philox draw;
    philox_init(&draw, d->seed, t);
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++) {
            size_t wave = (x * 3 + t) / 8 + (y + 2 * t) / 16 * 5;
            d->image[y * SIDE + x] = (uint8_t)(40 + wave * 7 % 160 + (philox_u32(&draw) & 3));
        }
    for (size_t i = 0; i < SAMPLES; i++) {
        uint32_t x = philox_below(&draw, SIDE), y = philox_below(&draw, SIDE);
        d->uv[2 * i] = ((float)x + 0.5f) / SIDE;
        d->uv[2 * i + 1] = ((float)y + 0.5f) / SIDE;
        d->value[i] = d->image[y * SIDE + x];
    }
    for (size_t i = 0; i < STATE; i++)
        state[i] = (float)(philox_normal(&draw) + (double)(t / 20));
}

static int write_recording(void *user, struct err *e)
{
    struct data *d = user;
    const struct recording_meta meta = {.creator = "sgaps-bench", .no_history = 1};
    const struct session_info info = {.id = "bench",
                                      .checkpoint_key = "",
                                      .client_name = "",
                                      .W = SIDE,
                                      .H = SIDE,
                                      .fps = 10,
                                      .sentinel = -999,
                                      .value_range = 255,
                                      .closed = 1,
                                      .S = STATE,
                                      .has_samples = 1,
                                      .has_frames = 1};
    struct recording_writer *w;
    unlink(d->path);
    int code = recording_create(&w, d->path, &meta, e);
    if (code)
        return code;
    code = recording_begin(w, &info, e);
    for (size_t t = 0; t < d->frames && !code; t++) {
        float state[STATE];
        draw_frame(d, t, state);
        struct frame f = {.frame_id = (int64_t)t,
                          .timestamp = (double)t / 10,
                          .state = state,
                          .state_n = STATE,
                          .samples_n = SAMPLES,
                          .uv = d->uv,
                          .value = d->value,
                          .set = -1,
                          .image = d->image};
        code = recording_append(w, &f, e);
    }
    if (!code)
        code = recording_end(w, 1, e);
    if (!code)
        code = recording_finish(w, e);
    if (code)
        recording_abandon(w);
    return code;
}

static int read_recording(void *user, struct err *e)
{
    struct data *d = user;
    struct recording *r;
    struct samples s = {0};
    int code = recording_open(&r, d->path, e);
    if (code)
        return code;
    for (size_t t = 0; t < d->frames && !code; t++) {
        int present;
        float state[STATE];
        code = recording_frame(r, 0, t, d->image, &present, e);
        if (!code)
            code = recording_samples(r, 0, t, 1, &s, e);
        if (!code)
            code = recording_state(r, 0, t, 1, state, NULL, e);
    }
    samples_release(&s);
    recording_close(r);
    return code;
}

static int clean_recording(void *user, struct err *e)
{
    struct data *d = user;
    struct recording *r;
    struct clean c;
    struct clean_params p;
    clean_params_from(&p, &d->config, 0, 0);
    int code = recording_open(&r, d->path, e);
    if (code)
        return code;
    clean_init(&c);
    code = clean_add(&c, r, 0, &p, NULL, 0, NULL, NULL, e);
    if (!code)
        code = clean_run(&c, &p, NULL, NULL, e);
    clean_release(&c);
    recording_close(r);
    return code;
}

/* The file's own bytes, written and read without any format: the limit of the above. */
static int write_plain(void *user, struct err *e)
{
    struct data *d = user;
    int f = open(d->plain, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int bad = f < 0 || write(f, d->bytes, d->size) != (ssize_t)d->size;
    if (f >= 0)
        bad |= close(f);
    return bad ? err_set(e, ERR_IO, "%s: write failed", d->plain) : 0;
}

static int read_plain(void *user, struct err *e)
{
    struct data *d = user;
    int f = open(d->path, O_RDONLY);
    int bad = f < 0 || read(f, d->bytes, d->size) != (ssize_t)d->size;
    if (f >= 0)
        close(f);
    return bad ? err_set(e, ERR_IO, "%s: read failed", d->path) : 0;
}

static int load_plain(struct data *d, struct err *e)
{
    struct stat s;
    if (stat(d->path, &s))
        return err_set(e, ERR_IO, "%s: gone", d->path);
    d->size = (size_t)s.st_size;
    int code = mem_alloc(&d->bytes, d->size, 1, "the bytes of a recording", e);
    return code ? code : read_plain(d, e);
}

static double last_median(const struct bench *b)
{
    return b->results[b->count - 1].median;
}

static struct result data_result(const struct data *d, const char *bench, const char *what, double limit)
{
    struct result r = {.bench = bench,
                       .bytes = (double)d->size,
                       .items = (double)d->frames,
                       .unit = "frames/s",
                       .limit = limit,
                       .size = limit > 0 ? d->frames : 0};
    snprintf(r.name, sizeof r.name, "%s, %zu frames of %dx%d", what, d->frames, SIDE, SIDE);
    return r;
}

int bench_io(struct bench *b, struct err *e)
{
    struct data d;
    int code = data_open(b, &d, e);
    if (!code)
        code = write_recording(&d, e);
    if (!code)
        code = load_plain(&d, e);
    if (!code)
        code = bench_measure(b, data_result(&d, "io", "the bytes written plainly", 0), write_plain, &d, e);
    if (!code)
        code = bench_measure(b, data_result(&d, "io", "recording written", last_median(b)), write_recording,
                             &d, e);
    if (!code)
        code = bench_measure(b, data_result(&d, "io", "the bytes read plainly", 0), read_plain, &d, e);
    if (!code)
        code =
            bench_measure(b, data_result(&d, "io", "recording read", last_median(b)), read_recording, &d, e);
    data_close(&d);
    return code;
}

int bench_clean(struct bench *b, struct err *e)
{
    struct data d;
    int code = data_open(b, &d, e);
    if (!code)
        code = write_recording(&d, e);
    if (!code)
        code = load_plain(&d, e);
    if (!code)
        code = bench_measure(b, data_result(&d, "clean", "the bytes read plainly", 0), read_plain, &d, e);
    if (!code)
        code = bench_measure(b, data_result(&d, "clean", "rules and balancing", last_median(b)),
                             clean_recording, &d, e);
    data_close(&d);
    return code;
}
