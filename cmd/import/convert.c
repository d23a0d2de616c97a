/* --convert: what sgaps-serve does with its journals. A recording is written under another name, read again and compared
 * with the journal, renamed, noted in the journal's list of what is done; only then the journal may go. Killed anywhere,
 * the next run goes on with the same result: a recording that is there is known by its uuid, which follows from the
 * journal's name and the session's number, and is compared again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "import.h"
#include "journal_plan.h"

enum { TOGETHER = 16, NAMES = 10000 };

struct conversion {
    struct job *job;
    const char *dir;
    char directory[2048]; /* dir/journal */
    struct journal_source source;
    int whole;    /* all of the journal */
    int failures; /* sessions that stay in the journal */
    int worst;    /* code of the first of them */
};

/* --- comparing --- */

struct reread {
    struct recording *r;
    const struct journal_plan *p;
    struct samples samples;
    float *state, *map;
    uint8_t *image, *seen;
};

static int differs(const struct reread *c, size_t t, const char *what, struct err *e)
{
    return err_set(e, ERR_IO, "%s: row %zu: %s is not what the journal says", recording_path(c->r), t, what);
}

static int same(const void *a, const void *b, size_t n)
{
    return !n || !memcmp(a, b, n);
}

static int compare_columns(struct reread *c, size_t t, const struct frame *f, struct err *e)
{
    const struct session_info *info = recording_session(c->r, 0);
    struct frame got;
    uint16_t length = 0;
    int bad = recording_columns(c->r, 0, t, 1, &got.frame_id, &got.timestamp, &got.recv_time, &got.set, e);
    bad = bad ? bad : recording_state(c->r, 0, t, 1, c->state, &length, e);
    bad = bad ? bad : recording_samples(c->r, 0, t, 0, &c->samples, e);
    if (bad)
        return bad;
    if (got.frame_id != f->frame_id)
        return differs(c, t, "frame_id", e);
    if (!same(&got.timestamp, &f->timestamp, sizeof f->timestamp) ||
        !same(&got.recv_time, &f->recv_time, sizeof f->recv_time))
        return differs(c, t, "its time", e);
    if (info->has_set && got.set != f->set)
        return differs(c, t, "samples/set", e);
    if (info->S && (length != f->state_n || !same(c->state, f->state, f->state_n * sizeof(float))))
        return differs(c, t, "state", e);
    if (c->samples.n != f->samples_n || !same(c->samples.uv, f->uv, f->samples_n * 2 * sizeof(float)) ||
        !same(c->samples.value, f->value, f->samples_n))
        return differs(c, t, "samples", e);
    return 0;
}

static int compare_pictures(struct reread *c, size_t t, const struct frame *f, int64_t seen_of, struct err *e)
{
    const struct session_info *info = recording_session(c->r, 0);
    size_t pixels = (size_t)info->W * info->H, cells = (size_t)info->map_w * info->map_h;
    int present = 0, bad = 0;
    int64_t of = 0;
    if (info->has_frames)
        bad = recording_frame(c->r, 0, t, c->image, &present, e);
    if (!bad && (present != (f->image != NULL) || (present && !same(c->image, f->image, pixels))))
        return differs(c, t, "its full frame", e);
    if (bad || !info->has_reconstruction)
        return bad;
    bad = recording_reconstruction_u8(c->r, 0, t, c->seen, e);
    bad = bad ? bad : recording_noted_column(c->r, 0, "reconstruction_of", t, 1, &of, e);
    if (!bad && (of != seen_of || !same(c->seen, f->reconstruction, pixels)))
        return differs(c, t, "reconstruction", e);
    if (!bad && info->has_importance) {
        bad = recording_importance(c->r, 0, t, c->map, e);
        if (!bad && !same(c->map, f->importance, cells * sizeof(float)))
            return differs(c, t, "importance", e);
    }
    return bad;
}

static int compare_rows(struct reread *c, struct journal_source *s, struct err *e)
{
    const struct session_info *info = recording_session(c->r, 0);
    size_t pixels = (size_t)info->W * info->H, cells = (size_t)info->map_w * info->map_h;
    struct journal_frames frames;
    struct frame f;
    int bad = mem_alloc(&c->state, info->S, sizeof *c->state, "a state", e);
    bad = bad ? bad : mem_alloc(&c->image, pixels, 1, "a frame", e);
    bad = bad ? bad : mem_alloc(&c->seen, pixels, 1, "a frame", e);
    bad = bad ? bad : mem_alloc(&c->map, cells, sizeof *c->map, "an importance map", e);
    bad = bad ? bad : journal_frames_begin(&frames, s, c->p, info, e);
    if (bad)
        return bad;
    for (size_t t = 0; t < c->p->rows && !bad; t++) {
        bad = journal_frames_read(&frames, t, &f, e);
        bad = bad ? bad : compare_columns(c, t, &f, e);
        bad = bad ? bad : compare_pictures(c, t, &f, frames.seen_of, e);
    }
    journal_frames_end(&frames);
    return bad;
}

/* Does the recording at path hold the session as the journal has it, every bit? */
static int compare(const char *path, const char *uuid, struct journal_source *s, const struct journal_plan *p,
                   struct err *e)
{
    struct reread c = {.p = p};
    int bad = recording_open(&c.r, path, e);
    if (bad)
        return bad;
    const char *own = recording_attribute(c.r, "uuid");
    const struct session_info *info = recording_sessions(c.r) == 1 ? recording_session(c.r, 0) : NULL;
    if (!own || strcmp(own, uuid) || !info || info->T != p->rows || info->W != p->info.W ||
        info->H != p->info.H || info->S != p->info.S ||
        info->has_reconstruction != p->info.has_reconstruction ||
        info->has_importance != p->info.has_importance || info->closed != p->closed)
        bad = err_set(e, ERR_IO, "%s: is not the session that the journal has", path);
    bad = bad ? bad : compare_rows(&c, s, e);
    recording_close(c.r);
    samples_release(&c.samples);
    free(c.state);
    free(c.image);
    free(c.seen);
    free(c.map);
    return bad;
}

/* --- names --- */

/* As the protocol allows them; the journal is not believed either. */
static void safe_name(const char *name, const char *otherwise, char *out, size_t size)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    snprintf(out, size, "%s", *name ? name : otherwise);
    for (char *p = out; *p; p++)
        if (!strchr(safe, *p))
            *p = '_';
    if (*out == '.')
        *out = '_';
}

/* dir/<key>/<UTC time>-<id>.h5, the k-th of that name. */
static void recording_name(const struct conversion *c, const struct journal_plan *p, int k, char out[4096])
{
    char key[65], id[129], when[32] = "unknown", again[16] = "";
    time_t seconds = (time_t)p->opened;
    struct tm utc;
    safe_name(p->info.checkpoint_key, "default", key, sizeof key);
    safe_name(p->info.id, "session", id, sizeof id);
    if (gmtime_r(&seconds, &utc))
        strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc);
    if (k > 1)
        snprintf(again, sizeof again, "-%d", k);
    snprintf(out, 4096, "%s/%s/%s-%s%s.h5", c->dir, key, when, id, again);
}

/* What killed runs left beside path: all that begins with its name and ".converting". */
static void remove_unfinished(const char *path)
{
    char folder[4096], found[4096 + 256];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    *slash = 0;
    const char *file = slash + 1;
    size_t n = strlen(file);
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (struct dirent *entry; (entry = readdir(d));)
        if (!strncmp(entry->d_name, file, n) && !strncmp(entry->d_name + n, ".converting", 11)) {
            snprintf(found, sizeof found, "%s/%s", folder, entry->d_name);
            unlink(found);
        }
    closedir(d);
}

static void sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* 0: path is the file now. ERR_NO: there is one of that name. */
static int publish(const char *from, const char *path, struct err *e)
{
    int failed = renameat2(AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE);
    if (failed && (errno == EINVAL || errno == ENOSYS)) { /* a file system that cannot: two steps */
        failed = link(from, path);
        if (!failed)
            unlink(from);
    }
    if (failed && errno == EEXIST)
        return ERR_NO;
    if (failed)
        return err_set(e, ERR_CANTCREATE, "%s: cannot be renamed into place: %s", path, strerror(errno));
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    sync_folder(folder);
    *strrchr(folder, '/') = 0; /* the folder itself may be new */
    sync_folder(folder);
    return 0;
}

/* --- one session --- */

static void on_row(void *user)
{
    job_count(user);
}

static int write_file(struct conversion *c, const struct journal_plan *p, const char *path, const char *uuid,
                      struct err *e)
{
    struct job *job = c->job;
    char *history = tool_history(job->tool, job->parsed, NULL);
    struct recording_meta meta = {
        .creator = "sgaps-import " SGAPS_VERSION, .history = history, .config = p->config, .uuid = uuid};
    struct recording_writer *w = NULL;
    int bad = atomic_file_make_parents(path, e);
    bad = bad ? bad : recording_create(&w, path, &meta, e);
    bad = bad ? bad : journal_write_session(&c->source, p, &p->info, 1, w, on_row, job, e);
    bad = bad ? bad : recording_finish(w, e);
    if (bad)
        recording_abandon(w);
    free(history);
    return bad;
}

/* The first free name, or the one under which an earlier run finished it: *there. */
static int find_name(struct conversion *c, const struct journal_plan *p, const char *uuid, int *k, int *there,
                     char path[4096], struct err *e)
{
    struct stat st;
    struct err why; /* it is another one's */
    for (*there = 0; *k < NAMES; ++*k) {
        recording_name(c, p, *k, path);
        if (lstat(path, &st))
            return 0;
        if (!compare(path, uuid, &c->source, p, &why)) {
            *there = 1;
            return 0;
        }
    }
    return err_set(e, ERR_CANTCREATE, "%s: and all names after it are taken", path);
}

static int convert_session(struct conversion *c, const struct journal_plan *p, char path[4096], struct err *e)
{
    char uuid[37], seed[128], part[4096 + 16];
    int there, bad = 0;
    snprintf(path, 4096, "-"); /* nothing was recorded of it: no file */
    if (!p->rows) {
        if (p->received)
            log_warning("session %s: none of its %llu frames is recorded", p->info.id,
                        (unsigned long long)p->received);
        return 0;
    }
    snprintf(seed, sizeof seed, "%s/%llu", c->source.name, (unsigned long long)p->number);
    if (recording_uuid_of(seed, uuid))
        return err_set(e, ERR_INTERNAL, "SHA-256 is not available");
    for (int k = 1;; k++) {
        bad = find_name(c, p, uuid, &k, &there, path, e);
        if (bad || there)
            return bad;
        remove_unfinished(path);
        snprintf(part, sizeof part, "%s.converting", path);
        bad = write_file(c, p, part, uuid, e);
        bad = bad ? bad : compare(part, uuid, &c->source, p, e);
        bad = bad ? bad : publish(part, path, e);
        if (bad != ERR_NO) {
            if (bad)
                unlink(part);
            return bad;
        }
    }
}

/* --- a journal --- */

/* What could not be read is not thrown away: it stays under a name that nothing looks for. */
static void keep_damaged(const struct conversion *c, struct journal_reader *r)
{
    char copy[4096];
    for (uint32_t i = 0; i < c->source.segments && i < journal_segments(r); i++) {
        const char *path = journal_segment_path(r, i);
        if (!c->source.damaged[i])
            continue;
        snprintf(copy, sizeof copy, "%s.damaged", path);
        if (!link(path, copy))
            log_warning("%s: is kept as %s", path, copy);
        else if (errno != EEXIST)
            log_warning("%s: cannot be kept as %s: %s", path, copy, strerror(errno));
    }
}

static void failed(struct conversion *c, const struct err *e)
{
    log_error("%s", e->text);
    if (!c->failures++)
        c->worst = e->code;
}

static void convert_plans(struct conversion *c, struct journal_plan *plans, size_t n)
{
    char path[4096];
    struct err e;
    for (size_t i = 0; i < n; i++) {
        int bad = convert_session(c, &plans[i], path, &e);
        bad = bad ? bad : journal_done_add(c->directory, c->source.name, plans[i].number, path, &e);
        if (bad)
            failed(c, &e);
        else if (strcmp(path, "-")) {
            printf("%s\n", path);
            fflush(stdout);
        }
    }
}

/* These sessions, some at a time; those that are done are left out. */
static int convert_numbers(struct conversion *c, uint64_t *numbers, size_t n, struct err *e)
{
    uint64_t *done;
    size_t dones, left = 0;
    int bad = journal_done(c->directory, c->source.name, &done, &dones, e);
    if (bad)
        return bad;
    for (size_t i = 0; i < n; i++)
        if (!journal_done_has(done, dones, numbers[i]))
            numbers[left++] = numbers[i];
    free(done);
    for (size_t i = 0; i < left && !bad; i += TOGETHER) {
        struct journal_plan *plans;
        struct journal_reader *r;
        size_t count, some = left - i < TOGETHER ? left - i : TOGETHER;
        bad = journal_plans_make(&c->source, numbers + i, some, !c->whole, &plans, &count, e);
        if (!bad && !journal_source_open(&c->source, &r, e)) {
            keep_damaged(c, r);
            journal_reader_close(r);
        }
        if (!bad)
            convert_plans(c, plans, count);
        journal_plans_release(plans, count);
    }
    return bad;
}

static void remove_journal(const struct conversion *c)
{
    uint32_t *numbers;
    size_t n;
    char path[4096];
    if (journal_numbers(c->directory, c->source.name, &numbers, &n, NULL))
        return;
    for (size_t i = 0; i < n; i++)
        if (!journal_file_name(c->directory, c->source.name, numbers[i], path, sizeof path))
            unlink(path);
    free(numbers);
    journal_remove_marks(c->directory, c->source.name);
}

/* Everything of a journal whose writer is gone. */
static int convert_whole(struct conversion *c, struct err *e)
{
    uint64_t *numbers = NULL;
    size_t n = 0;
    int lock, before = c->failures;
    int bad = journal_lock(c->directory, c->source.name, &lock, e);
    if (bad)
        return bad;
    bad = journal_source_sessions(&c->source, &numbers, &n, e);
    bad = bad ? bad : convert_numbers(c, numbers, n, e);
    if (!bad && c->failures == before)
        remove_journal(c);
    free(numbers);
    close(lock);
    return bad;
}

static int parse_numbers(const char *text, uint64_t **numbers, size_t *n, struct err *e)
{
    size_t capacity = 0;
    int bad = 0;
    *numbers = NULL;
    *n = 0;
    while (!bad) {
        char *end;
        errno = 0;
        unsigned long long x = strtoull(text, &end, 10);
        if (end == text || errno || !x || *text < '0' || *text > '9' || (*end && *end != ','))
            bad = err_set(e, ERR_USAGE, "--numbers: '%s' is no list of numbers such as 3,4", text);
        bad = bad ? bad : mem_grow(numbers, &capacity, *n + 1, sizeof **numbers, "numbers", e);
        if (!bad)
            (*numbers)[(*n)++] = x;
        if (bad || !*end)
            break;
        text = end + 1;
    }
    return bad;
}

static int convert_some(struct conversion *c, const char *list, struct err *e)
{
    uint64_t *numbers;
    size_t n;
    int bad = parse_numbers(list, &numbers, &n, e);
    bad = bad ? bad : convert_numbers(c, numbers, n, e);
    free(numbers);
    return bad;
}

static int convert_all(struct conversion *c, struct err *e)
{
    char **names;
    size_t n;
    int bad = journal_list(c->directory, &names, &n, e);
    if (bad)
        return bad;
    for (size_t i = 0; i < n; i++) {
        c->source = (struct journal_source){.path = c->directory, .name = names[i]};
        bad = convert_whole(c, e);
        if (bad == ERR_TEMPFAIL)
            log_note("%s", e->text);
        else if (bad)
            failed(c, e);
        journal_source_release(&c->source);
    }
    journal_list_free(names, n);
    return 0;
}

int convert_journals(struct job *job, const char *dir, const char *name, const char *numbers, struct err *e)
{
    struct conversion c = {.job = job, .dir = dir, .whole = !numbers};
    int bad;
    if ((size_t)snprintf(c.directory, sizeof c.directory, "%s/journal", dir) >= sizeof c.directory)
        return err_set(e, ERR_USAGE, "--convert: the name is too long");
    c.source = (struct journal_source){.path = c.directory, .name = name};
    if (numbers)
        bad = convert_some(&c, numbers, e);
    else if (name)
        bad = convert_whole(&c, e);
    else
        bad = convert_all(&c, e);
    if (name)
        journal_source_release(&c.source);
    if (!bad && c.failures)
        bad = err_set(e, c.worst, "%s: %d sessions or journals could not be converted and are kept",
                      c.directory, c.failures);
    return bad;
}
