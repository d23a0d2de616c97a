#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *tool_name = "sgaps";
static enum log_level level_now = LOG_SILENT;

void log_setup(const char *tool, enum log_level level)
{
    tool_name = tool;
    level_now = level;
}

const char *log_tool(void)
{
    return tool_name;
}

enum log_level log_get_level(void)
{
    return level_now;
}

void log_print(enum log_level level, const char *fmt, ...)
{
    if (level > level_now)
        return;
    char line[2048];
    int n = snprintf(line, sizeof line, "%s: ", tool_name);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (m < 0)
        return;
    int len = n + m;
    if (len > (int)sizeof line - 2)
        len = (int)sizeof line - 2;
    /* Names and text come from files and clients: they must not drive the terminal. */
    for (int i = n; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)len);
    (void)written; /* nowhere left to complain */
}
