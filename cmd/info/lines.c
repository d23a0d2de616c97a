#include "lines.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/progress.h"
#include "info.h"

enum { WIDTH = 80, INDENT = 15 };

/* How much of text goes on one line: up to the last space that fits, or a whole line of a long word. */
static size_t fold(const char *text)
{
    size_t n = strlen(text), room = WIDTH - INDENT;
    if (n <= room)
        return n;
    for (size_t i = room; i > 0; i--)
        if (text[i] == ' ')
            return i;
    for (n = room; n > 1 && ((unsigned char)text[n] & 0xc0) == 0x80; n--) /* not inside of a character */
        ;
    return n;
}

void print_line(const char *name, const char *text)
{
    if (!text || !*text)
        return;
    printf("  %-12s ", name);
    for (;;) {
        size_t n = fold(text);
        print_plain(text, n);
        putchar('\n');
        for (text += n; *text == ' '; text++)
            ;
        if (!*text)
            return;
        printf("%*s", INDENT, "");
    }
}

void print_formatted(const char *name, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    print_line(name, text);
    free(text);
}

void print_newest(const char *history)
{
    int more = 0;
    if (!history || !*history)
        return;
    for (const char *p = history; (p = strchr(p, '\n')) && p[1]; p++)
        more++;
    if (more)
        print_formatted("history", "%.*s (and %d more: --history)", (int)strcspn(history, "\n"), history,
                        more);
    else
        print_formatted("history", "%.*s", (int)strcspn(history, "\n"), history);
}

const char *size_text(double bytes, char out[24])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    int i = 0;
    for (; bytes >= 999.5 && i < 4; i++)
        bytes /= 1000;
    snprintf(out, 24, "%.*f %s", i && bytes < 99.5 ? 1 : 0, bytes, units[i]);
    return out;
}

const char *time_text(double seconds, char out[24])
{
    if (!isfinite(seconds) || seconds < 59.95)
        snprintf(out, 24, isfinite(seconds) ? "%.3g s" : "-", seconds);
    else
        progress_duration(seconds, out, 24);
    return out;
}
