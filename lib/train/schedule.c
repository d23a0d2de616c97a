#include "train/schedule.h"

#include <math.h>

struct schedule schedule_make(const struct training_config *t, int64_t steps_per_epoch)
{
    struct schedule s = {
        .lr = t->lr,
        .min_lr = t->min_lr,
        .seconds = t->max_minutes * 60,
        .cosine = t->scheduler_cosine,
        .warmup = t->warmup_steps,
        .steps = t->epochs > INT64_MAX / steps_per_epoch ? INT64_MAX : t->epochs * steps_per_epoch,
    };
    if (t->max_steps && t->max_steps < s.steps)
        s.steps = t->max_steps;
    return s;
}

double schedule_progress(const struct schedule *s, int64_t steps_done, double elapsed)
{
    double by_steps = (double)steps_done / (double)s->steps,
           by_time = s->seconds > 0 ? elapsed / s->seconds : 0;
    return fmin(1, fmax(by_steps, by_time));
}

double schedule_lr(const struct schedule *s, int64_t steps_done, double elapsed)
{
    double lr = s->lr, warm = 1;
    if (s->cosine && s->lr > s->min_lr)
        lr = s->min_lr +
             (s->lr - s->min_lr) * 0.5 * (1 + cos(M_PI * schedule_progress(s, steps_done, elapsed)));
    if (steps_done < s->warmup)
        warm = (double)(steps_done + 1) / (double)s->warmup;
    return lr * warm;
}
