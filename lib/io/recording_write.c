/* Writing a recording: columns grow together, buffered in memory; the file appears under its name when whole. */
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/recording_writer.h"

/* Chunks in rows: large enough for gzip, small enough for a cache. */
enum { ROWS = 1024, UV_ROWS = 16384, VALUE_ROWS = 65536 };
static const size_t STATE_CHUNK_BYTES = 4u << 20;

static int failed(const struct recording_writer *w, struct err *e)
{
    return err_prefix(e, "%s: ", w->shown);
}

static int failed_in_session(const struct recording_writer *w, struct err *e)
{
    return err_prefix(e, "%s: /sessions/%s/", w->shown, w->session.id);
}

/* --- the file --- */

static int put_root(struct recording_writer *w, const struct recording_meta *meta)
{
    int64_t version[2] = {1, 0};
    int bad = h5_put_text(w->file, "format", "sgaps-recording");
    bad |= h5_put_number(w->file, "format_version", H5T_STD_I32LE, H5T_NATIVE_INT64, &version[0], 1);
    bad |= h5_put_number(w->file, "format_minor", H5T_STD_I32LE, H5T_NATIVE_INT64, &version[1], 1);
    bad |= h5_put_text(w->file, "creator", meta->creator ? meta->creator : "");
    bad |= h5_put_text(w->file, "config", meta->config ? meta->config : "{}");
    bad |= h5_put_text(w->file, "NX_class", "NXroot");
    if (!meta->no_history) {
        char now[21];
        clock_iso8601(now);
        bad |= h5_put_text(w->file, "created_at", now);
        bad |= h5_put_text(w->file, "history", meta->history ? meta->history : "");
    }
    return bad;
}

/* Sixteen bytes as a UUID: version 4 (random) or 8 (own rule: a SHA-256). */
static void format_uuid(unsigned char *b, int version, char text[37])
{
    b[6] = (unsigned char)((b[6] & 0x0f) | version << 4);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

int recording_uuid_of(const char *source, char out[37])
{
    unsigned char b[EVP_MAX_MD_SIZE];
    if (!EVP_Digest(source, strlen(source), b, NULL, EVP_sha256(), NULL))
        return -1;
    format_uuid(b, 8, out);
    return 0;
}

static int put_uuid(struct recording_writer *w)
{
    unsigned char b[EVP_MAX_MD_SIZE];
    char text[37];
    if (w->content ? !EVP_DigestFinal_ex(w->content, b, NULL) : getrandom(b, 16, 0) != 16)
        return -1;
    format_uuid(b, w->content ? 8 : 4, text);
    return h5_put_text(w->file, "uuid", text);
}

void recording_digest(struct recording_writer *w, const void *data, size_t n)
{
    if (w->content && data)
        EVP_DigestUpdate(w->content, data, n);
}

static int open_output(struct recording_writer *w, const char *path, struct err *e)
{
    int bad = mem_string(&w->path, path, e);
    bad = bad ? bad : mem_string(&w->shown, !strcmp(path, "-") ? "standard output" : path, e);
    if (bad)
        return bad;
    if (spool_needed(path)) {
        bad = spool_output(&w->spool, e);
        w->target = w->spool.path;
    } else {
        bad = atomic_file_begin(&w->output, path, e);
        w->target = w->output.part;
    }
    return bad ? bad : h5_create(&w->file, w->target, w->shown, e);
}

int recording_create(struct recording_writer **out, const char *path, const struct recording_meta *meta,
                     struct err *e)
{
    struct recording_writer *w;
    *out = NULL;
    int bad = mem_alloc(&w, 1, sizeof *w, "a recording writer", e);
    if (bad)
        return bad;
    w->file = -1;
    w->output.slot = w->spool.file.slot = -1;
    if (meta->no_history) {
        w->content = EVP_MD_CTX_new();
        if (!w->content || !EVP_DigestInit_ex(w->content, EVP_sha256(), NULL))
            bad = err_set(e, ERR_INTERNAL, "SHA-256 is not available");
    }
    bad = bad ? bad : open_output(w, path, e);
    if (!bad && put_root(w, meta))
        bad = h5_error(e, ERR_IO, "%s: write failed", w->shown);
    if (!bad && !meta->no_history && (meta->uuid ? h5_put_text(w->file, "uuid", meta->uuid) : put_uuid(w)))
        bad = h5_error(e, ERR_IO, "%s: write failed", w->shown);
    if (bad) {
        recording_abandon(w);
        return bad;
    }
    *out = w;
    return 0;
}

/* --- a session --- */

/* A link's name from an id: no slash, not "." or "..", not empty; -2, -3 ... when it is taken. */
static int free_name(struct recording_writer *w, const char *id, struct err *e)
{
    size_t n = strlen(id) + 24;
    char *name;
    int bad = mem_alloc(&name, n, 1, "a session's name", e);
    if (bad)
        return bad;
    snprintf(name, n, "%s", *id ? id : "session");
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '_';
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        name[0] = '_';
    size_t stem = strlen(name);
    for (int i = 2; h5_exists(w->sessions, name); i++)
        snprintf(name + stem, n - stem, "-%d", i);
    free(w->session.id);
    w->session.id = name;
    return 0;
}

static int put_session(struct recording_writer *w)
{
    const struct session_info *s = &w->session.info;
    hid_t g = w->session.group;
    uint32_t size[2] = {s->W, s->H}, screen[2] = {s->screen_w, s->screen_h};
    double fps = s->fps > 0 ? s->fps : RECORDING_USUAL_FPS, range = s->value_range > 0 ? s->value_range : 255;
    float sentinel = s->sentinel;
    int bad = h5_put_text(g, "session_id", w->session.id);
    bad |= h5_put_text(g, "checkpoint_key", s->checkpoint_key ? s->checkpoint_key : "");
    bad |= h5_put_text(g, "client_name", s->client_name ? s->client_name : "");
    bad |= h5_put_number(g, "resolution", H5T_STD_U32LE, H5T_NATIVE_UINT32, size, 2);
    if (s->screen_w && s->screen_h)
        bad |= h5_put_number(g, "screen", H5T_STD_U32LE, H5T_NATIVE_UINT32, screen, 2);
    bad |= h5_put_number(g, "target_fps", H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, &fps, 1);
    bad |= h5_put_number(g, "sentinel", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, &sentinel, 1);
    bad |= h5_put_number(g, "value_range", H5T_IEEE_F32LE, H5T_NATIVE_DOUBLE, &range, 1);
    bad |= h5_put_text(g, "NX_class", "NXdata");
    bad |= h5_put_text(g, "signal",
                       s->has_frames           ? "frames"
                       : s->has_reconstruction ? "reconstruction"
                                               : "frame_id");
    return bad;
}

/* HDF5 Image 1.2 attributes: viewers then show 8-bit grey pictures, row 0 on top. */
static int put_image(const struct column_out *c)
{
    static const uint8_t grey[2] = {0, 255};
    int bad = h5_put_text(c->id, "CLASS", "IMAGE");
    bad |= h5_put_text(c->id, "IMAGE_VERSION", "1.2");
    bad |= h5_put_text(c->id, "IMAGE_SUBCLASS", "IMAGE_GRAYSCALE");
    bad |= h5_put_text(c->id, "DISPLAY_ORIGIN", "UL");
    bad |= h5_put_number(c->id, "IMAGE_WHITE_IS_ZERO", H5T_STD_U8LE, H5T_NATIVE_UINT8, &grey[0], 1);
    if (c->type == COLUMN_U8)
        bad |= h5_put_number(c->id, "IMAGE_MINMAXRANGE", H5T_STD_U8LE, H5T_NATIVE_UINT8, grey, 2);
    return bad;
}

static int make_columns(struct recording_writer *w, const struct session_info *s, struct err *e)
{
    struct column_out *c = w->session.column;
    hid_t g = w->session.group;
    size_t two = 2, S = s->S, picture[2] = {s->H, s->W}, map[2] = {s->map_h, s->map_w};
    size_t state_rows = ROWS;
    while (S && state_rows > 1 && state_rows * S * sizeof(float) > STATE_CHUNK_BYTES)
        state_rows /= 2;
    int bad = column_create(&c[FRAME_ID], g, "frame_id", COLUMN_I64, 1, NULL, ROWS, 0, 0, e);
    bad = bad ? bad : column_create(&c[TIMESTAMP], g, "timestamp", COLUMN_F64, 1, NULL, ROWS, 0, 0, e);
    if (!bad && s->has_recv_time)
        bad = column_create(&c[RECV_TIME], g, "recv_time", COLUMN_F64, 1, NULL, ROWS, 0, 0, e);
    if (!bad && S)
        bad = column_create(&c[STATE], g, "state", COLUMN_F32, 2, &S, state_rows, 1, 1, e);
    if (!bad && S && s->state_names &&
        h5_put_texts(c[STATE].id, "state_names", s->state_names, s->state_name_count))
        bad = h5_error(e, ERR_IO, "state: write failed");
    if (!bad && S)
        bad = column_create(&c[STATE_LEN], g, "state_len", COLUMN_U16, 1, NULL, ROWS, 0, 0, e);
    if (!bad && (s->has_samples || s->has_set)) {
        w->session.samples = h5_group_create(g, "samples");
        bad = w->session.samples < 0 ? h5_error(e, ERR_IO, "samples: cannot be made") : 0;
    }
    hid_t samples = w->session.samples;
    if (!bad && s->has_samples) {
        bad = column_create(&c[OFFSET], samples, "offset", COLUMN_U64, 1, NULL, ROWS, 0, 0, e);
        bad = bad ? bad : column_create(&c[UV], samples, "uv", COLUMN_F32, 2, &two, UV_ROWS, 1, 1, e);
        bad = bad ? bad : column_create(&c[VALUE], samples, "value", COLUMN_U8, 1, NULL, VALUE_ROWS, 1, 0, e);
        uint64_t zero = 0;
        bad = bad ? bad : column_append(&c[OFFSET], &zero, 1, e);
    }
    if (!bad && s->has_set)
        bad = column_create(&c[SAMPLE_SET], samples, "set", COLUMN_I64, 1, NULL, ROWS, 0, 0, e);
    if (!bad && s->has_frames)
        bad = column_create(&c[FRAMES], g, "frames", COLUMN_U8, 3, picture, 1, 1, 0, e);
    if (!bad && s->has_reconstruction)
        bad = column_create(&c[RECONSTRUCTION], g, "reconstruction",
                            s->reconstruction_f32 ? COLUMN_F32 : COLUMN_U8, 3, picture, 1, 1,
                            s->reconstruction_f32, e);
    if (!bad && s->has_importance)
        bad = column_create(&c[IMPORTANCE], g, "importance", COLUMN_F32, 3, map, 1, 1, 1, e);
    if (!bad && ((s->has_frames && put_image(&c[FRAMES])) ||
                 (s->has_reconstruction && put_image(&c[RECONSTRUCTION]))))
        bad = h5_error(e, ERR_IO, "write failed");
    return bad;
}

static int check_info(const struct session_info *s, struct err *e)
{
    if (!s->W || !s->H || s->W > SIDE_LIMIT || s->H > SIDE_LIMIT)
        return err_set(e, ERR_DATA, "resolution %ux%u: sides are 1 to %d", s->W, s->H, SIDE_LIMIT);
    if (s->S > STATE_LIMIT)
        return err_set(e, ERR_DATA, "state: %zu values, at most %d", s->S, STATE_LIMIT);
    if (s->has_importance && (!s->map_w || !s->map_h || s->map_w > SIDE_LIMIT || s->map_h > SIDE_LIMIT))
        return err_set(e, ERR_DATA, "importance %ux%u: sides are 1 to %d", s->map_w, s->map_h, SIDE_LIMIT);
    return 0;
}

int recording_begin(struct recording_writer *w, const struct session_info *info, struct err *e)
{
    h5_begin();
    int bad = check_info(info, e), first = w->sessions <= 0;
    if (!bad && first && (w->sessions = h5_group_create(w->file, "sessions")) < 0)
        bad = h5_error(e, ERR_IO, "write failed");
    bad = bad ? bad : free_name(w, info->id ? info->id : "", e);
    if (bad)
        return failed(w, e);
    struct session_out *s = &w->session;
    s->info = *info;
    s->group = h5_group_create(w->sessions, s->id);
    if (s->group < 0 || put_session(w))
        bad = h5_error(e, ERR_IO, "write failed");
    if (!bad && first) {
        char *where;
        size_t n = strlen(s->id) + 16;
        bad = mem_alloc(&where, n, 1, "a name", e);
        if (!bad) {
            snprintf(where, n, "sessions/%s", s->id);
            if (h5_put_text(w->file, "default", where))
                bad = h5_error(e, ERR_IO, "write failed");
            free(where);
        }
    }
    bad = bad ? bad : make_columns(w, info, e);
    bad = bad ? bad : mem_alloc(&s->padded, info->S, sizeof *s->padded, "a state", e);
    recording_digest(w, s->id, strlen(s->id) + 1);
    return bad ? failed_in_session(w, e) : 0;
}

/* --- a frame --- */

static int append_state(struct recording_writer *w, const struct frame *f, struct err *e)
{
    struct session_out *s = &w->session;
    size_t n = f->state ? f->state_n : 0;
    uint16_t length = (uint16_t)n;
    if (n > s->info.S)
        return err_set(e, ERR_DATA, "state[%zu]: has %zu values, the session has %zu", s->T, n, s->info.S);
    for (size_t i = 0; i < s->info.S; i++)
        s->padded[i] = i < n ? f->state[i] : s->info.sentinel;
    recording_digest(w, s->padded, s->info.S * sizeof *s->padded);
    int bad = column_append(&s->column[STATE], s->padded, 1, e);
    return bad ? bad : column_append(&s->column[STATE_LEN], &length, 1, e);
}

static int append_samples(struct recording_writer *w, const struct frame *f, struct err *e)
{
    struct session_out *s = &w->session;
    s->M += f->samples_n;
    recording_digest(w, &s->M, sizeof s->M);
    recording_digest(w, f->uv, f->samples_n * 2 * sizeof *f->uv);
    recording_digest(w, f->value, f->samples_n);
    int bad = column_append(&s->column[UV], f->uv, f->samples_n, e);
    bad = bad ? bad : column_append(&s->column[VALUE], f->value, f->samples_n, e);
    return bad ? bad : column_append(&s->column[OFFSET], &s->M, 1, e);
}

int recording_note_image(struct recording_writer *w, struct err *e)
{
    struct session_out *s = &w->session;
    int bad = mem_grow(&s->frame_row, &s->frame_rows, s->K + 1, sizeof *s->frame_row, "frames_t", e);
    if (!bad)
        s->frame_row[s->K++] = s->T;
    return bad;
}

static int append_pictures(struct recording_writer *w, const struct frame *f, struct err *e)
{
    struct session_out *s = &w->session;
    size_t pixels = (size_t)s->info.W * s->info.H, map = (size_t)s->info.map_w * s->info.map_h;
    int bad = 0;
    if (s->info.has_frames && f->image) {
        recording_digest(w, f->image, pixels);
        bad = column_append(&s->column[FRAMES], f->image, 1, e);
        bad = bad ? bad : recording_note_image(w, e);
    }
    if (!bad && s->info.has_reconstruction) {
        const void *row =
            s->info.reconstruction_f32 ? (const void *)f->reconstruction_f32 : f->reconstruction;
        if (!row)
            return err_set(e, ERR_INTERNAL, "reconstruction[%zu]: is missing", s->T);
        recording_digest(w, row, pixels * (s->info.reconstruction_f32 ? sizeof(float) : 1));
        bad = column_append(&s->column[RECONSTRUCTION], row, 1, e);
    }
    if (!bad && s->info.has_importance) {
        if (!f->importance)
            return err_set(e, ERR_INTERNAL, "importance[%zu]: is missing", s->T);
        recording_digest(w, f->importance, map * sizeof(float));
        bad = column_append(&s->column[IMPORTANCE], f->importance, 1, e);
    }
    return bad;
}

int recording_append(struct recording_writer *w, const struct frame *f, struct err *e)
{
    h5_begin();
    struct session_out *s = &w->session;
    recording_digest(w, &f->frame_id, sizeof f->frame_id);
    recording_digest(w, &f->timestamp, sizeof f->timestamp);
    int bad = column_append(&s->column[FRAME_ID], &f->frame_id, 1, e);
    bad = bad ? bad : column_append(&s->column[TIMESTAMP], &f->timestamp, 1, e);
    if (!bad && s->info.has_recv_time)
        bad = column_append(&s->column[RECV_TIME], &f->recv_time, 1, e);
    if (!bad && s->info.has_set)
        bad = column_append(&s->column[SAMPLE_SET], &f->set, 1, e);
    if (!bad && s->info.S)
        bad = append_state(w, f, e);
    if (!bad && s->info.has_samples)
        bad = append_samples(w, f, e);
    bad = bad ? bad : append_pictures(w, f, e);
    s->T++;
    return bad ? failed_in_session(w, e) : 0;
}

static void drop_session(struct recording_writer *w)
{
    struct session_out *s = &w->session;
    for (int i = 0; i < COLUMNS; i++)
        column_drop(&s->column[i]);
    if (s->samples > 0)
        H5Gclose(s->samples);
    if (s->group > 0)
        H5Gclose(s->group);
    free(s->id);
    free(s->padded);
    free(s->frame_row);
    free(s->chunk);
    *s = (struct session_out){0};
}

/* frames_t is only written where it says something. */
static int put_frames_t(struct recording_writer *w, struct err *e)
{
    struct session_out *s = &w->session;
    struct column_out c;
    if (!s->info.has_frames || s->K == s->T)
        return 0;
    int bad = column_create(&c, s->group, "frames_t", COLUMN_U64, 1, NULL, ROWS, 0, 0, e);
    if (bad)
        return bad;
    bad = column_append(&c, s->frame_row, s->K, e);
    if (!bad)
        return column_end(&c, e);
    column_drop(&c);
    return bad;
}

int recording_end(struct recording_writer *w, int closed, struct err *e)
{
    h5_begin();
    struct session_out *s = &w->session;
    uint8_t ended = closed != 0;
    int bad = put_frames_t(w, e);
    for (int i = 0; i < COLUMNS && !bad; i++)
        bad = column_end(&s->column[i], e);
    if (!bad && h5_put_number(s->group, "closed", H5T_STD_U8LE, H5T_NATIVE_UINT8, &ended, 1))
        bad = h5_error(e, ERR_IO, "write failed");
    /* NeXus: what the signal's dimensions are; full frames of some rows only have no axis of their own. */
    static const char *const axes[] = {"timestamp", ".", "."};
    int pictures = s->info.has_frames || s->info.has_reconstruction;
    if (!bad && (!s->info.has_frames || s->K == s->T) &&
        h5_put_texts(s->group, "axes", axes, pictures ? 3 : 1))
        bad = h5_error(e, ERR_IO, "write failed");
    if (bad)
        return failed_in_session(w, e);
    drop_session(w);
    return 0;
}

/* --- /clean --- */

static int clean_group(struct recording_writer *w, struct err *e)
{
    if (w->clean <= 0)
        w->clean = h5_group_create(w->file, "clean");
    return w->clean < 0 ? h5_error(e, ERR_IO, "/clean: cannot be made") : 0;
}

/* /clean/<id>, made where it is not there. */
static int open_clean(struct recording_writer *w, const char *id, hid_t *group, struct err *e)
{
    int bad = clean_group(w, e);
    if (bad)
        return bad;
    *group = h5_exists(w->clean, id) ? H5Gopen2(w->clean, id, H5P_DEFAULT) : h5_group_create(w->clean, id);
    return *group < 0 ? h5_error(e, ERR_IO, "/clean/%s: cannot be made", id) : 0;
}

static int write_clean(struct recording_writer *w, const char *id, const char *name, enum column_type type,
                       const void *data, size_t n, struct err *e)
{
    struct column_out c;
    hid_t group;
    int bad = open_clean(w, id, &group, e);
    if (bad)
        return bad;
    bad = column_create(&c, group, name, type, 1, NULL, 65536, 1, type != COLUMN_U8, e);
    if (!bad)
        bad = column_append(&c, data, n, e);
    bad = bad ? (column_drop(&c), bad) : column_end(&c, e);
    H5Gclose(group);
    return bad;
}

int recording_write_clean(struct recording_writer *w, const char *id, const char *name, const char *type,
                          const void *data, size_t n, struct err *e)
{
    h5_begin();
    enum column_type t = !strcmp(type, "u1") ? COLUMN_U8 : !strcmp(type, "i4") ? COLUMN_I32 : COLUMN_F32;
    int bad = write_clean(w, id, name, t, data, n, e);
    recording_digest(w, name, strlen(name) + 1);
    recording_digest(w, data, n * column_type_size(t));
    return bad ? failed(w, e) : 0;
}

int recording_clean_source(struct recording_writer *w, const char *id, const char *session, const char *uuid,
                           const char *path, struct err *e)
{
    h5_begin();
    const char *const said[][2] = {{"source_session", session},
                                   {"source_uuid", uuid},
                                   {"source_file", path ? recording_file_name(path) : NULL}};
    hid_t group;
    int bad = open_clean(w, id, &group, e);
    for (size_t i = 0; i < sizeof said / sizeof *said && !bad; i++) {
        if (!said[i][1] || !*said[i][1])
            continue;
        if (h5_put_text(group, said[i][0], said[i][1]))
            bad = h5_error(e, ERR_IO, "/clean/%s: write failed", id);
        recording_digest(w, said[i][1], strlen(said[i][1]) + 1);
    }
    if (!bad)
        H5Gclose(group);
    return bad ? failed(w, e) : 0;
}

int recording_clean_attribute(struct recording_writer *w, const char *name, const char *text, struct err *e)
{
    h5_begin();
    int bad = clean_group(w, e);
    if (!bad && h5_put_text(w->clean, name, text))
        bad = h5_error(e, ERR_IO, "/clean: write failed");
    recording_digest(w, text, strlen(text) + 1);
    return bad ? failed(w, e) : 0;
}

/* --- the end --- */

static void close_groups(struct recording_writer *w)
{
    if (w->sessions > 0)
        H5Gclose(w->sessions);
    if (w->clean > 0)
        H5Gclose(w->clean);
    w->sessions = w->clean = -1;
}

static void release(struct recording_writer *w)
{
    drop_session(w);
    close_groups(w);
    EVP_MD_CTX_free(w->content);
    free(w->path);
    free(w->shown);
    free(w);
}

/* On success the writer is gone; after an error the caller abandons it. */
int recording_finish(struct recording_writer *w, struct err *e)
{
    h5_begin();
    if (w->session.id)
        return err_set(e, ERR_INTERNAL, "%s: /sessions/%s was not ended", w->shown, w->session.id);
    if (w->content && put_uuid(w))
        return h5_error(e, ERR_IO, "%s: write failed", w->shown);
    close_groups(w);
    hid_t file = w->file;
    int bad = h5_close_checked(file, w->target, w->shown, e);
    if (bad)
        return bad;
    w->file = -1;
    if (w->spool.path) {
        bad = spool_send(&w->spool, w->path, e);
    } else
        bad = atomic_file_commit(&w->output, e);
    if (!bad)
        release(w);
    return bad;
}

void recording_abandon(struct recording_writer *w)
{
    if (!w)
        return;
    h5_begin();
    drop_session(w);
    close_groups(w);
    if (w->file >= 0)
        h5_close_all(w->file);
    w->file = -1;
    atomic_file_abort(&w->output);
    spool_release(&w->spool);
    H5Eclear2(H5E_DEFAULT);
    release(w);
}
