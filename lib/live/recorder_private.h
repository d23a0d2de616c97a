/* The parts of the recorder: the queue and the sessions (recorder.c), the journal's thread (recorder_write.c), the
 * conversions (recorder_convert.c). Everything below `lock` is held under it. */
#ifndef SGAPS_LIVE_RECORDER_PRIVATE_H
#define SGAPS_LIVE_RECORDER_PRIVATE_H

#include <pthread.h>

#include "live/recorder.h"

/* Frames of a session that are not recorded and that no GAP record in the queue speaks of yet. */
struct lost_frames {
    uint64_t first, count; /* ordinals */
    int64_t frame_id;      /* of the first */
    const char *reason;    /* a constant */
};

struct recorded_session {
    uint64_t number, received;
    struct lost_frames *lost;
    size_t losts, lost_capacity;
    struct journal_bytes open;  /* the OPEN record, encoded */
    struct journal_bytes close; /* the CLOSE record while it could not be queued */
    int opened;                 /* OPEN is in the journal */
    int ended;                  /* CLOSE was put */
    uint32_t *segment;          /* in which it has records */
    size_t segments, segment_capacity;
};

struct segment_use {
    uint32_t number;
    size_t sessions; /* with records in it that are no recording yet */
};

struct recorder {
    struct recorder_options o;
    char *dir, *import;
    struct journal_writer *journal; /* of the writing thread */
    pthread_t writing, converting;
    int threads;

    pthread_mutex_t lock;
    pthread_cond_t work, convert;
    int closing;
    uint64_t sessions; /* numbers given out */
    struct recorded_session **session;
    size_t session_count, session_capacity;
    struct journal_bytes queue;
    size_t in_flight; /* bytes that the thread is writing */
    uint32_t writing_segment;
    struct recorder_stats stats;
    struct segment_use *segment;
    size_t segments, segment_capacity;
    uint64_t *ended; /* sessions whose CLOSE is in the journal, to be converted */
    size_t ended_count, ended_capacity;
};

struct recorded_session *recorder_find(struct recorder *r, uint64_t number);
/* Notes frames that are lost; the count of gaps is the caller's. */
void recorder_lose(struct recorded_session *s, const struct lost_frames *lost);
/* Puts what is owed to the journal for this session in front of what comes: OPEN, GAPs, CLOSE. */
int recorder_catch_up(struct recorder *r, struct recorded_session *s, struct err *e);
/* Bytes free for new files, as an ordinary user sees them. */
uint64_t recorder_free_bytes(const struct recorder *r);
void recorder_event(struct recorder *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Threads. */
void *recorder_write_thread(void *recorder);
void *recorder_convert_thread(void *recorder);
/* A session's records are in a recording: what they pinned is let go. */
void recorder_let_go(struct recorder *r, uint64_t session);
/* Removes closed segments that no session needs. Takes the lock for a moment. */
void recorder_remove_segments(struct recorder *r);
/* Runs sgaps-import --convert: of one journal (name) these sessions, whose lock the child inherits, or (numbers NULL) the
 * whole journal, or (name NULL) all of DIR. Its exit status, -1 when it could not be run or was killed. */
int recorder_run_import(struct recorder *r, const char *name, const uint64_t *numbers, size_t n, int lock);

#endif
