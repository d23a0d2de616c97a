/* A frame's picture from one recording to another as the compressed bytes it is. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/recording_writer.h"

/* The source's chunks are whole pictures of this size under gzip alone, as the writer's own are: any level decodes
 * the same. */
static int chunks_agree(const struct column *c, const struct session_out *out)
{
    hid_t create = H5Dget_create_plist(c->id), type = H5Dget_type(c->id);
    int agree = c->shape.dims == 3 && c->shape.chunk_bytes && c->shape.chunk[0] == 1 &&
                c->shape.chunk[1] == out->info.H && c->shape.chunk[2] == out->info.W &&
                c->shape.size[1] == out->info.H && c->shape.size[2] == out->info.W &&
                H5Tequal(type, H5T_STD_U8LE) > 0 && H5Pget_nfilters(create) == 1;
    if (agree) {
        unsigned flags, config;
        size_t values = 0;
        agree = H5Pget_filter2(create, 0, &flags, &values, NULL, 0, NULL, &config) == H5Z_FILTER_DEFLATE;
    }
    H5Tclose(type);
    H5Pclose(create);
    return agree;
}

static int copy_chunk(struct recording_writer *w, struct column *from, size_t row, struct err *e)
{
    struct session_out *out = &w->session;
    struct column_out *to = &out->column[FRAMES];
    hsize_t at[3] = {row, 0, 0}, size = 0;
    uint32_t mask = 0;
    if (H5Dget_chunk_storage_size(from->id, at, &size) < 0 || !size)
        return h5_error(e, ERR_DATA, "frames[%zu]: has no chunk", row);
    if (size > 2 * from->shape.chunk_bytes + 4096)
        return err_set(e, ERR_DATA, "frames[%zu]: its chunk is longer than the picture", row);
    int bad = mem_grow(&out->chunk, &out->chunk_capacity, (size_t)size, 1, "a chunk", e);
    if (bad)
        return bad;
    if (H5Dread_chunk(from->id, H5P_DEFAULT, at, &mask, out->chunk) < 0)
        return h5_error(e, ERR_DATA, "frames[%zu]: cannot be read", row);
    bad = column_extend(to, e);
    at[0] = to->rows - 1;
    if (!bad && H5Dwrite_chunk(to->id, H5P_DEFAULT, mask, at, (size_t)size, out->chunk) < 0)
        bad = h5_error(e, ERR_IO, "frames: write failed");
    recording_digest(w, out->chunk, (size_t)size);
    return bad;
}

/* The general way: decompress and write. */
static int append_read(struct recording_writer *w, const struct frame *f, struct recording *source,
                       size_t session, size_t t, struct err *e)
{
    const struct session_info *info = recording_session(source, session);
    struct frame copy = *f;
    uint8_t *image = NULL;
    int present = 0, bad = 0;
    copy.image = NULL;
    if (w->session.info.has_frames && info->has_frames) {
        if (info->W != w->session.info.W || info->H != w->session.info.H)
            return err_set(e, ERR_DATA, "%s: /sessions/%s: is %ux%u, the output %ux%u",
                           recording_path(source), info->id, info->W, info->H, w->session.info.W,
                           w->session.info.H);
        bad = mem_alloc(&image, info->W, info->H, "a frame", e);
        bad = bad ? bad : recording_frame(source, session, t, image, &present, e);
        copy.image = present ? image : NULL;
    }
    bad = bad ? bad : recording_append(w, &copy, e);
    free(image);
    return bad;
}

int recording_append_from(struct recording_writer *w, const struct frame *f, struct recording *source,
                          size_t session, size_t t, struct err *e)
{
    struct session *s;
    int bad = recording_use(source, session, &s, e);
    if (bad)
        return bad;
    long long row = s->older || !s->info.has_frames ? -1 : recording_image_row(s, t);
    if (row < 0 || !w->session.info.has_frames || !chunks_agree(&s->column[FRAMES], &w->session))
        return append_read(w, f, source, session, t, e);
    struct frame copy = *f;
    copy.image = NULL;
    bad = copy_chunk(w, &s->column[FRAMES], (size_t)row, e);
    if (bad)
        return err_prefix(e, "%s: /sessions/%s/", recording_path(source), s->id);
    bad = recording_note_image(w, e);
    return bad ? bad : recording_append(w, &copy, e);
}

/* What the source has of row t beside its samples and full frame, in `f`; its memory is *numbers. */
static int read_row(struct recording_writer *w, struct recording *source, size_t session, size_t t,
                    struct frame *f, float **numbers, struct err *e)
{
    const struct session_info *info = recording_session(source, session), *out = &w->session.info;
    size_t pixels = (size_t)info->W * info->H, map = (size_t)info->map_w * info->map_h;
    int reconstruction =
        out->has_reconstruction && info->has_reconstruction && out->W == info->W && out->H == info->H;
    int importance =
        out->has_importance && info->has_importance && out->map_w == info->map_w && out->map_h == info->map_h;
    uint16_t length = 0;
    int bad = mem_alloc(numbers, info->S + (reconstruction ? pixels : 0) + (importance ? map : 0),
                        sizeof **numbers, "a row", e);
    float *state = *numbers, *picture = state + info->S;
    bad = bad ? bad
              : recording_columns(source, session, t, 1, &f->frame_id, &f->timestamp, &f->recv_time, &f->set,
                                  e);
    bad = bad ? bad : recording_state(source, session, t, 1, state, &length, e);
    f->state = state;
    f->state_n = length;
    if (!bad && reconstruction && out->reconstruction_f32) {
        bad = recording_reconstruction(source, session, t, picture, e);
        f->reconstruction_f32 = picture;
    } else if (!bad && reconstruction) {
        bad = recording_reconstruction_u8(source, session, t, (uint8_t *)picture, e);
        f->reconstruction = (uint8_t *)picture;
    }
    if (!bad && importance) {
        float *at = picture + (reconstruction ? pixels : 0);
        bad = recording_importance(source, session, t, at, e);
        f->importance = at;
    }
    return bad;
}

int recording_copy_row(struct recording_writer *w, struct recording *source, size_t session, size_t t,
                       struct samples *samples, struct err *e)
{
    struct frame f = {0};
    float *numbers = NULL;
    int bad = read_row(w, source, session, t, &f, &numbers, e);
    if (!bad && w->session.info.has_samples) {
        bad = recording_samples(source, session, t, 1, samples, e);
        f.samples_n = samples->n;
        f.uv = samples->uv;
        f.value = samples->value;
    }
    bad = bad ? bad : recording_append_from(w, &f, source, session, t, e);
    free(numbers);
    return bad;
}
