/* How near linear interpolation comes to the full frames of a recording, from N samples each:
 *
 *     cc -std=c11 -O2 linear.c $(pkg-config --cflags --libs sgaps) -o linear && ./linear rec.h5 125
 *
 * One line a session: id, frames, mean PSNR in dB. The samples are those of `sgaps-eval --method linear -n 125`. */
#include <base/err.h>
#include <interp/interp.h>
#include <io/recording.h>
#include <math.h>
#include <metric/metric.h>
#include <sample/sample.h>
#include <stdio.h>
#include <stdlib.h>

struct room {
    uint8_t *frame, *value, *rounded;
    float *uv, *known, *rebuilt;
};

static int score_session(struct recording *r, size_t session, size_t n, struct room *room, struct err *e)
{
    const struct session_info *s = recording_session(r, session);
    size_t pixels = (size_t)s->W * s->H;
    struct sample_request q = {.pattern = PATTERN_BLUENOISE, .W = s->W, .H = s->H, .n = n, .seed = 42};
    struct metric_stat psnr = {0};
    q.session = sample_session(s->id);
    for (size_t t = 0; t < s->T; t++) {
        int64_t frame_id;
        int present, bad = recording_frame(r, session, t, room->frame, &present, e);
        bad = bad ? bad : recording_columns(r, session, t, 1, &frame_id, NULL, NULL, NULL, e);
        if (bad || !present) {
            if (bad)
                return bad;
            continue;
        }
        q.frame = (uint64_t)frame_id;
        bad = sample_draw(&q, room->uv, e);
        if (bad)
            return bad;
        sample_values(room->frame, s->W, s->H, room->uv, n, room->value);
        for (size_t i = 0; i < n; i++)
            room->known[i] = (float)room->value[i] / 255;
        bad = interp_linear(room->uv, room->known, n, s->W, s->H, room->rebuilt, e);
        if (bad)
            return bad;
        metric_quantise(room->rebuilt, room->rounded, pixels);
        metric_stat_add(&psnr, metric_psnr(room->frame, room->rounded, pixels));
    }
    printf("%s\t%zu\t%.4f\n", s->id, psnr.n, psnr.n ? psnr.mean : NAN);
    return 0;
}

int main(int argc, char **argv)
{
    struct recording *r;
    struct err e;
    size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    if (argc != 3 || n < 1 || n > 100000) {
        fprintf(stderr, "usage: linear RECORDING SAMPLES\n");
        return ERR_USAGE;
    }
    if (recording_open(&r, argv[1], &e)) {
        fprintf(stderr, "linear: %s\n", e.text);
        return e.code;
    }
    int bad = 0;
    for (size_t i = 0; i < recording_sessions(r) && !bad; i++) {
        const struct session_info *s = recording_session(r, i);
        size_t pixels = (size_t)s->W * s->H;
        struct room room = {malloc(pixels),
                            malloc(n),
                            malloc(pixels),
                            malloc(2 * n * sizeof(float)),
                            malloc(n * sizeof(float)),
                            malloc(pixels * sizeof(float))};
        if (room.frame && room.value && room.rounded && room.uv && room.known && room.rebuilt)
            bad = score_session(r, i, n, &room, &e);
        else
            bad = err_memory(&e, "a frame", pixels);
        free(room.frame);
        free(room.value);
        free(room.rounded);
        free(room.uv);
        free(room.known);
        free(room.rebuilt);
    }
    if (bad)
        fprintf(stderr, "linear: %s\n", e.text);
    recording_close(r);
    return bad;
}
