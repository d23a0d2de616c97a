/* lib/live/telemetry: what is counted is what is told, in JSON, in Prometheus' text, in pictures and in the log; what clients
 * call themselves cannot break any of them. The other parts are stood in for by figures of our own. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "io/stream.h"
#include "live/telemetry.h"
#include "tap.h"
#include "view/colour.h"

struct net_stats net_stats(struct net *n)
{
    (void)n;
    return (struct net_stats){.connections = 7, .open = 3, .bytes_in = 1000, .bytes_out = 2000};
}

struct engine_stats engine_stats(struct engine *g)
{
    (void)g;
    return (struct engine_stats){.inferred = 11, .superseded = 4, .stale = 2, .waiting = 5};
}

struct recorder_stats recorder_stats(struct recorder *r)
{
    (void)r;
    return (struct recorder_stats){.frames = 13, .gaps = 1, .write_seconds = 0.25};
}

void models_each(struct models *m, models_list_fn fn, void *user)
{
    (void)m;
    fn(user, "doom", 1, "doom-100-abcdef");
    fn(user, "mis\"sing\\", 0, "linear");
}

static int there; /* any address stands for the parts */
static char ended[65];

static int end_session(void *user, const char *id)
{
    (void)user;
    if (strcmp(id, "aaaa"))
        return 1;
    snprintf(ended, sizeof ended, "%s", id);
    return 0;
}

static struct telemetry_http http = {.end = end_session};

static struct net_response ask(struct telemetry *t, const char *method, const char *path, const char *query,
                               int authorized)
{
    struct net_request q = {.method = method, .path = path, .query = query, .authorized = authorized};
    struct net_response a = {.status = 200, .type = "application/json"};
    telemetry_answer(t, &http, &q, &a);
    return a;
}

static cJSON *ask_json(struct telemetry *t, const char *path, int *status)
{
    struct net_response a = ask(t, "GET", path, "", 1);
    *status = a.status;
    cJSON *j = a.body.at ? cJSON_ParseWithOpts(a.body.at, NULL, 1) : NULL;
    text_release(&a.body);
    return j;
}

static double number(const cJSON *j, const char *key)
{
    const cJSON *x = cJSON_GetObjectItem(j, key);
    return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}

static const char *string(const cJSON *j, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(j, key));
    return s ? s : "";
}

enum { W = 12, H = 8, N = 3 };
static float image[W * H], map[6];
static const float uv[2 * N] = {0, 0, 0.5f, 0.5f, 1, 1};
static const uint8_t value[N] = {10, 128, 250};

static void give(struct telemetry *t, const char *id, int64_t frame, double psnr, int heldout, int with_map)
{
    double now = clock_seconds();
    struct engine_result r = {.frame_id = frame,
                              .W = W,
                              .H = H,
                              .map_w = 3,
                              .map_h = 2,
                              .image = image,
                              .map = with_map ? map : NULL,
                              .uv = uv,
                              .value = value,
                              .n = N,
                              .psnr = psnr,
                              .ssim = heldout ? NAN : 0.75,
                              .heldout = heldout,
                              .quality = 0.5,
                              .received = now - 0.03,
                              .begun = now - 0.02,
                              .done = now,
                              .model_version = "doom-100-abcdef"};
    telemetry_frame(t, id, EVENT_FRAME);
    telemetry_result(t, id, &r);
}

/* --- the API --- */

static const char hostile[] = "</script><b>\"\\\n\x01\xff{}";

static void test_json(struct telemetry *t)
{
    int status;
    cJSON *j = ask_json(t, "/api/health", &status);
    ok(status == 200 && !strcmp(string(j, "status"), "healthy") && number(j, "uptime_seconds") >= 0 &&
           !strcmp(string(j, "version"), "1.2.3"),
       "/api/health");
    cJSON_Delete(j);
    j = ask_json(t, "/api/status", &status);
    const cJSON *loaded = cJSON_GetObjectItem(j, "checkpoints_loaded");
    ok(number(j, "active_sessions") == 2 && number(j, "total_frames_processed") == 4 &&
           cJSON_IsTrue(cJSON_GetObjectItem(loaded, "doom")) &&
           cJSON_IsFalse(cJSON_GetObjectItem(loaded, "mis\"sing\\")) && !strcmp(string(j, "device"), "cpu"),
       "/api/status");
    cJSON_Delete(j);
    j = ask_json(t, "/api/sessions", &status);
    const cJSON *list = cJSON_GetObjectItem(j, "sessions");
    const cJSON *a = cJSON_GetArrayItem(list, 0), *b = cJSON_GetArrayItem(list, 1);
    ok(cJSON_GetArraySize(list) == 2 && !strcmp(string(a, "id"), "aaaa") && !strcmp(string(b, "id"), "bbbb"),
       "/api/sessions lists both, by id");
    ok(!strcmp(string(b, "client_name"), "</script><b>\"\\\n\x01\xef\xbf\xbd{}"),
       "a hostile name arrives as it was, what is no UTF-8 as U+FFFD");
    ok(number(a, "frames") == 3 && number(a, "rebuilt") == 3 && fabs(number(a, "heldout_psnr") - 25) < 1e-9 &&
           fabs(number(a, "psnr") - 30) < 1e-9 && fabs(number(a, "mean_latency_ms") - 30) < 1 &&
           number(a, "ssim") == 0.75 && number(a, "frame_id") == 3,
       "counts, means by kind of PSNR, latency");
    cJSON_Delete(j);
    j = ask_json(t, "/api/sessions/aaaa", &status);
    const cJSON *h = cJSON_GetObjectItem(j, "history"), *p = cJSON_GetObjectItem(h, "psnr");
    ok(cJSON_GetArraySize(p) == 3 && cJSON_GetArrayItem(p, 1)->valuedouble == 26 &&
           cJSON_IsNull(cJSON_GetArrayItem(cJSON_GetObjectItem(h, "ssim"), 0)),
       "a session's history; what is not known is null");
    cJSON_Delete(j);
    struct net_response r = ask(t, "GET", "/api/sessions/aaaa", "since=2", 1);
    ok(r.body.at && strstr(r.body.at, "\"count\":[3]"), "?since= gives what is new");
    text_release(&r.body);
    j = ask_json(t, "/api/sessions/nobody", &status);
    ok(status == 404 && cJSON_GetObjectItem(j, "error"), "an unknown session is 404");
    cJSON_Delete(j);
}

static int status_of(struct telemetry *t, const char *method, const char *path, int authorized)
{
    struct net_response a = ask(t, method, path, "", authorized);
    text_release(&a.body);
    return a.status;
}

static int not_ready(void *user)
{
    (void)user;
    return 0;
}

static void test_routes(struct telemetry *t)
{
    struct net_response a = ask(t, "GET", "/", "", 0);
    ok(a.status == 200 && !strncmp(a.type, "text/html", 9) && strstr(a.body.at, "<!DOCTYPE html>"),
       "the page is open to everybody");
    ok(a.policy && strstr(a.policy, "default-src 'none'") && strstr(a.policy, "script-src 'sha256-") &&
           !strstr(a.policy, "unsafe"),
       "and allows only its own script and style");
    text_release(&a.body);
    ok(status_of(t, "GET", "/api/health", 0) == 200, "health is open too");
    static const char *const closed[] = {"/api/status",
                                         "/api/ready",
                                         "/api/sessions",
                                         "/api/sessions/aaaa",
                                         "/api/sessions/aaaa/frames/latest.png",
                                         "/metrics",
                                         "/nothing"};
    int all = 1;
    for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
        all &= status_of(t, "GET", closed[i], 0) == 401;
    ok(all && status_of(t, "DELETE", "/api/sessions/aaaa", 0) == 401 && !ended[0],
       "everything else is 401 without the token");
    ok(status_of(t, "GET", "/nothing", 1) == 404 && status_of(t, "GET", "/api/sessions/", 1) == 404 &&
           status_of(t, "GET", "/api/sessions/aaaa/frames/x.png", 1) == 404 &&
           status_of(t, "GET", "/api/sessions/aaaa/../bbbb", 1) == 404,
       "unknown paths are 404");
    ok(status_of(t, "DELETE", "/metrics", 1) == 405 && status_of(t, "POST", "/api/sessions/aaaa", 1) == 405 &&
           status_of(t, "DELETE", "/api/sessions/aaaa/frames/latest.png", 1) == 405,
       "other methods are 405");
    ok(status_of(t, "DELETE", "/api/sessions/cccc", 1) == 404 &&
           status_of(t, "DELETE", "/api/sessions/aaaa", 1) == 200 && !strcmp(ended, "aaaa"),
       "DELETE ends the session that it names");
    http.ready = not_ready;
    ok(status_of(t, "GET", "/api/ready", 1) == 503, "not ready is 503");
    http.ready = NULL;
    ok(status_of(t, "GET", "/api/ready", 1) == 200, "ready is 200");
}

/* --- pictures --- */

static int picture(struct telemetry *t, const char *path, uint8_t **grey, uint32_t *w, uint32_t *h)
{
    struct net_response a = ask(t, "GET", path, "", 1);
    char name[] = "/tmp/sgaps-telemetry-XXXXXX";
    int fd = mkstemp(name), bad = 1;
    struct err e;
    if (a.status == 200 && !strcmp(a.type, "image/png") &&
        write(fd, a.body.at, a.body.n) == (ssize_t)a.body.n)
        bad = png_read(name, grey, w, h, &e);
    close(fd);
    unlink(name);
    text_release(&a.body);
    return bad;
}

static int luma(const uint8_t *p)
{
    return (299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000;
}

/* Pixel x, y of a frame in a picture twice as large. */
#define AT(p, x, y) (p)[2 * (y)*2 * W + 2 * (x)]

static void test_pictures(struct telemetry *t)
{
    uint8_t *p = NULL, cold[3], hot[3];
    uint32_t w, h;
    int good = !picture(t, "/api/sessions/aaaa/frames/latest.png", &p, &w, &h) && w == W && h == H;
    for (int i = 0; good && i < W * H; i++)
        good = p[i] == i;
    ok(good, "latest.png is the reconstruction, pixel for pixel");
    free(p);
    colour_map(0, cold);
    colour_map(1, hot);
    p = NULL;
    good = !picture(t, "/api/sessions/aaaa/importance.png", &p, &w, &h) && w == 2 * W && h == 2 * H;
    ok(good && AT(p, 3, 0) == luma(cold) && AT(p, W - 1, 0) == luma(hot),
       "importance.png goes from cold to hot");
    ok(good && AT(p, 0, 0) > 180 && AT(p, W / 2, H / 2) == AT(p, 0, 0) && AT(p, W - 1, H - 1) == AT(p, 0, 0),
       "with the samples on it");
    free(p);
    p = NULL;
    ok(!picture(t, "/api/sessions/aaaa/frames/samples.png", &p, &w, &h) && w == 2 * W && AT(p, 0, 0) == 10 &&
           AT(p, W / 2, H / 2) == 128 && AT(p, W - 1, H - 1) == 250 && AT(p, 3, 0) < 40,
       "samples.png is what the client sent");
    free(p);
    ok(status_of(t, "GET", "/api/sessions/bbbb/frames/importance.png", 1) == 404 &&
           status_of(t, "GET", "/api/sessions/bbbb/frames/latest.png", 1) == 200,
       "a session without a map has no picture of it");
}

/* --- threads (for SAN=thread; without it, that nothing falls over) --- */

enum { ROUNDS = 300 };

static void *rebuild(void *user)
{
    struct telemetry *t = user;
    for (int i = 0; i < ROUNDS; i++) {
        char id[16];
        snprintf(id, sizeof id, "many-%d", i % 7);
        give(t, id, i, 20, 1, i % 3 == 0);
        telemetry_stage(t, STAGE_PARSE, 1e-5);
    }
    return NULL;
}

static void *come_and_go(void *user)
{
    struct telemetry *t = user;
    for (int i = 0; i < ROUNDS; i++) {
        char id[16];
        snprintf(id, sizeof id, "many-%d", i % 7);
        telemetry_session(t, id, "k", "v", "c", "a");
        if (i % 2)
            telemetry_session_closed(t, id);
    }
    return NULL;
}

static void *watch(void *user)
{
    static const char *const paths[] = {"/metrics",
                                        "/api/status",
                                        "/api/sessions",
                                        "/api/sessions/many-1",
                                        "/api/sessions/many-2/frames/latest.png",
                                        "/api/sessions/many-3/frames/importance.png"};
    struct telemetry *t = user;
    for (int i = 0; i < ROUNDS; i++)
        status_of(t, "GET", paths[i % 6], 1);
    return NULL;
}

static void test_threads(void)
{
    char log[] = "/tmp/sgaps-telemetry-XXXXXX", folder[64];
    close(mkstemp(log));
    struct err e;
    struct telemetry *t;
    struct telemetry_options o = {.log = log};
    if (telemetry_open(&t, &o, &e)) {
        ok(0, "%s", e.text);
        return;
    }
    pthread_t thread[4];
    void *(*const work[4])(void *) = {rebuild, rebuild, come_and_go, watch};
    for (int i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, work[i], t);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    struct net_response a = ask(t, "GET", "/metrics", "", 1);
    char want[64];
    snprintf(want, sizeof want, "sgaps_frames_rebuilt_total %d\n", 2 * ROUNDS);
    ok(a.body.at && strstr(a.body.at, want), "four threads at once lose no count");
    text_release(&a.body);
    telemetry_close(t);
    FILE *f = fopen(log, "r");
    int lines = 0;
    for (int c; f && (c = getc(f)) != EOF;)
        lines += c == '\n';
    if (f)
        fclose(f);
    ok(lines == 2 * ROUNDS, "nor a line of the log");
    snprintf(folder, sizeof folder, "rm -rf %s %s.pictures", log, log);
    ok(!system(folder), "and leave nothing");
}

int main(void)
{
    struct err e;
    for (int i = 0; i < W * H; i++)
        image[i] = (float)i / 255;
    for (int i = 0; i < 6; i++)
        map[i] = i % 3 == 2 ? 1 : 0;
    struct telemetry *t;
    http.sources = (struct telemetry_sources){.net = (struct net *)&there,
                                              .engine = (struct engine *)&there,
                                              .recorder = (struct recorder *)&there,
                                              .models = (struct models *)&there};
    struct telemetry_options o = {.version = "1.2.3", .device = "cpu"};
    ok(!telemetry_open(&t, &o, &e), "telemetry opens");
    telemetry_session(t, "bbbb", "doom", "linear", hostile, "127.0.0.1");
    telemetry_session(t, "aaaa", "doom", "doom-100-abcdef", "unity", "127.0.0.1");
    give(t, "bbbb", 1, NAN, 1, 0);
    give(t, "aaaa", 1, 24, 1, 1);
    give(t, "aaaa", 2, 26, 1, 1);
    give(t, "aaaa", 3, 30, 0, 0); /* without a map of its own: the last one stays */
    test_json(t);
    test_routes(t);
    test_pictures(t);
    telemetry_session_closed(t, "bbbb");
    ok(status_of(t, "GET", "/api/sessions/bbbb", 1) == 404 &&
           status_of(t, "GET", "/api/sessions/aaaa", 1) == 200,
       "a closed session is gone");
    give(t, "bbbb", 2, 20, 1, 1);
    ok(status_of(t, "GET", "/api/sessions/bbbb", 1) == 404,
       "a result that comes too late brings nothing back");
    telemetry_close(t);
    test_threads();
    return tap_done();
}
