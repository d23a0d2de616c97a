/* What a client reads: the server's messages as JSON text. Coordinates are read by message_parse_coordinates
 * (message_binary.h), which is told by the type here. */
#ifndef SGAPS_IO_MESSAGE_ANSWER_H
#define SGAPS_IO_MESSAGE_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum answer_type { ANSWER_ACK, ANSWER_COORDINATES, ANSWER_HEARTBEAT, ANSWER_ERROR, ANSWER_OTHER };

struct answer {
    enum answer_type type;
    /* session_start_ack; "", 0 and NAN where it does not say */
    char checkpoint_key[65], model_version[128], session_id[65];
    int checkpoint_loaded, debug_mode;
    uint64_t sample_count, max_state_dim;
    double target_fps, sentinel;
    uint32_t width, height;
    double timestamp; /* heartbeat_ack */
    /* error */
    char code[64], text[256];
};
/* ERR_DATA when text is no JSON or has no type. */
int answer_parse(struct answer *a, const char *text, size_t n, struct err *e);

#endif
