/* --show: one frame in the terminal. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "info.h"
#include "view/screen.h"

/* "SESSION/N" or "N", counted through all sessions in their order; "": the middle row of the first. */
static int find_row(struct recording *r, const char *which, size_t *session, size_t *t, struct err *e)
{
    const char *slash = strrchr(which, '/');
    size_t n = recording_sessions(r), frames = 0, from = 0, to = n;
    uint64_t number = 0;
    for (size_t i = 0; i < n; i++)
        frames += recording_session(r, i)->T;
    if (slash) {
        char id[1024];
        snprintf(id, sizeof id, "%.*s", (int)(slash - which), which);
        long found = recording_find_session(r, id);
        if (found < 0)
            return err_set(e, ERR_USAGE, "--show=%s: there is no session %s", which, id);
        from = (size_t)found;
        to = from + 1;
        frames = recording_session(r, from)->T;
    }
    if (!frames)
        return err_set(e, ERR_DATA, "--show: there are no frames");
    if (*which) {
        const char *digits = slash ? slash + 1 : which;
        int code = parse_u64(digits, 0, frames - 1, "--show", &number, ERR_USAGE, e);
        if (code)
            return code;
    } else {
        while (!recording_session(r, from)->T)
            from++;
        number = recording_session(r, from)->T / 2;
    }
    for (*session = from; *session + 1 < to && number >= recording_session(r, *session)->T; ++*session)
        number -= recording_session(r, *session)->T;
    *t = number;
    return 0;
}

/* Where nobody asked for a row, one that has a full frame, at or behind it. */
static int prefer_full(struct recording *r, size_t session, size_t *t, struct err *e)
{
    const struct session_info *info = recording_session(r, session);
    uint8_t *present;
    if (!info->K || info->K == info->T)
        return 0;
    int code = mem_alloc(&present, info->T, 1, "rows", e);
    code = code ? code : recording_frames_present(r, session, present, e);
    for (size_t k = 0; k < info->T && !code; k++)
        if (present[(*t + k) % info->T]) {
            *t = (*t + k) % info->T;
            break;
        }
    free(present);
    return code;
}

/* Samples as squares on dark blue, so large that they cover about a quarter of the picture. */
static int draw_samples(const struct session_info *info, const struct samples *s, uint8_t **rgb,
                        struct image *image, struct err *e)
{
    static const uint8_t unseen[3] = {20, 24, 58};
    double pixels = (double)info->W * info->H;
    uint32_t side = (uint32_t)fmax(1, sqrt(pixels / (4 * fmax(1, (double)s->n))));
    *image =
        (struct image){.W = (info->W + side - 1) / side, .H = (info->H + side - 1) / side, .channels = 3};
    size_t n = (size_t)image->W * image->H;
    int code = mem_alloc(rgb, n, 3, "a picture", e);
    for (size_t i = 0; i < n && !code; i++)
        memcpy(*rgb + 3 * i, unseen, 3);
    for (size_t i = 0; i < s->n && !code; i++) {
        size_t x = (size_t)(s->uv[2 * i] * (float)image->W), y = (size_t)(s->uv[2 * i + 1] * (float)image->H);
        x = x < image->W ? x : image->W - 1;
        y = y < image->H ? y : image->H - 1;
        memset(*rgb + 3 * (y * image->W + x), s->value[i], 3);
    }
    image->pixels = *rgb;
    return code;
}

static int show_image(const struct image *image, struct err *e)
{
    struct screen s;
    struct err unsaid;
    screen_open(&s, stdout, TERMINAL_LETTERS);
    int code = screen_show(&s, image, e), closed = screen_close(&s, code ? &unsaid : e);
    return code ? code : closed;
}

int show_check(struct recording *r, const char *which, struct err *e)
{
    size_t session, t;
    return find_row(r, which, &session, &t, e);
}

int show_row(struct recording *r, const char *which, struct err *e)
{
    size_t session = 0, t = 0;
    int64_t frame_id = 0;
    double timestamp = 0;
    int code = find_row(r, which, &session, &t, e), present = 0;
    if (!code && !*which)
        code = prefer_full(r, session, &t, e);
    if (code)
        return code;
    const struct session_info *info = recording_session(r, session);
    struct image image = {info->W, info->H, 1, NULL};
    struct samples samples = {0};
    uint8_t *pixels = NULL;
    const char *what = "full frame";
    code = mem_alloc(&pixels, info->W, info->H, "a frame", e);
    code = code ? code : recording_columns(r, session, t, 1, &frame_id, &timestamp, NULL, NULL, e);
    code = code ? code : recording_frame(r, session, t, pixels, &present, e);
    image.pixels = pixels;
    if (!code && !present && info->has_reconstruction) {
        what = "reconstruction";
        code = recording_reconstruction_u8(r, session, t, pixels, e);
    } else if (!code && !present) {
        what = "samples";
        code = recording_samples(r, session, t, 1, &samples, e);
        free(pixels);
        pixels = NULL;
        code = code ? code : draw_samples(info, &samples, &pixels, &image, e);
    }
    if (!code) {
        printf("\n");
        print_plain(info->id, strlen(info->id));
        printf("/%zu: %s, %ux%u, frame %lld, %.3f s\n", t, what, info->W, info->H, (long long)frame_id,
               timestamp);
        fflush(stdout);
        code = show_image(&image, e);
    }
    samples_release(&samples);
    free(pixels);
    return code;
}
