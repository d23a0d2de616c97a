#include "view/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/mem.h"
#include "io/stream.h"
#include "view/plot_private.h"
#include "view/screen.h"

enum { PANEL_W = 800, PANEL_H = 500 };

/* --- building --- */

static char *copy(struct plot *p, const char *text)
{
    char *out = NULL;
    p->failed |= mem_string(&out, text, NULL) != 0;
    return out;
}

void plot_panel(struct plot *p, const char *title, const char *x, const char *y, int flags)
{
    p->failed |=
        mem_grow(&p->panels, &p->panel_capacity, p->panel_count + 1, sizeof *p->panels, "a plot", NULL) != 0;
    if (p->failed)
        return;
    p->panels[p->panel_count++] =
        (struct plot_panel){copy(p, title), copy(p, x), copy(p, y), flags, p->series_count, 0};
}

void plot_series(struct plot *p, const char *name, enum plot_style style)
{
    p->failed |= !p->panel_count || mem_grow(&p->series, &p->series_capacity, p->series_count + 1,
                                             sizeof *p->series, "a plot", NULL) != 0;
    if (p->failed)
        return;
    p->panels[p->panel_count - 1].n++;
    p->series[p->series_count++] = (struct plot_series){copy(p, name), style, p->point_count, 0};
}

void plot_point(struct plot *p, double x, double y)
{
    p->failed |= !p->series_count || mem_grow(&p->points, &p->point_capacity, p->point_count + 1,
                                              sizeof *p->points, "a plot", NULL) != 0;
    if (p->failed || !isfinite(x) || !isfinite(y))
        return;
    p->series[p->series_count - 1].n++;
    p->points[p->point_count++] = (struct plot_point){x, y};
}

void plot_release(struct plot *p)
{
    for (size_t i = 0; i < p->panel_count; i++) {
        free(p->panels[i].title);
        free(p->panels[i].x);
        free(p->panels[i].y);
    }
    for (size_t i = 0; i < p->series_count; i++)
        free(p->series[i].name);
    free(p->panels);
    free(p->series);
    free(p->points);
    *p = (struct plot){0};
}

int plot_panel_empty(const struct plot *p, const struct plot_panel *panel)
{
    for (size_t s = panel->first; s < panel->first + panel->n; s++)
        if (p->series[s].n)
            return 0;
    return 1;
}

size_t plot_panels_drawn(const struct plot *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->panel_count; i++)
        n += !plot_panel_empty(p, &p->panels[i]);
    return n;
}

static void put_cell(FILE *f, const char *text)
{
    for (; *text; text++)
        putc((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text, f);
    putc('\t', f);
}

void plot_table(const struct plot *p, FILE *f)
{
    fputs("panel\tseries\tx\ty\n", f);
    for (size_t i = 0; i < p->panel_count; i++) {
        const struct plot_panel *panel = &p->panels[i];
        for (size_t s = panel->first; s < panel->first + panel->n; s++)
            for (size_t k = p->series[s].first; k < p->series[s].first + p->series[s].n; k++) {
                put_cell(f, panel->title);
                put_cell(f, p->series[s].name);
                fprintf(f, "%.10g\t%.10g\n", p->points[k].x, p->points[k].y);
            }
    }
}

/* --- drawing --- */

enum medium { MEDIUM_NONE, MEDIUM_SVG, MEDIUM_PNG, MEDIUM_TERMINAL };

static enum medium medium_of(const char *path)
{
    size_t n = strlen(path);
    if (!strcmp(path, "-"))
        return MEDIUM_TERMINAL;
    if (n > 4 && !strcmp(path + n - 4, ".svg"))
        return MEDIUM_SVG;
    return n > 4 && !strcmp(path + n - 4, ".png") ? MEDIUM_PNG : MEDIUM_NONE;
}

int plot_check(const char *path, struct err *e)
{
    return medium_of(path)
               ? 0
               : err_set(e, ERR_USAGE, "%s: a plot is a .svg or a .png file, or - for the terminal", path);
}

/* Panels lie two in a row; a row of two is wider, and lower. */
static void page_size(size_t panels, int *w, int *h)
{
    *w = panels > 1 ? PANEL_W * 3 / 2 : PANEL_W;
    *h = panels > 1 ? (int)((panels + 1) / 2) * PANEL_H * 9 / 10 : PANEL_H;
}

static void picture_terminal(enum medium medium, int w, int h, char *out, size_t size)
{
    if (medium == MEDIUM_SVG)
        snprintf(out, size, "set terminal svg size %d,%d noenhanced font 'sans,13' background rgb 'white'\n",
                 w, h);
    else
        snprintf(out, size,
                 "if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {\n"
                 "  set terminal pngcairo size %d,%d noenhanced font 'sans,10'\n"
                 "} else {\n"
                 "  set terminal png size %d,%d noenhanced\n}\n",
                 w, h, w, h);
}

static int draw_file(const char *script, enum medium medium, size_t panels, const char *path, struct err *e)
{
    struct atomic_file file;
    char terminal[512];
    int w, h, r = atomic_file_begin(&file, path, e);
    if (r)
        return r;
    page_size(panels, &w, &h);
    picture_terminal(medium, w, h, terminal, sizeof terminal);
    int out = open(file.part, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (out < 0)
        r = err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", path, strerror(errno));
    r = r ? r : gnuplot_run(terminal, script, out, e);
    if (out >= 0 && close(out) && !r)
        r = err_set(e, ERR_IO, "%s: write failed: %s", path, strerror(errno));
    if (r && r != ERR_UNAVAILABLE)
        err_prefix(e, "%s: ", path);
    if (!r)
        r = atomic_file_commit(&file, e);
    if (r)
        atomic_file_abort(&file);
    return r;
}

/* As a picture of the terminal's own width. */
static int draw_sixel(struct screen *s, const char *script, size_t panels, struct err *e)
{
    char terminal[512];
    struct image image = {.channels = 3};
    uint8_t *pixels = NULL;
    int w, h, most = s->terminal.columns * s->terminal.cell_w;
    FILE *out = tmpfile();
    if (!out)
        return err_set(e, ERR_CANTCREATE, "a plot: no temporary file: %s", strerror(errno));
    page_size(panels, &w, &h);
    if (w > most) {
        h = h * most / w;
        w = most;
    }
    picture_terminal(MEDIUM_PNG, w, h, terminal, sizeof terminal);
    int r = gnuplot_run(terminal, script, fileno(out), e);
    rewind(out);
    r = r ? r : png_read_rgb(out, "gnuplot's picture", &pixels, &image.W, &image.H, e);
    fclose(out);
    image.pixels = pixels;
    r = r ? r : screen_show(s, &image, e);
    free(pixels);
    return r;
}

/* gnuplot's characters, without the form feed that it begins each plot with and the spaces that fill its lines. */
static void copy_characters(FILE *from)
{
    char line[4096];
    int blank = 1; /* so far in this plot */
    while (fgets(line, sizeof line, from)) {
        char *start = strchr(line, '\f');
        blank |= start != NULL;
        start = start ? start + 1 : line;
        size_t n = strlen(start);
        while (n && (start[n - 1] == ' ' || start[n - 1] == '\n'))
            n--;
        start[n] = 0;
        if (blank && !n)
            continue;
        blank = 0;
        puts(start);
    }
}

static int draw_characters(const struct terminal *t, const char *script, struct err *e)
{
    char terminal[128];
    FILE *out = tmpfile();
    if (!out)
        return err_set(e, ERR_CANTCREATE, "a plot: no temporary file: %s", strerror(errno));
    int columns = t->columns > 110 ? 110 : t->columns - 1, rows = t->rows - 2 < 24 ? t->rows - 2 : 24;
    int colour = t->pictures == TERMINAL_BLOCKS || t->pictures == TERMINAL_BLOCKS_256;
    snprintf(terminal, sizeof terminal, "set terminal dumb nofeed size %d,%d noenhanced %s\n",
             columns < 40 ? 40 : columns, rows < 14 ? 14 : rows, colour ? "ansi256" : "mono");
    int r = gnuplot_run(terminal, script, fileno(out), e);
    rewind(out);
    if (!r)
        copy_characters(out);
    fclose(out);
    if (!r && fflush(stdout))
        r = err_set(e, ERR_IO, "standard output: write failed: %s", strerror(errno));
    return r;
}

static int draw_terminal(const struct plot *p, const char *script, size_t panels, struct err *e)
{
    struct screen s;
    struct err unsaid;
    char *pages = NULL;
    size_t size;
    int r = 0;
    fflush(stdout);
    screen_open(&s, stdout, TERMINAL_LETTERS);
    if (s.terminal.pictures == TERMINAL_SIXEL) {
        r = draw_sixel(&s, script, panels, e);
    } else {
        FILE *f = open_memstream(&pages, &size);
        if (!f)
            return err_memory(e, "a plot", 0);
        r = plot_script(p, 1, f, e);
        fclose(f);
        r = r ? r : draw_characters(&s.terminal, pages, e);
        free(pages);
    }
    int closed = screen_close(&s, r ? &unsaid : e);
    return r ? r : closed;
}

/* The numbers, where gnuplot is missing: beside the picture that it would have been. */
static int leave_table(const struct plot *p, const char *path, struct err *e)
{
    char *name = NULL;
    struct out_stream out;
    struct err why;
    int named = strcmp(path, "-") != 0;
    if (asprintf(&name, named ? "%s.tsv" : "%s", path) < 0)
        return err_memory(e, "a file name", 0);
    int r = out_stream_open(&out, name, &why);
    if (!r) {
        plot_table(p, out.f);
        r = out_stream_close(&out, &why);
    }
    char *said = strdup(e->text);
    if (r)
        *e = why;
    else
        r = err_set(e, ERR_UNAVAILABLE, "%s; its data is %s%s", said ? said : "no plot",
                    named ? "in " : "on standard output", named ? name : "");
    free(said);
    free(name);
    return r;
}

int plot_draw(const struct plot *p, const char *path, struct err *e)
{
    char *script = NULL;
    size_t size, panels = plot_panels_drawn(p);
    struct err own;
    e = e ? e : &own;
    int r = plot_check(path, e);
    if (!r && !panels && !p->failed)
        r = err_set(e, ERR_DATA, "%s: there is nothing to plot", path);
    FILE *f = r ? NULL : open_memstream(&script, &size);
    if (!f)
        return r ? r : err_memory(e, "a plot", 0);
    r = plot_script(p, 0, f, e);
    if (fclose(f) && !r)
        r = err_memory(e, "a plot", size);
    enum medium medium = medium_of(path);
    if (!r)
        r = medium == MEDIUM_TERMINAL ? draw_terminal(p, script, panels, e)
                                      : draw_file(script, medium, panels, path, e);
    free(script);
    return r == ERR_UNAVAILABLE ? leave_table(p, path, e) : r;
}
