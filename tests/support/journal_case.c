#include "journal_case.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

char case_directory[64];

/* In memory where there is such a file system: tens of thousands of files and syncs. */
int case_begin(void)
{
    snprintf(case_directory, sizeof case_directory, "/dev/shm/sgaps-journal-XXXXXX");
    if (mkdtemp(case_directory))
        return 0;
    snprintf(case_directory, sizeof case_directory, "/tmp/sgaps-journal-XXXXXX");
    return mkdtemp(case_directory) ? 0 : -1;
}

void case_clear(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/journal", case_directory);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *entry; (entry = readdir(d));) {
        snprintf(path, sizeof path, "%s/journal/%s", case_directory, entry->d_name);
        unlink(path);
    }
    closedir(d);
}

void case_end(void)
{
    char path[512];
    case_clear();
    snprintf(path, sizeof path, "%s/journal", case_directory);
    rmdir(path);
    rmdir(case_directory);
}

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

int case_is_record(const struct journal_record *r, uint64_t k)
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

static void on_damage(void *user, const struct journal_damage *d)
{
    struct seen *s = user;
    if (!s->damages++)
        s->first_offset = d->offset;
    s->torn += d->torn != 0;
    s->bytes += d->bytes;
    snprintf(s->reason, sizeof s->reason, "%s", d->reason);
}

struct seen case_read(const char *path, uint8_t *have, size_t n)
{
    struct seen s = {0};
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
        if (k >= n || !case_is_record(&record, k) || (long long)k <= last)
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

int case_append(struct journal_writer *w, uint64_t k, struct err *e)
{
    struct content c;
    struct journal_record r = record_of(k, &c);
    return journal_append(w, &r, e);
}

int case_all(const uint8_t *have, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (have[i] != 1)
            return 0;
    return 1;
}
