#include "io/recording_survey.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/recording_private.h"

enum { ROWS = 4096, STATE_VALUES = 1 << 18 };
static const double gap_steps = 2.5; /* one frame lost is no gap yet */

const char *const recording_part_names[RECORDING_PARTS] = {
    [PART_FRAMES] = "frames",         [PART_RECONSTRUCTION] = "reconstruction",
    [PART_IMPORTANCE] = "importance", [PART_SAMPLES] = "samples",
    [PART_STATE] = "state",           [PART_TIMES] = "times"};

static const enum recording_part part_of[COLUMNS] = {
    [FRAME_ID] = PART_TIMES,       [TIMESTAMP] = PART_TIMES, [RECV_TIME] = PART_TIMES,
    [STATE] = PART_STATE,          [STATE_LEN] = PART_STATE, [SAMPLE_SET] = PART_SAMPLES,
    [OFFSET] = PART_SAMPLES,       [UV] = PART_SAMPLES,      [VALUE] = PART_SAMPLES,
    [FRAMES] = PART_FRAMES,        [FRAMES_T] = PART_FRAMES, [RECONSTRUCTION] = PART_RECONSTRUCTION,
    [IMPORTANCE] = PART_IMPORTANCE};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of the steps forward between the first n timestamps. */
static double usual_step(const double *time, size_t n)
{
    double step[ROWS];
    size_t steps = 0;
    for (size_t i = 1; i < n; i++)
        if (time[i] > time[i - 1])
            step[steps++] = time[i] - time[i - 1];
    qsort(step, steps, sizeof *step, by_size);
    return steps ? step[steps / 2] : NAN;
}

static int survey_times(struct recording *r, size_t session, struct session_survey *s, struct err *e)
{
    size_t T = recording_session(r, session)->T;
    double time[ROWS];
    int bad = 0;
    for (size_t t = 0; t < T && !bad; t += ROWS) {
        size_t n = T - t < ROWS ? T - t : ROWS;
        bad = recording_columns(r, session, t, n, NULL, time, NULL, NULL, e);
        if (!bad && !t)
            s->step = usual_step(time, n);
        for (size_t i = 0; i < n && !bad; i++) {
            if (!isfinite(time[i]))
                continue;
            double step = time[i] - s->last; /* NAN before the first */
            s->backwards += step < 0;
            if (step > gap_steps * s->step) {
                s->gaps++;
                s->gap_seconds += step;
                if (step > s->longest) {
                    s->longest = step;
                    s->longest_after = t + i - 1;
                }
            }
            s->first = isnan(s->first) ? time[i] : s->first;
            s->last = time[i];
        }
    }
    return bad;
}

static int survey_samples(struct recording *r, size_t session, struct session_survey *s, struct err *e)
{
    const struct session_info *info = recording_session(r, session);
    size_t count[ROWS];
    int bad = 0;
    s->samples_least = info->has_samples && info->T ? SIZE_MAX : 0;
    for (size_t t = 0; info->has_samples && t < info->T && !bad; t += ROWS) {
        size_t n = info->T - t < ROWS ? info->T - t : ROWS;
        bad = recording_counts(r, session, t, n, count, e);
        for (size_t i = 0; i < n && !bad; i++) {
            s->samples_least = count[i] < s->samples_least ? count[i] : s->samples_least;
            s->samples_most = count[i] > s->samples_most ? count[i] : s->samples_most;
            s->rows_without += !count[i];
        }
    }
    if (bad)
        s->samples_least = 0;
    return bad;
}

static void take_state(struct session_survey *s, const float *row, size_t len, float sentinel)
{
    for (size_t i = 0; i < len; i++) {
        struct state_survey *column = &s->state[i];
        float x = row[i];
        if (!isfinite(x) || x == sentinel)
            continue;
        column->low = !column->valid || x < column->low ? x : column->low;
        column->high = !column->valid || x > column->high ? x : column->high;
        column->valid++;
    }
}

static int survey_state(struct recording *r, size_t session, struct session_survey *s, struct err *e)
{
    const struct session_info *info = recording_session(r, session);
    if (!info->S)
        return 0;
    size_t rows = STATE_VALUES / info->S > ROWS ? ROWS : STATE_VALUES / info->S;
    float *state = NULL;
    uint16_t len[ROWS];
    int bad = mem_alloc(&s->state, info->S, sizeof *s->state, "a survey", e);
    bad = bad ? bad : mem_alloc(&state, rows * info->S, sizeof *state, "a survey", e);
    for (size_t t = 0; t < info->T && !bad; t += rows) {
        size_t n = info->T - t < rows ? info->T - t : rows;
        bad = recording_state(r, session, t, n, state, len, e);
        for (size_t i = 0; i < n && !bad; i++)
            take_state(s, state + i * info->S, len[i], info->sentinel);
    }
    free(state);
    return bad;
}

int recording_survey(struct recording *r, size_t session, struct session_survey *s, struct err *e)
{
    struct session *open;
    *s = (struct session_survey){.first = NAN, .last = NAN, .step = NAN};
    int bad = recording_use(r, session, &open, e);
    for (int i = 0; i < COLUMNS && !bad && !open->older; i++)
        if (open->column[i].id > 0)
            s->bytes[part_of[i]] += H5Dget_storage_size(open->column[i].id);
    /* Without timestamps and a rate nobody knows. */
    if (!bad && (open->older || open->column[TIMESTAMP].id > 0 || open->info.fps > 0))
        bad = survey_times(r, session, s, e);
    bad = bad ? bad : survey_samples(r, session, s, e);
    return bad ? bad : survey_state(r, session, s, e);
}

void session_survey_release(struct session_survey *s)
{
    free(s->state);
    s->state = NULL;
}
