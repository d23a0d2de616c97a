#include "overview.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

double survey_seconds(const struct session_survey *s)
{
    return s->last - s->first + (isnan(s->step) ? 0 : s->step);
}

static int add_columns(struct overview *o, const struct session_info *info, const struct session_survey *s,
                       struct err *e)
{
    size_t before = o->columns;
    int r = mem_grow(&o->column, &o->capacity, info->S, sizeof *o->column, "the state's columns", e);
    if (r || !s->state)
        return r;
    o->columns = info->S > before ? info->S : before;
    for (size_t i = 0; i < info->S; i++) {
        struct overview_column *c = &o->column[i];
        const struct state_survey *v = &s->state[i];
        const char *name = i < info->state_name_count ? info->state_names[i] : NULL;
        if (i >= before)
            *c = (struct overview_column){.name = name};
        else if (!name || !c->name || strcmp(name, c->name))
            c->name = NULL;
        if (v->valid) {
            c->values.low = c->values.valid ? fminf(c->values.low, v->low) : v->low;
            c->values.high = c->values.valid ? fmaxf(c->values.high, v->high) : v->high;
        }
        c->values.valid += v->valid;
        c->rows += info->T;
    }
    return 0;
}

int overview_add(struct overview *o, struct recording *r, size_t i, struct session_survey *s, struct err *e)
{
    const struct session_info *info = recording_session(r, i);
    int code = recording_survey(r, i, s, e);
    double seconds = survey_seconds(s);
    o->sessions++;
    o->frames += info->T;
    o->full += info->K;
    o->not_closed += info->closed == 0;
    o->seconds += isnan(seconds) ? 0 : seconds;
    o->gaps += s->gaps;
    o->backwards += s->backwards;
    o->gap_seconds += s->gap_seconds;
    if (s->longest > o->longest) {
        o->longest = s->longest;
        o->longest_session = i;
        o->longest_after = s->longest_after;
    }
    if (info->has_samples && info->T) {
        o->samples_least =
            o->sampled_rows && o->samples_least < s->samples_least ? o->samples_least : s->samples_least;
        o->samples_most = o->samples_most > s->samples_most ? o->samples_most : s->samples_most;
        o->rows_without += s->rows_without;
        o->samples += info->M;
        o->sampled_rows += info->T;
        o->coverage_sum += (double)info->M / ((double)info->W * info->H);
    }
    for (int k = 0; k < RECORDING_PARTS; k++)
        o->bytes[k] += s->bytes[k];
    return code ? code : add_columns(o, info, s, e);
}

void overview_release(struct overview *o)
{
    free(o->column);
    *o = (struct overview){0};
}

double overview_coverage(const struct overview *o)
{
    return o->sampled_rows ? o->coverage_sum / (double)o->sampled_rows : NAN;
}
