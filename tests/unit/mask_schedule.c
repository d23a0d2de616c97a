/* lib/sample/mask_schedule: the frames after which a new set is due. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sample/mask_schedule.h"
#include "tap.h"

/* Writes '1' where a set is due, for a run of qualities. */
static void run(struct mask_schedule s, const double *quality, int n, char *out)
{
    for (int i = 0; i < n; i++)
        out[i] = mask_schedule_frame(&s, quality[i]) ? '1' : '.';
    out[n] = 0;
}

int main(void)
{
    enum { N = 24 };
    struct mask_schedule s = {.fixed_interval = 5,
                              .min_interval = 2,
                              .max_interval = 6,
                              .threshold = 0.85,
                              .low = 0.7,
                              .high = 0.9};
    double good[N], fair[N], dip[N], unknown[N];
    char out[N + 1];
    for (int i = 0; i < N; i++) {
        good[i] = 0.95;
        fair[i] = 0.8;
        dip[i] = i == 9 || i == 10 ? 0.5 : 0.95;
        unknown[i] = NAN;
    }
    s.mode = MASK_FIXED;
    run(s, unknown, N, out);
    ok(!strcmp(out, "....1....1....1....1...."), "fixed: %s", out);
    s.mode = MASK_ADAPTIVE;
    run(s, dip, N, out);
    ok(!strcmp(out, ".1...1...11.1...1.....1."),
       "adaptive doubles its interval, starts again after a dip: %s", out);
    run(s, fair, N, out);
    ok(!strcmp(out, "111111111111111111111111"), "adaptive: at once below the threshold: %s", out);
    run(s, unknown, N, out);
    ok(!strcmp(out, ".1...1.....1.....1.....1"), "adaptive: what is not known holds: %s", out);
    s.min_interval = s.max_interval = 3;
    run(s, good, N, out);
    ok(!strcmp(out, "..1..1..1..1..1..1..1..1"), "adaptive with equal bounds: %s", out);
    double worse[N];
    for (int i = 0; i < N; i++)
        worse[i] = -0.02;
    s.threshold = 0;
    run(s, worse, N, out);
    ok(!strcmp(out, "..1..1..1..1..1..1..1..1"), "a negative SSIM is not below a threshold of 0: %s", out);
    s.mode = MASK_QUALITY_BASED;
    run(s, dip, N, out);
    ok(!strcmp(out, ".........11.........1..."), "quality_based: every 10 when good, at once when bad: %s",
       out);
    run(s, fair, N, out);
    ok(!strcmp(out, "....1....1....1....1...."), "quality_based: every 5 between: %s", out);
    ok(mask_schedule_by_name("quality_based") == MASK_QUALITY_BASED && mask_schedule_by_name("never") == -1 &&
           mask_schedule_needs_quality(&s),
       "names");
    return tap_done();
}
