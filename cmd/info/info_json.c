#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "info.h"
#include "io/message.h"

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

static void json_session(struct json *j, const struct session_info *s)
{
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

static void json_recording(struct json *j, struct recording *r, int history)
{
    size_t frames = 0, n = recording_sessions(r);
    for (size_t i = 0; i < n; i++)
        frames += recording_session(r, i)->T;
    json_key_text(j, "type", n ? "recording" : "selection");
    json_key_optional(j, "uuid", recording_attribute(r, "uuid"));
    json_key_optional(j, "creator", recording_attribute(r, "creator"));
    json_key_optional(j, "created_at", recording_attribute(r, "created_at"));
    json_key_integer(j, "frames", (int64_t)frames);
    json_key(j, "sessions");
    json_array(j);
    for (size_t i = 0; i < n; i++)
        json_session(j, recording_session(r, i));
    json_close(j);
    json_clean(j, r);
    json_key_json(j, "config", recording_attribute(r, "config"));
    if (history)
        json_lines(j, "history", recording_attribute(r, "history"));
}

static void json_checkpoint(struct json *j, const struct checkpoint *c, int history)
{
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
    if (history)
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
}

void json_content(struct json *j, const struct content *c, const struct faults *f, int history)
{
    json_object(j);
    json_key_text(j, "file", c->name);
    if (c->recording)
        json_recording(j, c->recording, history);
    if (c->checkpoint)
        json_checkpoint(j, c->checkpoint, history);
    json_faults(j, f);
    json_close(j);
}
