/* A plot as a gnuplot script. */
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "view/plot_private.h"

/* Colours that the colour-blind tell apart too (Tol's bright set), and a mark of its own for each. */
static const char *const preamble = "set encoding utf8\n"
                                    "set style fill solid 0.8 noborder\n"
                                    "set boxwidth 0.9 relative\n"
                                    "set grid linetype 1 linewidth 1 linecolor rgb '#e0e0e0'\n"
                                    "set border 3 linecolor rgb '#444444'\n"
                                    "set tics nomirror\n"
                                    "set key below height 0.6\n"
                                    "set key noenhanced\n"
                                    "set title noenhanced\n";
static const char *const colours[] = {"4477aa", "ee6677", "228833", "aa3377", "66ccee", "ccbb44", "777777"};
static const int marks[] = {7, 5, 9, 11, 13, 15, 6};
enum { COLOURS = sizeof colours / sizeof *colours };

/* A gnuplot string in single quotes; control characters become spaces. */
static void quote(FILE *f, const char *text)
{
    putc('\'', f);
    for (; *text; text++) {
        if (*text == '\'')
            putc('\'', f);
        putc((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text, f);
    }
    putc('\'', f);
}

static void put_label(FILE *f, const char *what, const char *text)
{
    fprintf(f, "set %s ", what);
    quote(f, text);
    putc('\n', f);
}

/* Characters have no room for the y axis' label. */
static void put_title(FILE *f, const struct plot_panel *panel, int characters)
{
    fputs("set ylabel ", f);
    quote(f, characters ? "" : panel->y);
    fputs("\nset title ", f);
    quote(f, panel->title);
    if (characters && strcasecmp(panel->title, panel->y)) {
        fputs(".' ('.", f);
        quote(f, panel->y);
        fputs(".')'", f);
    }
    putc('\n', f);
}

static void put_data(const struct plot *p, FILE *f)
{
    for (size_t s = 0; s < p->series_count; s++) {
        const struct plot_series *series = &p->series[s];
        if (!series->n)
            continue;
        fprintf(f, "$series%zu << end\n", s);
        for (size_t i = series->first; i < series->first + series->n; i++)
            fprintf(f, "%.10g %.10g\n", p->points[i].x, p->points[i].y);
        fputs("end\n", f);
    }
}

static void put_style(FILE *f, enum plot_style style, size_t i, int characters)
{
    const char *colour = colours[i % COLOURS];
    if (style >= PLOT_BARS && characters) {
        fprintf(f, "using %s:2 with impulses linecolor rgb '#%s'", style == PLOT_BARS ? "0" : "1", colour);
        return;
    }
    switch (style) {
    case PLOT_LINE:
        fprintf(f, "using 1:2 with linespoints linewidth 2 pointtype %d pointsize 0.8 linecolor rgb '#%s'",
                marks[i % COLOURS], colour);
        break;
    case PLOT_CURVE:
        fprintf(f, "using 1:2 with lines linewidth 2 linecolor rgb '#%s'", colour);
        break;
    case PLOT_FAINT:
        fputs("using 1:2 with lines linewidth 1 linecolor rgb '#aaaaaa'", f);
        break;
    case PLOT_DASHED:
        fprintf(f, "using 1:2 with lines linewidth 2 dashtype 2 linecolor rgb '#%s'", colour);
        break;
    case PLOT_BARS:
        fprintf(f, "using 0:2 with boxes linecolor rgb '#%s'", i ? colours[i - 1] : "c4c4c4");
        break;
    case PLOT_STEPS:
        fprintf(f, "using 1:2 with fillsteps linecolor rgb '#%s'", colour);
        break;
    }
}

/* The x of a panel's points, in order and each once, if there are few of them. */
enum { TICS = 10, LOG_SPAN = 1000 };
struct extent {
    double low, high, low_y, high_y, tic[TICS];
    size_t tics; /* TICS + 1: too many to name */
    size_t most; /* points of a series */
    int lines, bars;
};

static void add_tic(struct extent *x, double value)
{
    size_t i = 0;
    while (i < x->tics && x->tics <= TICS && x->tic[i] < value)
        i++;
    if (x->tics > TICS || (i < x->tics && x->tic[i] == value))
        return;
    if (x->tics < TICS)
        for (size_t k = x->tics; k > i; k--)
            x->tic[k] = x->tic[k - 1];
    if (x->tics++ < TICS)
        x->tic[i] = value;
}

static struct extent extent_of(const struct plot *p, const struct plot_panel *panel)
{
    struct extent x = {.low = INFINITY, .high = -INFINITY, .low_y = INFINITY, .high_y = -INFINITY};
    for (size_t s = panel->first; s < panel->first + panel->n; s++) {
        const struct plot_series *series = &p->series[s];
        x.most = series->n > x.most ? series->n : x.most;
        x.lines |= series->n && series->style == PLOT_LINE;
        x.bars |= series->n && series->style == PLOT_BARS;
        for (size_t i = series->first; i < series->first + series->n; i++) {
            x.low = fmin(x.low, p->points[i].x);
            x.high = fmax(x.high, p->points[i].x);
            x.low_y = fmin(x.low_y, p->points[i].y);
            x.high_y = fmax(x.high_y, p->points[i].y);
            if (series->style == PLOT_LINE)
                add_tic(&x, p->points[i].x);
        }
    }
    return x;
}

/* The nearest of 1, 2, 5, 10, 20 ... that is not above the value, or not below it. */
static double log_step(double value, int above)
{
    static const double steps[] = {1, 2, 5, 10};
    double decade = pow(10, floor(log10(value)));
    int i = 0;
    while (i < 3 && (above ? steps[i] * decade < value : steps[i + 1] * decade <= value))
        i++;
    return steps[i] * decade;
}

/* From tic to tic, so that there are two at least; over few decades 2 and 5 are tics too. */
static void put_log_tics(const struct extent *x, FILE *f)
{
    double low = log_step(x->low_y / 1.05, 0), high = log_step(x->high_y * 1.05, 1);
    fprintf(f, "set yrange [%.10g:%.10g]\nset offsets 0, 0, 0, 0\n", low, high);
    if (high > LOG_SPAN * low)
        return;
    for (double tic = low; tic <= high * 1.01; tic = log_step(tic * 1.5, 1))
        fprintf(f, "%s%.10g", tic > low ? ", " : "set ytics (", tic);
    fputs(")\n", f);
}

/* A range with some air, and where few places were measured, these as its tics. */
static void put_range(const struct extent *x, int flags, FILE *f)
{
    double low = x->low, high = x->high;
    if (x->bars) {
        low = -0.5;
        high = (double)x->most - 0.5;
    } else if (flags & PLOT_LOG_X) {
        double air = low < high ? pow(high / low, x->lines ? 0.05 : 0) : 1.5;
        low /= air;
        high *= air;
    } else {
        double air = low < high ? (high - low) * (x->lines ? 0.03 : 0) : 1;
        low -= air;
        high += air;
    }
    int log_y = flags & PLOT_LOG_Y && x->low_y > 0;
    fprintf(f, "unset logscale\nset ytics autofreq\n%s%s", flags & PLOT_LOG_X ? "set logscale x\n" : "",
            log_y ? "set logscale y\n" : "");
    fprintf(f, "set xrange [%.10g:%.10g]\n", low, high);
    if (log_y)
        put_log_tics(x, f);
    else
        fprintf(f, "set yrange [%s:*]\nset offsets 0, 0, graph 0.05, graph %s\n",
                flags & PLOT_FROM_ZERO ? "0" : "*", flags & PLOT_FROM_ZERO ? "0" : "0.05");
    fputs("set xtics autofreq\n", f);
    if (!(flags & PLOT_LOG_X) || !x->lines || x->tics > TICS)
        return;
    for (size_t i = 0; i < x->tics; i++)
        fprintf(f, "%s%.10g", i ? ", " : "set xtics (", x->tic[i]);
    fputs(")\n", f);
}

static void put_panel(const struct plot *p, const struct plot_panel *panel, int characters, FILE *f)
{
    const struct extent x = extent_of(p, panel);
    size_t drawn = 0;
    put_title(f, panel, characters);
    put_label(f, "xlabel", panel->x);
    put_range(&x, panel->flags, f);
    fputs("plot ", f);
    for (size_t s = panel->first; s < panel->first + panel->n; s++) {
        if (!p->series[s].n || (characters && p->series[s].style == PLOT_FAINT && x.lines))
            continue;
        fprintf(f, "%s$series%zu ", drawn ? ", " : "", s);
        put_style(f, p->series[s].style, drawn++, characters);
        fputs(" title ", f);
        quote(f, strcasecmp(p->series[s].name, panel->y) ? p->series[s].name : "");
    }
    putc('\n', f);
}

int plot_script(const struct plot *p, int characters, FILE *f, struct err *e)
{
    size_t n = plot_panels_drawn(p), columns = n > 1 ? 2 : 1;
    if (p->failed)
        return err_memory(e, "a plot", 0);
    fputs(preamble, f);
    if (characters)
        fputs("unset grid\nset key below height 0\n", f);
    put_data(p, f);
    if (n > 1 && !characters)
        fprintf(f, "set multiplot layout %zu,%zu\n", (n + columns - 1) / columns, columns);
    for (size_t i = 0; i < p->panel_count; i++)
        if (!plot_panel_empty(p, &p->panels[i]))
            put_panel(p, &p->panels[i], characters, f);
    if (n > 1 && !characters)
        fputs("unset multiplot\n", f);
    return 0;
}
