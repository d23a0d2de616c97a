/* Where the frames go: a recording, a film, or somebody's eyes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/mem.h"
#include "metric/metric.h"
#include "reconstruct.h"

int sink_open(struct sink *s, struct err *e)
{
    if (s->sixel)
        return show_open(&s->show, s->path, e);
    if (s->format == STREAM_HDF5)
        return recording_create(&s->writer, s->path, &s->meta, e);
    return s->format == STREAM_PNG ? atomic_file_make_parents(s->path, e) : 0;
}

/* What is looked at: the frame, or with its map a sheet of panels. */
static int has_panels(const struct sink *s)
{
    return s->importance != RECON_IMPORTANCE_NONE && (s->sixel || s->format == STREAM_PNG);
}

static int begin_frames(struct sink *s, const struct session_info *info, struct err *e)
{
    s->W = info->W;
    s->H = info->H;
    s->map_w = info->map_w;
    s->map_h = info->map_h;
    int code = mem_grow(&s->bytes, &s->capacity, (size_t)s->W * s->H, 1, "a frame", e);
    if (code || !has_panels(s))
        return code;
    sheet_release(&s->sheet);
    return sheet_init(&s->sheet, s->W, s->H, 3, 1, sheet_zoom(s->W, s->H), e);
}

static int begin_film(struct sink *s, const struct session_info *info, struct err *e)
{
    if (s->film && (s->W != info->W || s->H != info->H))
        return err_set(e, ERR_DATA,
                       "session %s: %ux%u after %ux%u cannot be one film (--size makes them equal)", info->id,
                       info->W, info->H, s->W, s->H);
    int code = begin_frames(s, info, e);
    if (code || s->film)
        return code;
    uint32_t W = has_panels(s) ? s->sheet.width : s->W, H = has_panels(s) ? s->sheet.height : s->H;
    code = frame_output_open(&s->film, s->format, s->path, W, H, info->fps, e);
    if (!code && has_panels(s))
        frame_output_set_colour(s->film);
    return code;
}

int sink_begin(struct sink *s, const struct session_info *info, struct err *e)
{
    if (s->sixel) {
        show_begin(&s->show, info->fps);
        return begin_frames(s, info, e);
    }
    if (s->format != STREAM_HDF5)
        return begin_film(s, info, e);
    struct session_info out = *info;
    out.has_samples = out.has_reconstruction = 1;
    out.has_frames = 0;
    out.has_importance = s->importance != RECON_IMPORTANCE_NONE;
    out.reconstruction_f32 = s->f32;
    int code = begin_frames(s, info, e);
    return code ? code : recording_begin(s->writer, &out, e);
}

static void draw_panels(struct sink *s, const struct frame *row, const float *map)
{
    char caption[64];
    sheet_clear(&s->sheet);
    sheet_samples(&s->sheet, 0, 0, row->uv, row->value, row->samples_n);
    snprintf(caption, sizeof caption, "%zu samples", row->samples_n);
    sheet_caption(&s->sheet, 0, 0, caption);
    sheet_grey(&s->sheet, 1, 0, s->bytes);
    snprintf(caption, sizeof caption, "frame %lld", (long long)row->frame_id);
    sheet_caption(&s->sheet, 1, 0, caption);
    sheet_heat(&s->sheet, 2, 0, map, s->map_w, s->map_h);
    sheet_marks(&s->sheet, 2, 0, row->uv, row->samples_n);
    sheet_caption(&s->sheet, 2, 0, "importance 0..1");
}

static int write_film(struct sink *s, int flush, struct err *e)
{
    int code = frame_output_write(s->film, has_panels(s) ? s->sheet.rgb : s->bytes, e);
    if (!code && flush && fflush(stdout))
        code = err_set(e, ERR_IO, "standard output: write failed: %s", strerror(errno));
    return code;
}

int sink_write(struct sink *s, const struct frame *row, const float *picture, const float *map, int flush,
               struct err *e)
{
    metric_quantise(picture, s->bytes, (size_t)s->W * s->H);
    if (has_panels(s))
        draw_panels(s, row, map);
    if (s->sixel) {
        const struct image plain = {s->W, s->H, 1, s->bytes},
                           panels = {s->sheet.width, s->sheet.height, 3, s->sheet.rgb};
        return show_frame(&s->show, has_panels(s) ? &panels : &plain, e);
    }
    if (s->film)
        return write_film(s, flush, e);
    struct frame f = *row;
    if (s->f32)
        f.reconstruction_f32 = picture;
    else
        f.reconstruction = s->bytes;
    f.importance = map;
    return recording_append(s->writer, &f, e);
}

int sink_end(struct sink *s, int closed, struct err *e)
{
    return s->writer ? recording_end(s->writer, closed, e) : 0;
}

int sink_close(struct sink *s, struct err *e)
{
    int code = 0;
    struct recording_writer *writer = s->writer;
    struct frame_output *film = s->film;
    s->writer = NULL;
    s->film = NULL;
    if (s->sixel)
        code = show_close(&s->show, e);
    if (film)
        code = frame_output_close(film, e);
    if (writer) {
        code = recording_finish(writer, e);
        if (code)
            recording_abandon(writer);
    }
    sheet_release(&s->sheet);
    free(s->bytes);
    s->bytes = NULL;
    return code;
}

void sink_abandon(struct sink *s)
{
    show_abandon(&s->show);
    if (s->writer)
        recording_abandon(s->writer);
    frame_output_abandon(s->film);
    sheet_release(&s->sheet);
    free(s->bytes);
    *s = (struct sink){0};
}
