/* lib/io: recordings and checkpoints, written and read back, and the golden files. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/checkpoint.h"
#include "io/recording.h"
#include "tap.h"

enum { W = 20, H = 12, S = 6, T = 2500 };

static char folder[] = "/tmp/sgaps-recording-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[2][128];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* Row t of the test's session: everything follows from t. */
static size_t samples_of(size_t t)
{
    return t % 7 == 3 ? 0 : 5 + t % 11;
}

static int has_image(size_t t)
{
    return t % 3 == 0;
}

struct row {
    struct frame frame;
    float state[S], uv[64];
    uint8_t value[32], image[W * H];
};

static void make_row(struct row *r, size_t t)
{
    r->frame = (struct frame){.frame_id = (int64_t)(1000 + t),
                              .timestamp = (double)t / 10,
                              .recv_time = 1e9 + (double)t,
                              .state = r->state,
                              .state_n = t % 2 ? S : S - 2,
                              .samples_n = samples_of(t),
                              .uv = r->uv,
                              .value = r->value,
                              .set = (int64_t)t / 30,
                              .image = has_image(t) ? r->image : NULL};
    for (size_t i = 0; i < S; i++)
        r->state[i] = (float)(t * S + i);
    for (size_t i = 0; i < samples_of(t); i++) {
        r->uv[2 * i] = (float)((t + i) % 100) / 99;
        r->uv[2 * i + 1] = (float)((t * 3 + i) % 100) / 99;
        r->value[i] = (uint8_t)(t + i);
    }
    for (size_t i = 0; i < W * H; i++)
        r->image[i] = (uint8_t)(t + i);
}

static int write_file(const char *path, int no_history, size_t rows, struct err *e)
{
    struct recording_writer *w;
    struct recording_meta meta = {.creator = "test", .history = "a test", .no_history = no_history};
    struct session_info info = {.id = "one",
                                .checkpoint_key = "key",
                                .client_name = "tester",
                                .W = W,
                                .H = H,
                                .screen_w = 640,
                                .screen_h = 480,
                                .fps = 10,
                                .sentinel = -999,
                                .value_range = 255,
                                .S = S,
                                .has_samples = 1,
                                .has_frames = 1,
                                .has_recv_time = 1,
                                .has_set = 1};
    static struct row row;
    int bad = recording_create(&w, path, &meta, e);
    if (bad)
        return bad;
    for (int session = 0; session < 2 && !bad; session++) {
        bad = recording_begin(w, &info, e);
        for (size_t t = 0; t < rows && !bad; t++) {
            make_row(&row, t);
            bad = recording_append(w, &row.frame, e);
        }
        bad = bad ? bad : recording_end(w, session == 0, e);
    }
    bad = bad ? bad : recording_finish(w, e);
    if (bad)
        recording_abandon(w);
    return bad;
}

static void read_back(struct recording *r, size_t session, size_t step, const char *how)
{
    struct err e;
    struct row row;
    struct samples s = {0};
    uint8_t image[W * H];
    int wrong = 0, present;
    for (size_t i = 0, t = 0; i < T; i++, t = (t + step) % T) {
        int64_t id, set;
        double time, received;
        float state[S];
        uint16_t length;
        make_row(&row, t);
        wrong += recording_columns(r, session, t, 1, &id, &time, &received, &set, &e) ||
                 id != row.frame.frame_id || time != row.frame.timestamp || received != row.frame.recv_time ||
                 set != row.frame.set;
        for (size_t k = row.frame.state_n; k < S; k++)
            row.state[k] = -999;
        wrong += recording_state(r, session, t, 1, state, &length, &e) || length != row.frame.state_n ||
                 memcmp(state, row.state, sizeof state);
        wrong += recording_samples(r, session, t, 1, &s, &e) || s.n != samples_of(t) ||
                 memcmp(s.uv, row.uv, 2 * s.n * sizeof *s.uv) || memcmp(s.value, row.value, s.n);
        wrong += recording_frame(r, session, t, image, &present, &e) || present != has_image(t) ||
                 (present && memcmp(image, row.image, sizeof image));
    }
    ok(!wrong, "%d rows come back as written, %s", T, how);
    samples_release(&s);
}

static void test_round_trip(void)
{
    struct err e = {0};
    struct recording *r;
    const char *path = in_folder("rec.h5");
    ok(!write_file(path, 0, T, &e), "a recording is written %s", e.text);
    ok(!recording_open(&r, path, &e), "and opens %s", e.text);
    if (!r)
        return;
    const struct session_info *a = recording_session(r, 0);
    size_t M = 0, counts[T];
    for (size_t t = 0; t < T; t++)
        M += samples_of(t);
    ok(recording_sessions(r) == 2 && !strcmp(a->id, "one") && recording_find_session(r, "one-2") == 1 &&
           recording_find_session(r, "two") < 0,
       "two sessions of one name get different ones");
    ok(a->W == W && a->H == H && a->screen_w == 640 && a->fps == 10 && a->sentinel == -999 &&
           a->closed == 1 && recording_session(r, 1)->closed == 0 && !strcmp(a->checkpoint_key, "key") &&
           !strcmp(a->client_name, "tester"),
       "attributes are kept");
    ok(a->T == T && a->S == S && a->M == M && a->K == (T + 2) / 3 && a->has_samples && a->has_frames &&
           a->has_set && a->has_recv_time && !a->has_reconstruction && !a->has_importance && !a->older,
       "the figures are right");
    ok(recording_attribute(r, "uuid") && strlen(recording_attribute(r, "uuid")) == 36 &&
           !strcmp(recording_attribute(r, "history"), "a test") && !recording_attribute(r, "nothing"),
       "root attributes are there");
    read_back(r, 0, 1, "in order");
    read_back(r, 1, 911, "out of order");
    int wrong = recording_counts(r, 0, 0, T, counts, &e);
    for (size_t t = 0; t < T; t++)
        wrong += counts[t] != samples_of(t);
    ok(!wrong, "counts of all rows");
    uint8_t shown[T];
    wrong = recording_frames_present(r, 1, shown, &e);
    for (size_t t = 0; t < T; t++)
        wrong += shown[t] != has_image(t);
    ok(!wrong, "which rows have a full frame");
    uint8_t pixel[W * H];
    int present;
    ok(recording_frame(r, 0, T, pixel, &present, &e) == ERR_INTERNAL, "a row beyond the end is refused");
    recording_close(r);
}

static void copy_session(const char *from, const char *to, struct err *e)
{
    struct recording *r;
    struct recording_writer *w;
    struct recording_meta meta = {.creator = "test", .no_history = 1};
    struct row row;
    if (recording_open(&r, from, e) || recording_create(&w, to, &meta, e))
        return;
    int bad = recording_begin(w, recording_session(r, 0), e);
    for (size_t t = 0; t < T && !bad; t += 2) {
        make_row(&row, t);
        row.frame.image = NULL;
        bad = recording_append_from(w, &row.frame, r, 0, t, e);
    }
    uint8_t keep[T];
    for (size_t t = 0; t < T; t++)
        keep[t] = t % 2 == 0;
    bad = bad ? bad : recording_end(w, 1, e);
    bad = bad ? bad : recording_write_clean(w, "one", "keep", "u1", keep, T, e);
    bad = bad ? bad : recording_clean_attribute(w, "ratio", "0.1", e);
    if (bad || recording_finish(w, e))
        recording_abandon(w);
    recording_close(r);
}

static void test_copy(void)
{
    struct err e = {0};
    struct recording *r = NULL;
    struct row row;
    uint8_t image[W * H], keep[T];
    int present, wrong = 0;
    copy_session(in_folder("rec.h5"), in_folder("copy.h5"), &e);
    ok(!recording_open(&r, in_folder("copy.h5"), &e), "every second frame is copied %s", e.text);
    if (!r)
        return;
    for (size_t t = 0; t < T; t += 2) {
        make_row(&row, t);
        wrong += recording_frame(r, 0, t / 2, image, &present, &e) || present != has_image(t) ||
                 (present && memcmp(image, row.image, sizeof image));
    }
    ok(!wrong, "chunks copied as they are hold the same pictures");
    ok(!recording_keep(r, "one", T, keep, &present, &e) && present && keep[0] && !keep[1],
       "the selection is read");
    ok(!recording_keep(r, "one", (T + 1) / 2, keep, &present, &e) && !present,
       "of a file it was applied to already, none is left to apply");
    ok(recording_keep(r, "one", 17, keep, &present, &e) == ERR_DATA, "one for another session is refused: %s",
       e.text);
    ok(!recording_keep(r, "two", T, keep, &present, &e) && !present, "a session without one");
    recording_close(r);
}

static void *whole(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *data = calloc(1, 8 << 20);
    *n = f ? fread(data, 1, 8 << 20, f) : 0;
    if (f)
        fclose(f);
    return data;
}

static void test_identical(void)
{
    struct err e;
    size_t n = 0, m = 0;
    write_file(in_folder("a.h5"), 1, 300, &e);
    sleep(1); /* a time stamp would differ now */
    write_file(in_folder("b.h5"), 1, 300, &e);
    void *a = whole(in_folder("a.h5"), &n), *b = whole(in_folder("b.h5"), &m);
    ok(n > 1000 && n == m && !memcmp(a, b, n), "without history two files are the same to the bit");
    free(a);
    free(b);
}

static void fault_counter(void *user, const char *text)
{
    (void)text;
    ++*(int *)user;
}

static void test_check(void)
{
    struct err e;
    struct recording *r;
    int told = 0;
    if (recording_open(&r, in_folder("rec.h5"), &e))
        return;
    ok(recording_check(r, fault_counter, fault_counter, &told, &e) == 0 && told == 0,
       "a sound recording has no faults");
    recording_close(r);
}

static void test_refused(void)
{
    struct err e;
    struct recording *r;
    struct checkpoint c;
    size_t n;
    ok(recording_open(&r, in_folder("missing.h5"), &e) == ERR_NOINPUT && strstr(e.text, "missing.h5"), "%s",
       e.text);
    ok(recording_open(&r, folder, &e) == ERR_NOINPUT, "%s", e.text);
    FILE *f = fopen(in_folder("empty.h5"), "wb");
    fclose(f);
    ok(recording_open(&r, in_folder("empty.h5"), &e) == ERR_DATA, "%s", e.text);
    f = fopen(in_folder("text.h5"), "wb");
    fputs("this is not HDF5 at all\n", f);
    fclose(f);
    ok(recording_open(&r, in_folder("text.h5"), &e) == ERR_DATA && strstr(e.text, "not an HDF5"), "%s",
       e.text);
    char *all = whole(in_folder("rec.h5"), &n);
    f = fopen(in_folder("half.h5"), "wb");
    fwrite(all, 1, n / 2, f);
    fclose(f);
    free(all);
    ok(recording_open(&r, in_folder("half.h5"), &e) == ERR_DATA && strstr(e.text, "truncated"), "%s", e.text);
    ok(checkpoint_read(&c, in_folder("rec.h5"), 0, &e) == ERR_DATA && strstr(e.text, "is a recording"), "%s",
       e.text);
    ok(!checkpoint_probe(in_folder("rec.h5")), "a recording is no checkpoint");
    struct recording_writer *w;
    struct recording_meta meta = {.creator = "test"};
    ok(recording_create(&w, in_folder("no/such/folder.h5"), &meta, &e) == ERR_CANTCREATE, "%s", e.text);
}

/* --- checkpoints --- */

static void test_checkpoint(void)
{
    struct err e = {0};
    struct checkpoint c = {.config = (char *)"{\"model\":{}}",
                           .checkpoint_key = (char *)"demo",
                           .metric = (char *)"psnr",
                           .creator = (char *)"test",
                           .epoch = 3,
                           .step = 1234,
                           .score = 21.5,
                           .seed = UINT64_MAX - 1,
                           .optimizer_step = 77,
                           .lr = 1e-3,
                           .beta1 = 0.9,
                           .beta2 = 0.999,
                           .eps = 1e-8,
                           .weight_decay = 0.01,
                           .training = (char *)"{\"x\":1}"};
    float weight[6] = {1, -2, 3, 4, 5, 6}, bias[2] = {0.5f, 0.25f}, mean[3] = {1, 2, 3}, std[3] = {4, 5, 6};
    struct checkpoint_tensor t[2] = {{"z.weight", 2, {2, 3}, 6, weight}, {"a.bias", 1, {2}, 2, bias}};
    c.tensors = c.exp_avg = c.exp_avg_sq = t;
    c.tensor_count = c.moment_count = 2;
    c.state_mean = mean;
    c.state_std = std;
    c.state_n = 3;
    ok(!checkpoint_write(&c, in_folder("ck.h5"), 0, &e), "a checkpoint is written %s", e.text);
    struct checkpoint d;
    ok(!checkpoint_read(&d, in_folder("ck.h5"), 1, &e), "and read %s", e.text);
    ok(d.tensor_count == 2 && !strcmp(d.tensors[0].name, "z.weight") && d.tensors[0].shape[1] == 3 &&
           !memcmp(d.tensors[0].data, weight, sizeof weight) &&
           checkpoint_find(&d, "a.bias") == &d.tensors[1] && !checkpoint_find(&d, "b"),
       "tensors come back in their order");
    ok(d.epoch == 3 && d.step == 1234 && d.score == 21.5 && d.seed == UINT64_MAX - 1 &&
           !strcmp(d.metric, "psnr") && !strcmp(d.training, "{\"x\":1}") &&
           !strcmp(d.checkpoint_key, "demo") && strlen(d.created_at) == 20,
       "attributes come back");
    ok(d.moment_count == 2 && d.optimizer_step == 77 && d.lr == 1e-3 && d.beta2 == 0.999 &&
           d.weight_decay == 0.01 && !memcmp(d.exp_avg_sq[1].data, bias, sizeof bias) && d.state_n == 3 &&
           d.state_std[2] == 6,
       "the optimiser and the state's statistics come back");
    checkpoint_release(&d);
    ok(!checkpoint_read(&d, in_folder("ck.h5"), 0, &e) && !d.exp_avg && !d.moment_count,
       "the optimiser is left out when not asked for");
    checkpoint_release(&d);
    ok(checkpoint_probe(in_folder("ck.h5")), "it says what it is");
    size_t n, m;
    checkpoint_write(&c, in_folder("ck1.h5"), 1, &e);
    checkpoint_write(&c, in_folder("ck2.h5"), 1, &e);
    char *a = whole(in_folder("ck1.h5"), &n), *b = whole(in_folder("ck2.h5"), &m);
    ok(n == m && !memcmp(a, b, n), "without history two checkpoints are the same to the bit");
    for (size_t i = 0; i + sizeof weight < n; i++) /* damage a weight where it lies */
        if (!memcmp(a + i, weight, sizeof weight)) {
            a[i] ^= 1;
            break;
        }
    FILE *f = fopen(in_folder("ck3.h5"), "wb");
    fwrite(a, 1, n, f);
    fclose(f);
    ok(checkpoint_read(&d, in_folder("ck3.h5"), 0, &e) == ERR_DATA && strstr(e.text, "sha256"), "%s", e.text);
    free(a);
    free(b);
    weight[2] = NAN;
    checkpoint_write(&c, in_folder("nan.h5"), 0, &e);
    ok(checkpoint_read(&d, in_folder("nan.h5"), 0, &e) == ERR_DATA && strstr(e.text, "z.weight"), "%s",
       e.text);
    struct recording *r;
    ok(recording_open(&r, in_folder("ck.h5"), &e) == ERR_DATA && strstr(e.text, "is a checkpoint"), "%s",
       e.text);
}

static void test_golden(void)
{
    static const char *const cases[] = {"cross", "seed-full-skip", "ragged",
                                        "tiny",  "patch",          "patch-prefill"};
    const char *root = getenv("SGAPS_ROOT");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[512];
        struct err e = {0};
        struct recording *r;
        struct checkpoint c;
        struct samples s = {0};
        int present = 0, faults = 0;
        snprintf(path, sizeof path, "%s/tests/golden/%s/recording.h5", root ? root : ".", cases[i]);
        int bad = recording_open(&r, path, &e);
        ok(!bad, "%s/recording.h5 opens %s", cases[i], e.text);
        if (bad)
            continue;
        const struct session_info *info = recording_session(r, 0);
        uint8_t *image = malloc((size_t)info->W * info->H);
        ok(!recording_frame(r, 0, info->T - 1, image, &present, &e) && present &&
               !recording_samples(r, 0, info->T - 1, 1, &s, &e) && s.n > 0 && info->K == info->T &&
               recording_check(r, fault_counter, fault_counter, &faults, &e) == 0,
           "%s: its samples and frames are read %s", cases[i], e.text);
        /* Samples are pixels of the frame. */
        int wrong = 0;
        for (size_t k = 0; k < s.n; k++)
            wrong += image[(size_t)(s.uv[2 * k + 1] * (float)info->H) * info->W +
                           (size_t)(s.uv[2 * k] * (float)info->W)] != s.value[k];
        ok(!wrong, "%s: samples lie where the frame has their value", cases[i]);
        samples_release(&s);
        free(image);
        recording_close(r);
        snprintf(path, sizeof path, "%s/tests/golden/%s/checkpoint.h5", root ? root : ".", cases[i]);
        ok(!checkpoint_read(&c, path, 1, &e) && !strcmp(c.tensors[0].name, "pixel_embed.weight") &&
               checkpoint_find(&c, "pos_encoder.freqs"),
           "%s/checkpoint.h5 is read, its sha256 fits %s", cases[i], e.text);
        checkpoint_release(&c);
    }
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    test_round_trip();
    test_copy();
    test_identical();
    test_check();
    test_refused();
    test_checkpoint();
    test_golden();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command))
        tap_diag("%s stays", folder);
    return tap_done();
}
