/* A session of a journal, frame by frame. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "interp/interp.h"
#include "journal_plan.h"

int journal_frames_begin(struct journal_frames *f, struct journal_source *s, const struct journal_plan *p,
                         const struct session_info *info, struct err *e)
{
    size_t pixels = (size_t)info->W * info->H, cells = (size_t)info->map_w * info->map_h;
    *f = (struct journal_frames){.plan = p, .W = info->W, .H = info->H, .seen_of = -1};
    int bad = journal_source_open(s, &f->r, e);
    bad = bad ? bad : mem_alloc(&f->scaled, pixels, 1, "a frame", e);
    bad = bad ? bad : mem_alloc(&f->seen, pixels, 1, "a frame", e);
    return bad ? bad : mem_alloc(&f->map, cells, sizeof *f->map, "an importance map", e);
}

void journal_frames_end(struct journal_frames *f)
{
    journal_reader_close(f->r);
    free(f->scaled);
    free(f->seen);
    free(f->map);
}

/* The reconstruction that the server had by then: the frame's own, or the newest before it. */
static int read_seen(struct journal_frames *f, const struct journal_row *row, struct err *e)
{
    struct journal_record r;
    const struct session_info *info = &f->plan->info;
    if (!row->has_seen || !info->has_reconstruction)
        return 0;
    int bad = journal_read_at(f->r, row->seen, &r, e);
    if (bad)
        return bad;
    memcpy(f->seen, r.image, (size_t)r.image_w * r.image_h);
    if (r.map)
        memcpy(f->map, r.map, (size_t)r.map_w * r.map_h * sizeof *f->map);
    f->seen_of = row->frame_id;
    return 0;
}

int journal_frames_read(struct journal_frames *f, size_t row, struct frame *out, struct err *e)
{
    const struct journal_row *place = &f->plan->row[row];
    struct journal_record r;
    int bad = f->W == f->plan->info.W && f->H == f->plan->info.H ? read_seen(f, place, e) : 0;
    bad = bad ? bad : journal_read_at(f->r, place->frame, &r, e);
    if (bad)
        return bad;
    *out = (struct frame){.frame_id = r.frame_id,
                          .timestamp = r.timestamp,
                          .recv_time = r.unix_time,
                          .state = r.state,
                          .state_n = r.state_n,
                          .samples_n = r.n,
                          .uv = r.uv,
                          .value = r.value,
                          .set = r.set_id,
                          .image = r.image,
                          .reconstruction = f->seen,
                          .importance = f->map};
    if (r.image && (r.image_w != f->W || r.image_h != f->H)) {
        interp_resize(r.image, r.image_w, r.image_h, f->scaled, f->W, f->H);
        out->image = f->scaled;
        f->scaled_count++;
    }
    return 0;
}

/* What has no column: the gaps, the end, whose reconstruction stands in which row. */
static int write_notes(const struct journal_plan *p, struct recording_writer *w, const int64_t *seen_of,
                       size_t n, struct err *e)
{
    struct text holes = {0};
    journal_plan_holes(p, &holes);
    int bad = holes.failed ? err_memory(e, "the gaps", holes.n) : recording_note_text(w, "gaps", holes.at, e);
    text_release(&holes);
    bad = bad ? bad : recording_note_number(w, "frames_received", p->received, e);
    bad = bad ? bad : recording_note_number(w, "sets_sent", p->sets, e);
    if (!bad && p->closed)
        bad = recording_note_number(w, "close_code", (uint64_t)(p->close_code > 0 ? p->close_code : 0), e);
    if (!bad && p->close_reason)
        bad = recording_note_text(w, "close_reason", p->close_reason, e);
    return bad || !seen_of ? bad : recording_note_column(w, "reconstruction_of", seen_of, n, e);
}

int journal_write_session(struct journal_source *s, const struct journal_plan *p,
                          const struct session_info *info, size_t stride, struct recording_writer *w,
                          void (*written)(void *user), void *user, struct err *e)
{
    struct journal_frames f;
    struct frame frame;
    int64_t *seen_of = NULL;
    size_t n = 0;
    int bad = journal_frames_begin(&f, s, p, info, e);
    if (!bad && info->has_reconstruction)
        bad = mem_alloc(&seen_of, p->rows, sizeof *seen_of, "frame numbers", e);
    bad = bad ? bad : recording_begin(w, info, e);
    for (size_t row = 0; row < p->rows && !bad; row++) {
        bad = journal_frames_read(&f, row, &frame, e);
        if (bad || row % stride)
            continue;
        if (seen_of)
            seen_of[n] = f.seen_of;
        n++;
        bad = recording_append(w, &frame, e);
        written(user);
    }
    bad = bad ? bad : write_notes(p, w, seen_of, n, e);
    bad = bad ? bad : recording_end(w, p->closed, e);
    if (!bad && f.scaled_count)
        log_warning("session %s: %llu full frames were scaled to %ux%u", info->id,
                    (unsigned long long)f.scaled_count, info->W, info->H);
    free(seen_of);
    journal_frames_end(&f);
    return bad;
}
