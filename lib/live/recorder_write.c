/* The thread that writes the journal. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/recorder_private.h"

static const double SYNC_EVERY = 1, TRY_EVERY = 1; /* seconds */
static const uint64_t ROOM_TO_GO_ON = 1 << 20;

static const char *const NOT_WRITTEN = "the disk took nothing more";

/* --- which segments are needed --- */

static struct segment_use *use_of(struct recorder *r, uint32_t number)
{
    for (size_t i = r->segments; i-- > 0;)
        if (r->segment[i].number == number)
            return &r->segment[i];
    if (mem_grow(&r->segment, &r->segment_capacity, r->segments + 1, sizeof *r->segment, "segments", NULL))
        return NULL;
    r->segment[r->segments] = (struct segment_use){.number = number};
    return &r->segment[r->segments++];
}

/* Without memory for it a segment stays until the journal is converted whole. */
static void pin(struct recorder *r, struct recorded_session *s, uint32_t number)
{
    if (s->segments && s->segment[s->segments - 1] == number)
        return;
    struct segment_use *use = use_of(r, number);
    if (!use)
        return;
    use->sessions++;
    if (!mem_grow(&s->segment, &s->segment_capacity, s->segments + 1, sizeof *s->segment, "segments", NULL))
        s->segment[s->segments++] = number;
}

void recorder_let_go(struct recorder *r, uint64_t session)
{
    for (size_t i = 0; i < r->session_count; i++) {
        struct recorded_session *s = r->session[i];
        if (s->number != session)
            continue;
        for (size_t k = 0; k < s->segments; k++)
            use_of(r, s->segment[k])->sessions--;
        r->session[i] = r->session[--r->session_count];
        free(s->lost);
        free(s->open.at);
        free(s->close.at);
        free(s->segment);
        free(s);
        return;
    }
}

void recorder_remove_segments(struct recorder *r)
{
    char directory[4096], path[4096];
    if ((size_t)snprintf(directory, sizeof directory, "%s/journal", r->dir) >= sizeof directory)
        return;
    for (;;) {
        uint32_t number = 0;
        pthread_mutex_lock(&r->lock);
        for (size_t i = 0; i < r->segments && !number; i++)
            if (!r->segment[i].sessions && r->segment[i].number < r->writing_segment) {
                number = r->segment[i].number;
                r->segment[i] = r->segment[--r->segments];
            }
        pthread_mutex_unlock(&r->lock);
        if (!number)
            return;
        if (!journal_file_name(directory, journal_name(r->journal), number, path, sizeof path))
            unlink(path);
    }
}

/* --- writing --- */

struct batch {
    struct journal_bytes records;
    double synced, tried;
    int failures; /* in a row */
};

/* After the lock was given back: the session's CLOSE is in the journal. */
static void note_ended(struct recorder *r, uint64_t session)
{
    if (mem_grow(&r->ended, &r->ended_capacity, r->ended_count + 1, sizeof *r->ended, "sessions", NULL))
        return; /* converted at the end */
    r->ended[r->ended_count++] = session;
    pthread_cond_signal(&r->convert);
}

/* These records are in the journal now. */
static void account(struct recorder *r, const uint8_t *records, size_t n)
{
    struct recorded_session *s = NULL;
    pthread_mutex_lock(&r->lock);
    r->writing_segment = journal_segment(r->journal);
    for (size_t at = 0; at < n;) {
        struct journal_head head = journal_head(records + at);
        at += head.length;
        if (!s || s->number != head.session)
            s = recorder_find(r, head.session);
        if (!s)
            continue;
        pin(r, s, r->writing_segment);
        r->stats.frames += head.type == JOURNAL_FRAME;
        if (head.type == JOURNAL_CLOSE)
            note_ended(r, head.session);
    }
    r->stats.bytes += n;
    r->in_flight -= n;
    pthread_mutex_unlock(&r->lock);
    double now = clock_seconds();
    for (size_t at = 0; at < n && r->o.written;) {
        struct journal_head head = journal_head(records + at);
        if (head.type == JOURNAL_FRAME)
            r->o.written(r->o.user, head.session, head.ordinal, now - head.monotonic);
        at += head.length;
    }
}

/* These records are not: what has to be known of them waits in the sessions. */
static uint64_t give_up(struct recorder *r, const uint8_t *records, size_t n)
{
    uint64_t frames = 0;
    for (size_t at = 0; at < n;) {
        struct journal_record record;
        struct journal_head head = journal_head(records + at);
        struct recorded_session *s = recorder_find(r, head.session);
        const uint8_t *bytes = records + at;
        at += head.length;
        if (!s || journal_decode(bytes, &record, NULL))
            continue;
        if (head.type == JOURNAL_OPEN)
            s->opened = 0;
        else if (head.type == JOURNAL_FRAME) {
            struct lost_frames lost = {head.ordinal, 1, record.frame_id, NOT_WRITTEN};
            recorder_lose(s, &lost);
            r->stats.gaps++;
            frames++;
        } else if (head.type == JOURNAL_GAP) {
            struct lost_frames lost = {head.ordinal, record.count, record.frame_id, NOT_WRITTEN};
            recorder_lose(s, &lost);
        } else if (head.type == JOURNAL_CLOSE) {
            s->close.n = 0;
            record.sequence = 0;
            journal_encode(&s->close, &record, NULL);
        } else
            r->stats.left_out++;
    }
    return frames;
}

/* The disk takes nothing: what is in hand and what waits is given up, and so is all that comes until it does again. */
static void stop(struct recorder *r, const uint8_t *rest, size_t n, const char *why)
{
    pthread_mutex_lock(&r->lock);
    int before = r->stats.stopped;
    r->stats.stopped = 1;
    uint64_t lost = give_up(r, rest, n);
    lost += give_up(r, r->queue.at, r->queue.n);
    r->queue.n = 0;
    r->in_flight = 0;
    uint64_t frames = r->stats.frames;
    pthread_mutex_unlock(&r->lock);
    if (!before)
        recorder_event(
            r,
            "recording stopped: %s; %llu frames are recorded, %llu in hand are lost and all that come "
            "until there is room again (free some on the file system of %s)",
            why, (unsigned long long)frames, (unsigned long long)lost, r->dir);
}

/* A line in the journal about what happened to it. */
static void note_trouble(struct recorder *r, const char *why)
{
    struct journal_record gap = {
        .type = JOURNAL_GAP, .reason = why, .monotonic = clock_seconds(), .unix_time = clock_unix()};
    pthread_mutex_lock(&r->lock);
    journal_encode(&r->queue, &gap, NULL);
    pthread_mutex_unlock(&r->lock);
}

/* Once more in a new segment after the first failure, then it stops. */
static void write_batch(struct recorder *r, struct batch *b)
{
    struct err e;
    for (size_t at = 0, done; at < b->records.n; at += done) {
        double begun = clock_seconds();
        int bad = journal_write(r->journal, b->records.at + at, b->records.n - at, &done, &e);
        double spent = clock_seconds() - begun;
        if (done)
            account(r, b->records.at + at, done);
        pthread_mutex_lock(&r->lock);
        r->stats.write_seconds += spent;
        r->stats.write_errors += bad != 0;
        int stopped = r->stats.stopped;
        pthread_mutex_unlock(&r->lock);
        b->failures = bad ? b->failures + 1 : done ? 0 : b->failures;
        if (bad && (b->failures > 1 || stopped)) {
            stop(r, b->records.at + at + done, b->records.n - at - done, e.text);
            break;
        }
        if (bad) {
            recorder_event(r, "%s: going on in a new segment", e.text);
            note_trouble(r, e.text);
        }
    }
    b->records.n = 0;
}

static void sync_journal(struct recorder *r)
{
    struct err e;
    if (!journal_sync(r->journal, &e))
        return;
    pthread_mutex_lock(&r->lock);
    r->stats.write_errors++;
    pthread_mutex_unlock(&r->lock);
    recorder_event(r, "%s: going on in a new segment; the last second would not survive a power loss",
                   e.text);
    note_trouble(r, e.text);
}

/* Space again? Then the gaps go first, into a new segment. */
static void try_again(struct recorder *r, struct batch *b)
{
    uint64_t want = r->o.floor_bytes > ROOM_TO_GO_ON ? r->o.floor_bytes : ROOM_TO_GO_ON;
    if (recorder_free_bytes(r) < want)
        return;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->session_count; i++)
        recorder_catch_up(r, r->session[i], NULL);
    struct journal_bytes swap = b->records;
    b->records = r->queue;
    r->queue = swap;
    r->queue.n = 0;
    r->in_flight = b->records.n;
    pthread_mutex_unlock(&r->lock);
    uint64_t errors = r->stats.write_errors;
    write_batch(r, b);
    pthread_mutex_lock(&r->lock);
    int good = r->stats.write_errors == errors;
    if (good)
        r->stats.stopped = 0;
    uint64_t gaps = r->stats.gaps;
    pthread_mutex_unlock(&r->lock);
    if (good)
        recorder_event(r, "recording goes on; %llu frames in all are missing", (unsigned long long)gaps);
}

/* --- the thread --- */

static struct timespec after(double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    long ns = t.tv_nsec + (long)((seconds - (double)(long)seconds) * 1e9);
    t.tv_sec += (long)seconds + ns / 1000000000;
    t.tv_nsec = ns % 1000000000;
    return t;
}

/* Waits for work until the next sync is due; takes the queue. 0: closing and nothing left. */
static int take_queue(struct recorder *r, struct batch *b)
{
    double due = b->synced + SYNC_EVERY - clock_seconds();
    struct timespec until = after(due > 0.001 ? due : 0.001);
    pthread_mutex_lock(&r->lock);
    while (!r->queue.n && !r->closing)
        if (pthread_cond_timedwait(&r->work, &r->lock, &until))
            break;
    int go_on = !r->closing || r->queue.n;
    if (!r->stats.stopped) {
        struct journal_bytes swap = b->records;
        b->records = r->queue;
        r->queue = swap;
        r->queue.n = 0;
        r->in_flight = b->records.n;
    } else if (r->closing)
        go_on = 0;
    pthread_mutex_unlock(&r->lock);
    return go_on;
}

void *recorder_write_thread(void *recorder)
{
    struct recorder *r = recorder;
    struct batch b = {.synced = clock_seconds()};
    sigset_t limit;
    sigemptyset(&limit);
    sigaddset(&limit, SIGXFSZ); /* over the file size limit: an error of write, no end of the process */
    pthread_sigmask(SIG_BLOCK, &limit, NULL);
    while (take_queue(r, &b)) {
        write_batch(r, &b);
        double now = clock_seconds();
        if (now - b.synced >= SYNC_EVERY) {
            sync_journal(r);
            b.synced = now;
            recorder_remove_segments(r);
        }
        if (r->stats.stopped && now - b.tried >= TRY_EVERY) {
            try_again(r, &b);
            b.tried = now;
        }
    }
    if (r->stats.stopped)
        try_again(r, &b);
    sync_journal(r);
    free(b.records.at);
    return NULL;
}
