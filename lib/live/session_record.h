/* What of a session goes to the recorder. Nothing happens for a session that is not recorded. */
#ifndef SGAPS_LIVE_SESSION_RECORD_H
#define SGAPS_LIVE_SESSION_RECORD_H

#include "live/session.h"

/* ERR_IO: the disk is too full for another session. */
int session_record_open(struct session *s, struct err *e);
/* ERR_TEMPFAIL: no room for the frame now (strict). */
int session_record_frame(struct session *s, const struct message *m, struct err *e);
void session_record_set(struct session *s, int64_t target_frame_id, int64_t set_id, const float *uv,
                        size_t n);
void session_record_reconstruction(struct session *s, const struct engine_result *r);
void session_record_close(struct session *s, int close_code, const char *reason);

#endif
