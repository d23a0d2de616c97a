/* The one colour map of all pictures. */
#ifndef SGAPS_VIEW_COLOUR_H
#define SGAPS_VIEW_COLOUR_H

#include <stdint.h>

/* x in 0..1 (what lies outside is clamped, NAN is 0) from near black over purple and orange to pale yellow. Equal steps of x
 * look equally large, and grow brighter for every kind of colour vision: the test holds both. */
void colour_map(double x, uint8_t rgb[3]);

/* What is drawn on top of the map or of grey: no colour of either. */
extern const uint8_t colour_mark[3];

#endif
