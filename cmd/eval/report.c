#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/output.h"
#include "view/plot.h"

static const int decimals[SCORE_METRICS] = {3, 4, 4, 4, 3, 0, 3, 3};

static const char *entry_name(const struct contest *c, const struct entry *entry)
{
    return entry->who ? entry->who->name : c->second->name;
}

/* Samples a frame: the budget, or the mean of what was recorded; NAN where none are known. */
static double entry_samples(const struct contest *c, const struct entry *entry)
{
    const struct score *s = &entry->score;
    if (entry->who && c->budgets[entry->budget])
        return (double)c->budgets[entry->budget];
    return s->frames && s->samples > 0 ? s->samples / (double)s->frames : NAN;
}

static void count_cell(struct table *t, double n)
{
    table_number(t, n, isfinite(n) && n != floor(n) ? 1 : 0);
}

void report_table(const struct contest *c, FILE *f, int tsv)
{
    static const char *const headings[] = {"method",      "n",     "frames",          "identical", "psnr",
                                           "psnr_pooled", "ssim",  "ssim_7u",         "ms_ssim",   "mae",
                                           "peak",        "tpsnr", "psnr_off_samples"};
    struct table t;
    table_begin(&t, sizeof headings / sizeof *headings, headings);
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct entry *entry = &c->entries[i];
        const struct score *s = &entry->score;
        table_cell(&t, "%s", entry_name(c, entry));
        count_cell(&t, entry_samples(c, entry));
        table_cell(&t, "%zu", s->frames);
        table_cell(&t, "%zu", s->identical);
        table_number(&t, score_mean(s, SCORE_PSNR), tsv ? 6 : 3);
        table_number(&t, score_psnr_pooled(s), tsv ? 6 : 3);
        for (int m = SCORE_SSIM; m < SCORE_METRICS; m++)
            table_number(&t, score_mean(s, (enum score_metric)m),
                         tsv               ? 6
                         : m == SCORE_PEAK ? 1
                                           : decimals[m]);
    }
    table_print(&t, f, tsv);
    table_release(&t);
}

void report_frames(const struct contest *c, FILE *f, int tsv)
{
    const char *headings[5 + SCORE_METRICS] = {"method", "n", "session", "frame_id", "samples"};
    struct table t;
    for (int m = 0; m < SCORE_METRICS; m++)
        headings[5 + m] = score_names[m];
    table_begin(&t, 5 + SCORE_METRICS, headings);
    for (size_t i = 0; i < c->entry_count; i++) {
        const struct entry *entry = &c->entries[i];
        for (size_t k = 0; k < entry->score.frames; k++) {
            const struct frame_score *x = &entry->score.each[k];
            table_cell(&t, "%s", entry_name(c, entry));
            count_cell(&t, entry_samples(c, entry));
            table_cell(&t, "%s", x->session);
            table_cell(&t, "%lld", (long long)x->frame_id);
            table_cell(&t, "%zu", x->samples);
            for (int m = 0; m < SCORE_METRICS; m++)
                table_number(&t, x->value[m], tsv ? 6 : decimals[m]);
        }
    }
    table_print(&t, f, tsv);
    table_release(&t);
}

static void json_score(struct json *j, const struct score *s)
{
    json_key_integer(j, "frames", (int64_t)s->frames);
    json_key_integer(j, "identical", (int64_t)s->identical);
    for (int m = 0; m < SCORE_METRICS; m++) {
        const struct metric_stat *stat = &s->stat[m];
        json_key(j, score_names[m]);
        json_object(j);
        json_key_number(j, "mean", stat->n ? stat->mean : NAN);
        json_key_number(j, "min", stat->n ? stat->min : NAN);
        json_key_number(j, "max", stat->n ? stat->max : NAN);
        json_key_number(j, "std", metric_stat_std(stat));
        json_close(j);
    }
    json_key_number(j, "psnr_pooled", score_psnr_pooled(s));
    if (s->scale.n <= 0)
        return;
    json_key(j, "error_head");
    json_object(j);
    json_key_number(j, "correlation", metric_scale_correlation(&s->scale));
    json_key_number(j, "nll", metric_scale_nll(&s->scale));
    json_key_number(j, "nll_constant", metric_scale_nll_constant(&s->scale));
    json_key_number(j, "within_median", metric_scale_within(&s->scale));
    json_close(j);
}

static void json_frames(struct json *j, const struct score *s)
{
    json_key(j, "per_frame");
    json_array(j);
    for (size_t k = 0; k < s->frames; k++) {
        const struct frame_score *x = &s->each[k];
        json_object(j);
        json_key_text(j, "session", x->session);
        json_key_integer(j, "frame_id", x->frame_id);
        json_key_integer(j, "samples", (int64_t)x->samples);
        json_key_bool(j, "identical", x->mse == 0);
        for (int m = 0; m < SCORE_METRICS; m++)
            json_key_number(j, score_names[m], x->value[m]);
        json_close(j);
    }
    json_close(j);
}

void report_json(const struct contest *c, FILE *f)
{
    struct json j;
    json_begin(&j, f, 1);
    json_object(&j);
    json_key_text(&j, "reference", c->reference->name);
    if (c->compared)
        json_key_text(&j, "reconstruction", c->second->name);
    /* One thing compared: its figures stand at the top, whether it came as a file or as a model. */
    if (c->compared || c->entry_count == 1) {
        json_score(&j, &c->entries[0].score);
        if (c->keep)
            json_frames(&j, &c->entries[0].score);
    }
    if (c->contender_count) {
        json_key(&j, "rows");
        json_array(&j);
        for (size_t i = (size_t)c->compared; i < c->entry_count; i++) {
            const struct entry *entry = &c->entries[i];
            json_object(&j);
            json_key_text(&j, "method", entry_name(c, entry));
            json_key_number(&j, "n", entry_samples(c, entry));
            json_score(&j, &entry->score);
            if (c->keep)
                json_frames(&j, &entry->score);
            json_close(&j);
        }
        json_close(&j);
    }
    json_close(&j);
    json_end(&j);
}

void report_notes(const struct contest *c)
{
    static const char *const why[SCORE_METRICS] = {[SCORE_SSIM] = "the frame is smaller than 11x11",
                                                   [SCORE_SSIM_7U] = "the frame is smaller than 7x7",
                                                   [SCORE_MS_SSIM] = "the shorter side is not over 160",
                                                   [SCORE_TPSNR] = "no two frames of a session",
                                                   [SCORE_PSNR_OFF] = "the samples are not known"};
    char text[512] = "";
    for (int m = 0; m < SCORE_METRICS; m++) {
        size_t at = strlen(text);
        int missing = 0;
        for (size_t i = 0; i < c->entry_count; i++) {
            const struct metric_stat *s = &c->entries[i].score.stat[m];
            missing |= !s->n && !s->identical;
        }
        if (missing && why[m])
            snprintf(text + at, sizeof text - at, "%s%s (%s)", *text ? ", " : "", score_names[m], why[m]);
    }
    if (*text)
        log_warning("not computed: %s", text);
    struct {
        size_t n;
        const char *what;
    } out[] = {{c->unmatched, "frames that are on one side only"},
               {c->frameless, "rows without a full frame"},
               {c->sampleless, "frames without samples"}};
    *text = 0;
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        size_t at = strlen(text);
        if (out[i].n)
            snprintf(text + at, sizeof text - at, "%s%zu %s", *text ? ", " : "", out[i].n, out[i].what);
    }
    if (*text)
        log_warning("left out: %s", text);
}

/* A curve for each model, method and file; one budget is a point. */
int report_plot(const struct contest *c, const char *path, struct err *e)
{
    struct plot p = {0};
    const struct entry *rows = c->entries + c->compared;
    double low = INFINITY, high = 0;
    for (size_t i = 0; i < c->entry_count; i++) {
        double n = entry_samples(c, &c->entries[i]);
        if (n > 0) {
            low = fmin(low, n);
            high = fmax(high, n);
        }
    }
    plot_panel(&p, "Quality against the budget", "samples a frame", "mean PSNR, dB",
               high >= 8 * low ? PLOT_LOG_X : 0);
    if (c->compared) {
        double n = entry_samples(c, c->entries);
        plot_series(&p, c->second->name, PLOT_LINE);
        plot_point(&p, isfinite(n) ? n : 0, score_mean(&c->entries->score, SCORE_PSNR));
    }
    for (size_t i = 0; i < c->contender_count; i++) {
        plot_series(&p, c->contenders[i].name, PLOT_LINE);
        for (size_t k = 0; k < c->budget_count; k++) {
            const struct entry *entry = &rows[k * c->contender_count + i];
            plot_point(&p, entry_samples(c, entry), score_mean(&entry->score, SCORE_PSNR));
        }
    }
    int r = plot_draw(&p, path, e);
    plot_release(&p);
    return r;
}
