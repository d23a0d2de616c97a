/* Reading journals: what is sound is given out in order, once; the rest is reported and passed over. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/journal_private.h"

enum { WINDOW = 256 * 1024 };

struct segment {
    char *path;
    char name[JOURNAL_NAME_SIZE];
    uint32_t number;
};

struct journal_reader {
    struct segment *segment;
    size_t segments, capacity;
    journal_damage_fn damage;
    void *user;
    int (*wants)(void *user, const char *journal, uint64_t session);
    void *wants_user;
    /* where it stands */
    uint32_t at;
    int fd; /* of segment[at], or -1 */
    uint64_t offset, size;
    uint64_t last; /* sequence number given out last, of this journal */
    /* a piece of the file */
    uint8_t *window;
    size_t window_capacity, window_n;
    uint64_t window_from;
    struct { /* of journal_read_at */
        int fd;
        uint32_t segment;
        struct journal_bytes record;
    } other;
};

/* --- opening --- */

static int add_segment(struct journal_reader *r, const char *path, const char *name, uint32_t number,
                       struct err *e)
{
    int bad = mem_grow(&r->segment, &r->capacity, r->segments + 1, sizeof *r->segment, "segments", e);
    if (bad)
        return bad;
    struct segment *s = &r->segment[r->segments];
    *s = (struct segment){.number = number};
    snprintf(s->name, sizeof s->name, "%s", name);
    bad = mem_string(&s->path, path, e);
    r->segments += !bad;
    return bad;
}

static int by_number(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static int add_journal(struct journal_reader *r, const char *directory, const char *name, struct err *e)
{
    uint32_t *numbers = NULL;
    size_t n = 0, from = r->segments;
    char path[4096];
    int bad = journal_numbers(directory, name, &numbers, &n, e);
    for (size_t i = 0; i < n && !bad; i++) {
        journal_file_name(directory, name, numbers[i], path, sizeof path);
        bad = add_segment(r, path, name, numbers[i], e);
    }
    free(numbers);
    if (!bad && r->segments > from)
        qsort(r->segment + from, r->segments - from, sizeof *r->segment, by_number);
    return bad;
}

static int add_directory(struct journal_reader *r, const char *directory, struct err *e)
{
    char **names;
    size_t n;
    int bad = journal_list(directory, &names, &n, e);
    for (size_t i = 0; i < n && !bad; i++)
        bad = add_journal(r, directory, names[i], e);
    journal_list_free(names, n);
    return bad;
}

/* A segment by itself is a journal by the name of its file, until its head says better. */
static int add_file(struct journal_reader *r, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    char name[JOURNAL_NAME_SIZE];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(file, "."), file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", path, strerror(errno));
    close(fd);
    return add_segment(r, path, name, 0, e);
}

static int make(struct journal_reader **out, journal_damage_fn damage, void *user, struct err *e)
{
    int bad = mem_alloc(out, 1, sizeof **out, "a journal", e);
    if (bad)
        return bad;
    (*out)->fd = (*out)->other.fd = -1;
    (*out)->damage = damage;
    (*out)->user = user;
    return 0;
}

static int made(struct journal_reader **r, int bad)
{
    if (bad) {
        journal_reader_close(*r);
        *r = NULL;
    }
    return bad;
}

int journal_open(struct journal_reader **r, const char *path, journal_damage_fn damage, void *user,
                 struct err *e)
{
    struct stat st;
    int bad = make(r, damage, user, e);
    if (!bad && stat(path, &st))
        bad = err_set(e, ERR_NOINPUT, "%s: cannot open: %s", path, strerror(errno));
    if (!bad)
        bad = S_ISDIR(st.st_mode) ? add_directory(*r, path, e) : add_file(*r, path, e);
    return made(r, bad);
}

int journal_open_name(struct journal_reader **r, const char *directory, const char *name,
                      journal_damage_fn damage, void *user, struct err *e)
{
    int bad = make(r, damage, user, e);
    return made(r, bad ? bad : add_journal(*r, directory, name, e));
}

void journal_only(struct journal_reader *r, int (*wants)(void *user, const char *journal, uint64_t session),
                  void *user)
{
    r->wants = wants;
    r->wants_user = user;
}

static void leave_segment(struct journal_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

void journal_reader_close(struct journal_reader *r)
{
    if (!r)
        return;
    leave_segment(r);
    if (r->other.fd >= 0)
        close(r->other.fd);
    for (size_t i = 0; i < r->segments; i++)
        free(r->segment[i].path);
    free(r->segment);
    free(r->window);
    free(r->other.record.at);
    free(r);
}

size_t journal_segments(const struct journal_reader *r)
{
    return r->segments;
}

const char *journal_segment_path(const struct journal_reader *r, uint32_t segment)
{
    return r->segment[segment].path;
}

/* --- pieces of the file --- */

/* bytes at offset, or how many there are; -1: e. */
static ssize_t read_at(int fd, const char *path, uint64_t offset, void *out, size_t n, struct err *e)
{
    size_t done = 0;
    while (done < n) {
        ssize_t part = pread(fd, (char *)out + done, n - done, (off_t)(offset + done));
        if (part < 0 && errno == EINTR)
            continue;
        if (part < 0) {
            err_set(e, ERR_IO, "%s: offset %llu: read failed: %s", path, (unsigned long long)(offset + done),
                    strerror(errno));
            return -1;
        }
        if (!part)
            break;
        done += (size_t)part;
    }
    return (ssize_t)done;
}

/* *out = n bytes at offset, which the caller knows to be within the file. */
static int fetch(struct journal_reader *r, uint64_t offset, size_t n, const uint8_t **out, struct err *e)
{
    const char *path = r->segment[r->at].path;
    if (offset < r->window_from || offset + n > r->window_from + r->window_n) {
        size_t want = n > WINDOW ? n : WINDOW;
        if (want > r->size - offset)
            want = (size_t)(r->size - offset);
        r->window_n = 0;
        int bad = mem_grow(&r->window, &r->window_capacity, want, 1, "a piece of a journal", e);
        if (bad)
            return bad;
        ssize_t got = read_at(r->fd, path, offset, r->window, want, e);
        if (got < 0)
            return e ? e->code : ERR_IO;
        r->window_from = offset;
        r->window_n = (size_t)got;
        if ((size_t)got < n)
            return err_set(e, ERR_IO, "%s: became shorter while it was read", path);
    }
    *out = r->window + (offset - r->window_from);
    return 0;
}

/* --- damage --- */

static void report(struct journal_reader *r, uint64_t from, uint64_t bytes, int torn, const char *reason)
{
    if (!r->damage)
        return;
    struct journal_damage d = {r->segment[r->at].path, reason, from, bytes, r->at, torn};
    r->damage(r->user, &d);
}

/* The next place from r->offset on where a record of ours begins, or the file's end. *zeros: nothing else is between. */
static int search(struct journal_reader *r, uint64_t *found, int *zeros, struct err *e)
{
    *zeros = 1;
    for (*found = r->offset; *found < r->size; *found += 8) {
        struct journal_header h = {0};
        const uint8_t *p;
        uint64_t left = r->size - *found;
        int bad = fetch(r, *found, left < sizeof h ? (size_t)left : sizeof h, &p, e);
        if (bad)
            return bad;
        memcpy(&h, p, left < sizeof h ? (size_t)left : sizeof h);
        if (h.magic == JOURNAL_MAGIC && journal_header_sound(&h) && h.sequence > r->last)
            return 0;
        for (size_t i = 0; i < 8 && i < left; i++)
            *zeros &= !p[i];
    }
    *found = r->size;
    return 0;
}

/* No record begins at r->offset: on to the next that does. */
static int pass_over(struct journal_reader *r, const char *reason, struct err *e)
{
    uint64_t found = r->size;
    int zeros;
    int bad = search(r, &found, &zeros, e);
    if (bad)
        return bad;
    int torn = zeros && found == r->size; /* the file had grown, its content was not on the disk */
    report(r, r->offset, found - r->offset, torn, torn ? "nothing but zeros to the end" : reason);
    r->offset = found;
    return 0;
}

/* --- records --- */

/* The next segment: 1, or 0 at the end. */
static int enter_segment(struct journal_reader *r, struct err *e)
{
    struct stat st;
    for (; r->at < r->segments; r->at++) {
        struct segment *s = &r->segment[r->at];
        r->fd = open(s->path, O_RDONLY | O_CLOEXEC);
        if (r->fd < 0 && errno == ENOENT)
            continue; /* its sessions are recordings by now */
        if (r->fd < 0 || fstat(r->fd, &st)) {
            err_set(e, ERR_NOINPUT, "%s: cannot open: %s", s->path, strerror(errno));
            return -1;
        }
        if (r->at && strcmp(s->name, s[-1].name))
            r->last = 0;
        r->size = (uint64_t)st.st_size;
        r->offset = r->window_n = 0;
        return 1;
    }
    return 0;
}

/* What a segment begins with: how many records the one before should have ended with. */
static void take_head(struct journal_reader *r, const uint8_t *content)
{
    struct journal_segment_head head;
    struct segment *s = &r->segment[r->at];
    char reason[128];
    memcpy(&head, content, sizeof head);
    head.name[sizeof head.name - 1] = 0;
    snprintf(s->name, sizeof s->name, "%s", head.name);
    int follows = r->at && !strcmp(s[-1].name, s->name) && s[-1].number + 1 == s->number;
    if (follows && r->last && head.first > r->last + 1 + head.given_up) {
        snprintf(reason, sizeof reason, "%llu records are missing before it",
                 (unsigned long long)(head.first - head.given_up - r->last - 1));
        report(r, 0, 0, 0, reason);
    }
    if (!head.first)
        head.first = 1;
    if (head.first - 1 > r->last)
        r->last = head.first - 1;
}

/* 1: *h stands at r->offset and its record is whole; 0: look again; -1: e. */
static int read_header(struct journal_reader *r, struct journal_header *h, struct err *e)
{
    const uint8_t *p;
    uint64_t left = r->size - r->offset;
    if (left < JOURNAL_HEADER) {
        report(r, r->offset, left, 1, "the file ends within a record's header");
        r->offset = r->size;
        return 0;
    }
    if (fetch(r, r->offset, JOURNAL_HEADER, &p, e))
        return -1;
    memcpy(h, p, sizeof *h);
    if (!journal_header_sound(h))
        return pass_over(r, "no record begins here: its header's checksum is wrong", e) ? -1 : 0;
    if (h->version > JOURNAL_VERSION) {
        err_set(e, ERR_DATA, "%s: offset %llu: version %u, this program knows %d: take a newer one",
                r->segment[r->at].path, (unsigned long long)r->offset, h->version, JOURNAL_VERSION);
        return -1;
    }
    if (JOURNAL_HEADER + journal_padded(h->length) > left) {
        report(r, r->offset, left, 1, "the file ends within a record");
        r->offset = r->size;
        return 0;
    }
    return 1;
}

/* 1: a record is in out; 0: it was none for the caller; -1: e. Moves on in any case. */
static int take_record(struct journal_reader *r, const struct journal_header *h, struct journal_record *out,
                       struct err *e)
{
    struct segment *s = &r->segment[r->at];
    size_t whole = JOURNAL_HEADER + journal_padded(h->length);
    uint64_t at = r->offset;
    const uint8_t *p;
    struct err why;
    r->offset += whole;
    int head = h->type == JOURNAL_SEGMENT_HEAD;
    if (!head && h->sequence <= r->last)
        return 0; /* written again after a write that failed */
    if (!head && r->wants && h->session && !r->wants(r->wants_user, s->name, h->session)) {
        r->last = h->sequence;
        return 0;
    }
    if (fetch(r, at, whole, &p, e))
        return -1;
    if (journal_content_sum(h, p + JOURNAL_HEADER) != h->content) {
        report(r, at, whole, 0, "the content's checksum is wrong");
        if (!head)
            r->last = h->sequence;
        return 0;
    }
    if (head && h->length != sizeof(struct journal_segment_head))
        report(r, at, whole, 0, "the segment's head has another size");
    else if (head)
        take_head(r, p + JOURNAL_HEADER);
    if (head)
        return 0;
    r->last = h->sequence;
    if (journal_decode_content(h, p + JOURNAL_HEADER, out, &why)) {
        report(r, at, whole, 0, why.text);
        return 0;
    }
    out->journal = s->name;
    out->place = (struct journal_place){r->at, at};
    return 1;
}

int journal_next(struct journal_reader *r, struct journal_record *out, struct err *e)
{
    for (;;) {
        struct journal_header h;
        if (r->fd < 0) {
            int more = enter_segment(r, e);
            if (more <= 0)
                return more;
        }
        if (r->offset >= r->size) {
            leave_segment(r);
            r->at++;
            continue;
        }
        int got = read_header(r, &h, e);
        if (got > 0)
            got = take_record(r, &h, out, e);
        if (got)
            return got;
    }
}

int journal_read_at(struct journal_reader *r, struct journal_place place, struct journal_record *out,
                    struct err *e)
{
    struct segment *s = &r->segment[place.segment];
    struct journal_header h;
    if (r->other.fd < 0 || r->other.segment != place.segment) {
        if (r->other.fd >= 0)
            close(r->other.fd);
        r->other.segment = place.segment;
        r->other.fd = open(s->path, O_RDONLY | O_CLOEXEC);
        if (r->other.fd < 0)
            return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", s->path, strerror(errno));
    }
    ssize_t got = read_at(r->other.fd, s->path, place.offset, &h, sizeof h, e);
    if (got < 0)
        return e ? e->code : ERR_IO;
    struct err why = {.text = "the checksum is wrong"};
    int sound = got == sizeof h && journal_header_sound(&h);
    size_t n = sound ? journal_padded(h.length) : 0;
    struct journal_bytes *b = &r->other.record;
    int bad = mem_grow(&b->at, &b->capacity, n, 1, "a record", e);
    if (bad)
        return bad;
    got = sound ? read_at(r->other.fd, s->path, place.offset + sizeof h, b->at, n, e) : 0;
    if (got < 0)
        return e ? e->code : ERR_IO;
    sound = sound && (size_t)got == n && journal_content_sum(&h, b->at) == h.content;
    if (!sound || journal_decode_content(&h, b->at, out, &why))
        return err_set(e, ERR_DATA, "%s: offset %llu: %s", s->path, (unsigned long long)place.offset,
                       why.text);
    out->journal = s->name;
    out->place = place;
    return 0;
}

/* The head of segment i; 0 when it is not sound. */
static int head_of(const struct segment *s, struct journal_segment_head *head)
{
    struct {
        struct journal_header h;
        struct journal_segment_head head;
    } first;
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read_at(fd, s->path, 0, &first, sizeof first, NULL);
    close(fd);
    if (got != sizeof first || !journal_header_sound(&first.h) || first.h.type != JOURNAL_SEGMENT_HEAD ||
        first.h.length != sizeof first.head || journal_content_sum(&first.h, &first.head) != first.h.content)
        return 0;
    *head = first.head;
    return 1;
}

void journal_skip_to(struct journal_reader *r, uint64_t session)
{
    struct journal_segment_head head;
    uint32_t from = 0;
    for (uint32_t i = 1; i < r->segments; i++)
        if (head_of(&r->segment[i], &head)) {
            if (head.sessions >= session)
                break;
            from = i;
        }
    leave_segment(r);
    r->at = from;
}
