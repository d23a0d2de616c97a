/* sgaps-train: recordings -> checkpoint. */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/option.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "conf/conf.h"
#include "curves.h"
#include "io/checkpoint.h"
#include "op/op.h"
#include "train/train.h"
#include "view/plot.h"

static struct {
    const char *directory, *init, *plot, *split;
    struct option_list files, settings, validation;
    int resume;
    int64_t overfit, keep;
} options = {.keep = -1};

static const struct option_row rows[] = {
    {OPTION_TEXT, 'o', "output", &options.directory, "DIR", "directory of the run's checkpoints and metrics",
     0, 0},
    {OPTION_LIST, 'c', "config", &options.files, "FILE",
     "read configuration keys from a YAML file; repeatable", 0, 0},
    {OPTION_LIST, 0, "set", &options.settings, "KEY=VALUE", "set one configuration key; repeatable", 0, 0},
    {OPTION_FLAG, 0, "resume", &options.resume, NULL, "go on from DIR/last.h5 with its configuration", 0, 0},
    {OPTION_TEXT, 0, "init", &options.init, "CKPT", "start from the weights and the model of a checkpoint", 0,
     0},
    {OPTION_INTEGER, 0, "overfit", &options.overfit, "N",
     "learn N frames by heart: a test of data and network", 1, 1e6},
    {OPTION_LIST, 0, "validation", &options.validation, "FILE",
     "validate on this recording instead of held-out sessions; repeatable", 0, 0},
    {OPTION_CHOICE, 0, "split", &options.split, "sessions|none",
     "what is held out to validate on: whole sessions, the default, or nothing (training.validation)", 0, 0},
    {OPTION_INTEGER, 0, "keep", &options.keep, "N",
     "checkpoints to keep besides best.h5 and last.h5; default 1 (training.keep)", 0, 1e6},
    {OPTION_TEXT, 0, "plot", &options.plot, "FILE",
     "draw the run's curves at its end: a .svg or .png, - for the terminal; without recordings only draw "
     "those "
     "of DIR (needs gnuplot)",
     0, 0},
    {OPTION_END, 0, NULL, NULL, NULL, NULL, 0, 0},
};

static const struct tool tool = {
    .name = "sgaps-train",
    .purpose = "train a Sparse Pixel Transformer on recordings",
    .synopsis = "-o DIR [-c FILE]... [--set KEY=VALUE]... [--resume] [--init CKPT] [--overfit N] "
                "[--validation FILE]... [--split sessions|none] [--keep N] [--plot FILE] FILE...",
    .options = rows,
    .common = COMMON_THREADS | COMMON_SEED | COMMON_DEVICE | COMMON_PRECISION | COMMON_FORCE | COMMON_JSON |
              COMMON_DRY_RUN | COMMON_HISTORY,
    .cuda = op_cuda_available,
    .epilogue = "DIR then holds best.h5, last.h5, metrics.jsonl and example pictures. Interrupted (Ctrl-C), "
                "it finishes\n"
                "the step and writes last.h5; --resume goes on from there.\n"
                "  sgaps-train clean.h5 -o runs/demo --set model=spt-small --set training.max_minutes=10\n",
};

static volatile sig_atomic_t stop;

/* The first signal asks for an orderly end; the second takes the default action. */
static void on_signal(int number)
{
    stop = number;
    signal(number, SIG_DFL);
}

static int apply_settings(struct config *c, const struct parsed *p, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < options.files.n && !r; i++)
        r = config_file(c, options.files.items[i], e);
    for (size_t i = 0; i < options.settings.n && !r; i++)
        r = config_set(c, options.settings.items[i], e);
    char own[64];
    if (!r && options.split) {
        snprintf(own, sizeof own, "training.validation=%s", options.split);
        r = config_set(c, own, e);
    }
    if (!r && options.keep >= 0) {
        snprintf(own, sizeof own, "training.keep=%" PRId64, options.keep);
        r = config_set(c, own, e);
    }
    if (!r && p->common.seed >= 0)
        c->training.seed = (uint64_t)p->common.seed;
    if (!r && p->common.precision)
        c->training.precision = op_precision_named(p->common.precision);
    return r ? r : config_check(c, e);
}

/* What else the checkpoint of --init or --resume brings. */
struct origin {
    char *history;       /* goes on in the new checkpoints; free() it */
    uint32_t made_at[2]; /* for train_options */
};

/* --init and --resume bring the model (and --resume the rest): what is set on top must not contradict it. Of the
 * resolution that is known only beside the recordings, which may be smaller: made_at goes to the trainer. A preset's is
 * nobody's wish. */
static int configure(struct config *c, const struct parsed *p, const char *checkpoint, struct origin *origin,
                     struct err *e)
{
    struct checkpoint from;
    if (!checkpoint)
        return apply_settings(c, p, e);
    int r = checkpoint_read(&from, checkpoint, 0, e);
    if (r)
        return r;
    if (options.resume)
        r = config_from_json(c, from.config, e);
    if (!r)
        r = config_model_from_json(&c->model, from.config, e);
    if (r)
        r = err_set(e, r == ERR_UNAVAILABLE ? r : ERR_DATA, "%s: config: %s", checkpoint, strdupa(e->text));
    else
        r = mem_string(&origin->history, from.history, e);
    checkpoint_release(&from);
    const struct model_config model = c->model;
    if (!r)
        r = apply_settings(c, p, e);
    struct model_config asked = c->model;
    memcpy(asked.resolution, model.resolution, sizeof asked.resolution);
    if (config_given(c, "model.resolution"))
        memcpy(origin->made_at, model.resolution, sizeof model.resolution);
    else
        c->model = asked;
    const char *key = r ? NULL : config_model_difference(&model, &asked);
    if (key)
        r = err_set(e, ERR_CONFIG, "%s is not what %s was made with: a checkpoint brings its own model", key,
                    checkpoint);
    return r;
}

static void print_description(const struct train_description *d, int as_json)
{
    if (as_json) {
        struct json j;
        json_begin(&j, stdout, 2);
        json_object(&j);
        json_key_integer(&j, "train_frames", (int64_t)d->train_frames);
        json_key_integer(&j, "train_sessions", (int64_t)d->train_sessions);
        json_key_integer(&j, "validation_frames", (int64_t)d->validation_frames);
        json_key_integer(&j, "validation_sessions", (int64_t)d->validation_sessions);
        json_key_integer(&j, "width", d->W);
        json_key_integer(&j, "height", d->H);
        json_key_text(&j, "device", d->device);
        json_key_text(&j, "loss", d->loss);
        json_key_text(&j, "sampling", d->sampling);
        json_key_integer(&j, "batch_size", d->batch_size);
        json_key_integer(&j, "steps_per_epoch", d->steps_per_epoch);
        json_key_integer(&j, "steps", d->steps);
        json_key_number(&j, "max_minutes", d->max_minutes);
        json_key_integer(&j, "parameters", (int64_t)d->parameters);
        json_key_integer(&j, "bytes_parameters", (int64_t)d->bytes_parameters);
        json_key_integer(&j, "bytes_gradients", (int64_t)d->bytes_gradients);
        json_key_integer(&j, "bytes_moments", (int64_t)d->bytes_moments);
        json_key_integer(&j, "bytes_activations", (int64_t)d->bytes_activations);
        json_key_integer(&j, "bytes_loader", (int64_t)d->bytes_loader);
        json_end(&j);
        return;
    }
    printf("frames      %zu of %zu sessions to train, %zu of %zu sessions%s to validate, %ux%u\n",
           d->train_frames, d->train_sessions, d->validation_frames, d->validation_sessions,
           d->by_time ? " (the end of the only one)" : "", d->W, d->H);
    printf("device      %s\n", d->device);
    printf("loss        %s; samples %s\n", d->loss, d->sampling);
    printf("steps       %lld of %lld frames, %lld an epoch", (long long)d->steps, (long long)d->batch_size,
           (long long)d->steps_per_epoch);
    if (d->max_minutes > 0)
        printf(", at most %g minutes", d->max_minutes);
    printf("\nparameters  %zu\n", d->parameters);
    printf("memory      parameters %.1f MB, gradients %.1f MB, moments %.1f MB, activations %.1f MB, "
           "loader %.1f MB\n",
           (double)d->bytes_parameters / 1e6, (double)d->bytes_gradients / 1e6,
           (double)d->bytes_moments / 1e6, (double)d->bytes_activations / 1e6, (double)d->bytes_loader / 1e6);
}

static void print_result(const struct train_result *r)
{
    struct json j;
    json_begin(&j, stdout, 2);
    json_object(&j);
    json_key_integer(&j, "step", r->step);
    json_key_integer(&j, "epoch", r->epoch);
    json_key_bool(&j, "stopped", r->stopped);
    json_key_number(&j, "seconds", r->seconds);
    json_key_number(&j, "loss", r->loss);
    json_key_number(&j, "psnr", r->psnr);
    json_key_number(&j, "ssim", r->ssim);
    json_key_number(&j, "linear_psnr", r->linear_psnr);
    json_key_number(&j, "linear_ssim", r->linear_ssim);
    json_key_number(&j, "best_psnr", r->best_psnr);
    json_key_integer(&j, "best_step", r->best_step);
    json_end(&j);
}

static void show_progress(void *user, const struct train_progress *p)
{
    char text[160], left[32];
    progress_duration(p->eta, left, sizeof left);
    snprintf(text, sizeof text,
             "epoch %lld  loss %.4f  norm %.3f  lr %.1e  %.1f images/s  %.0f%% of peak  ETA %s",
             (long long)p->epoch, p->loss, p->gradient_norm, p->lr, p->images_per_second, 100 * p->peak_share,
             left);
    progress_update(user, (double)p->step, text);
}

/* For who looks on: where it got to, and where it lies. */
static void say_end(const struct train_result *r, int64_t before, int64_t warmup)
{
    char took[32];
    if (r->step == before && !r->stopped) {
        log_warning("%s: was at its end, after step %lld: a larger training.max_steps, max_minutes or epochs "
                    "takes it further",
                    options.directory, (long long)before);
        return;
    }
    if (r->step < warmup && !r->stopped)
        log_warning("the learning rate was still rising: training.warmup_steps is %lld, the run had %lld",
                    (long long)warmup, (long long)r->step);
    if (!isatty(STDERR_FILENO))
        return;
    progress_duration(r->seconds, took, sizeof took);
    fprintf(stderr, "sgaps-train: step %lld%s, %s", (long long)r->step,
            r->stopped ? " (stopped: --resume)" : "", took);
    if (!isnan(r->best_psnr))
        fprintf(stderr, "; validation %.2f dB at step %lld", r->best_psnr, (long long)r->best_step);
    if (!isnan(r->linear_psnr))
        fprintf(stderr, " (linear %.2f)", r->linear_psnr);
    fprintf(stderr, ": %s/best.h5\n", options.directory);
}

static int train(const struct train_options *o, const struct parsed *p, struct progress *progress,
                 struct err *e)
{
    struct trainer *t;
    struct train_result result = {0};
    struct train_description d;
    int r = trainer_open(&t, o, e);
    if (r)
        return r;
    trainer_describe(t, &d);
    if (p->common.dry_run) {
        print_description(&d, p->common.json);
    } else {
        log_note(
            "%zu frames of %zu sessions to train at %ux%u, %zu of %zu sessions to validate; %zu parameters",
            d.train_frames, d.train_sessions, d.W, d.H, d.validation_frames, d.validation_sessions,
            d.parameters);
        progress->before = (double)d.steps_before;
        r = trainer_run(t, &result, e);
        progress_end(progress);
        if (!r && !p->common.quiet)
            say_end(&result, d.steps_before, o->config->training.warmup_steps);
        if (!r && p->common.json)
            print_result(&result);
    }
    trainer_close(t);
    return r;
}

/* The run's directory must be free, or be asked for. */
static int check_directory(const struct parsed *p, const char *last, struct err *e)
{
    if (!options.directory)
        return err_set(e, ERR_USAGE, "-o DIR is missing: where the checkpoints go");
    if (options.plot && plot_check(options.plot, e))
        return ERR_USAGE;
    if (options.plot && !strcmp(options.plot, "-") && p->common.json)
        return err_set(e, ERR_USAGE, "--plot -: standard output has the result of --json (--plot FILE)");
    if (!p->file_count && options.plot)
        return 0;
    if (!p->file_count)
        return err_set(e, ERR_USAGE, "no recording to train on: name one or more files (--help)");
    if (options.resume && options.init)
        return err_set(e, ERR_USAGE, "--resume and --init exclude each other: both bring the weights");
    if (!options.resume && !p->common.force && !p->common.dry_run && !access(last, F_OK))
        return err_set(e, ERR_CANTCREATE,
                       "%s: is there already: --resume goes on with it, --force starts anew", last);
    return 0;
}

/* At the end of a run its checkpoints are what counts: a plot that cannot be drawn is only told. */
static void draw_curves(void)
{
    struct err e;
    if (curves_draw(options.directory, options.plot, &e))
        log_warning("%s", e.text);
}

/* last: the checkpoint to resume from. */
static int run(struct parsed *p, const char *last, struct err *e)
{
    struct config config;
    struct progress progress;
    struct origin origin = {0};
    const char *checkpoint = options.resume ? last : options.init;
    config_init(&config);
    int r = parsed_expand_directories(p, e);
    if (!r)
        r = configure(&config, p, checkpoint, &origin, e);
    if (!r) {
        char *history = tool_history(&tool, p, origin.history);
        struct train_options o = {
            .config = &config,
            .files = p->files,
            .file_count = p->file_count,
            .validation_files = options.validation.items,
            .validation_count = options.validation.n,
            .directory = options.directory,
            .checkpoint = checkpoint,
            .resume = options.resume,
            .made_at = {origin.made_at[0], origin.made_at[1]},
            .overfit = options.overfit,
            .device = p->common.device,
            .threads = (int)p->common.threads,
            .history = history,
            .no_history = p->common.no_history,
            .stop = &stop,
            .progress = show_progress,
            .user = &progress,
        };
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        progress_begin(&progress, "train", "steps", 0, p->common.quiet);
        r = train(&o, p, &progress, e);
        progress_end(&progress);
        free(history);
    }
    config_release(&config);
    free(origin.history);
    return r;
}

int main(int argc, char **argv)
{
    struct parsed p;
    struct err e = {0};
    tool_parse(&tool, &p, argc, argv, 0);
    /* Without recordings --plot draws a run that is there already, also in a script, whose standard input is no terminal. */
    if (!p.file_count && !options.plot && !isatty(STDIN_FILENO)) {
        p.files[0] = "-";
        p.file_count = 1;
    }
    char *last = NULL;
    if (asprintf(&last, "%s/last.h5", options.directory ? options.directory : "") < 0)
        return ERR_INTERNAL;
    int r = check_directory(&p, last, &e);
    if (!r && !p.file_count) {
        r = curves_draw(options.directory, options.plot, &e);
    } else if (!r) {
        r = run(&p, last, &e);
        if (!r && options.plot && !p.common.dry_run)
            draw_curves();
    }
    int code = r ? tool_fail(&e) : stop ? 128 + stop : 0;
    parsed_release(&p);
    free(last);
    return tool_finish(code);
}
