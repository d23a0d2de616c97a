/* Journals whose records follow from their number, for the tests of the journal. */
#ifndef SGAPS_TESTS_JOURNAL_CASE_H
#define SGAPS_TESTS_JOURNAL_CASE_H

#include "io/journal_private.h"

extern char case_directory[]; /* made by case_begin, removed by case_end */
int case_begin(void);
void case_end(void);
void case_clear(void); /* its journals */

/* Record k into the batch of w. */
int case_append(struct journal_writer *w, uint64_t k, struct err *e);
/* Is what was read the record number k? */
int case_is_record(const struct journal_record *r, uint64_t k);

struct seen {
    size_t damages, torn, records;
    uint64_t first_offset, bytes; /* of the damage */
    int wrong;                    /* a record that is none of those written, or out of order */
    char reason[160];
};
/* Reads everything at path; have (n): how often each record came. */
struct seen case_read(const char *path, uint8_t *have, size_t n);
/* Each of the records from .. to-1 once? */
int case_all(const uint8_t *have, size_t from, size_t to);

#endif
