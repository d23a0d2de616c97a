/* lib/io: what is written reads back the same, as JSON and as binary; the binary layout byte by byte. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "io/message_answer.h"
#include "io/message_binary.h"
#include "io/message_write.h"
#include "tap.h"

enum { N = 500, STATE = 64, W = 33, H = 21 };

/* A frame with coordinates and states of any bits. */
static void make_frame(struct message *m, struct philox *p, int image)
{
    static float uv[2 * N], state[STATE];
    static uint8_t value[N], picture[W * H];
    for (int i = 0; i < 2 * N; i++)
        uv[i] = (float)philox_uniform(p);
    uv[0] = 0;
    uv[1] = 1;
    uv[2] = 1e-30f;
    for (int i = 0; i < N; i++)
        value[i] = (uint8_t)philox_below(p, 256);
    for (int i = 0; i < STATE; i++)
        state[i] =
            i % 7 ? (float)((philox_uniform(p) - 0.5) * pow(10, (double)philox_below(p, 40) - 20)) : -999;
    state[1] = 3.40282347e38f;
    state[2] = -0.0f;
    for (int i = 0; i < W * H; i++)
        picture[i] = (uint8_t)(i * i);
    *m = (struct message){.type = image ? MESSAGE_FRAME_DATA_DEBUG : MESSAGE_FRAME_DATA,
                          .frame_id = 1234567890123,
                          .set_id = 7,
                          .timestamp = 1.0 / 3,
                          .width = 1920,
                          .height = 1080,
                          .n = N,
                          .uv = uv,
                          .value = value,
                          .state_n = STATE,
                          .state = state,
                          .image = image ? picture : NULL,
                          .image_w = image ? W : 0,
                          .image_h = image ? H : 0};
}

static int same_but_places(const struct message *a, const struct message *b)
{
    return a->type == b->type && a->frame_id == b->frame_id && a->timestamp == b->timestamp &&
           a->width == b->width && a->height == b->height && a->n == b->n &&
           !memcmp(a->value, b->value, a->n) && a->state_n == b->state_n &&
           (!a->state_n || !memcmp(a->state, b->state, a->state_n * sizeof *a->state)) &&
           a->image_w == b->image_w && a->image_h == b->image_h &&
           (!a->image || !memcmp(a->image, b->image, (size_t)W * H));
}

static int same(const struct message *a, const struct message *b)
{
    return same_but_places(a, b) && a->set_id == b->set_id && !memcmp(a->uv, b->uv, 2 * a->n * sizeof *a->uv);
}

static const float *one_set(void *user, int64_t set_id, size_t *n)
{
    const struct message *m = user;
    *n = m->n;
    return set_id == m->set_id ? m->uv : NULL;
}

static void test_frames(int image)
{
    struct message m, json = {0}, binary = {0};
    struct text t = {0}, b = {0};
    struct err e = {0};
    struct philox p;
    philox_init(&p, 5, (uint32_t)image);
    make_frame(&m, &p, image);
    const char *what = image ? "debug frame" : "frame";

    int bad = message_write_frame(&t, &m, &e) || message_parse(&json, t.at, t.n, 255, N, STATE, &e);
    ok(!bad && same(&m, &json), "a %s as JSON reads back bit by bit, %zu bytes %s", what, t.n, e.text);
    bad = message_write_frame_binary(&b, &m, BINARY_F32, &e) ||
          message_parse_binary(&binary, b.at, b.n, 255, N, STATE, NULL, NULL, &e);
    ok(!bad && same(&json, &binary), "in f32 binary the same bits, %zu bytes %s", b.n, e.text);

    text_clear(&b);
    bad = message_write_frame_binary(&b, &m, BINARY_OF_SET, &e) ||
          message_parse_binary(&binary, b.at, b.n, 255, N, STATE, one_set, &m, &e);
    ok(!bad && same(&m, &binary), "in the order of a set, %zu bytes %s", b.n, e.text);
    m.set_id = 6;
    ok(message_parse_binary(&binary, b.at, b.n, 255, N, STATE, one_set, &m, &e) == ERR_DATA &&
           binary.fault == MESSAGE_UNKNOWN_SET,
       "an unknown set: %s", e.text);
    m.set_id = 7;
    m.n = N - 1;
    ok(message_parse_binary(&binary, b.at, b.n, 255, N, STATE, one_set, &m, &e) == ERR_DATA &&
           binary.fault == MESSAGE_INVALID_FRAME_DATA,
       "a set of another size: %s", e.text);
    m.n = N;

    text_clear(&b);
    bad = message_write_frame_binary(&b, &m, BINARY_U16, &e) ||
          message_parse_binary(&binary, b.at, b.n, 255, N, STATE, NULL, NULL, &e);
    float off = 0;
    for (int i = 0; i < 2 * N; i++)
        off = fmaxf(off, fabsf(m.uv[i] - binary.uv[i]));
    ok(!bad && same_but_places(&m, &binary) && off < 0.51f / 65535, "in u16, %zu bytes, at most %g away", b.n,
       (double)off);
    message_release(&json);
    message_release(&binary);
    text_release(&t);
    text_release(&b);
}

/* Values in 0..1 as JSON numbers and as f32 give the same bytes. */
static void test_value_range(void)
{
    struct text t = {0}, b = {0};
    struct message json = {0}, binary = {0};
    struct err e = {0};
    struct philox p;
    philox_init(&p, 6, 0);
    float value[N];
    unsigned char header[40] = {'S', 'G', 'B', '1', 1, 2 | 4, 40, 0};
    header[24] = header[25] = header[26] = header[27] = 255;
    header[32] = N & 255;
    header[33] = N >> 8;
    text_bytes(&b, header, sizeof header);
    text_add(&t, "{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0,\"pixels\":[");
    for (int i = 0; i < N; i++) {
        value[i] = i % 2 ? (float)philox_uniform(&p) : (float)(0.1 * (i % 11));
        text_printf(&t, "%s{\"u\":0.5,\"v\":0.5,\"value\":", i ? "," : "");
        if (i % 2)
            text_json_float(&t, value[i]);
        else
            text_printf(&t, "%.1f", 0.1 * (i % 11));
        text_add(&t, "}");
        text_bytes(&b, &(float){0.5f}, 4);
        text_bytes(&b, &(float){0.5f}, 4);
    }
    text_add(&t, "]}}");
    text_bytes(&b, value, sizeof value);
    ok(!message_parse(&json, t.at, t.n, 1, N, STATE, &e) &&
           !message_parse_binary(&binary, b.at, b.n, 1, N, STATE, NULL, NULL, &e) && same(&json, &binary),
       "values in 0..1: JSON and f32 are the same bytes %s", e.text);
    ok(binary.set_id == -1 && !binary.width, "no set, no resolution");
    value[3] = NAN;
    memcpy(b.at + 40 + 8 * N, value, sizeof value);
    ok(message_parse_binary(&binary, b.at, b.n, 1, N, STATE, NULL, NULL, &e) == ERR_DATA, "%s", e.text);
    message_release(&json);
    message_release(&binary);
    text_release(&t);
    text_release(&b);
}

/* sgaps-protocol(7)'s layout, written down here once more by hand. */
static void test_layout(void)
{
    static const unsigned char want[] = {
        'S',  'G',  'B',  '1',  1,    1,    40,   0,    /* magic, type, flags, header */
        0x15, 0xcd, 0x5b, 7,    0,    0,    0,    0,    /* frame_id 123456789 */
        0,    0,    0,    0,    0,    0,    0xf8, 0x3f, /* timestamp 1.5 */
        9,    0,    0,    0,    0x80, 2,    0xe0, 1,    /* set 9, 640 x 480 */
        3,    0,    1,    0,    0,    0,    0,    0,    /* 3 pixels, 1 state value, no image */
        0,    0,    0xff, 0xff, 0,    0x80, 0,    0x80, /* (0,1) (32768/65535 twice) */
        0xff, 0xff, 0,    0,    0,    0,    0,    0,    /* (1,0) and the padding */
        1,    128,  255,  0,    0,    0,    0,    0,    /* values */
        0,    0xc0, 0x79, 0xc4, 0,    0,    0,    0,    /* -999 */
    };
    float uv[] = {0, 1, 0.500007629f, 0.500007629f, 1, 0}, state[] = {-999};
    uint8_t value[] = {1, 128, 255};
    struct message m = {.frame_id = 123456789,
                        .timestamp = 1.5,
                        .set_id = 9,
                        .width = 640,
                        .height = 480,
                        .n = 3,
                        .uv = uv,
                        .value = value,
                        .state_n = 1,
                        .state = state};
    struct text t = {0};
    struct err e;
    ok(!message_write_frame_binary(&t, &m, BINARY_U16, &e) && t.n == sizeof want && !memcmp(t.at, want, t.n),
       "the bytes of a frame");
    text_release(&t);
}

static void test_binary_refused(void)
{
    struct text t = {0};
    struct message m, out = {0};
    struct err e;
    struct philox p;
    philox_init(&p, 8, 0);
    make_frame(&m, &p, 0);
    message_write_frame_binary(&t, &m, BINARY_F32, &e);
    static const struct {
        size_t at;
        int value, fault;
        const char *says;
    } row[] = {
        {0, 'X', MESSAGE_INVALID_FRAME_DATA, "SGB1"},
        {4, 2, MESSAGE_INVALID_FRAME_DATA, "length"},
        {4, 9, MESSAGE_INVALID_FRAME_DATA, "length"},
        {5, 3, MESSAGE_INVALID_FRAME_DATA, "flags"},
        {5, 8, MESSAGE_INVALID_FRAME_DATA, "flags"},
        {6, 32, MESSAGE_INVALID_FRAME_DATA, "header"},
        {6, 44, MESSAGE_INVALID_FRAME_DATA, "header"},
        {6, 48, MESSAGE_INVALID_FRAME_DATA, "length"},
        {15, 255, MESSAGE_INVALID_FRAME_DATA, "2^53"},
        {23, 0x7f, MESSAGE_INVALID_FRAME_DATA, "timestamp"},
        {32, 0xf5, MESSAGE_INVALID_FRAME_DATA, "length"},
        {39, 1, MESSAGE_INVALID_FRAME_DATA, "length"},
        {43, 0x7f, MESSAGE_INVALID_FRAME_DATA, "pixels[0]"},
        {43, 0xbf, MESSAGE_INVALID_FRAME_DATA, "pixels[0]"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *copy = malloc(t.n);
        memcpy(copy, t.at, t.n);
        copy[row[i].at] = (char)row[i].value;
        if (row[i].at == 23)
            copy[22] = (char)0xf0;
        if (row[i].at == 43)
            memset(copy + 40, 1, 3);
        ok(message_parse_binary(&out, copy, t.n, 255, N, STATE, NULL, NULL, &e) == ERR_DATA &&
               (int)out.fault == row[i].fault && strstr(e.text, row[i].says),
           "byte %zu: %s", row[i].at, e.text);
        free(copy);
    }
    for (size_t n = 0; n < 48; n += 7)
        ok(message_parse_binary(&out, t.at, n, 255, N, STATE, NULL, NULL, &e) == ERR_DATA, "%zu bytes: %s", n,
           e.text);
    ok(message_parse_binary(&out, t.at, t.n, 255, N - 1, STATE, NULL, NULL, &e) == ERR_DATA, "%s", e.text);
    ok(message_parse_binary(&out, t.at, t.n, 255, N, STATE - 1, NULL, NULL, &e) == ERR_DATA &&
           out.fault == MESSAGE_STATE_TOO_LONG,
       "%s", e.text);
    message_release(&out);
    text_release(&t);
}

static void test_coordinates(void)
{
    struct text t = {0};
    struct message m;
    struct err e = {0};
    struct philox p;
    float *uv = NULL;
    size_t capacity = 0, n = 0;
    int64_t target = 0, set = 0;
    philox_init(&p, 9, 0);
    make_frame(&m, &p, 0);
    for (int array = 0; array < 2; array++) {
        struct answer a;
        text_clear(&t);
        message_write_coordinates(&t, 18, 3, m.uv, N, array);
        ok(!answer_parse(&a, t.at, t.n, &e) && a.type == ANSWER_COORDINATES &&
               !message_parse_coordinates(t.at, t.n, &target, &set, &uv, &capacity, &n, &e) && target == 18 &&
               set == 3 && n == N && !memcmp(uv, m.uv, sizeof *uv * 2 * N),
           "coordinates as %s, %zu bytes %s", array ? "arrays" : "objects", t.n, e.text);
    }
    text_clear(&t);
    message_write_coordinates_binary(&t, 18, 3, m.uv, N);
    int bad = message_parse_coordinates_binary(t.at, t.n, &target, &set, &uv, &capacity, &n, &e);
    float off = 0;
    for (int i = 0; i < 2 * N && !bad; i++)
        off = fmaxf(off, fabsf(m.uv[i] - uv[i]));
    ok(!bad && n == N && target == 18 && set == 3 && off < 0.51f / 65535, "in binary, %zu bytes %s", t.n,
       e.text);
    ok(message_parse_coordinates_binary(t.at, t.n - 8, &target, &set, &uv, &capacity, &n, &e) == ERR_DATA,
       "%s", e.text);
    static const char *const wrong[] = {
        "{\"type\":\"uv_coordinates\",\"payload\":{\"target_frame_id\":1,\"coordinates\":[{\"u\":0.5}]}}",
        "{\"type\":\"uv_coordinates\",\"payload\":{\"target_frame_id\":1,\"coordinates\":[[1,2]]}}",
        "{\"type\":\"uv_coordinates\",\"payload\":{\"target_frame_id\":1,\"coordinates\":[[1,0,0]]}}",
        "{\"type\":\"uv_coordinates\",\"payload\":{\"target_frame_id\":1}}",
        "{\"type\":\"uv_coordinates\",\"payload\":{\"coordinates\":[]}}",
        "{\"type\":\"uv_coordinates\",\"payload\":{\"target_frame_id\":1,\"coordinates\":[]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ok(message_parse_coordinates(wrong[i], strlen(wrong[i]), &target, &set, &uv, &capacity, &n, &e) ==
               ERR_DATA,
           "%s", e.text);
    free(uv);
    text_release(&t);
}

static void test_control(void)
{
    struct text t = {0};
    struct answer a;
    struct err e = {0};
    struct session_ack ack = {.checkpoint_key = "doom",
                              .model_version = "doom@12",
                              .session_id = "s-1",
                              .checkpoint_loaded = 1,
                              .sample_count = 500,
                              .max_state_dim = 64,
                              .target_fps = 10,
                              .sentinel = -999,
                              .width = 224,
                              .height = 112};
    message_write_ack(&t, &ack);
    ok(!strcmp(
           t.at,
           "{\"type\":\"session_start_ack\",\"payload\":{\"checkpoint_key\":\"doom\",\"checkpoint_loaded\":"
           "true,"
           "\"model_version\":\"doom@12\",\"sample_count\":500,\"max_state_dim\":64,\"target_fps\":10,"
           "\"sentinel_value\":-999,\"resolution\":[224,112],\"debug_mode\":false,\"session_id\":\"s-1\"}}"),
       "%s", t.at);
    ok(!answer_parse(&a, t.at, t.n, &e) && a.type == ANSWER_ACK && !strcmp(a.checkpoint_key, "doom") &&
           a.checkpoint_loaded && !strcmp(a.model_version, "doom@12") && a.sample_count == 500 &&
           a.max_state_dim == 64 && a.target_fps == 10 && a.sentinel == -999 && a.width == 224 &&
           a.height == 112 && !a.debug_mode && !strcmp(a.session_id, "s-1"),
       "and reads back");
    text_clear(&t);
    message_write_heartbeat_ack(&t, 1.5);
    ok(!answer_parse(&a, t.at, t.n, &e) && a.type == ANSWER_HEARTBEAT && a.timestamp == 1.5, "%s", t.at);
    text_clear(&t);
    message_write_error(&t, "INVALID_JSON", "a \"b\"\n", "{\"index\":3}");
    ok(!answer_parse(&a, t.at, t.n, &e) && a.type == ANSWER_ERROR && !strcmp(a.code, "INVALID_JSON") &&
           !strcmp(a.text, "a \"b\"\n") && strstr(t.at, "\"details\":{\"index\":3}"),
       "%s", t.at);
    ok(answer_parse(&a, "{", 1, &e) == ERR_DATA && answer_parse(&a, "{}", 2, &e) == ERR_DATA, "%s", e.text);

    struct message m = {.checkpoint_key = "a",
                        .client_name = "Z\xc3\xbc",
                        .width = 3,
                        .height = 4,
                        .value_range = 1,
                        .debug = 1,
                        .coordinates_array = 1,
                        .resume = "r",
                        .token = "t\"t"},
                   back = {0};
    text_clear(&t);
    message_write_session_start(&t, &m);
    ok(!message_parse(&back, t.at, t.n, 255, 1, 1, &e) && !strcmp(back.checkpoint_key, "a") &&
           !strcmp(back.client_name, m.client_name) && back.width == 3 && back.height == 4 &&
           back.value_range == 1 && back.debug && back.coordinates_array == 1 && !strcmp(back.resume, "r") &&
           !strcmp(back.token, "t\"t"),
       "session_start reads back: %s", t.at);
    text_release(&t);
    message_release(&back);
}

int main(void)
{
    test_frames(0);
    test_frames(1);
    test_value_range();
    test_layout();
    test_binary_refused();
    test_coordinates();
    test_control();
    return tap_done();
}
