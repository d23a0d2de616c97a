/* Letters, digits and a few signs, five by seven, for captions. */
#ifndef SGAPS_VIEW_FONT_H
#define SGAPS_VIEW_FONT_H

#include <stdint.h>

enum { FONT_WIDTH = 5, FONT_HEIGHT = 7 };

/* Seven rows, the leftmost pixel in bit 4. What is not there is a space. */
const uint8_t *font_glyph(char c);

#endif
