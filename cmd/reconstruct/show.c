/* -f sixel: frames to look at. */
#include <math.h>
#include <time.h>

#include "base/clock.h"
#include "reconstruct.h"

int show_open(struct show *s, const char *path, struct err *e)
{
    int code = out_stream_open(&s->out, path, e);
    if (code)
        return code;
    s->open = 1;
    screen_open(&s->screen, s->out.f, TERMINAL_SIXEL);
    return 0;
}

void show_begin(struct show *s, double fps)
{
    s->step = s->screen.is_terminal && fps > 0 ? 1 / fps : 0;
}

/* Waits for the next frame's turn. After a delay the film goes on from there, it does not catch up. */
static void wait_for_turn(struct show *s)
{
    double early = s->next - clock_seconds();
    if (s->step > 0 && early > 0) {
        struct timespec t = {.tv_sec = (time_t)early, .tv_nsec = (long)(fmod(early, 1) * 1e9)};
        nanosleep(&t, NULL);
    }
    s->next = fmax(s->next, clock_seconds()) + s->step;
}

int show_frame(struct show *s, const struct image *p, struct err *e)
{
    wait_for_turn(s);
    int code = screen_show(&s->screen, p, e);
    return code ? err_prefix(e, "%s: ", s->out.file.path ? s->out.file.path : "standard output") : 0;
}

int show_close(struct show *s, struct err *e)
{
    if (!s->open)
        return 0;
    s->open = 0;
    int code = screen_close(&s->screen, e);
    if (code)
        out_stream_abort(&s->out);
    return code ? code : out_stream_close(&s->out, e);
}

void show_abandon(struct show *s)
{
    if (!s->open)
        return;
    s->open = 0;
    screen_close(&s->screen, NULL);
    out_stream_abort(&s->out);
}
