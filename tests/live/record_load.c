/* Drives the recorder as a server would: eight sessions at a time whose frames follow from a tag, the session's place and
 * the frame's number, and tells on standard output, a line at a time and from the recorder's own thread, what it knows:
 *     open SESSION ID        a session began (its frames are numbered from 0)
 *     wrote SESSION ORDINAL  this frame's write returned
 *     end ID FRAMES          its CLOSE was put after so many frames
 *     event TEXT
 * record_load DIR TAG SECONDS [frames a session] [samples] [segment bytes] [options: strict debug reconstruct floor=N
 * queue=N pause=US quiet
 * measure]: quiet tells no writes; measure prints the cost after each 10,000 frames received */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "live/recorder.h"

enum { SESSIONS = 8, STATE = 8, IMAGE_W = 16, IMAGE_H = 12, MAP = 4, MOST = 5000 };

struct load {
    const char *tag;
    size_t frames, samples;
    int debug, reconstruct, measure;
    unsigned pause;
    uint64_t put;
    struct recorder *recorder;
    struct {
        uint64_t number, salt;
        size_t at;
        char id[64];
    } session[SESSIONS];
    uint64_t begun;
};

/* One write a line: it is in the pipe whatever happens next. */
static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    char line[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (write(1, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1) < 0)
        exit(3);
}

static void on_event(void *user, const char *text)
{
    (void)user;
    say("event %s\n", text);
}

static void on_written(void *user, uint64_t session, uint64_t ordinal, double seconds)
{
    (void)user;
    (void)seconds;
    say("wrote %" PRIu64 " %" PRIu64 "\n", session, ordinal);
}

static int begin(struct load *l, int i)
{
    struct err e = {0};
    l->session[i].salt = ++l->begun;
    l->session[i].at = 0;
    snprintf(l->session[i].id, sizeof l->session[i].id, "%s-%" PRIu64, l->tag, l->begun);
    struct journal_record open = {.type = JOURNAL_OPEN,
                                  .id = l->session[i].id,
                                  .checkpoint_key = i % 2 ? "odd" : "even",
                                  .client_name = "load \x1b[31m\xc3\xa9",
                                  .config = "{\"load\": 1}",
                                  .W = IMAGE_W,
                                  .H = IMAGE_H,
                                  .screen_w = 640,
                                  .screen_h = 480,
                                  .state_dim = STATE,
                                  .fps = 30,
                                  .sentinel = -999,
                                  .value_range = 255};
    if (recorder_session(l->recorder, &open, &e)) {
        say("event refused: %s\n", e.text);
        l->session[i].number = 0;
        return -1;
    }
    l->session[i].number = open.session;
    say("open %" PRIu64 " %s\n", open.session, l->session[i].id);
    return 0;
}

/* Processor time is the whole process's: making the frames, too. */
static void measure(struct load *l)
{
    static struct recorder_stats before;
    static double cpu_before;
    struct rusage use;
    struct recorder_stats s = recorder_stats(l->recorder);
    getrusage(RUSAGE_SELF, &use);
    double cpu = (double)use.ru_utime.tv_sec + (double)use.ru_stime.tv_sec +
                 1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    say("cost frames %" PRIu64 " bytes %.0f write_us %.2f cpu_us %.2f memory_kb %ld queue_kb %zu\n", s.frames,
        (double)(s.bytes - before.bytes) / (double)(s.frames - before.frames),
        1e6 * (s.write_seconds - before.write_seconds) / (double)(s.frames - before.frames),
        1e6 * (cpu - cpu_before) / 10000, pages * (sysconf(_SC_PAGESIZE) / 1024), s.queue_bytes / 1024);
    before = s;
    cpu_before = cpu;
}

/* Everything from salt and the frame's number, in whole numbers, so that another language can say what it ought to be. */
static void put_frame(struct load *l, int i)
{
    static float uv[2 * MOST], state[STATE], map[MAP * MAP];
    static uint8_t value[MOST], image[IMAGE_W * IMAGE_H];
    uint64_t s = l->session[i].salt, k = l->session[i].at;
    size_t n = 1 + (k + s) % l->samples;
    struct err e;
    for (size_t j = 0; j < n; j++) {
        uv[2 * j] = (float)((k * 7 + j * 13 + s) % 1024) / 1024;
        uv[2 * j + 1] = (float)((k * 3 + j * 29 + s) % 1024) / 1024;
        value[j] = (uint8_t)(k + 5 * j + 11 * s);
    }
    for (size_t j = 0; j < STATE; j++)
        state[j] = (float)(k * 10 + j + s);
    struct journal_record frame = {.type = JOURNAL_FRAME,
                                   .session = l->session[i].number,
                                   .frame_id = (int64_t)k,
                                   .set_id = (int64_t)(k / 3),
                                   .timestamp = (double)k / 32,
                                   .n = n,
                                   .uv = uv,
                                   .value = value,
                                   .state = state,
                                   .state_n = k % (STATE + 1)};
    for (size_t j = 0; j < sizeof image; j++)
        image[j] = (uint8_t)(k + j + s);
    if (l->debug && k % 4 == 0) {
        frame.image = image;
        frame.image_w = IMAGE_W;
        frame.image_h = IMAGE_H;
    }
    while (recorder_put(l->recorder, &frame, &e) == ERR_TEMPFAIL)
        usleep(1000);
    struct journal_record set = {.type = JOURNAL_SET,
                                 .session = frame.session,
                                 .frame_id = (int64_t)k + 1,
                                 .set_id = (int64_t)(k / 3) + 1,
                                 .n = n,
                                 .uv = uv};
    if (k % 3 == 2)
        recorder_put(l->recorder, &set, &e);
    for (size_t j = 0; j < MAP * MAP; j++)
        map[j] = (float)((k + j) % 64) / 64;
    struct journal_record seen = {.type = JOURNAL_RECONSTRUCTION,
                                  .session = frame.session,
                                  .frame_id = (int64_t)k,
                                  .image = image,
                                  .image_w = IMAGE_W,
                                  .image_h = IMAGE_H,
                                  .map = map,
                                  .map_w = MAP,
                                  .map_h = MAP};
    if (l->reconstruct && k % 5 < 3)
        recorder_put(l->recorder, &seen, &e);
    l->session[i].at++;
    if (l->measure && ++l->put % 10000 == 0)
        measure(l);
}

static void end(struct load *l, int i)
{
    struct journal_record close = {
        .type = JOURNAL_CLOSE, .session = l->session[i].number, .close_code = 1000, .reason = "the end"};
    struct err e;
    if (!l->session[i].number)
        return;
    if (recorder_put(l->recorder, &close, &e))
        say("event close: %s\n", e.text);
    else
        say("end %s %zu\n", l->session[i].id, l->session[i].at);
    l->session[i].number = 0;
}

/* Rounds over the sessions; each ends at its own length, and another begins. */
static void play(struct load *l, double seconds)
{
    double until = clock_seconds() + seconds;
    while (clock_seconds() < until) {
        for (int i = 0; i < SESSIONS; i++) {
            if (!l->session[i].number && begin(l, i))
                continue;
            put_frame(l, i);
            if (l->session[i].at >= l->frames + (size_t)i * 3)
                end(l, i);
        }
        if (l->pause)
            usleep(l->pause);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 64;
    struct load l = {.tag = argv[2],
                     .frames = argc > 4 ? strtoull(argv[4], NULL, 10) : 40,
                     .samples = argc > 5 ? strtoull(argv[5], NULL, 10) : 20,
                     .pause = 500};
    struct recorder_options o = {.dir = argv[1],
                                 .segment_bytes = argc > 6 ? strtoull(argv[6], NULL, 10) : 0,
                                 .event = on_event,
                                 .written = on_written};
    char import[4096];
    const char *bin = getenv("SGAPS_BIN");
    snprintf(import, sizeof import, "%s/sgaps-import", bin ? bin : "bin");
    o.import = import;
    for (int i = 7; i < argc; i++) {
        o.strict |= !strcmp(argv[i], "strict");
        l.debug |= !strcmp(argv[i], "debug");
        l.measure |= !strcmp(argv[i], "measure");
        if (!strcmp(argv[i], "quiet"))
            o.written = NULL;
        l.reconstruct |= !strcmp(argv[i], "reconstruct");
        if (!strncmp(argv[i], "floor=", 6))
            o.floor_bytes = strtoull(argv[i] + 6, NULL, 10);
        if (!strncmp(argv[i], "queue=", 6))
            o.queue_bytes = strtoull(argv[i] + 6, NULL, 10);
        if (!strncmp(argv[i], "pause=", 6))
            l.pause = (unsigned)strtoul(argv[i] + 6, NULL, 10);
    }
    if (!l.samples || l.samples > MOST)
        return 64;
    struct err e;
    if (recorder_open(&l.recorder, &o, &e)) {
        say("event %s\n", e.text);
        return e.code;
    }
    play(&l, atof(argv[3]));
    for (int i = 0; i < SESSIONS; i++)
        end(&l, i);
    struct recorder_stats s = recorder_stats(l.recorder);
    for (int wait = 0; wait < 5000 && s.queue_bytes && !s.stopped; wait++, s = recorder_stats(l.recorder))
        usleep(1000);
    say("stats received %" PRIu64 " frames %" PRIu64 " gaps %" PRIu64 " bytes %" PRIu64 " errors %" PRIu64
        " left_out %" PRIu64 " seconds %.6f stopped %d\n",
        s.received, s.frames, s.gaps, s.bytes, s.write_errors, s.left_out, s.write_seconds, s.stopped);
    recorder_close(l.recorder);
    return 0;
}
