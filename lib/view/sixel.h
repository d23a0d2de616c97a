/* Sixel: pictures as text that terminals draw (DEC STD 070, chapter 9), by libsixel's encoder. */
#ifndef SGAPS_VIEW_SIXEL_H
#define SGAPS_VIEW_SIXEL_H

#include <stdio.h>

#include "view/image.h"

enum { SIXEL_GREYS = 64 };

/* One picture, from DCS to ST. Grey has SIXEL_GREYS even steps from black to white, whose intensities sixel counts in
 * hundredths: what a terminal draws is at most 4 of 255 away. Colour pictures
 * have such greys, and other colours at as many levels (5 to 101 a channel) as 256 colours allow.
 * ERR_IO: f takes no more. */
int sixel_write(FILE *f, const struct image *p, struct err *e);

#endif
