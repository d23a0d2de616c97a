#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "info.h"
#include "io/message.h"
#include "overview.h"

/* JSON that a file carries, as it is where it is sound, else as text. */
static void json_key_json(struct json *j, const char *key, const char *text)
{
    json_key(j, key);
    if (!text || !*text) {
        json_null(j);
    } else if (message_is_json(text)) {
        fputs(text, j->f);
        j->after_key = 0;
    } else {
        json_text(j, text);
    }
}

static void json_key_optional(struct json *j, const char *key, const char *text)
{
    json_key(j, key);
    if (text)
        json_text(j, text);
    else
        json_null(j);
}

static void json_lines(struct json *j, const char *key, const char *text)
{
    json_key(j, key);
    json_array(j);
    while (text && *text) {
        char one[4096];
        size_t n = strcspn(text, "\n");
        snprintf(one, sizeof one, "%.*s", (int)(n < sizeof one ? n : sizeof one - 1), text);
        json_text(j, one);
        text += n + (text[n] == '\n');
    }
    json_close(j);
}

static void json_size(struct json *j, const char *key, uint32_t w, uint32_t h)
{
    json_key(j, key);
    if (!w || !h) {
        json_null(j);
        return;
    }
    json_array(j);
    json_integer(j, w);
    json_integer(j, h);
    json_close(j);
}

static void json_state(struct json *j, const char *name, const struct state_survey *v, size_t rows)
{
    json_object(j);
    json_key_optional(j, "name", name);
    json_key_number(j, "min", v->valid ? v->low : NAN);
    json_key_number(j, "max", v->valid ? v->high : NAN);
    json_key_integer(j, "valid", (int64_t)v->valid);
    json_key_integer(j, "missing", (int64_t)(rows - v->valid));
    json_close(j);
}

static void json_bytes(struct json *j, const uint64_t bytes[RECORDING_PARTS], uint64_t file)
{
    uint64_t told = 0;
    json_key(j, "bytes");
    json_object(j);
    for (int k = 0; k < RECORDING_PARTS; k++) {
        json_key_integer(j, recording_part_names[k], (int64_t)bytes[k]);
        told += bytes[k];
    }
    if (file) {
        json_key_integer(j, "other", (int64_t)(file > told ? file - told : 0));
        json_key_integer(j, "file", (int64_t)file);
    }
    json_close(j);
}

static void json_survey(struct json *j, const struct session_info *info, const struct session_survey *s)
{
    json_key_number(j, "duration", survey_seconds(s));
    json_key_number(j, "first_timestamp", s->first);
    json_key_number(j, "last_timestamp", s->last);
    json_key_number(j, "step", s->step);
    json_key(j, "gaps");
    json_object(j);
    json_key_integer(j, "count", (int64_t)s->gaps);
    json_key_number(j, "seconds", s->gap_seconds);
    json_key_number(j, "longest", s->gaps ? s->longest : NAN);
    json_key_number(j, "longest_after", s->gaps ? (double)s->longest_after : NAN);
    json_key_integer(j, "backwards", (int64_t)s->backwards);
    json_close(j);
    json_key_integer(j, "samples_min", (int64_t)s->samples_least);
    json_key_integer(j, "samples_max", (int64_t)s->samples_most);
    json_key_integer(j, "rows_without_samples", (int64_t)s->rows_without);
    json_key_number(
        j, "coverage",
        info->has_samples && info->T ? (double)info->M / (double)info->T / ((double)info->W * info->H) : NAN);
    json_key(j, "state");
    json_array(j);
    for (size_t i = 0; i < info->S && s->state; i++)
        json_state(j, i < info->state_name_count ? info->state_names[i] : NULL, &s->state[i], info->T);
    json_close(j);
    json_bytes(j, s->bytes, 0);
}

static void json_session(struct json *j, struct recording *r, size_t session,
                         const struct session_survey *survey)
{
    const struct session_info *s = recording_session(r, session);
    char *missing = recording_noted_text(r, session, "gaps");
    json_object(j);
    json_key_text(j, "id", s->id);
    json_key_text(j, "checkpoint_key", s->checkpoint_key);
    json_key_text(j, "client_name", s->client_name);
    json_key_integer(j, "frames", (int64_t)s->T);
    json_key_integer(j, "full_frames", (int64_t)s->K);
    json_key_integer(j, "samples", (int64_t)s->M);
    json_key_number(j, "samples_per_frame", s->has_samples && s->T ? (double)s->M / (double)s->T : NAN);
    json_key_integer(j, "state_columns", (int64_t)s->S);
    json_key(j, "state_names");
    json_array(j);
    for (size_t i = 0; i < s->state_name_count; i++)
        json_text(j, s->state_names[i]);
    json_close(j);
    json_size(j, "resolution", s->W, s->H);
    json_size(j, "screen", s->screen_w, s->screen_h);
    json_key_number(j, "target_fps", s->fps > 0 ? s->fps : NAN);
    json_key_number(j, "sentinel", s->sentinel);
    json_key_number(j, "value_range", s->value_range);
    json_key(j, "closed");
    if (s->closed < 0)
        json_null(j);
    else
        json_bool(j, s->closed);
    json_key_bool(j, "has_samples", s->has_samples);
    json_key_bool(j, "has_recv_time", s->has_recv_time);
    json_key_bool(j, "has_set", s->has_set);
    json_key_optional(j, "reconstruction",
                      !s->has_reconstruction  ? NULL
                      : s->reconstruction_f32 ? "f32"
                                              : "u8");
    json_size(j, "importance", s->has_importance ? s->map_w : 0, s->map_h);
    json_key_bool(j, "older", s->older);
    json_key_json(j, "not_recorded", missing); /* frames that a server received and could not keep */
    free(missing);
    json_survey(j, s, survey);
    json_close(j);
}

/* What sgaps-clean left, or null. */
static void json_clean(struct json *j, struct recording *r)
{
    char *counts = recording_clean_text(r, "counts"), *parameters = recording_clean_text(r, "parameters");
    json_key(j, "clean");
    if (counts) {
        json_object(j);
        json_key_json(j, "counts", counts);
        json_key_json(j, "parameters", parameters);
        json_close(j);
    } else {
        json_null(j);
    }
    free(counts);
    free(parameters);
}

static void json_overview(struct json *j, const struct overview *o, uint64_t file)
{
    json_key_integer(j, "full_frames", (int64_t)o->full);
    json_key_number(j, "duration", o->seconds > 0 ? o->seconds : NAN);
    json_key_integer(j, "samples", (int64_t)o->samples);
    json_key_number(j, "samples_per_frame",
                    o->sampled_rows ? (double)o->samples / (double)o->sampled_rows : NAN);
    json_key_number(j, "coverage", overview_coverage(o));
    json_key_integer(j, "gaps", (int64_t)o->gaps);
    json_key_integer(j, "not_closed", (int64_t)o->not_closed);
    json_key(j, "state");
    json_array(j);
    for (size_t i = 0; i < o->columns; i++)
        json_state(j, o->column[i].name, &o->column[i].values, o->column[i].rows);
    json_close(j);
    json_bytes(j, o->bytes, file);
}

static int json_recording(struct json *j, const struct content *c, struct err *e)
{
    struct recording *r = c->recording;
    struct overview o = {0};
    struct err later;
    size_t frames = 0, n = recording_sessions(r);
    int code = 0;
    for (size_t i = 0; i < n; i++)
        frames += recording_session(r, i)->T;
    json_key_text(j, "type", n ? "recording" : "selection");
    json_key_optional(j, "uuid", recording_attribute(r, "uuid"));
    json_key_optional(j, "creator", recording_attribute(r, "creator"));
    json_key_optional(j, "created_at", recording_attribute(r, "created_at"));
    json_key_integer(j, "frames", (int64_t)frames);
    json_key(j, "sessions");
    json_array(j);
    for (size_t i = 0; i < n; i++) {
        struct session_survey s;
        int failed = overview_add(&o, r, i, &s, code ? &later : e);
        code = code ? code : failed;
        json_session(j, r, i, &s);
        session_survey_release(&s);
    }
    json_close(j);
    if (n)
        json_overview(j, &o, c->bytes);
    overview_release(&o);
    json_clean(j, r);
    json_key_json(j, "config", recording_attribute(r, "config"));
    json_lines(j, "history", recording_attribute(r, "history"));
    return code;
}

static void json_checkpoint(struct json *j, const struct content *content)
{
    const struct checkpoint *c = content->checkpoint;
    uint32_t W, H;
    size_t n;
    double flops = checkpoint_flops(c, &W, &H, &n);
    json_key_text(j, "type", "checkpoint");
    json_key_text(j, "checkpoint_key", c->checkpoint_key);
    json_key_text(j, "creator", c->creator);
    json_key_text(j, "created_at", c->created_at);
    json_key_integer(j, "epoch", c->epoch);
    json_key_integer(j, "step", c->step);
    json_key_text(j, "metric", c->metric);
    json_key_number(j, "score", c->score);
    json_key(j, "seed");
    fprintf(j->f, "%llu", (unsigned long long)c->seed); /* may be above the signed range */
    j->after_key = 0;
    json_key_text(j, "data_uuid", c->data_uuid);
    json_key_integer(j, "parameters", (int64_t)checkpoint_parameters(c));
    json_key_integer(j, "bytes", (int64_t)content->bytes);
    json_key_number(j, "flops_per_frame", flops);
    json_key_number(j, "flops_samples", isfinite(flops) ? (double)n : NAN);
    json_key(j, "tensors");
    json_array(j);
    for (size_t i = 0; i < c->tensor_count; i++) {
        json_object(j);
        json_key_text(j, "name", c->tensors[i].name);
        json_key(j, "shape");
        json_array(j);
        for (int d = 0; d < c->tensors[i].dims; d++)
            json_integer(j, (int64_t)c->tensors[i].shape[d]);
        json_close(j);
        json_close(j);
    }
    json_close(j);
    json_key_bool(j, "optimizer", c->exp_avg != NULL);
    json_key_bool(j, "state_norm", c->state_n > 0);
    json_key_json(j, "config", c->config);
    json_lines(j, "history", c->history);
}

void json_faults(struct json *j, const struct faults *f)
{
    if (!f->checked)
        return;
    json_key_bool(j, "sound", f->n == 0);
    json_key(j, "faults");
    json_array(j);
    for (size_t i = 0; i < f->n; i++)
        json_text(j, f->text[i]);
    json_close(j);
    json_key(j, "notes");
    json_array(j);
    for (size_t i = 0; i < f->notes; i++)
        json_text(j, f->note[i]);
    json_close(j);
}

int json_content(struct json *j, const struct content *c, const struct faults *f, struct err *e)
{
    int code = 0;
    json_object(j);
    json_key_text(j, "file", c->name);
    if (c->recording)
        code = json_recording(j, c, e);
    if (c->checkpoint)
        json_checkpoint(j, c);
    json_faults(j, f);
    json_close(j);
    return f->checked ? 0 : code; /* then the faults say it */
}
