/* The layout of a segment, and what the tests replace. Private to lib/io. */
#ifndef SGAPS_IO_JOURNAL_PRIVATE_H
#define SGAPS_IO_JOURNAL_PRIVATE_H

#include <sys/types.h>

#include "io/journal.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the journal is written as it lies in memory, on little-endian machines"
#endif

enum { JOURNAL_MAGIC = 0x524a4753 /* SGJR */, JOURNAL_VERSION = 1, JOURNAL_SEGMENT_HEAD = 0 };
enum { JOURNAL_HEADER = 64 };

/* Before every record's content, which is padded with zeros to a multiple of 8. */
struct journal_header {
    uint32_t magic;
    uint16_t type, version;
    uint64_t sequence, session, ordinal;
    double monotonic, unix_time;
    uint32_t length;   /* of the content, without the padding */
    uint32_t content;  /* CRC-32C of the content with its padding */
    uint32_t reserved; /* 0 */
    uint32_t header;   /* CRC-32C of the 60 bytes before */
};
_Static_assert(sizeof(struct journal_header) == JOURNAL_HEADER, "the layout has no holes");

/* The first record of a segment, type 0. */
struct journal_segment_head {
    uint32_t number, reserved;
    uint64_t first;    /* sequence number of the first record after it */
    uint64_t given_up; /* sequence numbers before that which no record has */
    uint64_t sessions; /* the highest session number so far */
    char name[JOURNAL_NAME_SIZE];
};

static inline size_t journal_padded(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

/* 1 when the 64 bytes are a header of ours. */
int journal_header_sound(const struct journal_header *h);
/* The content's checksum. */
uint32_t journal_content_sum(const struct journal_header *h, const void *content);
/* ERR_DATA: what the content says does not fit its length. */
int journal_decode_content(const struct journal_header *h, const uint8_t *content, struct journal_record *out,
                           struct err *e);

/* The calls of the system that may fail, so that a test can let them. */
struct journal_calls {
    ssize_t (*write)(int fd, const void *bytes, size_t n);
    int (*sync)(int fd);
    int (*open)(const char *path, int flags, mode_t mode);
};
extern struct journal_calls journal_calls;

#endif
