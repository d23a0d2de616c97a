/* Pictures as characters: two pixels a cell in the halves of a block (Unicode U+2580), or one of ten letters. */
#ifndef SGAPS_VIEW_BLOCKS_H
#define SGAPS_VIEW_BLOCKS_H

#include <stdio.h>

#include "view/image.h"

/* Lines of half blocks, each ended by a reset and a line end. colours: 256 (grey pixels in the 26 greys of xterm's palette,
 * colours in its cube) or 24-bit (any other number). */
void blocks_write(FILE *f, const struct image *p, int colours);
/* Lines of plain ASCII, dark to bright; a letter is as high as two pixels. */
void letters_write(FILE *f, const struct image *p);

#endif
