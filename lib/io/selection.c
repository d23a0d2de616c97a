#include "io/selection.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int selections_take(struct selections *s, struct recording *r, int *taken, struct err *e)
{
    *taken = !recording_sessions(r);
    if (!*taken)
        return 0;
    int bad = mem_grow(&s->file, &s->capacity, s->n + 1, sizeof *s->file, "selections", e);
    if (!bad)
        s->file[s->n++] = r;
    return bad;
}

int selections_rows(const struct selections *s, const struct recording *source, size_t session, uint8_t *keep,
                    struct err *e)
{
    size_t T = recording_session(source, session)->T;
    uint8_t *chosen = NULL;
    memset(keep, 1, T);
    int r = s->n ? mem_alloc(&chosen, T, 1, "a selection", e) : 0;
    for (size_t i = 0; i < s->n && !r; i++) {
        int present = 0;
        r = recording_keep_of(s->file[i], source, session, chosen, &present, e);
        for (size_t t = 0; t < T && present && !r; t++)
            keep[t] &= chosen[t] != 0;
    }
    free(chosen);
    return r;
}

void selections_release(struct selections *s)
{
    for (size_t i = 0; i < s->n; i++)
        recording_close(s->file[i]);
    free(s->file);
    *s = (struct selections){0};
}
