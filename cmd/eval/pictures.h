/* --pictures: for people. One sheet a session, its frames in rows: truth, samples, every method and model, and of the
 * last of them the error and where it was unsure. */
#ifndef SGAPS_EVAL_PICTURES_H
#define SGAPS_EVAL_PICTURES_H

#include "base/err.h"
#include "contest.h"

/* Writes DIR/<session>-<samples>.png for each session and budget. Only of recordings: a stream cannot be read twice. */
int pictures_write(struct contest *c, const char *dir, struct err *e);

#endif
