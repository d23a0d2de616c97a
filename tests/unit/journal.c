/* The journal: checksums against published vectors, what is written is what is read, faults of the disk, damage. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/crc32c.h"
#include "io/journal_private.h"
#include "tap.h"

static char directory[] = "/tmp/sgaps-journal-XXXXXX";

static void remove_all(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    if (system(command))
        tap_diag("%s failed", command);
}

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

/* --- records whose content follows from their number --- */

struct content {
    float uv[2 * 40], state[8], map[12];
    uint8_t value[40], image[48];
    char text[32];
};

static struct journal_record record_of(uint64_t k, struct content *c)
{
    static const enum journal_type types[] = {JOURNAL_OPEN,  JOURNAL_FRAME,         JOURNAL_SET,
                                              JOURNAL_FRAME, JOURNAL_FRAME,         JOURNAL_GAP,
                                              JOURNAL_CLOSE, JOURNAL_RECONSTRUCTION};
    struct journal_record r = {.type = types[k % 8], .session = 1 + k / 8, .ordinal = k, .set_id = -1};
    r.monotonic = (double)k;
    r.unix_time = 1e9 + (double)k;
    for (size_t i = 0; i < 40; i++) {
        c->uv[2 * i] = (float)(k + i) / 100;
        c->uv[2 * i + 1] = (float)i / 40;
        c->value[i] = (uint8_t)(k * 7 + i);
    }
    for (size_t i = 0; i < 8; i++)
        c->state[i] = (float)(k * i);
    for (size_t i = 0; i < 48; i++)
        c->image[i] = (uint8_t)(k + 3 * i);
    for (size_t i = 0; i < 12; i++)
        c->map[i] = (float)i / 12;
    snprintf(c->text, sizeof c->text, "text %llu", (unsigned long long)k);
    if (r.type == JOURNAL_OPEN) {
        r.id = r.checkpoint_key = r.client_name = c->text;
        r.config = k % 16 ? c->text : NULL;
        r.W = r.H = 64;
        r.screen_w = 1920;
        r.screen_h = 1080;
        r.state_dim = 8;
        r.fps = 30;
        r.sentinel = -999;
        r.value_range = 255;
    } else if (r.type == JOURNAL_FRAME || r.type == JOURNAL_SET) {
        r.frame_id = (int64_t)k;
        r.set_id = (int64_t)k - 1;
        r.n = 1 + k % 40;
        r.uv = c->uv;
    } else if (r.type == JOURNAL_GAP) {
        r.frame_id = (int64_t)k;
        r.count = k;
    } else if (r.type == JOURNAL_RECONSTRUCTION) {
        r.frame_id = (int64_t)k;
        r.map = c->map;
        r.map_w = 4;
        r.map_h = 3;
    } else
        r.close_code = 1000;
    if (r.type == JOURNAL_FRAME) {
        r.value = c->value;
        r.state_n = k % 9;
        r.state = r.state_n ? c->state : NULL;
        r.timestamp = (double)k / 30;
    }
    if (r.type == JOURNAL_RECONSTRUCTION || (r.type == JOURNAL_FRAME && k % 3 == 0)) {
        r.image = c->image;
        r.image_w = 8;
        r.image_h = 6;
    }
    if (r.type == JOURNAL_GAP || r.type == JOURNAL_CLOSE)
        r.reason = c->text;
    return r;
}

static int same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static int same_bytes(const void *a, const void *b, size_t n)
{
    return !n || (a && b && !memcmp(a, b, n));
}

/* Is what was read the record number k? */
static int is_record(const struct journal_record *r, uint64_t k)
{
    struct content c;
    struct journal_record w = record_of(k, &c);
    size_t image = w.image ? (size_t)w.image_w * w.image_h : 0, map = w.map ? (size_t)w.map_w * w.map_h : 0;
    return r->type == w.type && r->session == w.session && r->ordinal == w.ordinal &&
           r->monotonic == w.monotonic && r->unix_time == w.unix_time && same_text(r->id, w.id) &&
           same_text(r->checkpoint_key, w.checkpoint_key) && same_text(r->client_name, w.client_name) &&
           same_text(r->config, w.config) && r->W == w.W && r->H == w.H && r->screen_w == w.screen_w &&
           r->screen_h == w.screen_h && r->state_dim == w.state_dim && r->fps == w.fps &&
           r->sentinel == w.sentinel && r->value_range == w.value_range && r->frame_id == w.frame_id &&
           r->set_id == w.set_id && r->timestamp == w.timestamp && r->n == w.n && r->state_n == w.state_n &&
           same_bytes(r->uv, w.uv, w.n * 2 * sizeof(float)) &&
           same_bytes(r->value, w.value, w.value ? w.n : 0) &&
           same_bytes(r->state, w.state, w.state_n * sizeof(float)) && same_bytes(r->image, w.image, image) &&
           r->image_w == w.image_w && r->image_h == w.image_h && r->map_w == w.map_w && r->map_h == w.map_h &&
           same_bytes(r->map, w.map, map * sizeof(float)) && r->close_code == w.close_code &&
           r->count == w.count && same_text(r->reason, w.reason);
}

struct seen {
    size_t damages, torn, records;
    uint64_t first_offset, bytes;
    int wrong;     /* a record that is none of those written, or out of order */
    uint8_t *have; /* which records came */
    char reason[160];
};

static void on_damage(void *user, const struct journal_damage *d)
{
    struct seen *s = user;
    if (!s->damages++)
        s->first_offset = d->offset;
    s->torn += d->torn != 0;
    s->bytes += d->bytes;
    snprintf(s->reason, sizeof s->reason, "%s", d->reason);
}

/* Reads everything at path; have: room for n records. */
static struct seen read_back(const char *path, uint8_t *have, size_t n)
{
    struct seen s = {.have = have};
    struct journal_reader *r;
    struct journal_record record;
    struct err e;
    long long last = -1;
    int more;
    memset(have, 0, n);
    if (journal_open(&r, path, on_damage, &s, &e)) {
        tap_diag("%s", e.text);
        s.wrong = 1;
        return s;
    }
    while ((more = journal_next(r, &record, &e)) > 0) {
        uint64_t k = record.ordinal;
        if (k >= n || !is_record(&record, k) || (long long)k <= last)
            s.wrong++;
        else
            have[k]++;
        last = (long long)k;
        s.records++;
    }
    if (more < 0) {
        tap_diag("%s", e.text);
        s.wrong++;
    }
    journal_reader_close(r);
    return s;
}

static int append(struct journal_writer *w, uint64_t k, struct err *e)
{
    struct content c;
    struct journal_record r = record_of(k, &c);
    return journal_append(w, &r, e);
}

static int all_of(const uint8_t *have, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (have[i] != 1)
            return 0;
    return 1;
}

static void test_round_trip(void)
{
    enum { N = 400 };
    struct journal_writer *w;
    struct err e = {0};
    uint8_t have[N];
    char folder[256];
    int bad = journal_create(&w, directory, 8192, &e);
    ok(!bad, "a journal is made: %s", e.text);
    for (uint64_t k = 0; k < N && !bad; k++) {
        bad = append(w, k, &e);
        if (k % 10 == 9)
            bad = bad ? bad : journal_flush(w, &e);
        if (k % 100 == 99)
            bad = bad ? bad : journal_sync(w, &e);
    }
    snprintf(folder, sizeof folder, "%s/journal", directory);
    ok(!bad && journal_segment(w) > 5, "it has %u segments of 8 KiB", bad ? 0 : journal_segment(w));
    int fd;
    ok(journal_lock(folder, journal_name(w), &fd, &e) == ERR_TEMPFAIL, "it is locked: %s", e.text);
    struct seen s = read_back(folder, have, N);
    ok(s.records == N && !s.wrong && !s.damages && all_of(have, 0, N),
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
    ok(!journal_read_at(r, place, &record, &e) && is_record(&record, k),
       "a record is read again by its place");
    journal_reader_close(r);
    journal_list_free(names, n);
}

int main(void)
{
    if (!mkdtemp(directory))
        return 1;
    test_crc();
    test_round_trip();
    remove_all();
    return tap_done();
}
