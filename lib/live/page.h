/* The live page: share/live.html, taken into the program when it is built. */
#ifndef SGAPS_LIVE_PAGE_H
#define SGAPS_LIVE_PAGE_H

#include "base/text.h"

void page_body(struct text *out);
/* The Content-Security-Policy it wants, appended: nothing from outside, only the script and the style that are in it. */
void page_policy(struct text *out);

#endif
