/* Recordings, version 1 and older per-frame files: every session with all it has. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "import.h"

/* A row whose full frame is scaled on the way. */
static int append_scaled(struct job *job, const struct session_info *to, struct recording *r, size_t session,
                         size_t t, struct samples *samples, uint8_t *image, uint8_t *scaled, float *state,
                         struct err *e)
{
    const struct session_info *from = recording_session(r, session);
    struct frame f = {.state = state};
    uint16_t length = 0;
    int present = 0;
    int bad = recording_columns(r, session, t, 1, &f.frame_id, &f.timestamp, &f.recv_time, &f.set, e);
    bad = bad ? bad : recording_state(r, session, t, 1, state, &length, e);
    bad = bad ? bad : recording_samples(r, session, t, 1, samples, e);
    bad = bad ? bad : recording_frame(r, session, t, image, &present, e);
    f.state_n = length;
    f.samples_n = samples->n;
    f.uv = samples->uv;
    f.value = samples->value;
    f.image = !bad && present ? job_scale(to, image, from->W, from->H, scaled) : NULL;
    return bad ? bad : recording_append(job->w, &f, e);
}

static int copy_rows(struct job *job, const struct session_info *to, struct recording *r, size_t session,
                     struct err *e)
{
    const struct session_info *from = recording_session(r, session);
    struct samples samples = {0};
    uint8_t *image = NULL, *scaled = NULL;
    float *state = NULL;
    uint8_t *keep = NULL;
    size_t kept = 0;
    int same = to->W == from->W && to->H == from->H;
    int bad = mem_alloc(&state, from->S, sizeof *state, "a state", e);
    if (!same && !bad)
        bad = mem_alloc(&image, (size_t)from->W * from->H, 1, "a frame", e);
    if (!same && !bad)
        bad = mem_alloc(&scaled, (size_t)to->W * to->H, 1, "a frame", e);
    bad = bad ? bad : mem_alloc(&keep, from->T, 1, "a selection", e);
    bad = bad ? bad : selections_rows(&job->selections, r, session, keep, e);
    for (size_t t = 0; t < from->T && !bad; t++) {
        if (!keep[t] || kept++ % (size_t)job->stride)
            continue;
        bad = same ? recording_copy_row(job->w, r, session, t, &samples, e)
                   : append_scaled(job, to, r, session, t, &samples, image, scaled, state, e);
        job_count(job);
    }
    free(keep);
    free(image);
    free(scaled);
    free(state);
    samples_release(&samples);
    return bad;
}

int import_selections(struct job *job, const struct parsed *p, struct err *e)
{
    int bad = 0;
    for (size_t i = 0; i < p->file_count && !bad; i++) {
        struct recording *r = NULL;
        int taken = 0;
        if (!selection_probe(p->files[i]))
            continue;
        bad = recording_open(&r, p->files[i], e);
        bad = bad ? bad : selections_take(&job->selections, r, &taken, e);
        if (!taken)
            recording_close(r);
    }
    return bad;
}

static int is_taken(const struct job *job, const char *path)
{
    for (size_t i = 0; i < job->selections.n; i++)
        if (!strcmp(recording_path(job->selections.file[i]), path))
            return 1;
    return 0;
}

int import_recording(struct job *job, const char *path, struct err *e)
{
    struct recording *r;
    int bad = recording_open(&r, path, e);
    if (bad)
        return bad;
    if (job->state_path)
        bad = err_set(e, ERR_USAGE, "--state: is for films, a recording carries its own state");
    else if (!recording_sessions(r) && !is_taken(job, path))
        bad = err_set(e, ERR_DATA, "%s: holds no session", recording_path(r));
    for (size_t i = 0; i < recording_sessions(r) && !bad; i++) {
        struct session_info info = *recording_session(r, i);
        if (!job_wants(job, info.id))
            continue;
        info.id = job->session ? job->session : info.id;
        info.checkpoint_key = job->key ? job->key : info.checkpoint_key;
        info.fps = (job->fps > 0 ? job->fps : info.fps) / (double)job->stride;
        if (job->size[0] && (info.W != job->size[0] || info.H != job->size[1])) {
            info.W = job->size[0];
            info.H = job->size[1];
            info.has_reconstruction = info.has_importance = 0; /* of the other size */
        }
        bad = job_begin(job, &info, recording_attribute(r, "history"), e);
        bad = bad ? bad : copy_rows(job, &info, r, i, e);
        bad = bad ? bad : recording_end(job->w, info.closed != 0, e);
    }
    recording_close(r);
    return bad;
}
