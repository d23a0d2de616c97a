/* Appending to a journal: segments, sequence numbers, checksums. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/crc32c.h"
#include "io/journal_private.h"

static const size_t SEGMENT = (size_t)64 << 20;

static int open_file(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

struct journal_calls journal_calls = {write, fdatasync, open_file};

struct journal_writer {
    char *directory;
    char name[JOURNAL_NAME_SIZE], path[4096]; /* path: of the segment */
    int lock, fd;                             /* fd -1: the next write begins a segment */
    uint32_t number;
    size_t size, limit; /* of the segment */
    int dirty;          /* written since the last sync */
    uint64_t next;      /* sequence number after the last record that was written */
    uint64_t unused;    /* the first sequence number that no record was given yet */
    uint64_t sessions;  /* the highest session number so far */
    struct journal_bytes batch;
};

uint32_t journal_segment(const struct journal_writer *w)
{
    return w->number;
}

const char *journal_name(const struct journal_writer *w)
{
    return w->name;
}

int journal_lock_descriptor(const struct journal_writer *w)
{
    return w->lock;
}

/* --- beginning and end --- */

/* Begins with the time, so that the names sort as the journals were begun. */
static int choose_name(struct journal_writer *w, struct err *e)
{
    uint64_t random;
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return err_set(e, ERR_INTERNAL, "no random bytes: %s", strerror(errno));
    size_t n = strftime(w->name, sizeof w->name, "%Y%m%dT%H%M%SZ", &utc);
    snprintf(w->name + n, sizeof w->name - n, "-%08x", (unsigned)(random & 0xffffffff));
    return 0;
}

int journal_create(struct journal_writer **out, const char *dir, size_t segment_bytes, struct err *e)
{
    struct journal_writer *w;
    char directory[4096];
    *out = NULL;
    int n = snprintf(directory, sizeof directory - 128, "%s/journal/", dir);
    if (n < 0 || (size_t)n >= sizeof directory - 128)
        return err_set(e, ERR_CANTCREATE, "%s: the name is too long", dir);
    int bad = mem_alloc(&w, 1, sizeof *w, "a journal", e);
    if (bad)
        return bad;
    w->lock = w->fd = -1;
    w->limit = segment_bytes ? segment_bytes : SEGMENT;
    w->next = w->unused = 1;
    bad = atomic_file_make_parents(directory, e);
    directory[n - 1] = 0;
    bad = bad ? bad : mem_string(&w->directory, directory, e);
    while (!bad) { /* who looks for journals without a writer may hold the lock of a new one for a moment */
        bad = choose_name(w, e);
        bad = bad ? bad : journal_lock(directory, w->name, &w->lock, e);
        if (bad != ERR_TEMPFAIL)
            break;
        bad = 0;
    }
    if (bad) {
        journal_close(w);
        return bad;
    }
    *out = w;
    return 0;
}

void journal_close(struct journal_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->lock >= 0)
        close(w->lock);
    free(w->directory);
    free(w->batch.at);
    free(w);
}

/* --- segments --- */

/* Nothing is asked of this descriptor any more. */
static void leave_segment(struct journal_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    w->dirty = 0;
}

int journal_sync(struct journal_writer *w, struct err *e)
{
    if (w->fd < 0 || !w->dirty)
        return 0;
    if (!journal_calls.sync(w->fd)) {
        w->dirty = 0;
        return 0;
    }
    int why = errno;
    leave_segment(w);
    return err_set(e, ERR_IO, "%s: cannot be flushed to the disk: %s", w->path, strerror(why));
}

/* All n bytes, or how many there are until it failed; errno says why. */
static size_t write_all(int fd, const uint8_t *bytes, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t part = journal_calls.write(fd, bytes + done, n - done);
        if (part > 0)
            done += (size_t)part;
        else if (part < 0 && errno == EINTR)
            continue;
        else {
            if (part == 0)
                errno = EIO;
            break;
        }
    }
    return done;
}

static void seal(struct journal_header *h, const void *content)
{
    h->content = journal_content_sum(h, content);
    h->header = crc32c(0, h, offsetof(struct journal_header, header));
}

static int write_head(struct journal_writer *w, uint64_t sequence)
{
    struct {
        struct journal_header h;
        struct journal_segment_head head;
    } first = {{.magic = JOURNAL_MAGIC,
                .type = JOURNAL_SEGMENT_HEAD,
                .version = JOURNAL_VERSION,
                .sequence = sequence,
                .monotonic = clock_seconds(),
                .unix_time = clock_unix(),
                .length = sizeof first.head},
               {.number = w->number + 1,
                .first = sequence,
                .given_up = sequence - w->next,
                .sessions = w->sessions}};
    memcpy(first.head.name, w->name, sizeof w->name);
    seal(&first.h, &first.head);
    size_t n = write_all(w->fd, (const uint8_t *)&first, sizeof first);
    w->size = n;
    return n == sizeof first ? 0 : -1;
}

/* The new name is on the disk, too: without it a power loss would take what was flushed. */
static void sync_directory(const struct journal_writer *w)
{
    int fd = open(w->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* sequence: of the record that comes first. */
static int begin_segment(struct journal_writer *w, uint64_t sequence, struct err *e)
{
    int bad = journal_sync(w, e); /* the last one's end */
    if (bad)
        return bad;
    leave_segment(w);
    for (;; w->number++) {
        if (journal_file_name(w->directory, w->name, w->number + 1, w->path, sizeof w->path))
            return err_set(e, ERR_CANTCREATE, "%s: the name is too long", w->directory);
        w->fd = journal_calls.open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if (w->fd >= 0)
            break;
        if (errno != EEXIST)
            return err_set(e, ERR_IO, "%s: cannot create: %s", w->path, strerror(errno));
    }
    if (write_head(w, sequence)) {
        int why = errno;
        leave_segment(w);
        unlink(w->path); /* it holds nothing */
        return err_set(e, ERR_IO, "%s: write failed: %s", w->path, strerror(why));
    }
    w->number++;
    w->next = sequence;
    sync_directory(w);
    return 0;
}

/* --- records --- */

/* Bytes of the whole records at the front that stay within `room`, but one at least. */
static size_t that_fit(const uint8_t *records, size_t n, size_t room)
{
    size_t at = 0;
    while (at < n) {
        size_t length = journal_head(records + at).length;
        if (at && (at + length > room))
            break;
        at += length;
    }
    return at;
}

/* Sequence numbers and checksums. A record that has its number already, from a write that failed, keeps it: where it was
 * written after all, the reader sees that it is the same one. */
static void stamp(struct journal_writer *w, uint8_t *records, size_t n)
{
    for (size_t at = 0; at < n; at += journal_head(records + at).length) {
        struct journal_header h;
        memcpy(&h, records + at, sizeof h);
        if (h.session > w->sessions)
            w->sessions = h.session;
        if (!h.sequence) {
            h.sequence = w->unused++;
            seal(&h, records + at + JOURNAL_HEADER);
            memcpy(records + at, &h, sizeof h);
        }
    }
}

static uint64_t sequence_of(const uint8_t *record)
{
    struct journal_header h;
    memcpy(&h, record, sizeof h);
    return h.sequence;
}

int journal_write(struct journal_writer *w, uint8_t *records, size_t n, size_t *done, struct err *e)
{
    *done = 0;
    if (!n)
        return 0;
    if (w->fd < 0 || w->size + journal_head(records).length > w->limit) {
        uint64_t given = sequence_of(records); /* in a write that failed */
        int bad = begin_segment(w, given ? given : w->unused, e);
        if (bad)
            return bad;
    }
    size_t take = that_fit(records, n, w->limit > w->size ? w->limit - w->size : 0);
    stamp(w, records, take);
    size_t written = write_all(w->fd, records, take);
    int why = errno;
    while (*done < written) { /* whole records */
        size_t length = journal_head(records + *done).length;
        if (*done + length > written)
            break;
        w->next = sequence_of(records + *done) + 1;
        *done += length;
    }
    w->dirty |= written > 0;
    w->size += *done;
    if (written == take)
        return 0;
    /* The piece of a record is cut off where that works, else the reader passes over it. What was written before may
     * still reach the disk; whether it did is not asked again. */
    if (ftruncate(w->fd, (off_t)w->size) || w->dirty)
        journal_calls.sync(w->fd);
    leave_segment(w);
    return err_set(e, ERR_IO, "%s: write failed: %s", w->path, strerror(why));
}

int journal_append(struct journal_writer *w, const struct journal_record *r, struct err *e)
{
    return journal_encode(&w->batch, r, e);
}

int journal_flush(struct journal_writer *w, struct err *e)
{
    int bad = 0;
    size_t at = 0;
    while (at < w->batch.n && !bad) {
        size_t done;
        bad = journal_write(w, w->batch.at + at, w->batch.n - at, &done, e);
        at += done;
    }
    memmove(w->batch.at, w->batch.at + at, w->batch.n - at);
    w->batch.n -= at;
    return bad;
}

void journal_drop(struct journal_writer *w)
{
    w->batch.n = 0;
}
