/* The recorder on a disk that fails or does not answer: what is told, counted and in the journal. Nothing is converted
 * here (import is /bin/false), so that the journal can be looked at. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal_case.h"
#include "live/recorder.h"
#include "tap.h"

static struct {
    int writes, syncs; /* so many fail */
    int closed;        /* writes wait until it is open */
    pthread_mutex_t lock;
    pthread_cond_t open;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .open = PTHREAD_COND_INITIALIZER};

static int take(int *failures)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.closed)
        pthread_cond_wait(&disk.open, &disk.lock);
    int fails = *failures > 0 && (*failures)-- > 0;
    pthread_mutex_unlock(&disk.lock);
    errno = EIO;
    return fails;
}

static ssize_t slow_write(int fd, const void *bytes, size_t n)
{
    return take(&disk.writes) ? -1 : write(fd, bytes, n);
}

static int slow_sync(int fd)
{
    return take(&disk.syncs) ? -1 : fdatasync(fd);
}

static void shut(int closed)
{
    pthread_mutex_lock(&disk.lock);
    disk.closed = closed;
    pthread_cond_broadcast(&disk.open);
    pthread_mutex_unlock(&disk.lock);
}

static struct {
    pthread_mutex_t lock;
    char text[8192];
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void on_event(void *user, const char *text)
{
    (void)user;
    pthread_mutex_lock(&told.lock);
    size_t n = strlen(told.text);
    snprintf(told.text + n, sizeof told.text - n, "%s\n", text);
    pthread_mutex_unlock(&told.lock);
}

static int was_told(const char *text)
{
    pthread_mutex_lock(&told.lock);
    int there = strstr(told.text, text) != NULL;
    pthread_mutex_unlock(&told.lock);
    return there;
}

static struct recorder *begin(int strict, size_t queue, uint64_t *session)
{
    struct recorder_options o = {.dir = case_directory,
                                 .strict = strict,
                                 .queue_bytes = queue,
                                 .import = "/bin/false",
                                 .event = on_event};
    struct recorder *r = NULL;
    struct journal_record open = {
        .type = JOURNAL_OPEN, .id = "a", .checkpoint_key = "k", .client_name = "c", .W = 8, .H = 8};
    struct err e;
    *told.text = 0;
    if (recorder_open(&r, &o, &e) || recorder_session(r, &open, &e))
        tap_diag("%s", e.text);
    *session = open.session;
    return r;
}

static int put(struct recorder *r, uint64_t session, int64_t k)
{
    static const float uv[2 * 50];
    static const uint8_t value[50];
    struct journal_record f = {.type = JOURNAL_FRAME,
                               .session = session,
                               .frame_id = k,
                               .set_id = -1,
                               .n = 50,
                               .uv = uv,
                               .value = value};
    struct err e;
    return recorder_put(r, &f, &e);
}

/* Until this is so, at most ten seconds. */
#define WAIT(so)                                                                                             \
    for (int i_ = 0; i_ < 1000 && !(so); i_++)                                                               \
    usleep(10000)

struct found {
    uint64_t frames, gaps, missing, troubles;
    int in_order, damages;
};

static void on_damage(void *user, const struct journal_damage *d)
{
    (void)d;
    ((struct found *)user)->damages++;
}

static struct found look(void)
{
    struct found f = {.in_order = 1};
    struct journal_reader *r;
    struct journal_record record;
    struct err e;
    char folder[256];
    uint64_t last = 0;
    snprintf(folder, sizeof folder, "%s/journal", case_directory);
    if (journal_open(&r, folder, on_damage, &f, &e))
        return f;
    while (journal_next(r, &record, &e) > 0) {
        if (record.type == JOURNAL_FRAME) {
            f.frames++;
            f.in_order &= record.ordinal > last && record.frame_id == (int64_t)record.ordinal - 1;
            last = record.ordinal;
        }
        f.gaps += record.type == JOURNAL_GAP && record.session;
        f.missing += record.type == JOURNAL_GAP ? record.count : 0;
        f.troubles += record.type == JOURNAL_GAP && !record.session;
    }
    journal_reader_close(r);
    return f;
}

static void finish(struct recorder *r)
{
    recorder_close(r);
    case_clear();
}

static void test_failures(void)
{
    static const char *const names[] = {"a write fails once", "a sync fails once"};
    for (int i = 0; i < 2; i++) {
        uint64_t session;
        struct recorder *r = begin(0, 0, &session);
        put(r, session, 0);
        WAIT(recorder_stats(r).frames == 1);
        pthread_mutex_lock(&disk.lock);
        *(i ? &disk.syncs : &disk.writes) = 1;
        pthread_mutex_unlock(&disk.lock);
        put(r, session, 1);
        WAIT(recorder_stats(r).write_errors);
        for (int64_t k = 2; k < 20; k++)
            put(r, session, k);
        WAIT(recorder_stats(r).frames == 20);
        struct recorder_stats s = recorder_stats(r);
        ok(s.write_errors == 1 && s.frames == 20 && !s.gaps && was_told("going on in a new segment"),
           "%s: counted, told, nothing lost", names[i]);
        struct found f = look();
        ok(f.frames == 20 && f.in_order && f.troubles == 1 && !f.damages,
           "%s: every frame is in the journal, and a GAP that says what happened", names[i]);
        finish(r);
    }
}

/* The first batch waits in its write; what comes meanwhile fills the queue. */
static void test_queue(int strict)
{
    uint64_t session;
    struct recorder *r = begin(strict, 20000, &session);
    put(r, session, 0);
    WAIT(recorder_stats(r).frames == 1);
    shut(1);
    int64_t k = 1;
    int refused = 0;
    for (; k < 100 && !refused; k++)
        refused = put(r, session, k);
    struct recorder_stats s = recorder_stats(r);
    if (strict) {
        ok(refused == ERR_TEMPFAIL && s.received == (uint64_t)k - 1 && !s.gaps,
           "strict: the full queue refuses the frame, which does not count: %llu received",
           (unsigned long long)s.received);
        k--;
    } else
        ok(!refused && s.received == 100 && s.gaps && s.queue_bytes <= 20000,
           "best-effort: %llu of %llu frames are a gap, %zu bytes in the queue", (unsigned long long)s.gaps,
           (unsigned long long)s.received, s.queue_bytes);
    shut(0);
    WAIT(!recorder_stats(r).queue_bytes);
    for (int64_t end = k + 5; k < end; k++)
        put(r, session, k);
    WAIT(!recorder_stats(r).queue_bytes);
    s = recorder_stats(r);
    struct found f = look();
    ok(s.received == s.frames + s.gaps && f.frames == s.frames && f.missing == s.gaps && f.in_order &&
           s.received == (uint64_t)k,
       "%s: %llu received, %llu recorded, %llu missing, as the journal says",
       strict ? "strict" : "best-effort", (unsigned long long)s.received, (unsigned long long)f.frames,
       (unsigned long long)f.missing);
    finish(r);
}

static void test_full(void)
{
    uint64_t session;
    struct recorder *r = begin(0, 0, &session);
    struct journal_record open = {.type = JOURNAL_OPEN, .id = "b", .W = 8, .H = 8};
    struct err e;
    put(r, session, 0);
    WAIT(recorder_stats(r).frames == 1);
    pthread_mutex_lock(&disk.lock);
    disk.writes = 1000000;
    pthread_mutex_unlock(&disk.lock);
    put(r, session, 1);
    WAIT(recorder_stats(r).stopped);
    ok(was_told("recording stopped") && was_told("1 frames are recorded, 1 in hand are lost"),
       "it stops at a known frame");
    ok(recorder_session(r, &open, &e) == ERR_IO, "no new sessions: %s", e.text);
    int refused = 0;
    for (int64_t k = 2; k < 10; k++)
        refused |= put(r, session, k);
    ok(!refused && recorder_stats(r).gaps == 9, "frames that come are counted as missing");
    pthread_mutex_lock(&disk.lock);
    disk.writes = 0;
    pthread_mutex_unlock(&disk.lock);
    WAIT(!recorder_stats(r).stopped);
    put(r, session, 10);
    WAIT(recorder_stats(r).frames == 2);
    struct recorder_stats s = recorder_stats(r);
    struct found f = look();
    ok(was_told("recording goes on; 9 frames") && s.frames == 2 && s.gaps == 9 && f.frames == 2 &&
           f.missing == 9 && f.in_order,
       "it goes on with a gap of %llu", (unsigned long long)f.missing);
    ok(!recorder_session(r, &open, &e), "and takes new sessions");
    finish(r);
}

static void test_floor(void)
{
    struct recorder_options o = {
        .dir = case_directory, .floor_bytes = UINT64_MAX / 2, .import = "/bin/false", .event = on_event};
    struct journal_record open = {.type = JOURNAL_OPEN, .id = "b", .W = 8, .H = 8};
    struct recorder *r;
    struct err e = {0};
    int bad = recorder_open(&r, &o, &e);
    ok(!bad && recorder_session(r, &open, &e) == ERR_IO, "below the floor: %s", e.text);
    ok(recorder_put(r, &(struct journal_record){.type = JOURNAL_CLOSE, .session = 7}, &e) == ERR_USAGE,
       "a session that is not there: %s", e.text);
    finish(r);
}

int main(void)
{
    if (case_begin())
        return 1;
    journal_calls.write = slow_write;
    journal_calls.sync = slow_sync;
    test_failures();
    test_queue(1);
    test_queue(0);
    test_full();
    test_floor();
    case_end();
    return tap_done();
}
