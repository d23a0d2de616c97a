/* Older per-frame recordings, as the Python server wrote them: /{session}/frames/{n}/ with pixels (N,3) = u, v, value
 * 0..255, state_vector (M), image or ground_truth (H,W); attributes (or datasets) resolution and timestamp. n is a
 * number without padding, or frame_0000. Opening looks at every frame's sizes; reading opens one frame at a time. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "io/recording_private.h"

enum { FRAME_LIMIT = 1 << 26 };

struct older_frame {
    int64_t number;
    char *name;
    uint32_t samples;
    uint16_t state;
    uint8_t has_image, is_ground_truth; /* the name of the picture's dataset */
};

struct older_session {
    struct older_frame *frame; /* by number */
    size_t frames;
};

static const char *image_name(const struct older_frame *f)
{
    return f->is_ground_truth ? "ground_truth" : "image";
}

int older_probe(hid_t file)
{
    char **names = NULL;
    size_t n = 0;
    int found = 0;
    if (recording_members(file, SESSION_LIMIT, &names, &n, NULL))
        return 0;
    for (size_t i = 0; i < n; i++) {
        hid_t group = found ? -1 : H5Gopen2(file, names[i], H5P_DEFAULT);
        hid_t frames = group >= 0 && h5_exists(group, "frames") ? H5Gopen2(group, "frames", H5P_DEFAULT) : -1;
        found |= frames >= 0;
        if (frames >= 0)
            H5Gclose(frames);
        if (group >= 0)
            H5Gclose(group);
        free(names[i]);
    }
    free(names);
    H5Eclear2(H5E_DEFAULT);
    return found;
}

/* "17" and "frame_0017" are 17; -1 for other names. */
static int64_t number_of(const char *name)
{
    int64_t n;
    if (!strncmp(name, "frame_", 6))
        name += 6;
    if (!isdigit((unsigned char)*name) ||
        parse_i64(name, 0, INT64_MAX, "a frame's number", &n, ERR_DATA, NULL))
        return -1;
    return n;
}

static int by_number(const void *a, const void *b)
{
    const struct older_frame *x = a, *y = b;
    return x->number != y->number ? (x->number < y->number ? -1 : 1) : strcmp(x->name, y->name);
}

static int look_at_pixels(hid_t group, struct older_frame *f, struct err *e)
{
    hid_t id;
    struct h5_shape shape;
    int bad = h5_dataset(&id, &shape, group, "pixels", H5_NUMBER, e);
    if (bad || id < 0)
        return bad;
    H5Dclose(id);
    if (shape.dims != 2 || shape.size[1] != 3)
        return err_set(e, ERR_DATA, "pixels: has another shape than (N,3)");
    if (shape.size[0] > UINT32_MAX)
        return err_set(e, ERR_DATA, "pixels: has %zu rows", shape.size[0]);
    f->samples = (uint32_t)shape.size[0];
    return 0;
}

static int look_at_state(hid_t group, struct older_frame *f, struct err *e)
{
    hid_t id;
    struct h5_shape shape;
    int bad = h5_dataset(&id, &shape, group, "state_vector", H5_NUMBER, e);
    if (bad || id < 0)
        return bad;
    H5Dclose(id);
    if (shape.dims != 1 || shape.size[0] > STATE_LIMIT)
        return err_set(e, ERR_DATA, "state_vector: is no list of at most %d numbers", STATE_LIMIT);
    f->state = (uint16_t)shape.size[0];
    return 0;
}

static int look_at_image(hid_t group, struct older_frame *f, uint32_t *W, uint32_t *H, struct err *e)
{
    hid_t id;
    struct h5_shape shape;
    f->is_ground_truth = !h5_exists(group, "image") && h5_exists(group, "ground_truth");
    int bad = h5_dataset(&id, &shape, group, image_name(f), H5_INTEGER, e);
    if (bad || id < 0)
        return bad;
    H5Dclose(id);
    if (shape.dims != 2 || !shape.size[0] || !shape.size[1] || shape.size[0] > SIDE_LIMIT ||
        shape.size[1] > SIDE_LIMIT)
        return err_set(e, ERR_DATA, "%s: is no picture with sides of 1 to %d", image_name(f), SIDE_LIMIT);
    f->has_image = 1;
    if (!*W) {
        *H = (uint32_t)shape.size[0];
        *W = (uint32_t)shape.size[1];
    }
    if (*H != shape.size[0] || *W != shape.size[1])
        return err_set(e, ERR_DATA, "%s: is %zux%zu, earlier ones are %ux%u", image_name(f), shape.size[1],
                       shape.size[0], *W, *H);
    return 0;
}

/* Adds what one frame has to the session's figures. */
static int look_at_frame(struct session *s, hid_t frames, struct older_frame *f, uint32_t *W, uint32_t *H,
                         struct err *e)
{
    hid_t group = H5Gopen2(frames, f->name, H5P_DEFAULT);
    if (group < 0)
        return h5_error(e, ERR_DATA, "is not a group");
    int bad = look_at_pixels(group, f, e);
    bad = bad ? bad : look_at_state(group, f, e);
    bad = bad ? bad : look_at_image(group, f, W, H, e);
    int64_t size[2];
    if (!s->info.W && h5_integers(group, "resolution", size, 2) == 2 && size[0] > 0 && size[1] > 0 &&
        size[0] <= UINT32_MAX && size[1] <= UINT32_MAX) {
        s->info.W = (uint32_t)size[0];
        s->info.H = (uint32_t)size[1];
    }
    H5Gclose(group);
    s->info.M += f->samples;
    s->info.S = f->state > s->info.S ? f->state : s->info.S;
    s->info.K += f->has_image;
    s->info.has_samples |= f->samples > 0;
    s->info.has_frames |= f->has_image;
    return bad;
}

/* Once all frames are seen: pictures give the size, the attribute is the screen then. */
static int settle_size(struct session *s, uint32_t W, uint32_t H, struct err *e)
{
    if (W) {
        if (s->info.W && (s->info.W != W || s->info.H != H)) {
            s->info.screen_w = s->info.W;
            s->info.screen_h = s->info.H;
        }
        s->info.W = W;
        s->info.H = H;
    }
    if (s->info.T && (!s->info.W || !s->info.H || s->info.W > SIDE_LIMIT || s->info.H > SIDE_LIMIT))
        return err_set(e, ERR_DATA, "resolution: is %ux%u, sides are 1 to %d", s->info.W, s->info.H,
                       SIDE_LIMIT);
    return 0;
}

static int look_at_frames(struct recording *r, struct session *s, hid_t frames, struct err *e)
{
    char **names = NULL;
    size_t n = 0;
    uint32_t W = 0, H = 0;
    int bad = recording_members(frames, FRAME_LIMIT, &names, &n, e);
    bad = bad ? bad : mem_alloc(&s->older->frame, n, sizeof *s->older->frame, "frames", e);
    for (size_t i = 0; i < n; i++) {
        int64_t number = number_of(names[i]);
        if (bad || number < 0)
            free(names[i]);
        else
            s->older->frame[s->older->frames++] = (struct older_frame){.number = number, .name = names[i]};
    }
    free(names);
    if (bad)
        return bad;
    qsort(s->older->frame, s->older->frames, sizeof *s->older->frame, by_number);
    s->info.T = s->older->frames;
    for (size_t i = 0; i < s->info.T && !bad; i++) {
        bad = look_at_frame(s, frames, &s->older->frame[i], &W, &H, e);
        if (bad) {
            err_prefix(e, "%s: /%s/frames/%s/", r->shown, s->id, s->older->frame[i].name);
            bad = recording_fault(r, e);
        }
    }
    if (!bad && settle_size(s, W, H, e)) {
        err_prefix(e, "%s: /%s: ", r->shown, s->id);
        bad = recording_fault(r, e);
    }
    return bad;
}

/* The file's name without folder and ending is the checkpoint key. */
static void key_of(const char *path, char *key, size_t size)
{
    const char *slash = strrchr(path, '/');
    snprintf(key, size, "%s", !strcmp(path, "-") ? "" : slash ? slash + 1 : path);
    char *dot = strrchr(key, '.');
    if (dot && dot != key)
        *dot = 0;
}

int older_open(struct recording *r, struct err *e)
{
    char **names = NULL, key[256];
    size_t n = 0, empty = 0;
    key_of(r->path, key, sizeof key);
    int bad = recording_members(r->file, SESSION_LIMIT, &names, &n, e);
    for (size_t i = 0; i < n; i++) {
        hid_t group = bad ? -1 : H5Gopen2(r->file, names[i], H5P_DEFAULT);
        hid_t frames = group >= 0 && h5_exists(group, "frames") ? H5Gopen2(group, "frames", H5P_DEFAULT) : -1;
        struct session *s = NULL;
        if (frames >= 0) {
            bad = recording_add(r, names[i], key, "", &s, e);
            bad = bad ? bad : mem_alloc(&s->older, 1, sizeof *s->older, "a session", e);
            if (!bad) {
                s->info.older = s->info.has_frame_id = 1;
                bad = look_at_frames(r, s, frames, e);
            }
            if (!bad && !s->info.T) { /* a client that came and went; nothing tells the size of its frames */
                log_note("%s: /%s: has no frames and is left out", r->shown, names[i]);
                recording_drop_last(r);
                empty++;
            }
            H5Gclose(frames);
        }
        if (group >= 0)
            H5Gclose(group);
        free(names[i]);
    }
    free(names);
    H5Eclear2(H5E_DEFAULT);
    if (!bad && empty && !r->sessions)
        return err_set(e, ERR_DATA, "%s: holds no frames: its %zu sessions are empty", r->shown, empty);
    return bad;
}

void older_release(struct older_session *o)
{
    for (size_t i = 0; o && i < o->frames; i++)
        free(o->frame[i].name);
    if (o)
        free(o->frame);
    free(o);
}

/* --- reading --- */

static hid_t open_frame(const struct recording *r, const struct session *s, size_t t)
{
    hid_t session = H5Gopen2(r->file, s->id, H5P_DEFAULT), frames = -1, frame = -1;
    if (session >= 0)
        frames = H5Gopen2(session, "frames", H5P_DEFAULT);
    if (frames >= 0) {
        frame = H5Gopen2(frames, s->older->frame[t].name, H5P_DEFAULT);
        H5Gclose(frames);
    }
    if (session >= 0)
        H5Gclose(session);
    return frame;
}

static int place(const struct recording *r, const struct session *s, size_t t, int bad, struct err *e)
{
    return bad ? err_prefix(e, "%s: /%s/frames/%s/", r->shown, s->id, s->older->frame[t].name) : 0;
}

/* A whole dataset of a frame that has `count` elements, as memory type. */
static int read_all(const struct recording *r, const struct session *s, size_t t, const char *name,
                    hid_t memory, size_t count, void *out, struct err *e)
{
    hid_t frame = open_frame(r, s, t);
    hid_t id = frame >= 0 ? H5Dopen2(frame, name, H5P_DEFAULT) : -1;
    hid_t space = id >= 0 ? H5Dget_space(id) : -1;
    int bad = 0;
    if (space < 0 || H5Sget_simple_extent_npoints(space) != (hssize_t)count ||
        h5_failed(H5Dread(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out)))
        bad = h5_error(e, ERR_DATA, "%s: cannot be read", name);
    if (space >= 0)
        H5Sclose(space);
    if (id >= 0)
        H5Dclose(id);
    if (frame >= 0)
        H5Gclose(frame);
    return place(r, s, t, bad, e);
}

/* The time stamp is an attribute, or a dataset of one number; fallback is left in place. */
static void read_timestamp(const struct recording *r, const struct session *s, size_t t, double *timestamp)
{
    hid_t frame = open_frame(r, s, t);
    if (frame < 0)
        return;
    hid_t id;
    struct h5_shape shape;
    if (!h5_doubles(frame, "timestamp", timestamp, 1) &&
        !h5_dataset(&id, &shape, frame, "timestamp", H5_NUMBER, NULL) && id >= 0) {
        double found[1];
        if ((shape.dims == 0 || (shape.dims == 1 && shape.size[0] == 1)) &&
            H5Dread(id, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, found) >= 0)
            *timestamp = found[0];
        H5Dclose(id);
    }
    H5Gclose(frame);
    H5Eclear2(H5E_DEFAULT);
}

int older_columns(struct recording *r, struct session *s, size_t t0, size_t n, int64_t *frame_id,
                  double *timestamp, struct err *e)
{
    (void)e;
    for (size_t i = 0; i < n; i++) {
        if (frame_id)
            frame_id[i] = s->older->frame[t0 + i].number;
        if (timestamp)
            read_timestamp(r, s, t0 + i, &timestamp[i]);
    }
    return 0;
}

int older_state(struct recording *r, struct session *s, size_t t, float *state, uint16_t *state_len,
                struct err *e)
{
    size_t n = s->older->frame[t].state;
    if (state_len)
        *state_len = (uint16_t)n;
    if (!state)
        return 0;
    for (size_t i = n; i < s->info.S; i++)
        state[i] = s->info.sentinel;
    return n ? read_all(r, s, t, "state_vector", H5T_NATIVE_FLOAT, n, state, e) : 0;
}

size_t older_count(const struct session *s, size_t t)
{
    return s->older->frame[t].samples;
}

static int check_pixel(const struct recording *r, const float *p, size_t i, struct err *e)
{
    char x[24];
    for (int c = 0; c < 2; c++)
        if (!(p[c] >= 0 && p[c] <= 1))
            return err_set(e, ERR_DATA, "pixels[%zu]: %c=%s is outside [0,1]%s", i, c ? 'v' : 'u',
                           recording_number(p[c], x), recording_hint(r));
    if (!(p[2] >= 0 && p[2] <= 255))
        return err_set(e, ERR_DATA, "pixels[%zu]: value=%s is outside [0,255]%s", i,
                       recording_number(p[2], x), recording_hint(r));
    return 0;
}

int older_samples(struct recording *r, struct session *s, size_t t, int check, struct samples *out,
                  struct err *e)
{
    size_t n = older_count(s, t);
    float *pixels;
    out->n = 0;
    int bad = mem_alloc(&pixels, n, 3 * sizeof *pixels, "pixels", e);
    if (!bad && n)
        bad = read_all(r, s, t, "pixels", H5T_NATIVE_FLOAT, 3 * n, pixels, e);
    for (size_t i = 0; i < n && !bad; i++) {
        const float *p = pixels + 3 * i;
        if (check)
            bad = place(r, s, t, check_pixel(r, p, i, e), e);
        for (int c = 0; c < 3; c++)
            out->fault = samples_fault_of(out->fault, p[c], c < 2 ? 1 : 255);
        out->uv[2 * i] = p[0];
        out->uv[2 * i + 1] = p[1];
        out->value[i] = p[2] > 0 ? (uint8_t)(p[2] < 255 ? lrintf(p[2]) : 255) : 0;
    }
    if (!bad)
        out->n = n;
    free(pixels);
    return bad;
}

int older_image_present(const struct session *s, size_t t)
{
    return s->older->frame[t].has_image;
}

int older_frame(struct recording *r, struct session *s, size_t t, uint8_t *out, struct err *e)
{
    return read_all(r, s, t, image_name(&s->older->frame[t]), H5T_NATIVE_UINT8, (size_t)s->info.W * s->info.H,
                    out, e);
}
