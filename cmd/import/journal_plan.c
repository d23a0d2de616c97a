#include "journal_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "interp/interp.h"

/* For a session whose beginning is lost and whose frames have no pictures: as the server's default. */
enum { UNKNOWN_SIDE = 224 };

/* --- the journal --- */

static int was_told(struct journal_source *s, const struct journal_damage *d)
{
    for (size_t i = 0; i < s->told_count; i++)
        if (s->told[i].segment == d->segment && s->told[i].offset == d->offset)
            return 1;
    if (!mem_grow(&s->told, &s->told_capacity, s->told_count + 1, sizeof *s->told, "damage", NULL))
        s->told[s->told_count++] = (struct journal_place){d->segment, d->offset};
    return 0;
}

static void on_damage(void *user, const struct journal_damage *d)
{
    struct journal_source *s = user;
    if (!d->torn && d->segment < s->segments)
        s->damaged[d->segment] = 1;
    if (!was_told(s, d)) /* a torn end is what every crash leaves */
        log_print(d->torn ? LOG_NOTE : LOG_WARNING, "%s: offset %llu: %s: %llu bytes are passed over",
                  d->file, (unsigned long long)d->offset, d->reason, (unsigned long long)d->bytes);
}

int journal_source_open(struct journal_source *s, struct journal_reader **r, struct err *e)
{
    int bad = s->name ? journal_open_name(r, s->path, s->name, on_damage, s, e)
                      : journal_open(r, s->path, on_damage, s, e);
    if (bad || journal_segments(*r) <= s->segments)
        return bad;
    uint8_t *damaged;
    bad = mem_alloc(&damaged, journal_segments(*r), 1, "segments", e);
    if (bad) {
        journal_reader_close(*r);
        *r = NULL;
        return bad;
    }
    if (s->damaged)
        memcpy(damaged, s->damaged, s->segments);
    free(s->damaged);
    s->damaged = damaged;
    s->segments = journal_segments(*r);
    return 0;
}

void journal_source_release(struct journal_source *s)
{
    free(s->damaged);
    free(s->told);
    s->damaged = NULL;
    s->told = NULL;
    s->segments = s->told_count = s->told_capacity = 0;
}

/* --- which sessions there are --- */

struct numbers {
    uint64_t *at, last;
    size_t n, capacity;
    int failed;
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Of every record only the head is looked at. */
static int note_number(void *user, const char *journal, uint64_t session)
{
    struct numbers *n = user;
    (void)journal;
    if (session == n->last)
        return 0;
    n->last = session;
    for (size_t i = n->n; i-- > 0;)
        if (n->at[i] == session)
            return 0;
    if (mem_grow(&n->at, &n->capacity, n->n + 1, sizeof *n->at, "sessions", NULL))
        n->failed = 1;
    else
        n->at[n->n++] = session;
    return 0;
}

int journal_source_sessions(struct journal_source *s, uint64_t **numbers, size_t *n, struct err *e)
{
    struct numbers list = {0};
    struct journal_reader *r;
    struct journal_record record;
    int more, bad = journal_source_open(s, &r, e);
    if (bad)
        return bad;
    journal_only(r, note_number, &list);
    while ((more = journal_next(r, &record, e)) > 0)
        if (record.type == JOURNAL_GAP && record.reason)
            log_note("%s: %s", record.journal, record.reason);
    journal_reader_close(r);
    bad = more < 0 ? e->code : list.failed ? err_memory(e, "sessions", list.n * sizeof *list.at) : 0;
    if (bad) {
        free(list.at);
        return bad;
    }
    if (list.n)
        qsort(list.at, list.n, sizeof *list.at, by_number);
    *numbers = list.at;
    *n = list.n;
    return 0;
}

/* --- what a session holds --- */

static int take_open(struct journal_plan *p, const struct journal_record *r, struct err *e)
{
    if (p->has_open)
        return 0;
    p->has_open = 1;
    p->opened = r->unix_time;
    p->info.W = r->W;
    p->info.H = r->H;
    p->info.screen_w = r->screen_w;
    p->info.screen_h = r->screen_h;
    p->info.S = r->state_dim > p->info.S ? r->state_dim : p->info.S;
    p->info.fps = r->fps;
    p->info.sentinel = (float)r->sentinel;
    p->info.value_range = r->value_range;
    int bad = mem_string(&p->id, r->id, e);
    bad = bad ? bad : mem_string(&p->checkpoint_key, r->checkpoint_key, e);
    bad = bad ? bad : mem_string(&p->client_name, r->client_name, e);
    return bad ? bad : mem_string(&p->config, r->config, e);
}

static int take_frame(struct journal_plan *p, const struct journal_record *r, struct err *e)
{
    int bad = mem_grow(&p->row, &p->row_capacity, p->rows + 1, sizeof *p->row, "frames", e);
    if (bad)
        return bad;
    p->row[p->rows++] =
        (struct journal_row){.frame = r->place, .frame_id = r->frame_id, .ordinal = r->ordinal};
    if (!p->opened)
        p->opened = r->unix_time;
    p->info.has_set |= r->set_id >= 0;
    p->info.S = r->state_n > p->info.S ? r->state_n : p->info.S;
    if (r->image && !p->image_w) {
        p->image_w = r->image_w;
        p->image_h = r->image_h;
    }
    return 0;
}

/* It belongs to the newest frame of this number that has none yet. */
static void take_reconstruction(struct journal_plan *p, const struct journal_record *r)
{
    struct session_info *info = &p->info;
    if (!r->image)
        return;
    if (!p->seen_w) {
        p->seen_w = r->image_w;
        p->seen_h = r->image_h;
        info->map_w = r->map ? r->map_w : 0;
        info->map_h = r->map ? r->map_h : 0;
    }
    if (r->image_w != p->seen_w || r->image_h != p->seen_h || (r->map ? r->map_w : 0) != info->map_w ||
        (r->map ? r->map_h : 0) != info->map_h)
        return;
    for (size_t i = p->rows; i-- > 0;)
        if (p->row[i].frame_id == r->frame_id && !p->row[i].has_seen) {
            p->row[i].has_seen = 1;
            p->row[i].seen = r->place;
            return;
        }
}

static int take_gap(struct journal_plan *p, const struct journal_record *r, struct err *e)
{
    int bad = mem_grow(&p->gap, &p->gap_capacity, p->gaps + 1, sizeof *p->gap, "gaps", e);
    if (bad)
        return bad;
    p->gap[p->gaps] = (struct journal_hole){r->ordinal, r->count, r->frame_id, NULL};
    bad = mem_string(&p->gap[p->gaps].reason, r->reason ? r->reason : "", e);
    p->gaps += !bad;
    return bad;
}

static int take_record(struct journal_plan *p, const struct journal_record *r, struct err *e)
{
    uint64_t up_to = r->type == JOURNAL_GAP && r->count ? r->ordinal + r->count - 1 : r->ordinal;
    if (r->type != JOURNAL_OPEN && up_to > p->received)
        p->received = up_to;
    switch (r->type) {
    case JOURNAL_OPEN:
        return take_open(p, r, e);
    case JOURNAL_FRAME:
        return take_frame(p, r, e);
    case JOURNAL_SET:
        p->sets++;
        return 0;
    case JOURNAL_RECONSTRUCTION:
        take_reconstruction(p, r);
        return 0;
    case JOURNAL_GAP:
        return take_gap(p, r, e);
    case JOURNAL_CLOSE:
        p->closed = 1;
        p->close_code = r->close_code;
        return mem_string(&p->close_reason, r->reason, e);
    }
    return 0;
}

/* Size and texts, now that all is known. The pictures that the server made set the size where they were recorded, else
 * the client's full frames. */
static int settle(struct journal_plan *p, const struct journal_source *s, struct err *e)
{
    struct session_info *info = &p->info;
    int bad = 0;
    if (!p->has_open) {
        char id[128];
        snprintf(id, sizeof id, "%s-%llu", s->name ? s->name : "journal", (unsigned long long)p->number);
        if (p->rows)
            log_warning("%s: the beginning of session %llu is lost: it is named %s",
                        s->name ? s->name : s->path, (unsigned long long)p->number, id);
        info->sentinel = -999;
        info->value_range = 255;
        bad = mem_string(&p->id, id, e);
    }
    info->has_frames = p->image_w != 0;
    info->has_reconstruction = p->seen_w != 0;
    info->has_importance = p->seen_w && info->map_w;
    if (p->seen_w) {
        info->W = p->seen_w;
        info->H = p->seen_h;
    } else if (p->image_w) {
        info->W = p->image_w;
        info->H = p->image_h;
    } else if (!info->W || !info->H)
        info->W = info->H = UNKNOWN_SIDE;
    info->id = p->id ? p->id : "";
    info->checkpoint_key = p->checkpoint_key ? p->checkpoint_key : "";
    info->client_name = p->client_name ? p->client_name : "";
    info->has_samples = info->has_recv_time = 1;
    info->closed = p->closed;
    info->T = p->rows;
    return bad;
}

struct wanted {
    const uint64_t *numbers;
    size_t n;
};

static int is_wanted(void *user, const char *journal, uint64_t session)
{
    const struct wanted *w = user;
    (void)journal;
    for (size_t i = 0; i < w->n; i++)
        if (w->numbers[i] == session)
            return 1;
    return 0;
}

static struct journal_plan *plan_of(struct journal_plan *plans, size_t n, uint64_t number)
{
    for (size_t i = 0; i < n; i++)
        if (plans[i].number == number)
            return &plans[i];
    return NULL;
}

static int scan(struct journal_reader *r, struct journal_plan *plans, size_t n, int whole, struct err *e)
{
    struct journal_record record;
    size_t closed = 0;
    int more = 1;
    while (!(whole && closed == n) && (more = journal_next(r, &record, e)) > 0) {
        struct journal_plan *p = plan_of(plans, n, record.session);
        if (!p)
            continue;
        int was = p->closed, bad = take_record(p, &record, e);
        if (bad)
            return bad;
        closed += (size_t)(p->closed != was);
    }
    return more < 0 ? e->code : 0;
}

int journal_plans_make(struct journal_source *s, const uint64_t *numbers, size_t n, int whole,
                       struct journal_plan **plans, size_t *count, struct err *e)
{
    struct wanted wanted = {numbers, n};
    struct journal_reader *r = NULL;
    uint64_t first = UINT64_MAX;
    *count = 0;
    int bad = mem_alloc(plans, n, sizeof **plans, "sessions", e);
    bad = bad ? bad : journal_source_open(s, &r, e);
    for (size_t i = 0; i < n && !bad; i++) {
        (*plans)[i].number = numbers[i];
        first = numbers[i] < first ? numbers[i] : first;
    }
    *count = bad ? 0 : n;
    if (!bad) {
        journal_only(r, is_wanted, &wanted);
        if (s->name)
            journal_skip_to(r, first);
        bad = scan(r, *plans, n, whole, e);
    }
    for (size_t i = 0; i < n && !bad; i++)
        bad = settle(&(*plans)[i], s, e);
    journal_reader_close(r);
    if (bad) {
        journal_plans_release(*plans, *count);
        *plans = NULL;
        *count = 0;
    }
    return bad;
}

void journal_plans_release(struct journal_plan *plans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct journal_plan *p = &plans[i];
        for (size_t k = 0; k < p->gaps; k++)
            free(p->gap[k].reason);
        free(p->gap);
        free(p->row);
        free(p->id);
        free(p->checkpoint_key);
        free(p->client_name);
        free(p->config);
        free(p->close_reason);
    }
    free(plans);
}

/* --- what is missing --- */

static const struct journal_hole *gap_over(const struct journal_plan *p, uint64_t ordinal)
{
    for (size_t i = 0; i < p->gaps; i++)
        if (ordinal >= p->gap[i].first && ordinal - p->gap[i].first < p->gap[i].count)
            return &p->gap[i];
    return NULL;
}

/* Frames first .. end-1 are missing: one entry for each reason. */
static void put_holes(const struct journal_plan *p, uint64_t first, uint64_t end, int *entries,
                      struct text *json)
{
    while (first < end) {
        const struct journal_hole *gap = gap_over(p, first);
        uint64_t to = gap ? gap->first + gap->count : end;
        for (size_t i = 0; i < p->gaps && !gap; i++)
            if (p->gap[i].first > first && p->gap[i].first < to)
                to = p->gap[i].first;
        to = to < end ? to : end;
        text_printf(json, "%s{\"after\": %llu, \"count\": %llu, \"reason\": ", (*entries)++ ? ", " : "",
                    (unsigned long long)(first - 1), (unsigned long long)(to - first));
        text_json_string(json, gap ? gap->reason : "lost from the journal");
        text_add(json, "}");
        first = to;
    }
}

uint64_t journal_plan_holes(const struct journal_plan *p, struct text *json)
{
    uint64_t next = 1, missing = 0;
    int entries = 0;
    text_add(json, "[");
    for (size_t i = 0; i <= p->rows; i++) {
        uint64_t here = i < p->rows ? p->row[i].ordinal : p->received + 1;
        if (here > next) {
            put_holes(p, next, here, &entries, json);
            missing += here - next;
        }
        if (here >= next)
            next = here + 1;
    }
    text_add(json, "]");
    return missing;
}
