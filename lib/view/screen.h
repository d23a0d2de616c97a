/* Pictures shown to somebody, one after the other: at the same place of a terminal, by what it can (terminal.h); behind
 * each other in a pipe or a file.
 *
 *     struct screen s;
 *     screen_open(&s, stdout, SCREEN_SIXEL);
 *     while (...) screen_show(&s, &picture, &e);
 *     screen_close(&s, &e);                             the cursor stands below the last picture */
#ifndef SGAPS_VIEW_SCREEN_H
#define SGAPS_VIEW_SCREEN_H

#include <stdio.h>

#include "view/image.h"
#include "view/terminal.h"

struct screen {
    FILE *f;
    int is_terminal;
    struct terminal
        terminal;  /* for a pipe: what is written to it, at its pictures' own size or in 80 columns */
    int rows;      /* of the terminal that the picture has; 0: none yet */
    uint32_t w, h; /* of the picture shown last, as drawn */
    uint8_t *pixels;
    size_t capacity;
};

/* f stays the caller's. in_pipe: what is written where f is no terminal, TERMINAL_SIXEL or TERMINAL_LETTERS. */
void screen_open(struct screen *s, FILE *f, enum terminal_pictures in_pipe);
/* Draws and flushes. A terminal's picture is enlarged by a whole number, up to some 640 pixels, or made smaller so that it
 * fits; a pipe's sixels are pixel by pixel. */
int screen_show(struct screen *s, const struct image *p, struct err *e);
/* May be called twice, and without screen_open on zeroed memory. */
int screen_close(struct screen *s, struct err *e);

#endif
