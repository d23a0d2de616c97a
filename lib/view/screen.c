#include "view/screen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "view/blocks.h"
#include "view/sixel.h"

enum { ENOUGH = 640, PIPE_COLUMNS = 80, PIPE_ROWS = 50 };

void screen_open(struct screen *s, FILE *f, enum terminal_pictures in_pipe)
{
    *s = (struct screen){.f = f, .is_terminal = isatty(fileno(f))};
    if (s->is_terminal)
        terminal_ask(&s->terminal, fileno(f));
    else
        s->terminal = (struct terminal){.pictures = in_pipe, .columns = PIPE_COLUMNS, .rows = PIPE_ROWS};
}

/* The size to draw p at. The last row is the prompt's. */
static void choose_size(const struct screen *s, const struct image *p, uint32_t *w, uint32_t *h)
{
    const struct terminal *t = &s->terminal;
    uint32_t columns = (uint32_t)t->columns, rows = t->rows > 1 ? (uint32_t)t->rows - 1 : 1;
    if (t->pictures != TERMINAL_SIXEL)
        image_fit(p, columns, 2 * rows, ENOUGH, w, h);
    else if (s->is_terminal)
        image_fit(p, columns * (uint32_t)t->cell_w, rows * (uint32_t)t->cell_h, ENOUGH, w, h);
    else {
        *w = p->W;
        *h = p->H;
    }
}

/* Makes room below the cursor, scrolling where it is needed, and remembers where it begins. */
static void begin_place(struct screen *s, uint32_t w, uint32_t h)
{
    const struct terminal *t = &s->terminal;
    char end[32];
    if (s->rows)
        fprintf(s->f, "\0338\033[%dB\r\n", s->rows - 1); /* below the picture of another size */
    int cell = t->pictures == TERMINAL_SIXEL ? t->cell_h : 2;
    s->rows = ((int)h + cell - 1) / cell;
    s->w = w;
    s->h = h;
    putc('\r', s->f);
    for (int i = 0; i < s->rows; i++)
        putc('\n', s->f);
    fprintf(s->f, "\033[%dA\0337", s->rows);
    /* Ends a picture that is half written (ST), goes below it, shows the cursor. */
    snprintf(end, sizeof end, "\033\\\0338\033[%dB\r\033[0m\033[?25h", s->rows);
    terminal_leave_with(fileno(s->f), end);
}

static int draw(struct screen *s, const struct image *p, struct err *e)
{
    switch (s->terminal.pictures) {
    case TERMINAL_SIXEL:
        return sixel_write(s->f, p, e);
    case TERMINAL_BLOCKS:
        blocks_write(s->f, p, 0);
        break;
    case TERMINAL_BLOCKS_256:
        blocks_write(s->f, p, 256);
        break;
    case TERMINAL_LETTERS:
        letters_write(s->f, p);
        break;
    }
    return 0;
}

int screen_show(struct screen *s, const struct image *p, struct err *e)
{
    struct image drawn = *p;
    int changed = s->is_terminal && terminal_changed(&s->terminal, fileno(s->f));
    choose_size(s, p, &drawn.W, &drawn.H);
    if (drawn.W != p->W || drawn.H != p->H) {
        int r = mem_grow(&s->pixels, &s->capacity, (size_t)drawn.W * drawn.H * (size_t)p->channels, 1,
                         "a picture", e);
        if (r)
            return r;
        image_resample(p, drawn.W, drawn.H, s->pixels);
        drawn.pixels = s->pixels;
    }
    if (changed == 2)
        s->rows = 0;
    int placed = s->is_terminal && s->terminal.moves;
    if (placed) {
        fputs("\033[?25l", s->f);
        if (!s->rows || changed || drawn.W != s->w || drawn.H != s->h)
            begin_place(s, drawn.W, drawn.H);
        fputs("\0338", s->f);
    }
    int r = draw(s, &drawn, e);
    if (!placed && s->terminal.pictures == TERMINAL_SIXEL)
        putc('\n', s->f);
    if (!r && (fflush(s->f) || ferror(s->f)))
        r = err_set(e, ERR_IO, "write failed: %s", strerror(errno));
    return r;
}

int screen_close(struct screen *s, struct err *e)
{
    int r = 0;
    if (s->rows) {
        fprintf(s->f, "\0338\033[%dB\r\033[?25h", s->rows);
        if (fflush(s->f))
            r = err_set(e, ERR_IO, "write failed: %s", strerror(errno));
        terminal_leave_with(-1, NULL);
    }
    free(s->pixels);
    *s = (struct screen){0};
    return r;
}
