/* lib/view/plot: what does not need gnuplot, and a plot where it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"
#include "view/plot.h"

static void test_quote(void)
{
    char text[64] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    plot_quote(f, "it's `ls`\n\"$(x)\"");
    fclose(f);
    ok(!strcmp(text, "'it''s `ls` \"$(x)\"'"), "quoted: %s", text);
}

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

int main(void)
{
    struct err e;
    char folder[] = "/tmp/sgaps-plot-XXXXXX", path[64];
    struct stat st;
    if (!mkdtemp(folder))
        return 1;
    test_quote();
    ok(plot_check("a.pdf", &e) == ERR_USAGE && !plot_check("b/a.svg", &e) && !plot_check("a.png", &e),
       "endings");
    static const char script[] = "$data << EOD\n1 2\n2 3\nEOD\nplot $data with lines title 'x'\n";
    snprintf(path, sizeof path, "%s/it's.svg", folder);
    int r = plot_run(script, path, &e);
    if (r == ERR_UNAVAILABLE) {
        tap_skip("a plot", "gnuplot is not installed");
    } else {
        ok(!r && !stat(path, &st) && st.st_size > 500, "a plot, whatever is in its name");
        unlink(path);
        ok(plot_run("plot 'unbalanced\n", path, &e) == ERR_INTERNAL && !strchr(e.text, '\n'),
           "a bad script: %s", e.text);
    }
    ok(plot_run(script, "/nonexistent/a.svg", &e) == ERR_CANTCREATE, "a folder that is not there: %s",
       e.text);
    char *search = strdup(getenv("PATH"));
    setenv("PATH", folder, 1);
    ok(plot_run(script, path, &e) == ERR_UNAVAILABLE, "without gnuplot: %s", e.text);
    setenv("PATH", search, 1);
    free(search);
    ok(files_in(folder) == 0, "nothing half done is left");
    rmdir(folder);
    return tap_done();
}
