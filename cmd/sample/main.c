/* sgaps-sample: full-frame recording -> sparse recording. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/option.h"
#include "cli/progress.h"
#include "io/recording.h"
#include "io/selection.h"
#include "sample/sample.h"

enum { BLOCK_ROWS = 64, BLOCK_BYTES = 16 << 20, DEFAULT_SEED = 42 };

/* Some rows of a session, read at once and sampled in parallel. */
struct block {
    size_t rows, N, S, pixels;
    int64_t *frame_id, *set;
    double *timestamp, *recv_time;
    float *state, *uv; /* (rows,S), (rows,N,2) */
    uint16_t *state_len;
    uint8_t *image, *value; /* (rows,H*W), (rows,N) */
    int *present;
};

struct input {
    const char *path;
    struct recording *held; /* standard input, which opens only once */
    int is_selection;
};

struct job {
    enum pattern pattern;
    size_t n;
    uint64_t seed;
    struct recording_writer *out;
    struct input *inputs;
    size_t input_count;
    struct selections selections;
    struct progress progress;
    size_t done, without_frame;
};

static void block_release(struct block *b)
{
    void *all[] = {b->frame_id, b->set,       b->timestamp, b->recv_time, b->state,
                   b->uv,       b->state_len, b->image,     b->value,     b->present};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static int block_take(struct block *b, const struct session_info *s, size_t n, struct err *e)
{
    size_t pixels = (size_t)s->W * s->H, rows = BLOCK_BYTES / pixels;
    rows = rows < 1 ? 1 : rows > BLOCK_ROWS ? BLOCK_ROWS : rows;
    *b = (struct block){.rows = rows, .N = n, .S = s->S, .pixels = pixels};
    const struct {
        void *out;
        size_t count, size;
    } parts[] = {
        {&b->frame_id, rows, sizeof *b->frame_id},
        {&b->set, rows, sizeof *b->set},
        {&b->timestamp, rows, sizeof *b->timestamp},
        {&b->recv_time, rows, sizeof *b->recv_time},
        {&b->state, rows * s->S, sizeof *b->state},
        {&b->state_len, rows, sizeof *b->state_len},
        {&b->uv, rows * n, 2 * sizeof *b->uv},
        {&b->value, rows * n, 1},
        {&b->image, rows * pixels, 1},
        {&b->present, rows, sizeof *b->present},
    };
    int r = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !r; i++)
        r = mem_alloc(parts[i].out, parts[i].count, parts[i].size, "frames", e);
    return r;
}

/* keep (n): rows that are wanted; *present is then whether there is a frame. */
static int block_read(struct block *b, struct recording *in, size_t session, size_t t0, size_t n,
                      const uint8_t *keep, struct err *e)
{
    int r = recording_columns(in, session, t0, n, b->frame_id, b->timestamp, b->recv_time, NULL, e);
    if (!r && b->S)
        r = recording_state(in, session, t0, n, b->state, b->state_len, e);
    for (size_t i = 0; i < n && !r; i++) {
        b->present[i] = 0;
        if (keep[i])
            r = recording_frame(in, session, t0 + i, b->image + i * b->pixels, &b->present[i], e);
    }
    return r;
}

static int block_draw(struct block *b, const struct job *j, const struct session_info *s, size_t t0, size_t n,
                      struct err *e)
{
    int failed = 0;
    uint64_t session = sample_session(s->id);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++) {
        struct sample_request q = {.pattern = j->pattern,
                                   .W = s->W,
                                   .H = s->H,
                                   .n = j->n,
                                   .seed = j->seed,
                                   .session = session,
                                   .frame = (uint64_t)b->frame_id[i]};
        struct err mine;
        if (!b->present[i])
            continue;
        if (sample_draw(&q, b->uv + 2 * i * b->N, &mine)) {
#pragma omp critical
            {
                *e = mine;
                failed = 1;
            }
            continue;
        }
        sample_values(b->image + i * b->pixels, s->W, s->H, b->uv + 2 * i * b->N, b->N, b->value + i * b->N);
        b->set[i] = j->pattern == PATTERN_GRID ? 0 : (int64_t)(t0 + i); /* a grid is one set for all */
    }
    return failed ? e->code : 0;
}

static int block_write(const struct block *b, struct job *j, size_t n, const uint8_t *keep, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < n && !r; i++) {
        struct frame f = {.frame_id = b->frame_id[i],
                          .timestamp = b->timestamp[i],
                          .recv_time = b->recv_time[i],
                          .state = b->S ? b->state + i * b->S : NULL,
                          .state_n = b->S ? b->state_len[i] : 0,
                          .samples_n = b->N,
                          .uv = b->uv + 2 * i * b->N,
                          .value = b->value + i * b->N,
                          .set = b->set[i]};
        if (b->present[i])
            r = recording_append(j->out, &f, e);
        else
            j->without_frame += keep[i];
    }
    return r;
}

static int sample_session_rows(struct job *j, struct recording *in, size_t session, struct err *e)
{
    const struct session_info *s = recording_session(in, session);
    struct session_info out = *s;
    struct block b = {0};
    uint8_t *keep = NULL;
    if (!s->K)
        return err_set(e, ERR_DATA, "%s: /sessions/%s: no full frames to take samples from",
                       recording_path(in), s->id);
    if (j->n > (size_t)s->W * s->H)
        return err_set(e, ERR_USAGE, "%s: /sessions/%s: -n %zu is more than the %ux%u pixels of a frame",
                       recording_path(in), s->id, j->n, s->W, s->H);
    out.has_samples = out.has_set = 1;
    out.has_frames = out.has_reconstruction = out.has_importance = 0;
    int r = recording_begin(j->out, &out, e);
    if (!r)
        r = block_take(&b, s, j->n, e);
    if (!r)
        r = mem_alloc(&keep, s->T, 1, "a selection", e);
    if (!r)
        r = selections_rows(&j->selections, s->id, s->T, keep, e);
    for (size_t t = 0; t < s->T && !r; t += b.rows) {
        size_t n = s->T - t < b.rows ? s->T - t : b.rows;
        r = block_read(&b, in, session, t, n, keep + t, e);
        if (!r)
            r = block_draw(&b, j, s, t, n, e);
        if (!r)
            r = block_write(&b, j, n, keep + t, e);
        progress_update(&j->progress, (double)(j->done += n), NULL);
    }
    block_release(&b);
    free(keep);
    return r ? r : recording_end(j->out, s->closed, e);
}

/* A look at every input before the work: a selection counts wherever it stands, and the first history goes on. */
static int look_at_inputs(struct job *j, const struct parsed *p, char **history, struct err *e)
{
    size_t sessions = 0;
    int r = mem_alloc(&j->inputs, p->file_count, sizeof *j->inputs, "inputs", e);
    for (; j->input_count < p->file_count && !r; j->input_count++) {
        struct input *in = &j->inputs[j->input_count];
        struct recording *rec;
        in->path = p->files[j->input_count];
        r = recording_open(&rec, in->path, e);
        if (r)
            break;
        sessions += recording_sessions(rec);
        r = selections_take(&j->selections, rec, &in->is_selection, e);
        if (!r && !*history && !in->is_selection)
            r = mem_string(history, recording_attribute(rec, "history"), e);
        if (!strcmp(in->path, "-") && !in->is_selection)
            in->held = rec;
        else if (r || !in->is_selection)
            recording_close(rec);
    }
    return !r && !sessions ? err_set(e, ERR_DATA, "%s: no sessions", p->files[0]) : r;
}

static int sample_input(struct job *j, struct input *in, struct err *e)
{
    struct recording *rec = in->held;
    int r = in->held || in->is_selection ? 0 : recording_open(&rec, in->path, e);
    for (size_t s = 0; rec && s < recording_sessions(rec) && !r; s++)
        r = sample_session_rows(j, rec, s, e);
    recording_close(rec);
    in->held = NULL;
    return r;
}

static int sample_inputs(const struct tool *tool, const struct parsed *p, struct job *j, const char *before,
                         const char *output, struct err *e)
{
    char *history = tool_history(tool, p, before);
    struct recording_meta meta = {
        .creator = "sgaps-sample " SGAPS_VERSION, .history = history, .no_history = p->common.no_history};
    int r = recording_create(&j->out, output, &meta, e);
    progress_begin(&j->progress, "sample", "frames", 0, p->common.quiet);
    for (size_t i = 0; i < j->input_count && !r; i++)
        r = sample_input(j, &j->inputs[i], e);
    progress_end(&j->progress);
    free(history);
    if (!r)
        r = recording_finish(j->out, e);
    if (r && j->out)
        recording_abandon(j->out);
    else if (j->without_frame)
        log_warning("%zu rows without a full frame are left out", j->without_frame);
    return r;
}

int main(int argc, char **argv)
{
    char *history = NULL;
    const char *output = "-", *pattern = "bluenoise";
    int64_t n = 0;
    const struct option_row rows[] = {
        {OPTION_TEXT, 'o', "output", &output, "FILE", "the sparse recording; default -, standard output", 0,
         0},
        {OPTION_INTEGER, 'n', "samples", &n, "N", "samples of each frame (needed)", 1, 1 << 28},
        {OPTION_CHOICE, 0, "pattern", &pattern, "grid|random|bluenoise|importance_only|hybrid|adaptive",
         "where they lie; default bluenoise", 0, 0},
        {.kind = OPTION_END}};
    const struct tool tool = {
        .name = "sgaps-sample",
        .purpose = "take N samples of every full frame of recordings",
        .synopsis = "[-o OUT] -n N [--pattern P] FILE...",
        .options = rows,
        .common = COMMON_THREADS | COMMON_SEED | COMMON_FORCE | COMMON_HISTORY,
        .epilogue =
            "A directory among the files means every *.h5 below it.\n"
            "  sgaps-sample -n 500 test.h5 | sgaps-reconstruct -m best.h5 - | sgaps-eval test.h5 - --json"};
    struct parsed p;
    struct err e = {0};
    tool_parse(&tool, &p, argc, argv, 1);
    struct job job = {.pattern = (enum pattern)pattern_by_name(pattern),
                      .n = (size_t)n,
                      .seed = p.common.seed < 0 ? DEFAULT_SEED : (uint64_t)p.common.seed};
    int r = 0;
    if (!n)
        r = err_set(&e, ERR_USAGE, "-n N is needed: how many samples a frame has");
    else if (pattern_needs_map(job.pattern))
        r = err_set(&e, ERR_UNAVAILABLE,
                    "--pattern %s follows a model's importance: not in this version (grid, random "
                    "and bluenoise need no model)",
                    pattern_name(job.pattern));
    if (!r)
        r = parsed_expand_directories(&p, &e);
    if (!r)
        r = tool_check_output(&p, output, &e);
    if (!r)
        r = look_at_inputs(&job, &p, &history, &e);
    if (!r)
        r = sample_inputs(&tool, &p, &job, history, output, &e);
    for (size_t i = 0; i < job.input_count; i++)
        recording_close(job.inputs[i].held);
    free(job.inputs);
    free(history);
    selections_release(&job.selections);
    parsed_release(&p);
    return tool_finish(r ? tool_fail(&e) : 0);
}
