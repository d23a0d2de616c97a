/* The journal: checksums against published vectors, what is written is what is read, faults of the disk, damage. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/crc32c.h"
#include "journal_case.h"
#include "tap.h"

/* --- CRC-32C: RFC 3720, B.4, and the check value of the catalogue --- */

static void sums(const char *name, const uint8_t *bytes, size_t n, uint32_t want)
{
    uint32_t fast = 0, whole = crc32c_tables(0, bytes, n);
    ok(whole == want, "%s: %08x by tables", name, whole);
    if (crc32c_instruction(&fast, bytes, n))
        ok(fast == want, "%s: %08x by the instruction", name, fast);
    else
        tap_skip(name, "this processor has no SSE4.2");
}

static void test_crc(void)
{
    static const uint8_t read_pdu[48] = {0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
                                         0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
                                         0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};
    uint8_t b[32], up[32], down[32];
    memset(b, 0, sizeof b);
    sums("32 zeros", b, 32, 0x8a9136aa);
    memset(b, 0xff, sizeof b);
    sums("32 ones", b, 32, 0x62a8ab43);
    for (int i = 0; i < 32; i++) {
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    sums("0 to 31", up, 32, 0x46dd794e);
    sums("31 to 0", down, 32, 0x113fdb5c);
    sums("an iSCSI read command", read_pdu, 48, 0xd9963a56);
    sums("123456789", (const uint8_t *)"123456789", 9, 0xe3069283);
    int same = 1;
    for (size_t from = 0; from < 8; from++) /* in two parts, of any length, at any alignment */
        for (size_t n = from; n <= 32; n++) {
            uint32_t fast = crc32c_tables(0, up, from);
            same &= crc32c(crc32c(0, up, from), up + from, n - from) == crc32c_tables(0, up, n);
            if (crc32c_instruction(&fast, up + from, n - from))
                same &= fast == crc32c_tables(0, up, n);
        }
    ok(same, "a sum goes on where another ended");
}

static void test_round_trip(void)
{
    enum { N = 400 };
    struct journal_writer *w;
    struct err e = {0};
    uint8_t have[N];
    char folder[256];
    int bad = journal_create(&w, case_directory, 8192, &e);
    ok(!bad, "a journal is made: %s", e.text);
    for (uint64_t k = 0; k < N && !bad; k++) {
        bad = case_append(w, k, &e);
        if (k % 10 == 9)
            bad = bad ? bad : journal_flush(w, &e);
        if (k % 100 == 99)
            bad = bad ? bad : journal_sync(w, &e);
    }
    snprintf(folder, sizeof folder, "%s/journal", case_directory);
    ok(!bad && journal_segment(w) > 5, "it has %u segments of 8 KiB", bad ? 0 : journal_segment(w));
    int fd;
    ok(journal_lock(folder, journal_name(w), &fd, &e) == ERR_TEMPFAIL, "it is locked: %s", e.text);
    struct seen s = case_read(folder, have, N);
    ok(s.records == N && !s.wrong && !s.damages && case_all(have, 0, N),
       "every record is read as it was written");
    journal_close(w);
    char **names;
    size_t n;
    bad = journal_list(folder, &names, &n, &e);
    ok(!bad && n == 1, "one journal is listed");
    ok(!journal_lock(folder, names[0], &fd, &e), "its lock is free when the writer is gone");
    close(fd);
    uint64_t *done;
    size_t dones;
    bad = journal_done_add(folder, names[0], 7, "a.h5", &e) ||
          journal_done_add(folder, names[0], 3, "b c.h5", &e);
    bad |= journal_done(folder, names[0], &done, &dones, &e);
    ok(!bad && dones == 2 && journal_done_has(done, dones, 3) && journal_done_has(done, dones, 7) &&
           !journal_done_has(done, dones, 5),
       "what is done is remembered");
    free(done);
    struct journal_reader *r;
    struct journal_record record;
    bad = journal_open_name(&r, folder, names[0], NULL, NULL, &e);
    journal_skip_to(r, 30);
    bad |= journal_next(r, &record, &e) != 1;
    ok(!bad && record.session > 20 && record.session <= 30, "skipping to session 30 begins with session %llu",
       (unsigned long long)record.session);
    struct journal_place place = record.place;
    uint64_t k = record.ordinal;
    journal_next(r, &record, &e);
    ok(!journal_read_at(r, place, &record, &e) && case_is_record(&record, k),
       "a record is read again by its place");
    journal_reader_close(r);
    journal_list_free(names, n);
}

int main(void)
{
    if (case_begin())
        return 1;
    test_crc();
    test_round_trip();
    case_end();
    return tap_done();
}
