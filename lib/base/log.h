/* Notes and warnings. The library only reports through here; cmd/ decides (log_setup) whether they are seen.
 * Lines go to stderr as "TOOL: text"; control characters in the text are escaped. Thread-safe, one write a line.
 * Before log_setup nothing is printed, so a library user hears nothing unless asked for. */
#ifndef SGAPS_BASE_LOG_H
#define SGAPS_BASE_LOG_H

enum log_level { LOG_SILENT = -2, LOG_ERROR = -1, LOG_WARNING = 0, LOG_NOTE = 1, LOG_DEBUG = 2 };

/* -q is LOG_ERROR, the default LOG_WARNING, -v LOG_NOTE, -vv LOG_DEBUG. tool is kept by pointer. */
void log_setup(const char *tool, enum log_level level);
const char *log_tool(void);
enum log_level log_get_level(void);

void log_print(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_print(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_print(LOG_WARNING, __VA_ARGS__)
#define log_note(...) log_print(LOG_NOTE, __VA_ARGS__)
#define log_debug(...) log_print(LOG_DEBUG, __VA_ARGS__)

#endif
