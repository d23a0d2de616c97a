/* lib/view/plot: what does not need gnuplot, and a plot where it is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "view/plot.h"
#include "view/plot_private.h"

static int files_in(const char *folder)
{
    char command[128];
    int n = -1;
    snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
    FILE *f = popen(command, "r");
    if (!f || fscanf(f, "%d", &n) != 1)
        n = -1;
    if (f)
        pclose(f);
    return n;
}

/* A plot with a name that would do harm if anything of it were run. */
static void build(struct plot *p, const char *name)
{
    *p = (struct plot){0};
    plot_panel(p, "it's `touch bad`", "step", "PSNR, dB", PLOT_LOG_X);
    plot_series(p, name, PLOT_LINE);
    for (int i = 1; i < 6; i++)
        plot_point(p, i * i, 20 + i);
    plot_point(p, NAN, 3);
    plot_point(p, 7, INFINITY);
    plot_series(p, "nothing", PLOT_DASHED);
    plot_panel(p, "empty", "x", "y", 0);
    plot_panel(p, "bars", "x", "frames", PLOT_FROM_ZERO);
    plot_series(p, "before", PLOT_BARS);
    plot_point(p, 3, 9);
    plot_point(p, 1, 4);
}

static void test_table(void)
{
    char text[512] = "";
    struct plot p;
    FILE *f = fmemopen(text, sizeof text, "w");
    build(&p, "a\tb\n$(x)");
    plot_table(&p, f);
    fclose(f);
    ok(!strcmp(text, "panel\tseries\tx\ty\n"
                     "it's `touch bad`\ta b $(x)\t1\t21\nit's `touch bad`\ta b $(x)\t4\t22\n"
                     "it's `touch bad`\ta b $(x)\t9\t23\nit's `touch bad`\ta b $(x)\t16\t24\n"
                     "it's `touch bad`\ta b $(x)\t25\t25\nbars\tbefore\t3\t9\nbars\tbefore\t1\t4\n"),
       "the table has every finite point, and names without tabs and line ends");
    plot_release(&p);
}

/* The tics of an axis that grows by factors, with values from low to high. */
static const char *log_tics(double low, double high)
{
    static char script[8192];
    struct err e;
    struct plot p = {0};
    plot_panel(&p, "growth", "x", "ms", PLOT_LOG_Y);
    plot_series(&p, "a", PLOT_LINE);
    plot_point(&p, 1, low);
    plot_point(&p, 2, high);
    FILE *f = fmemopen(script, sizeof script, "w");
    int r = plot_script(&p, 0, f, &e);
    fclose(f);
    plot_release(&p);
    char *from = strstr(script, "set ytics (");
    if (r || !from)
        return "none";
    from[strcspn(from, "\n")] = 0;
    return from + strlen("set ytics ");
}

int main(void)
{
    struct err e;
    char folder[] = "/tmp/sgaps-plot-XXXXXX", path[64], table[80];
    struct stat st;
    if (!mkdtemp(folder) || chdir(folder))
        return 1;
    test_table();
    ok(!strcmp(log_tics(31, 35), "(20, 50)"), "values within a step have one above and one below: %s",
       log_tics(31, 35));
    ok(!strcmp(log_tics(1, 99), "(0.5, 1, 2, 5, 10, 20, 50, 100, 200)"), "1, 2 and 5 over few decades: %s",
       log_tics(1, 99));
    ok(!strcmp(log_tics(1, 1e6), "none"), "over many gnuplot chooses");
    ok(plot_check("a.pdf", &e) == ERR_USAGE && !plot_check("b/a.svg", &e) && !plot_check("a.png", &e) &&
           !plot_check("-", &e) && plot_check(".svg", &e) == ERR_USAGE,
       "endings");
    struct plot p, none = {0};
    build(&p, "\"`touch bad`'$(touch bad)\n!touch bad\nend\n{/Bold x}@%d");
    ok(plot_draw(&none, "a.svg", &e) == ERR_DATA, "nothing to plot: %s", e.text);
    snprintf(path, sizeof path, "%s/it's.svg", folder);
    int r = plot_draw(&p, path, &e);
    if (r == ERR_UNAVAILABLE) {
        tap_skip("a plot", "gnuplot is not installed");
        snprintf(table, sizeof table, "%s.tsv", path);
        unlink(table);
    } else {
        ok(!r && !stat(path, &st) && st.st_size > 500, "a plot, whatever is in its names");
        ok(stat("bad", &st), "and nothing of them was run");
        unlink(path);
        ok(!plot_draw(&p, "a.png", &e) && !stat("a.png", &st) && st.st_size > 500, "a PNG");
        unlink("a.png");
        ok(plot_draw(&p, "/nonexistent/a.svg", &e) == ERR_CANTCREATE, "a folder that is not there: %s",
           e.text);
    }
    char *search = strdup(getenv("PATH"));
    setenv("PATH", folder, 1);
    r = plot_draw(&p, path, &e);
    setenv("PATH", search, 1);
    free(search);
    snprintf(table, sizeof table, "%s.tsv", path);
    ok(r == ERR_UNAVAILABLE && strstr(e.text, "gnuplot") && strstr(e.text, table) && !stat(table, &st),
       "without gnuplot the table is left: %s", e.text);
    unlink(table);
    ok(files_in(folder) == 0, "nothing half done is left");
    plot_release(&p);
    rmdir(folder);
    return tap_done();
}
