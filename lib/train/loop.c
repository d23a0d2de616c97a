/* The training loop: a step, what is due after it, and the end. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "op/op_probe.h"
#include "train/keep.h"
#include "train/loader.h"
#include "train/trainer.h"

/* A run that is killed outright loses at most this much. */
static const double write_every = 300;

/* --- checkpoints --- */

static int write_to(struct trainer *t, const char *name, int with_optimizer, double score, struct err *e)
{
    const struct dataset_session *first = dataset_session(t->data, 0);
    struct snapshot_info info = {
        .config = &t->config,
        .checkpoint_key = first->checkpoint_key,
        .data_uuid = dataset_uuid(t->data),
        .history = t->options.history,
        .metric = isnan(score)                ? "none"
                  : t->validation.plan.target ? "psnr"
                                              : "heldout_psnr",
        .score = score,
        .no_history = t->options.no_history,
    };
    char *path = trainer_path(t, name);
    if (!path)
        return err_memory(e, "a file name", 0);
    /* Only a limit in minutes asks for it when the run goes on; without one, same input, same bytes. */
    int timed = !t->options.no_history || t->config.training.max_minutes > 0;
    t->state.elapsed = timed ? trainer_elapsed(t) : 0;
    int code = snapshot_write(path, t->model, &t->optimizer, &t->state, &info, with_optimizer, e);
    free(path);
    return code;
}

static int write_last(struct trainer *t, struct err *e)
{
    int code = write_to(t, "last.h5", 1, t->psnr, e);
    t->last_written = clock_seconds();
    t->wrote_last = 1;
    return code;
}

/* --- validation --- */

static int write_picture(struct trainer *t, struct err *e)
{
    char name[48];
    snprintf(name, sizeof name, "examples/%06lld.png", (long long)t->state.step);
    char *path = trainer_path(t, name);
    if (!path)
        return err_memory(e, "a file name", 0);
    int code = atomic_file_make_parents(path, e);
    if (!code)
        code = validation_picture(&t->validation, t->model, path, e);
    free(path);
    return code;
}

static int validate(struct trainer *t, struct err *e)
{
    struct validation *v = &t->validation;
    struct validation_result r;
    int code = validation_run(v, t->model, &t->losses, &t->loss, &r, e);
    if (code)
        return code;
    t->psnr = r.psnr;
    t->ssim = r.ssim;
    if (v->plan.target)
        log_note("step %lld: validation %.2f dB, SSIM %.4f; linear %.2f dB, %.4f (%zu frames)",
                 (long long)t->state.step, r.psnr, r.ssim, v->linear_psnr, v->linear_ssim, v->rows.n);
    else
        log_note("step %lld: validation %.2f dB at withheld samples; linear %.2f dB (%zu frames)",
                 (long long)t->state.step, r.psnr, v->linear_psnr, v->rows.n);
    if (r.scale.n > 0)
        log_note(
            "step %lld: scale of the error: nll %.3f, of one scale for all pixels %.3f; correlation %.3f",
            (long long)t->state.step, metric_scale_nll(&r.scale), metric_scale_nll_constant(&r.scale),
            metric_scale_correlation(&r.scale));
    const struct metrics_value values[] = {
        {"Val/loss", r.loss},
        {"Val/PSNR", r.psnr},
        {"Val/SSIM", r.ssim},
        {"Val/linear_PSNR", v->linear_psnr},
        {"Val/linear_SSIM", v->linear_ssim},
        {"Val/nll", metric_scale_nll(&r.scale)},
        {"Val/nll_constant", metric_scale_nll_constant(&r.scale)},
        {"Val/error_correlation", metric_scale_correlation(&r.scale)},
    };
    size_t n = sizeof values / sizeof *values;
    if (r.scale.n <= 0)
        n -= 3;
    code = metrics_log_write(&t->log, t->state.step, t->state.epoch, values, n, e);
    if (!code)
        code = write_picture(t, e);
    if (code || !(r.psnr > t->state.best || isnan(t->state.best)))
        return code;
    t->state.best = r.psnr;
    t->state.best_step = t->state.step;
    return write_to(t, "best.h5", 0, r.psnr, e);
}

/* Validation where there is one, then last.h5 and its kept twin. */
static int milestone(struct trainer *t, struct err *e)
{
    int code = t->validation.count ? validate(t, e) : 0;
    if (!code)
        code = write_last(t, e);
    return code ? code : keep_step(t->options.directory, t->state.step, t->config.training.keep, e);
}

/* --- one step --- */

static int forward_backward(struct trainer *t, const struct example_batch *b, double *loss, struct err *e)
{
    struct spt_options options = {.train = 1,
                                  .seed = t->config.training.seed,
                                  .step = (uint64_t)b->step,
                                  .importance = -1,
                                  .scale = t->loss.weight[LOSS_NLL] > 0};
    struct spt_batch batch = recon_arrays_batch(&b->arrays);
    spt_zero_gradients(t->model);
    int code = spt_forward(t->model, &batch, &options, e);
    if (!code)
        code = losses_evaluate(&t->losses, &t->loss, b, t->model, 1, loss, e);
    return code ? code : spt_backward(t->model, e);
}

static const char *what_is_kept(const struct trainer *t)
{
    return t->wrote_last || t->options.resume ? "last.h5 holds the last good state"
                                              : "no checkpoint was written yet";
}

static int not_a_number(const struct trainer *t, const char *what, double lr, struct err *e)
{
    return err_set(e, ERR_CONFIG,
                   "the %s is not finite at step %lld (lr %g): lower training.lr or set "
                   "training.gradient_clip_norm; %s",
                   what, (long long)t->state.step + 1, lr, what_is_kept(t));
}

static int log_step(struct trainer *t, double loss, double lr, double norm, struct err *e)
{
    const struct metrics_value values[] = {
        {"Train/loss_step", loss},
        {"Train/lr", lr},
        {"Train/gradient_norm", norm},
        {"Train/images_per_second", t->rate},
        {"Train/nll", t->losses.term[LOSS_NLL]},
    };
    size_t n = sizeof values / sizeof *values;
    if (t->loss.weight[LOSS_NLL] <= 0)
        n -= 1;
    return metrics_log_write(&t->log, t->state.step, t->state.epoch, values, n, e);
}

static int end_epoch(struct trainer *t, struct err *e)
{
    const struct metrics_value value = {"Train/loss_epoch",
                                        t->state.epoch_loss / (double)t->state.epoch_frames};
    t->state.epoch++;
    t->state.epoch_loss = 0;
    t->state.epoch_frames = 0;
    return metrics_log_write(&t->log, t->state.step, t->state.epoch, &value, 1, e);
}

static void report(struct trainer *t, const struct example_batch *b, double loss, double lr, double norm)
{
    const struct recon_batch_sizes *s = &b->arrays.sizes;
    if (!t->options.progress)
        return;
    double done = schedule_progress(&t->schedule, t->state.step, trainer_elapsed(t)),
           now = trainer_elapsed(t);
    /* A backward pass costs about two forward ones. */
    double flops = 3 * spt_flops(&t->config.model, s->H, s->W, s->N) * t->rate;
    double ran = now - t->elapsed_before, remaining = 1 - done, rate = t->rate / (double)t->plan.batch_size;
    double by_steps = (double)(t->schedule.steps - t->state.step) / rate;
    double by_time = t->schedule.seconds > 0 ? t->schedule.seconds - now : INFINITY;
    struct train_progress p = {
        .step = t->state.step,
        .steps = t->schedule.steps,
        .epoch = t->state.epoch,
        .done = done,
        .loss = loss,
        .gradient_norm = norm,
        .lr = lr,
        .images_per_second = t->rate,
        .peak_share = t->peak > 0 ? flops / t->peak : 0,
        .eta = ran > 0 && remaining > 0 ? fmax(0, fmin(by_steps, by_time)) : 0,
    };
    t->options.progress(t->options.user, &p);
}

static int step(struct trainer *t, const struct example_batch *b, double began, struct err *e)
{
    double loss = 0, lr = schedule_lr(&t->schedule, t->state.step, trainer_elapsed(t));
    int code = forward_backward(t, b, &loss, e);
    if (code)
        return code;
    /* The host waits for the device here and for each term of the loss, nowhere else in a step: the update and the next
     * batch's way to the device go on behind its back. */
    double norm = optimizer_norm(&t->optimizer);
    code = t->ctx.ops->check(&t->ctx, e);
    if (code)
        return code;
    if (!isfinite(loss) || !isfinite(norm))
        return not_a_number(t, isfinite(loss) ? "gradient" : "loss", lr, e);
    optimizer_update(&t->optimizer, lr, norm);
    size_t B = b->arrays.sizes.B;
    t->state.step++;
    t->state.epoch_loss += loss * (double)B;
    t->state.epoch_frames += (int64_t)B;
    t->loss_last = loss;
    double rate = (double)B / (clock_seconds() - began);
    t->rate = t->rate > 0 ? 0.9 * t->rate + 0.1 * rate : rate;
    code = log_step(t, loss, lr, norm, e);
    if (!code && t->state.step % (int64_t)example_steps(&t->plan) == 0)
        code = end_epoch(t, e);
    report(t, b, loss, lr, norm);
    return code;
}

/* Asked for by number of steps, else each epoch, and never later than a tenth of the run after the last; --overfit has
 * epochs of a step or two. */
static int milestone_due(const struct trainer *t, double done)
{
    int64_t every = t->config.training.validate_every;
    if (every > 0)
        return t->state.step % every == 0;
    if (!t->options.overfit && t->validation.count && t->state.step % (int64_t)example_steps(&t->plan) == 0)
        return 1;
    return done - t->milestone_at >= 0.1 - 1e-9;
}

/* --- the run --- */

static int loop(struct trainer *t, struct loader *loader, struct train_result *r, struct err *e)
{
    int code = 0;
    int64_t written = -1;
    double done = schedule_progress(&t->schedule, t->state.step, trainer_elapsed(t));
    t->milestone_at = done;
    while (!code && done < 1 && !(t->options.stop && *t->options.stop)) {
        const struct example_batch *b;
        double began = clock_seconds();
        code = loader_next(loader, &b, e);
        if (!code)
            code = step(t, b, began, e);
        done = schedule_progress(&t->schedule, t->state.step, trainer_elapsed(t));
        if (!code && milestone_due(t, done)) {
            t->milestone_at = done;
            code = milestone(t, e);
            written = t->state.step;
        } else if (!code && clock_seconds() - t->last_written > write_every) {
            code = write_last(t, e);
        }
    }
    if (code == ERR_UNAVAILABLE) /* the device is lost */
        return err_set(e, code, "step %lld: %s; %s", (long long)t->state.step + 1, strdupa(e->text),
                       what_is_kept(t));
    if (code)
        return code;
    r->stopped = t->options.stop && *t->options.stop;
    if (written != t->state.step)
        code = r->stopped ? write_last(t, e) : milestone(t, e);
    if (!code && isnan(t->state.best)) /* nothing to choose by: the last is the best there is */
        code = write_to(t, "best.h5", 0, NAN, e);
    return code;
}

static int open_directory(struct trainer *t, struct err *e)
{
    char *metrics = trainer_path(t, "metrics.jsonl");
    if (!metrics)
        return err_memory(e, "a file name", 0);
    int code = atomic_file_make_parents(metrics, e);
    if (!code)
        code = metrics_log_open(&t->log, metrics, t->options.resume ? t->state.step : -1, e);
    free(metrics);
    return code;
}

/* Arenas for the largest batch, so that what does not fit is told before the first step. */
static int take_memory(struct trainer *t, struct err *e)
{
    char device[160];
    struct spt_batch like = trainer_largest_batch(t);
    int code = t->plan.random ? spt_reserve(t->model, &like, 1, e) : 0;
    if (code)
        return err_prefix(e, "training.batch_size %zu: ", like.B);
    struct spt_memory m = spt_memory_use(t->model);
    op_describe(&t->ctx, device, sizeof device);
    log_note("%s: parameters %.1f MB, gradients %.1f MB, moments %.1f MB, activations %.1f MB%s", device,
             (double)m.parameters / 1e6, (double)t->optimizer.count * 4e-6, (double)t->optimizer.count * 8e-6,
             (double)spt_activation_bytes(t->model, &like, 1) / 1e6, t->plan.random ? "" : " or more");
    return 0;
}

int trainer_run(struct trainer *t, struct train_result *r, struct err *e)
{
    struct loader *loader = NULL;
    *r = (struct train_result){0};
    int code = take_memory(t, e);
    if (!code)
        code = open_directory(t, e);
    if (!code)
        code = op_peak_flops(&t->ctx, &t->peak, e);
    t->started = t->last_written = clock_seconds();
    /* Preparing a frame costs about a tenth of learning from it. */
    int threads = t->ctx.threads > 4 ? t->ctx.threads / 4 : 1;
    if (!code)
        code = loader_start(&loader, &t->plan, t->state.step, threads, LOADER_DEPTH, e);
    if (!code)
        code = loop(t, loader, r, e);
    if (loader)
        log_debug("the loop waited %.1f s for the loader", loader_waited(loader));
    loader_stop(loader);
    int closed = metrics_log_close(&t->log, code ? NULL : e);
    r->step = t->state.step;
    r->epoch = t->state.epoch;
    r->best_step = t->state.best_step;
    r->seconds = clock_seconds() - t->started;
    r->loss = t->loss_last;
    r->psnr = t->psnr;
    r->ssim = t->ssim;
    r->linear_psnr = t->validation.count ? t->validation.linear_psnr : NAN;
    r->linear_ssim = t->validation.count ? t->validation.linear_ssim : NAN;
    r->best_psnr = t->state.best;
    return code ? code : closed;
}
