/* PNG decoding from any source of bytes. Private to lib/io. */
#ifndef SGAPS_IO_PNG_FILE_H
#define SGAPS_IO_PNG_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Reads up to n bytes to out; the number read, short only at the end. */
typedef size_t (*png_source_fn)(void *source, void *out, size_t n);

/* One picture as 8-bit grey (luma of colour, alpha ignored), sides up to 16384. *pixels is free()d by the caller. */
int png_decode(png_source_fn read, void *source, const char *name, uint8_t **pixels, uint32_t *W, uint32_t *H,
               struct err *e);

#endif
