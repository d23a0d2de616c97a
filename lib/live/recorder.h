/* Recording in a thread of its own: everything that is accepted goes to the journal, and at a session's end a child
 * process (sgaps-import --convert) makes DIR/<key>/<UTC time>-<session id>.h5 of it. Every function copies what it is
 * given into a bounded queue and returns at once; any thread may call.
 *
 * For each session received = recorded + gaps, whatever happens: frames are numbered as they are put, and what the queue
 * or the disk did not take stands in the journal as a GAP. When the disk takes nothing more, recording stops; every
 * second it is tried again in a new segment, which then begins with the gaps.
 *
 * A session that resumes after its CLOSE is a new one to the recorder: recorder_session gives another number, and its
 * frames become a recording of their own with the same session_id (and a later time in its name, or -2). One that
 * resumes before its CLOSE goes on under its number in the same recording. */
#ifndef SGAPS_LIVE_RECORDER_H
#define SGAPS_LIVE_RECORDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/journal.h"

struct recorder;

struct recorder_options {
    const char *dir; /* --record */
    int strict; /* a full queue makes recorder_put return ERR_TEMPFAIL (the client is slowed); else a GAP */
    size_t queue_bytes;   /* 0: 64 MiB */
    size_t segment_bytes; /* 0: 64 MiB */
    uint64_t floor_bytes; /* new sessions are refused when the file system has less free */
    const char *import;   /* the sgaps-import to run; NULL: the one beside this program */
    /* From the recorder's threads: something the operator has to know (disk full, a conversion that failed, a gap). */
    void (*event)(void *user, const char *text);
    /* From the recorder thread, may be NULL: this frame's write returned; seconds since its record's monotonic clock. */
    void (*written)(void *user, uint64_t session, uint64_t ordinal, double seconds);
    void *user;
};

struct recorder_stats {
    uint64_t frames, gaps, bytes, conversions, conversions_failed, write_errors;
    size_t queue_bytes;
    double write_seconds; /* spent writing, for the cost per frame */
    int stopped;          /* the disk is full: nothing is recorded for now */
    uint64_t received;    /* frames put: frames + gaps + those that are in the queue */
    uint64_t left_out;    /* sets and reconstructions that were not recorded */
};

/* Starts the threads and converts what an earlier process left in DIR/journal. */
int recorder_open(struct recorder **r, const struct recorder_options *o, struct err *e);
/* A number for the session; ERR_IO below the floor or while stopped. j: an OPEN record, its session is filled in. */
int recorder_session(struct recorder *r, struct journal_record *j, struct err *e);
/* FRAME, SET, RECONSTRUCTION, CLOSE (which starts the conversion). Of a FRAME, ordinal is filled in here; clocks that are
 * 0 are read. ERR_TEMPFAIL: strict, the queue is full, this frame does not count as received: put it again later. CLOSE is
 * always taken; a reconstruction, and unless strict a set, is left out (and counted) when the queue is full. */
int recorder_put(struct recorder *r, const struct journal_record *j, struct err *e);
struct recorder_stats recorder_stats(struct recorder *r);
/* Whether recorder_session would take another session now. */
int recorder_has_room(struct recorder *r);
/* Writes what is queued, waits for the conversions. Sessions without CLOSE are converted as not ended cleanly. */
void recorder_close(struct recorder *r);

#endif
