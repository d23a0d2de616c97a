/* The inputs of sgaps-sample, session by session. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sampling.h"

struct sample_request job_request(const struct job *j, const struct session_info *s, int64_t frame_id)
{
    const struct sampling_config *c = &j->conf->sampling;
    return (struct sample_request){.pattern = j->pattern,
                                   .W = s->W,
                                   .H = s->H,
                                   .n = j->n,
                                   .seed = j->seed,
                                   .session = sample_session(s->id),
                                   .frame = (uint64_t)frame_id,
                                   .hybrid_ratio = c->hybrid_ratio,
                                   .min_distance = c->min_distance,
                                   .floor = c->floor};
}

static int sample_one_session(struct job *j, struct recording *in, size_t session, struct err *e)
{
    const struct session_info *s = recording_session(in, session);
    struct session_info out = *s;
    uint8_t *keep = NULL;
    if (!s->K && s->T)
        return err_set(e, ERR_DATA, "%s: /sessions/%s: no full frames to take samples from",
                       recording_path(in), s->id);
    if (j->n > (size_t)s->W * s->H)
        return err_set(e, ERR_USAGE, "%s: /sessions/%s: -n %zu is more than the %ux%u pixels of a frame",
                       recording_path(in), s->id, j->n, s->W, s->H);
    out.has_samples = out.has_set = 1;
    out.has_frames = out.has_reconstruction = out.has_importance = 0;
    int r = recording_begin(j->out, &out, e);
    if (!r)
        r = mem_alloc(&keep, s->T, 1, "a selection", e);
    if (!r)
        r = selections_rows(&j->selections, in, session, keep, e);
    if (!r)
        r = j->recon ? closed_loop(j, in, session, keep, e) : open_loop(j, in, session, keep, e);
    free(keep);
    return r ? r : recording_end(j->out, s->closed, e);
}

int inputs_look(struct inputs *list, struct job *j, const char *const *paths, size_t n, struct err *e)
{
    size_t sessions = 0;
    int r = mem_alloc(&list->item, n, sizeof *list->item, "inputs", e);
    for (; list->n < n && !r; list->n++) {
        struct input *in = &list->item[list->n];
        struct recording *rec;
        in->path = paths[list->n];
        r = recording_open(&rec, in->path, e);
        if (r)
            break;
        sessions += recording_sessions(rec);
        r = selections_take(&j->selections, rec, &in->is_selection, e);
        if (!r && !list->history && !in->is_selection)
            r = mem_string(&list->history, recording_attribute(rec, "history"), e);
        if (!strcmp(in->path, "-") && !in->is_selection)
            in->held = rec;
        else if (r || !in->is_selection)
            recording_close(rec);
    }
    if (r || sessions)
        return r;
    return err_set(e, ERR_DATA, "%s: %s", paths[0],
                   j->selections.n ? "is a selection without its recording: name both" : "no sessions");
}

int inputs_sample(struct inputs *list, struct job *j, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < list->n && !r; i++) {
        struct input *in = &list->item[i];
        struct recording *rec = in->held;
        in->held = NULL;
        if (!rec && !in->is_selection)
            r = recording_open(&rec, in->path, e);
        for (size_t s = 0; rec && s < recording_sessions(rec) && !r; s++)
            r = sample_one_session(j, rec, s, e);
        recording_close(rec);
    }
    return r;
}

void inputs_release(struct inputs *list)
{
    for (size_t i = 0; i < list->n; i++)
        recording_close(list->item[i].held);
    free(list->item);
    free(list->history);
    *list = (struct inputs){0};
}
