/* Journals that are cut at every byte, with any one bit flipped, and written on a disk that fails at every byte: what is
 * before survives, the rest is reported, nothing comes twice. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "journal_case.h"
#include "tap.h"

enum { N = 24, MOST = 64 << 10 };

static uint8_t segment[MOST];
static size_t size,
    begins[N + 2]; /* where each record begins; begins[0]: the head's, begins[k + 1]: record k's */
static char damaged[256];

static size_t slurp(const char *path, uint8_t *out)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, out, MOST);
    if (fd >= 0)
        close(fd);
    return n < 0 ? 0 : (size_t)n;
}

static void spill(const char *path, const uint8_t *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        tap_diag("%s: cannot be written", path);
    close(fd);
}

/* One sound segment of N records, in memory. */
static int make_segment(void)
{
    struct journal_writer *w;
    struct err e;
    char path[512], folder[256];
    if (journal_create(&w, case_directory, 0, &e))
        return -1;
    int bad = 0;
    for (uint64_t k = 0; k < N && !bad; k++)
        bad = case_append(w, k, &e);
    bad = bad ? bad : journal_flush(w, &e);
    snprintf(folder, sizeof folder, "%s/journal", case_directory);
    journal_file_name(folder, journal_name(w), 1, path, sizeof path);
    size = bad ? 0 : slurp(path, segment);
    journal_close(w);
    case_clear();
    size_t at = 0;
    for (int k = 0; k <= N && at < size; k++) {
        begins[k] = at;
        at += journal_head(segment + at).length;
    }
    begins[N + 1] = at;
    snprintf(damaged, sizeof damaged, "%s/journal/cut-000001.sgj", case_directory);
    return at == size && size ? 0 : -1;
}

/* The record in which the byte at `offset` lies: -1 the head, else k. */
static int record_at(size_t offset)
{
    int k = 0;
    while (k < N && begins[k + 1] <= offset)
        k++;
    return k - 1;
}

static void test_cuts(void)
{
    uint8_t have[N];
    size_t wrong = 0, cuts = 0;
    for (size_t cut = 1; cut < size; cut++, cuts++) {
        int k = record_at(cut); /* the first that is not whole */
        int clean = begins[k + 1] == cut;
        spill(damaged, segment, cut);
        struct seen s = case_read(damaged, have, N);
        if (s.wrong || s.records != (size_t)(k < 0 ? 0 : k) || !case_all(have, 0, k < 0 ? 0 : (size_t)k) ||
            s.damages != (size_t)!clean || s.torn != s.damages ||
            (!clean && (s.first_offset != begins[k + 1] || s.bytes != cut - begins[k + 1]))) {
            if (!wrong++)
                tap_diag("cut at %zu: %zu records, %zu damages: %s", cut, s.records, s.damages, s.reason);
        }
    }
    ok(!wrong, "cut at each of %zu bytes: what is before survives, the piece is reported", cuts);
    memset(segment + begins[N - 2], 0, size - begins[N - 2]);
    spill(damaged, segment, size);
    struct seen s = case_read(damaged, have, N);
    ok(!s.wrong && s.torn == 1 && s.damages == 1 && case_all(have, 0, N - 3),
       "zeros to the end, as after a power loss: %s", s.reason);
}

static void test_flips(void)
{
    uint8_t have[N];
    size_t wrong = 0, flips = 0;
    for (size_t offset = 0; offset < size; offset++)
        for (int bit = 0; bit < 8; bit++, flips++) {
            int k = record_at(offset);
            segment[offset] ^= (uint8_t)(1 << bit);
            spill(damaged, segment, size);
            segment[offset] ^= (uint8_t)(1 << bit);
            struct seen s = case_read(damaged, have, N);
            size_t lost = k < 0 ? 0 : 1;
            int before = k < 0 || case_all(have, 0, (size_t)k), after = case_all(have, (size_t)(k + 1), N);
            if (s.wrong || !before || !after || s.records != N - lost || s.damages != 1 || s.torn > 0 ||
                s.first_offset != begins[k + 1]) {
                if (!wrong++)
                    tap_diag("bit %d of byte %zu: %zu records, %zu damages: %s", bit, offset, s.records,
                             s.damages, s.reason);
            }
        }
    ok(!wrong, "each of %zu bits flipped: its record alone is lost, and reported", flips);
}

/* Any garbage: never a record that was not written, never an end of the process. */
static void test_garbage(void)
{
    static uint8_t bytes[MOST];
    uint8_t have[N];
    size_t wrong = 0;
    uint64_t random = 1;
    for (int round = 0; round < 300; round++) {
        memcpy(bytes, segment, size);
        for (int i = 0; i < 1 + round % 40; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(random >> 33) % size, n = (size_t)(random >> 20) % 64;
            for (size_t k = at; k < at + n && k < size; k++)
                bytes[k] = (uint8_t)(random >> (k % 50));
        }
        spill(damaged, bytes, size);
        struct seen s = case_read(damaged, have, N);
        wrong += s.wrong || !s.damages;
    }
    ok(!wrong, "300 journals full of garbage: what comes out was written");
}

/* A segment that ends too early, with another one behind it. */
static void test_missing(void)
{
    struct journal_writer *w;
    struct err e;
    uint8_t have[N];
    char path[512], folder[256];
    unlink(damaged);
    int bad = journal_create(&w, case_directory, 2048, &e);
    for (uint64_t k = 0; k < N && !bad; k++)
        bad = case_append(w, k, &e);
    bad = bad ? bad : journal_flush(w, &e);
    snprintf(folder, sizeof folder, "%s/journal", case_directory);
    journal_file_name(folder, journal_name(w), 2, path, sizeof path);
    journal_close(w);
    static uint8_t second[MOST];
    size_t whole = slurp(path, second), last = 0;
    for (size_t at = 0; at < whole; at += journal_head(second + at).length)
        last = at;
    spill(path, second, last); /* exactly at the record's beginning: nothing in the file tells */
    struct seen s = case_read(folder, have, N);
    ok(!bad && !s.wrong && s.records == N - 1 && s.damages == 1,
       "a record that a segment lost at its end: %s", s.reason);
    unlink(path);
    s = case_read(folder, have, N);
    ok(!s.wrong && !s.damages && s.records < N - 1, "a segment that was let go is no damage");
    case_clear();
}

/* --- a disk that fails --- */

static struct {
    size_t at;  /* bytes until it fails; SIZE_MAX: does not */
    int lies;   /* the write that fails wrote everything after all */
    int writes; /* so many fail, then it works again */
    int syncs;  /* so many fail */
    int opens;
} disk;

static ssize_t failing_write(int fd, const void *bytes, size_t n)
{
    if (n <= disk.at) {
        disk.at -= n;
        return write(fd, bytes, n);
    }
    if (disk.writes <= 0)
        return write(fd, bytes, n);
    if (disk.at && !disk.lies) { /* what still fits, as on a full disk */
        ssize_t part = write(fd, bytes, disk.at);
        disk.at = 0;
        return part;
    }
    disk.writes--;
    disk.at = 0;
    if (disk.lies && write(fd, bytes, n) < 0)
        return -1;
    errno = disk.lies ? EIO : ENOSPC;
    return -1;
}

static int failing_sync(int fd)
{
    if (disk.syncs-- > 0) {
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

static int failing_open(const char *path, int flags, mode_t mode)
{
    if (disk.opens-- > 0) {
        errno = ENOSPC;
        return -1;
    }
    return open(path, flags, mode);
}

/* Writes all records, three a batch, trying on after each failure. How often it failed, or -1. */
static int write_on_failing_disk(void)
{
    struct journal_writer *w;
    struct err e;
    int failures = 0;
    if (journal_create(&w, case_directory, 3000, &e))
        return -1;
    journal_calls = (struct journal_calls){failing_write, failing_sync, failing_open};
    for (uint64_t k = 0; k < N; k++) {
        case_append(w, k, &e);
        if (k % 3 < 2)
            continue;
        for (int tries = 0; journal_flush(w, &e) && tries < 10; tries++)
            failures++;
        failures += journal_sync(w, &e) != 0;
    }
    journal_close(w);
    journal_calls = (struct journal_calls){write, fdatasync, failing_open};
    return failures;
}

static void test_failing_disk(void)
{
    static const struct {
        const char *name;
        int lies, writes, opens;
    } ways[] = {{"a disk that is full once", 0, 1, 0},
                {"a disk that is full three times", 0, 3, 0},
                {"a full disk that makes no file either", 0, 1, 2},
                {"a write that fails and was done after all", 1, 1, 0}};
    uint8_t have[N];
    char folder[256];
    snprintf(folder, sizeof folder, "%s/journal", case_directory);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        size_t wrong = 0, places = 0;
        for (size_t at = 1; at < size; at += 7, places++) {
            disk.at = at;
            disk.lies = ways[i].lies;
            disk.writes = ways[i].writes;
            disk.opens = disk.syncs = 0;
            int failures = write_on_failing_disk();
            disk.opens = 0;
            struct seen s = case_read(folder, have, N);
            if (failures != ways[i].writes || s.wrong || s.damages || !case_all(have, 0, N)) {
                if (!wrong++)
                    tap_diag("at byte %zu: %d failures, %zu records, %zu damages: %s", at, failures,
                             s.records, s.damages, s.reason);
            }
            case_clear();
        }
        ok(!wrong, "%s, at each of %zu places: every record is there once", ways[i].name, places);
    }
    disk.at = SIZE_MAX;
    disk.syncs = 2;
    int failures = write_on_failing_disk();
    struct seen s = case_read(folder, have, N);
    ok(failures == 2 && !s.wrong && !s.damages && case_all(have, 0, N),
       "a sync that fails twice: told twice, on in new segments");
    case_clear();
    disk.opens = 3;
    failures = write_on_failing_disk();
    s = case_read(folder, have, N);
    ok(failures == 3 && !s.wrong && !s.damages && case_all(have, 0, N),
       "a segment that cannot be made three times");
    case_clear();
}

/* What is given up after a failure: its numbers are not used again, the reader does not call it damage. */
static void test_giving_up(void)
{
    struct journal_writer *w;
    struct err e;
    uint8_t have[N];
    char folder[256];
    int bad = journal_create(&w, case_directory, 0, &e);
    journal_calls = (struct journal_calls){failing_write, failing_sync, failing_open};
    disk.opens = disk.syncs = 0;
    disk.lies = 1; /* the worst case: it is in the file although the write failed */
    for (uint64_t k = 0; k < N && !bad; k += 4) {
        disk.writes = k == 8;
        disk.at = 0;
        for (uint64_t i = k; i < k + 4; i++)
            case_append(w, i, &e);
        bad = journal_flush(w, &e);
        if (k == 8) {
            ok(bad == ERR_IO, "a write fails: %s", e.text);
            journal_drop(w);
            bad = 0;
        }
    }
    journal_close(w);
    journal_calls = (struct journal_calls){write, fdatasync, failing_open};
    snprintf(folder, sizeof folder, "%s/journal", case_directory);
    struct seen s = case_read(folder, have, N);
    ok(!bad && !s.wrong && !s.damages && case_all(have, 0, 8) && case_all(have, 12, N),
       "%zu records after giving four up that were written after all", s.records);
    case_clear();
}

int main(void)
{
    if (case_begin() || make_segment())
        return 1;
    test_flips();
    test_garbage();
    test_cuts();
    unlink(damaged);
    test_missing();
    test_failing_disk();
    test_giving_up();
    case_end();
    return tap_done();
}
