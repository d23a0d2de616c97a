/* The selection of sgaps-clean: /clean/<id>/keep, and whose rows it speaks of. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/recording_private.h"
#include "io/selection.h"
#include "io/spool.h"

static int read_keep(struct recording *r, hid_t group, size_t T, uint8_t *keep, int *present, struct err *e)
{
    struct column c;
    uint8_t *all = NULL;
    size_t kept = 0;
    int bad = column_open(&c, group, "keep", COLUMN_U8, 1, e);
    if (bad || c.id <= 0)
        return bad;
    bad = mem_alloc(&all, c.rows, 1, "a selection", e);
    bad = bad ? bad : column_read(&c, 0, c.rows, all, e);
    for (size_t i = 0; i < c.rows && !bad; i++)
        kept += all[i] != 0;
    if (!bad && c.rows == T) {
        for (size_t i = 0; i < T; i++)
            keep[i] = all[i] != 0;
        *present = 1;
    } else if (!bad && (kept != T || !r->sessions)) /* else it has been applied already */
        bad = err_set(e, ERR_DATA, "keep: was made for %zu frames, the session has %zu", c.rows, T);
    free(all);
    column_close(&c);
    return bad;
}

static hid_t open_group(hid_t parent, const char *name)
{
    return parent >= 0 && h5_exists(parent, name) ? H5Gopen2(parent, name, H5P_DEFAULT) : -1;
}

static void close_group(hid_t group)
{
    if (group >= 0)
        H5Gclose(group);
}

int recording_keep(struct recording *r, const char *session_id, size_t T, uint8_t *keep, int *present,
                   struct err *e)
{
    h5_begin();
    *present = 0;
    hid_t clean = open_group(r->file, "clean"), group = open_group(clean, session_id);
    int bad = group >= 0 ? read_keep(r, group, T, keep, present, e) : 0;
    close_group(group);
    close_group(clean);
    H5Eclear2(H5E_DEFAULT);
    if (bad)
        err_prefix(e, "%s: /clean/%s/", r->shown, session_id);
    return bad;
}

char *recording_clean_text(struct recording *r, const char *name)
{
    h5_begin();
    hid_t clean = open_group(r->file, "clean");
    char *text = clean >= 0 ? h5_text(clean, name) : NULL;
    close_group(clean);
    return text;
}

int selection_probe(const char *path)
{
    struct err e;
    hid_t file;
    if (access(path, R_OK) || spool_needed(path) || h5_open(&file, path, path, &e))
        return 0;
    int selection = h5_exists(file, "clean") && !h5_exists(file, "sessions");
    H5Fclose(file);
    return selection;
}

static int text_equals(hid_t group, const char *name, const char *want)
{
    char *text = h5_text(group, name);
    int equal = text && want && *want && !strcmp(text, want);
    free(text);
    return equal;
}

static size_t keep_rows(hid_t group)
{
    struct err e;
    struct column c;
    if (column_open(&c, group, "keep", COLUMN_U8, 1, &e) || c.id <= 0)
        return 0;
    size_t rows = c.rows;
    column_close(&c);
    return rows;
}

/* How surely a group of /clean speaks of a session: 0 not at all, more for its file, its uuid, its length. */
static int likeness(hid_t group, const struct recording *source, const struct session_info *session)
{
    if (!text_equals(group, "source_session", session->id))
        return 0;
    int by_uuid = text_equals(group, "source_uuid", recording_attribute(source, "uuid"));
    int by_file = text_equals(group, "source_file", recording_file_name(source->path));
    return by_uuid || by_file ? 1 + 4 * by_uuid + 2 * by_file + 8 * (keep_rows(group) == session->T) : 0;
}

int recording_keep_of(struct recording *selection, const struct recording *source, size_t session,
                      uint8_t *keep, int *present, struct err *e)
{
    const struct session_info *s = recording_session(source, session);
    char **names = NULL, *found = NULL;
    size_t n = 0;
    int best = 0;
    h5_begin();
    *present = 0;
    hid_t clean = open_group(selection->file, "clean");
    int bad = clean >= 0 ? recording_members(clean, SESSION_LIMIT, &names, &n, e) : 0;
    for (size_t i = 0; i < n; i++) {
        hid_t group = open_group(clean, names[i]);
        int like = group >= 0 ? likeness(group, source, s) : 0;
        close_group(group);
        if (like > best) {
            best = like;
            found = names[i];
        }
    }
    close_group(clean);
    H5Eclear2(H5E_DEFAULT);
    if (!bad)
        bad = recording_keep(selection, found ? found : s->id, s->T, keep, present, e);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return bad;
}
