/* The coordinates a session was sent: the newest ones are kept, for binary frames that refer to them and for a client that
 * comes back. */
#ifndef SGAPS_LIVE_SESSION_SETS_H
#define SGAPS_LIVE_SESSION_SETS_H

#include "live/session.h"

/* Keeps a copy as the newest set. 0: out of memory, the set before stays the newest. Any thread. */
int session_remember(struct session *s, int64_t set_id, const float *uv, size_t n);
/* Keeps, records and sends a set. Any thread. */
void session_send_set(struct session *s, int64_t target_frame_id, int64_t set_id, const float *uv, size_t n);
/* Sends the newest set (again), for the frame after the newest one. Service thread. */
void session_send_newest(struct session *s);
/* The null model's answer to a frame: the same set under a new number whenever fixed_interval frames have passed. */
void session_null_answer(struct session *s, int64_t frame_id);

#endif
