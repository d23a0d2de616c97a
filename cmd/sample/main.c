/* sgaps-sample: full-frame recording -> sparse recording. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/option.h"
#include "live/policy.h"
#include "op/op.h"
#include "sampling.h"

static struct {
    const char *output, *pattern, *model, *importance, *schedule;
    struct option_list files, settings;
    int64_t n, latency;
} options = {.output = "-"};

static const struct option_row rows[] = {
    {OPTION_TEXT, 'o', "output", &options.output, "FILE", "the sparse recording; default -, standard output",
     0, 0},
    {OPTION_INTEGER, 'n', "samples", &options.n, "N", "samples of each frame (needed)", 1, 1e8},
    {OPTION_CHOICE, 0, "pattern", &options.pattern,
     "grid|random|bluenoise|importance|importance_only|hybrid|adaptive", "where they lie; default bluenoise",
     0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "Closed loop: where to look depends on what was seen", 0, 0},
    {OPTION_TEXT, 'm', "model", &options.model, "CKPT", "the checkpoint that rebuilds the frames", 0, 0},
    {OPTION_CHOICE, 0, "importance", &options.importance, "entropy|variance|error|residual|none",
     "the map to follow; default entropy; residual needs no model", 0, 0},
    {OPTION_CHOICE, 0, "schedule", &options.schedule, "fixed|adaptive|quality_based",
     "when a new set is sent; default fixed, every 5 frames", 0, 0},
    {OPTION_INTEGER, 0, "latency", &options.latency, "FRAMES",
     "a set serves from this many frames after the one it was computed from; default 1", 1, 10000},
    {OPTION_LIST, 'c', "config", &options.files, "FILE",
     "read configuration keys from a YAML file; repeatable", 0, 0},
    {OPTION_LIST, 0, "set", &options.settings, "KEY=VALUE",
     "set one key of sampling or mask_update; repeatable", 0, 0},
    {.kind = OPTION_END}};

static const struct tool tool = {
    .name = "sgaps-sample",
    .purpose = "take N samples of every full frame of recordings",
    .synopsis =
        "[-o OUT] -n N [--pattern P] [-m CKPT] [--schedule S] [--importance KIND] [--latency FRAMES] FILE...",
    .options = rows,
    .common = COMMON_THREADS | COMMON_SEED | COMMON_DEVICE | COMMON_PRECISION | COMMON_FORCE | COMMON_JSON |
              COMMON_HISTORY,
    .cuda = op_cuda_available,
    .epilogue =
        "A directory among the files means every *.h5 below it.\n"
        "  sgaps-sample -n 500 test.h5 | sgaps-reconstruct -m best.h5 - | sgaps-eval test.h5 - --json\n"
        "  sgaps-sample -n 500 --pattern adaptive -m best.h5 --latency 2 test.h5 -o adaptive.h5"};

/* Defaults < files < --set < the tool's own options. */
static int configure(struct config *c, struct err *e)
{
    int r = 0;
    config_init(c);
    for (size_t i = 0; i < options.files.n && !r; i++)
        r = config_file(c, options.files.items[i], e);
    for (size_t i = 0; i < options.settings.n && !r; i++)
        r = config_set(c, options.settings.items[i], e);
    if (r || (r = config_check(c, e)))
        return r;
    if (options.pattern)
        snprintf(c->sampling.strategy, sizeof c->sampling.strategy, "%s",
                 pattern_name((enum pattern)pattern_by_name(options.pattern)));
    if (options.importance)
        snprintf(c->sampling.importance, sizeof c->sampling.importance, "%s", options.importance);
    if (options.schedule)
        snprintf(c->mask_update.mode, sizeof c->mask_update.mode, "%s", options.schedule);
    if (options.n)
        c->sampling.default_sample_count = options.n;
    else if (!config_given(c, "sampling.default_sample_count"))
        return err_set(e, ERR_USAGE, "-n N is needed: how many samples a frame has");
    return 0;
}

static void fill_job(struct job *j, const struct config *c, const struct parsed *p)
{
    *j = (struct job){.pattern = (enum pattern)pattern_by_name(c->sampling.strategy),
                      .n = (size_t)c->sampling.default_sample_count,
                      .seed = p->common.seed < 0 ? POLICY_SEED : (uint64_t)p->common.seed,
                      .conf = c,
                      .latency = options.latency ? (size_t)options.latency : 1};
}

/* The loop is closed where something asks for it. Without a model linear interpolation rebuilds the frames, which only
 * the quality of a schedule looks at, and the map is the residual at the samples. */
static int open_recon(struct job *j, const struct parsed *p, struct err *e)
{
    int map = pattern_needs_map(j->pattern);
    const char *importance = j->conf->sampling.importance;
    if (!options.model && map && strcmp(importance, "residual") && strcmp(importance, "none"))
        return err_set(e, ERR_USAGE,
                       "--pattern %s follows a map of importance: give -m CKPT, or --importance=residual, "
                       "which needs no model",
                       pattern_name(j->pattern));
    if (options.model) {
        int r = recon_open_model(&j->recon, options.model, p->common.device, omp_get_max_threads(),
                                 (enum op_precision)op_precision_named(p->common.precision), e);
        return r || !map ? r
                         : recon_check_importance(
                               j->recon, (enum recon_importance)recon_importance_by_name(importance), e);
    }
    if (map || options.schedule || options.latency)
        return recon_open_method(&j->recon, RECON_LINEAR, e);
    return 0;
}

static int sample_all(struct job *j, struct inputs *list, const struct parsed *p, struct err *e)
{
    char *history = tool_history(&tool, p, list->history), *conf = config_json(j->conf);
    struct recording_meta meta = {.creator = "sgaps-sample " SGAPS_VERSION,
                                  .history = history,
                                  .config = conf,
                                  .no_history = p->common.no_history};
    int r = recording_create(&j->out, options.output, &meta, e);
    progress_begin(&j->progress, "sample", "frames", 0, p->common.quiet);
    if (!r)
        r = inputs_sample(list, j, e);
    progress_end(&j->progress);
    free(history);
    free(conf);
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
    struct parsed p;
    struct config conf;
    struct job job = {0};
    struct inputs list = {0};
    struct err e = {0};
    tool_parse(&tool, &p, argc, argv, 1);
    int r = configure(&conf, &e);
    if (!r)
        r = parsed_expand_directories(&p, &e);
    if (!r)
        r = tool_check_output(&p, options.output, &e);
    if (!r)
        r = tool_check_json(&p, options.output, &e);
    if (!r) {
        fill_job(&job, &conf, &p);
        r = open_recon(&job, &p, &e);
    }
    if (!r)
        r = inputs_look(&list, &job, p.files, p.file_count, &e);
    if (!r)
        r = sample_all(&job, &list, &p, &e);
    if (!r)
        tool_written(&p, options.output, job.done);
    inputs_release(&list);
    selections_release(&job.selections);
    recon_close(job.recon);
    config_release(&conf);
    free(options.files.items);
    free(options.settings.items);
    parsed_release(&p);
    return tool_finish(r ? tool_fail(&e) : 0);
}
