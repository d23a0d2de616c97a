/* Numbers from text: read to the end and range-checked. `name` is the option or field for the message. */
#ifndef SGAPS_BASE_PARSE_H
#define SGAPS_BASE_PARSE_H

#include <stdint.h>

#include "base/err.h"

/* code is what a failure returns: ERR_USAGE for options, ERR_CONFIG for keys, ERR_DATA for files. */
int parse_i64(const char *text, int64_t low, int64_t high, const char *name, int64_t *out, int code,
              struct err *e);
int parse_u64(const char *text, uint64_t low, uint64_t high, const char *name, uint64_t *out, int code,
              struct err *e);
int parse_f64(const char *text, double low, double high, const char *name, double *out, int code,
              struct err *e);
/* "WxH", both 1..limit. */
int parse_size(const char *text, uint32_t limit, const char *name, uint32_t *w, uint32_t *h, int code,
               struct err *e);

/* The candidate nearest to word by edit distance (at most 3 edits and under half its length), or NULL. */
const char *parse_nearest(const char *word, const char *const *candidates, int count);

#endif
