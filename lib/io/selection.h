/* What `sgaps-clean --selection-only` leaves: a file without sessions whose /clean says which rows of its source are kept.
 * A tool that is given one beside the source leaves the other rows out. */
#ifndef SGAPS_IO_SELECTION_H
#define SGAPS_IO_SELECTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/recording.h"

struct selections {
    struct recording **file;
    size_t n, capacity;
};

/* 1 when path is a file, not a pipe, and such a selection. */
int selection_probe(const char *path);
/* Takes r over when it is a selection: *taken. */
int selections_take(struct selections *s, struct recording *r, int *taken, struct err *e);
/* keep (T of the session of source): 1, and 0 for what any selection that knows the session takes out. */
int selections_rows(const struct selections *s, const struct recording *source, size_t session, uint8_t *keep,
                    struct err *e);
void selections_release(struct selections *s);

#endif
