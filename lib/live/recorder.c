/* The recorder's queue: what comes in, numbered and encoded, and what is lost. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/recorder_private.h"

static const size_t QUEUE = (size_t)64 << 20;

static const char *const QUEUE_FULL = "the recorder's queue was full";
static const char *const STOPPED = "recording had stopped";
static const char *const NO_MEMORY = "no memory";

void recorder_event(struct recorder *r, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    if (!r->o.event)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->o.event(r->o.user, text);
}

uint64_t recorder_free_bytes(const struct recorder *r)
{
    struct statvfs fs;
    return statvfs(r->dir, &fs) ? UINT64_MAX : (uint64_t)fs.f_bavail * fs.f_frsize;
}

struct recorded_session *recorder_find(struct recorder *r, uint64_t number)
{
    for (size_t i = 0; i < r->session_count; i++)
        if (r->session[i]->number == number)
            return r->session[i];
    return NULL;
}

/* --- what is lost --- */

void recorder_lose(struct recorded_session *s, const struct lost_frames *lost)
{
    struct lost_frames *last = s->losts ? &s->lost[s->losts - 1] : NULL;
    int follows = last && last->reason == lost->reason && last->first + last->count == lost->first;
    if (follows || mem_grow(&s->lost, &s->lost_capacity, s->losts + 1, sizeof *s->lost, "gaps", NULL)) {
        if (last) /* no memory for a new entry: the numbers stay right */
            last->count += lost->count;
        return;
    }
    s->lost[s->losts++] = *lost;
}

static void lose_frame(struct recorder *r, struct recorded_session *s, int64_t frame_id, const char *reason)
{
    struct lost_frames lost = {s->received, 1, frame_id, reason};
    recorder_lose(s, &lost);
    r->stats.gaps++;
}

static int queue_bytes_of(struct recorder *r, const struct journal_bytes *b, struct err *e)
{
    int bad = mem_grow(&r->queue.at, &r->queue.capacity, r->queue.n + b->n, 1, "the recorder's queue", e);
    if (bad || !b->n)
        return bad;
    memcpy(r->queue.at + r->queue.n, b->at, b->n);
    r->queue.n += b->n;
    return 0;
}

int recorder_catch_up(struct recorder *r, struct recorded_session *s, struct err *e)
{
    int bad = 0;
    if (!s->opened) {
        bad = queue_bytes_of(r, &s->open, e);
        s->opened = !bad;
    }
    while (!bad && s->losts) {
        const struct lost_frames *lost = &s->lost[0];
        struct journal_record gap = {.type = JOURNAL_GAP,
                                     .session = s->number,
                                     .ordinal = lost->first,
                                     .count = lost->count,
                                     .frame_id = lost->frame_id,
                                     .reason = lost->reason,
                                     .monotonic = clock_seconds(),
                                     .unix_time = clock_unix()};
        bad = journal_encode(&r->queue, &gap, e);
        if (!bad)
            memmove(s->lost, s->lost + 1, --s->losts * sizeof *s->lost);
    }
    if (!bad && s->close.n) {
        bad = queue_bytes_of(r, &s->close, e);
        s->close.n = bad ? s->close.n : 0;
    }
    return bad;
}

/* --- what comes in --- */

static struct recorded_session *add_session(struct recorder *r, struct journal_record *j, struct err *e)
{
    struct recorded_session *s = NULL;
    j->session = r->sessions + 1;
    j->ordinal = 0;
    int bad =
        mem_grow(&r->session, &r->session_capacity, r->session_count + 1, sizeof *r->session, "sessions", e);
    bad = bad ? bad : mem_alloc(&s, 1, sizeof *s, "a session", e);
    bad = bad ? bad : journal_encode(&s->open, j, e);
    if (bad) {
        free(s);
        return NULL;
    }
    s->number = ++r->sessions;
    r->session[r->session_count++] = s;
    return s;
}

static void set_clocks(struct journal_record *j)
{
    if (j->monotonic == 0)
        j->monotonic = clock_seconds();
    if (j->unix_time == 0)
        j->unix_time = clock_unix();
}

int recorder_session(struct recorder *r, struct journal_record *j, struct err *e)
{
    uint64_t room = recorder_free_bytes(r);
    if (room < r->o.floor_bytes)
        return err_set(e, ERR_IO, "%s: %llu MB free, new sessions need %llu", r->dir,
                       (unsigned long long)(room >> 20), (unsigned long long)(r->o.floor_bytes >> 20));
    set_clocks(j);
    pthread_mutex_lock(&r->lock);
    struct recorded_session *s = NULL;
    int bad = r->stats.stopped
                  ? err_set(e, ERR_IO, "%s: nothing is recorded for now: the disk takes nothing", r->dir)
                  : 0;
    if (!bad && !(s = add_session(r, j, e)))
        bad = ERR_INTERNAL;
    if (!bad && recorder_catch_up(r, s, NULL) == 0)
        pthread_cond_signal(&r->work); /* else with its first frame */
    pthread_mutex_unlock(&r->lock);
    return bad;
}

/* Room in the queue for n bytes more. */
static int has_room(const struct recorder *r, size_t n)
{
    size_t used = r->queue.n + r->in_flight;
    return !used || used + n <= r->o.queue_bytes;
}

/* What is no frame must not push frames out. Strict: a set answers a frame that was taken, so there are not many. */
static int may_take(const struct recorder *r, const struct journal_record *j)
{
    return (r->o.strict && j->type == JOURNAL_SET) || has_room(r, journal_size(j));
}

static int put_frame(struct recorder *r, struct recorded_session *s, struct journal_record *j, struct err *e)
{
    int room = has_room(r, journal_size(j));
    if (!room && !r->stats.stopped && r->o.strict)
        return err_set(e, ERR_TEMPFAIL, "the recorder's queue is full");
    j->ordinal = ++s->received;
    r->stats.received++;
    if (r->stats.stopped || !room)
        lose_frame(r, s, j->frame_id, r->stats.stopped ? STOPPED : QUEUE_FULL);
    else if (recorder_catch_up(r, s, NULL) || journal_encode(&r->queue, j, NULL))
        lose_frame(r, s, j->frame_id, NO_MEMORY);
    return 0;
}

static int put_close(struct recorder *r, struct recorded_session *s, struct journal_record *j, struct err *e)
{
    s->ended = 1;
    j->ordinal = s->received;
    int bad = journal_encode(&s->close, j, e);
    return bad || r->stats.stopped ? bad : recorder_catch_up(r, s, e);
}

int recorder_put(struct recorder *r, const struct journal_record *j, struct err *e)
{
    struct journal_record record = *j;
    int bad = 0;
    set_clocks(&record);
    pthread_mutex_lock(&r->lock);
    struct recorded_session *s = recorder_find(r, j->session);
    if (!s || s->ended)
        bad = err_set(e, ERR_USAGE, "session %llu is not being recorded", (unsigned long long)j->session);
    else if (j->type == JOURNAL_FRAME)
        bad = put_frame(r, s, &record, e);
    else if (j->type == JOURNAL_CLOSE)
        bad = put_close(r, s, &record, e);
    else if (j->type != JOURNAL_SET && j->type != JOURNAL_RECONSTRUCTION)
        bad = err_set(e, ERR_USAGE, "records of type %d are the recorder's own", (int)j->type);
    else if (r->stats.stopped || !may_take(r, j) || recorder_catch_up(r, s, NULL) ||
             journal_encode(&r->queue, &record, NULL))
        r->stats.left_out++;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    return bad;
}

struct recorder_stats recorder_stats(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    struct recorder_stats s = r->stats;
    s.queue_bytes = r->queue.n + r->in_flight;
    pthread_mutex_unlock(&r->lock);
    return s;
}

int recorder_has_room(struct recorder *r)
{
    return !recorder_stats(r).stopped && recorder_free_bytes(r) >= r->o.floor_bytes;
}

/* --- beginning and end --- */

/* sgaps-import in the folder of this program. */
static int own_import(char **out, struct err *e)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    if (n <= 0)
        return mem_string(out, "sgaps-import", e);
    path[n] = 0;
    snprintf(strrchr(path, '/') + 1, 32, "sgaps-import");
    return mem_string(out, path, e);
}

static int start(struct recorder *r, struct err *e)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->work, &monotonic);
    pthread_cond_init(&r->convert, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int why = pthread_create(&r->writing, NULL, recorder_write_thread, r);
    r->threads += !why;
    if (!why)
        why = pthread_create(&r->converting, NULL, recorder_convert_thread, r);
    r->threads += !why;
    return why ? err_set(e, ERR_INTERNAL, "a thread for the recorder: %s", strerror(why)) : 0;
}

int recorder_open(struct recorder **out, const struct recorder_options *o, struct err *e)
{
    struct recorder *r;
    *out = NULL;
    int bad = mem_alloc(&r, 1, sizeof *r, "a recorder", e);
    if (bad)
        return bad;
    r->o = *o;
    r->o.queue_bytes = o->queue_bytes ? o->queue_bytes : QUEUE;
    bad = mem_string(&r->dir, o->dir, e);
    bad = bad ? bad : (o->import ? mem_string(&r->import, o->import, e) : own_import(&r->import, e));
    bad = bad ? bad : journal_create(&r->journal, o->dir, o->segment_bytes, e);
    bad = bad ? bad : start(r, e);
    if (bad) {
        recorder_close(r);
        return bad;
    }
    *out = r;
    return 0;
}

static void release(struct recorder *r)
{
    for (size_t i = 0; i < r->session_count; i++) {
        struct recorded_session *s = r->session[i];
        free(s->lost);
        free(s->open.at);
        free(s->close.at);
        free(s->segment);
        free(s);
    }
    free(r->session);
    free(r->queue.at);
    free(r->segment);
    free(r->ended);
    free(r->dir);
    free(r->import);
    free(r);
}

void recorder_close(struct recorder *r)
{
    if (!r)
        return;
    char name[JOURNAL_NAME_SIZE] = "";
    if (r->threads) {
        pthread_mutex_lock(&r->lock);
        r->closing = 1;
        pthread_cond_signal(&r->work);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->writing, NULL);
    }
    if (r->threads > 1) { /* it ends after the conversion that is under way */
        pthread_mutex_lock(&r->lock);
        r->closing = 2;
        pthread_cond_signal(&r->convert);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->converting, NULL);
        snprintf(name, sizeof name, "%s", journal_name(r->journal));
    }
    journal_close(r->journal); /* nobody writes it any more: the rest is converted as what a crash left */
    if (*name)
        recorder_run_import(r, name, NULL, 0, -1);
    release(r);
}
