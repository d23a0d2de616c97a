/* sgaps-eval: how near reconstructions come to the full frames. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cli/option.h"
#include "cli/progress.h"
#include "contest.h"
#include "op/op.h"
#include "pictures.h"
#include "report.h"
#include "view/plot.h"

enum { DEFAULT_SEED = 42, MOST_BUDGETS = 64 };

struct options {
    struct option_list models, methods;
    const char *budgets, *pattern, *plot, *pictures, *importance;
    int tsv, per_frame;
    double min_psnr;
    uint32_t size[2];
};

static int take_budgets(const char *list, struct contest *c, struct err *e)
{
    int r = mem_alloc(&c->budgets, MOST_BUDGETS, sizeof *c->budgets, "budgets", e);
    if (r || !list) {
        c->budget_count = !r; /* one: as recorded */
        return r;
    }
    for (const char *at = list; !r; at++) {
        size_t n = strcspn(at, ",");
        char number[24];
        uint64_t value = 0;
        if (c->budget_count == MOST_BUDGETS)
            return err_set(e, ERR_USAGE, "-n: more than %d budgets", MOST_BUDGETS);
        snprintf(number, sizeof number, "%.*s", n < sizeof number ? (int)n : (int)sizeof number - 1, at);
        r = parse_u64(number, 1, 1 << 28, "-n", &value, ERR_USAGE, e);
        c->budgets[c->budget_count++] = value;
        at += n;
        if (!*at)
            break;
    }
    return r;
}

static int open_model(struct contender *who, const char *path, const struct common_options *o, struct err *e)
{
    *who = (struct contender){.name = path, .is_model = 1};
    int r = mem_alloc(&who->handle, 1, sizeof *who->handle, "models", e);
    if (!r)
        r = recon_open_model(who->handle, path, o->device, omp_get_max_threads(),
                             (enum op_precision)op_precision_named(o->precision), e);
    who->handles = !r;
    return r;
}

static int open_method(struct contender *who, const char *name, struct err *e)
{
    int method = recon_method_by_name(name);
    if (method < 0)
        return err_set(e, ERR_USAGE, "--method: '%.80s' is not one of nearest, linear, natural, thumbnail",
                       name);
    size_t threads = (size_t)omp_get_max_threads();
    *who = (struct contender){.name = name};
    int r = mem_alloc(&who->handle, threads, sizeof *who->handle, "methods", e);
    for (; who->handles < threads && !r; who->handles += !r)
        r = recon_open_method(&who->handle[who->handles], (enum recon_method)method, e);
    return r;
}

static int open_contenders(const struct options *o, const struct common_options *common, struct contest *c,
                           struct err *e)
{
    int r = mem_alloc(&c->contenders, o->models.n + o->methods.n, sizeof *c->contenders, "models", e);
    for (size_t i = 0; i < o->models.n && !r; i++)
        r = open_model(&c->contenders[c->contender_count++], o->models.items[i], common, e);
    for (size_t i = 0; i < o->models.n && !r; i++)
        r = recon_check_importance(c->contenders[i].handle[0], c->importance, e);
    for (size_t i = 0; i < o->methods.n && !r; i++)
        r = open_method(&c->contenders[c->contender_count++], o->methods.items[i], e);
    return r;
}

static void close_contenders(struct contest *c)
{
    for (size_t i = 0; i < c->contender_count; i++) {
        for (size_t k = 0; k < c->contenders[i].handles; k++)
            recon_close(c->contenders[i].handle[k]);
        free(c->contenders[i].handle);
    }
    free(c->contenders);
    free(c->budgets);
}

static int check(const struct options *o, const struct parsed *p, struct err *e)
{
    size_t contenders = o->models.n + o->methods.n, pipes = 0;
    for (size_t i = 0; i < p->file_count; i++)
        pipes += !strcmp(p->files[i], "-");
    if (!p->file_count)
        return err_set(e, ERR_USAGE,
                       "no REFERENCE: wanted are full frames, and a reconstruction, -m or --method");
    if (pipes > 1)
        return err_set(e, ERR_USAGE, "standard input cannot be two files");
    if (o->budgets && !contenders)
        return err_set(e, ERR_USAGE, "-n is the budget of -m and --method: neither is given");
    if (o->tsv && p->common.json)
        return err_set(e, ERR_USAGE, "--tsv and --json: choose one");
    if (o->pattern && pattern_needs_map((enum pattern)pattern_by_name(o->pattern)))
        return err_set(e, ERR_UNAVAILABLE,
                       "--pattern %s goes from frame to frame: let sgaps-sample make the samples and "
                       "name its output as the second file",
                       o->pattern);
    if (o->plot && !strcmp(o->plot, "-") && (o->tsv || p->common.json))
        return err_set(e, ERR_USAGE, "--plot -: standard output has the figures already (--plot FILE)");
    if (o->pictures && !contenders)
        return err_set(e, ERR_USAGE, "--pictures: of what? give -m or --method");
    if (o->importance && (!o->pictures || !o->models.n))
        return err_set(e, ERR_USAGE, "--importance: is drawn on the sheets of --pictures, of a model (-m)");
    return o->plot ? plot_check(o->plot, e) : 0;
}

static void report_progress(void *user, size_t frames)
{
    progress_update(user, (double)frames, NULL);
}

/* The operands: what has no sessions is a selection, the first other is the reference, the second the reconstruction, or
 * a sparse recording whose samples the models and methods are given. */
static int open_films(const struct options *o, const struct parsed *p, struct film films[2],
                      struct contest *c, struct err *e)
{
    size_t n = 0;
    int r = 0;
    for (size_t i = 0; i < p->file_count && !r; i++) {
        struct film f;
        int taken = 0;
        r = film_open(&f, p->files[i], e);
        if (!r && f.rec)
            r = selections_take(&c->selections, f.rec, &taken, e);
        if (!r && !taken && n == 2)
            r = err_set(e, ERR_USAGE, "%s: a third film: wanted are REFERENCE and RECONSTRUCTION", f.name);
        if (r)
            film_close(&f);
        else if (!taken)
            films[n++] = f;
    }
    if (!r && !n)
        r = err_set(e, ERR_DATA, "%s: is a selection without its recording: name both", p->files[0]);
    if (!r && n == 1 && !c->contender_count)
        r = err_set(e, ERR_USAGE, "nothing to compare %s with: name a reconstruction, -m or --method",
                    films[0].name);
    if (!r && o->pictures && !films[0].rec)
        r = err_set(e, ERR_USAGE, "--pictures: %s is a stream, wanted is a recording", films[0].name);
    c->reference = &films[0];
    c->second = n > 1 ? &films[1] : NULL;
    c->compared = n > 1 && film_has_frames(&films[1]);
    if (!r && n == 2 && !c->compared && !c->contender_count)
        r = err_set(e, ERR_DATA,
                    "%s: holds samples only, neither reconstruction nor frames: -m or --method rebuilds them",
                    films[1].name);
    return r;
}

static int run(const struct options *o, const struct parsed *p, struct film films[2], struct contest *c,
               struct err *e)
{
    struct progress progress;
    int r = take_budgets(o->budgets, c, e);
    if (!r)
        r = open_contenders(o, &p->common, c, e);
    if (!r)
        r = open_films(o, p, films, c, e);
    if (r)
        return r;
    progress_begin(&progress, "eval", "frames", 0, p->common.quiet);
    r = contest_run(c, report_progress, &progress, e);
    progress_end(&progress);
    for (size_t i = 0; i < c->entry_count && !r; i++)
        if (!c->entries[i].score.frames)
            r = err_set(e, ERR_DATA, "%s: no samples are recorded: -n N draws some from the full frames",
                        c->second ? c->second->name : c->reference->name);
    return r;
}

/* The file and the models are held against --min-psnr; the methods only where there is neither. */
static int below(const struct contest *c, double least)
{
    int judged = 0, low = 0;
    for (int methods = 0; methods < 2 && !judged; methods++) {
        for (size_t i = 0; i < c->entry_count; i++) {
            const struct contender *who = c->entries[i].who;
            if (!methods && who && !who->is_model)
                continue;
            judged = 1;
            low |= score_mean(&c->entries[i].score, SCORE_PSNR) < least;
        }
    }
    return low;
}

static int report(const struct options *o, const struct parsed *p, struct contest *c, struct err *e)
{
    if (p->common.json)
        report_json(c, stdout);
    else if (o->per_frame)
        report_frames(c, stdout, o->tsv);
    else
        report_table(c, stdout, o->tsv);
    report_notes(c);
    if (o->plot && report_plot(c, o->plot, e)) {
        if (e->code != ERR_UNAVAILABLE)
            return e->code;
        log_warning("%s", e->text);
    }
    if (o->pictures && pictures_write(c, o->pictures, e))
        return e->code;
    return !isnan(o->min_psnr) && below(c, o->min_psnr) ? ERR_NO : 0;
}

int main(int argc, char **argv)
{
    struct options o = {.min_psnr = NAN};
    const struct option_row rows[] = {
        {OPTION_LIST, 'm', "model", &o.models, "CKPT", "a checkpoint to compare; may be given several times",
         0, 0},
        {OPTION_LIST, 0, "method", &o.methods, "nearest|linear|natural|thumbnail",
         "a method beside the models; may be given several times", 0, 0},
        {OPTION_TEXT, 'n', "samples", &o.budgets, "N,...",
         "samples a frame for -m and --method, drawn from the full frames; default: the recorded ones", 0, 0},
        {OPTION_CHOICE, 0, "pattern", &o.pattern, "grid|random|bluenoise|importance_only|hybrid|adaptive",
         "where the samples of -n lie; default bluenoise", 0, 0},
        {OPTION_SIZE, 0, "size", o.size, "WxH", "compare at this size; default the reference's", 0, 0},
        {OPTION_HEADING, 0, NULL, NULL, NULL, "Output", 0, 0},
        {OPTION_FLAG, 0, "tsv", &o.tsv, NULL, "tab-separated instead of an aligned table", 0, 0},
        {OPTION_FLAG, 0, "per-frame", &o.per_frame, NULL, "every frame's figures", 0, 0},
        {OPTION_TEXT, 0, "plot", &o.plot, "FILE",
         "plot PSNR against the budget: a .svg or .png, - for the terminal (needs gnuplot)", 0, 0},
        {OPTION_TEXT, 0, "pictures", &o.pictures, "DIR",
         "a sheet a session: truth, samples, methods, models, error, importance", 0, 0},
        {OPTION_CHOICE, 0, "importance", &o.importance, "entropy|variance|error|residual",
         "the map on these sheets; default entropy", 0, 0},
        {OPTION_NUMBER, 0, "min-psnr", &o.min_psnr, "DB",
         "exit 1 when the mean PSNR of the reconstruction or of a model is below", -1000, 1000},
        {.kind = OPTION_END}};
    const struct tool tool = {
        .name = "sgaps-eval",
        .purpose = "PSNR, SSIM and more of reconstructions against full frames",
        .synopsis = "[-m CKPT]... [--method M]... [-n N,...] REFERENCE [RECONSTRUCTION]",
        .options = rows,
        .common = COMMON_THREADS | COMMON_SEED | COMMON_DEVICE | COMMON_PRECISION | COMMON_JSON,
        .cuda = op_cuda_available,
        .epilogue =
            "Either file is a recording or a stream of frames (Y4M, PGM, PNG), or - for standard input.\n"
            "  sgaps-eval -m best.h5 --method linear --method thumbnail -n 125,250,500 test.h5"};
    struct parsed p;
    struct err e = {0};
    struct film films[2] = {{0}, {0}};
    tool_parse(&tool, &p, argc, argv, 0);
    struct contest c = {.pattern = o.pattern ? (enum pattern)pattern_by_name(o.pattern) : PATTERN_BLUENOISE,
                        .seed = p.common.seed < 0 ? DEFAULT_SEED : (uint64_t)p.common.seed,
                        .size = {o.size[0], o.size[1]},
                        .keep = o.per_frame,
                        .importance = o.importance
                                          ? (enum recon_importance)recon_importance_by_name(o.importance)
                                          : RECON_IMPORTANCE_ENTROPY};
    int r = check(&o, &p, &e);
    if (!r)
        r = run(&o, &p, films, &c, &e);
    if (!r)
        r = report(&o, &p, &c, &e);
    contest_release(&c);
    close_contenders(&c);
    selections_release(&c.selections);
    film_close(&films[0]);
    film_close(&films[1]);
    free(o.models.items);
    free(o.methods.items);
    parsed_release(&p);
    return tool_finish(r > ERR_NO ? tool_fail(&e) : r);
}
