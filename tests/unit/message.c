/* lib/io: NDJSON messages; the numbers against strtod and the grammar against cases of RFC 8259. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "io/json_scan.h"
#include "io/message.h"
#include "tap.h"

static int parse(struct message *m, const char *text, struct err *e)
{
    return message_parse(m, text, strlen(text), 255, 1000, 64, e);
}

static void test_frames(void)
{
    struct message m = {0};
    struct err e = {0};
    ok(!parse(
           &m,
           "{\"type\":\"frame_data\",\"payload\":{\"frame_id\":17,\"timestamp\":1.5,\"resolution\":[640,480],"
           "\"num_pixels\":2,\"pixels\":[{\"u\":0.25,\"v\":0.5,\"value\":128},{\"value\":7,\"v\":1,\"u\":0,"
           "\"x\":[{}]}],"
           "\"state_vector\":[1,-999,2.5e-1],\"set_id\":3,\"other\":{\"a\":[null,true]}},\"extra\":1}",
           &e),
       "a frame %s", e.text);
    ok(m.type == MESSAGE_FRAME_DATA && m.frame_id == 17 && m.timestamp == 1.5 && m.width == 640 &&
           m.height == 480 && m.n == 2 && m.uv[0] == 0.25f && m.uv[3] == 1 && m.value[0] == 128 &&
           m.value[1] == 7 && m.state_n == 3 && m.state[1] == -999 && m.state[2] == 0.25f && m.set_id == 3 &&
           !m.image,
       "its fields");
    ok(!parse(&m,
              "{\"payload\":{\"checkpoint_key\":\"a.b-c_1\",\"client_name\":\"Z\\u00fc\\ud83d\\ude00\","
              "\"resolution\":[2,3],"
              "\"value_range\":1,\"debug\":true},\"type\":\"session_start\"}",
              &e) &&
           m.type == MESSAGE_SESSION_START && !strcmp(m.checkpoint_key, "a.b-c_1") && m.value_range == 1 &&
           m.debug && !strcmp(m.client_name, "Z\xc3\xbc\xf0\x9f\x98\x80") && m.n == 0 && m.set_id == -1,
       "a session's start, payload before type %s", e.text);
    ok(message_parse(&m,
                     "{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0,\"pixels\":[{\"u\":0,\"v\":0,"
                     "\"value\":0.5}]}}",
                     80, 1, 10, 10, &e) != 0,
       "a text cut in the middle is refused");
    static const char half[] =
        "{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0,\"pixels\":[{\"u\":0,\"v\":0,\"value\":0.5}]}}";
    ok(!message_parse(&m, half, sizeof half - 1, 1, 10, 10, &e) && m.value[0] == 128,
       "a value of 0.5 of 1 is 128");
    ok(!parse(&m, "{\"type\":\"uv_coordinates\",\"payload\":{\"coordinates\":[]}}", &e) &&
           m.type == MESSAGE_OTHER && m.fault == MESSAGE_UNKNOWN_TYPE &&
           !parse(&m, "{\"type\":\"heartbeat\"}", &e) && m.type == MESSAGE_HEARTBEAT &&
           m.fault == MESSAGE_FAULT_NONE &&
           !parse(&m, "{\"payload\":{\"timestamp\":1.7e9},\"type\":\"heartbeat\"}", &e) &&
           m.timestamp == 1.7e9,
       "messages that are not frames");
    /* 2x2 grey PNG with rows (1,2) and (3,4), as Unity writes it: bottom row first. */
    ok(!parse(&m,
              "{\"type\":\"frame_data_debug\",\"payload\":{\"frame_id\":1,\"timestamp\":0,\"pixels\":[{\"u\":"
              "0,\"v\":0,\"value\":1}],"
              "\"full_frame_base64\":"
              "\"iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGNgZGJgZgEAAB0ACw21UgYAAAAASUVORK5C"
              "YII=\"}}",
              &e) &&
           m.image && m.image_w == 2 && m.image_h == 2 && m.image[0] == 3 && m.image[1] == 4 &&
           m.image[2] == 1,
       "a full frame is flipped %s", e.text);
    message_release(&m);
}

static void test_refused(void)
{
#define FRAME(text)                                                                                          \
    "{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0,\"pixels\":[{\"u\":0,\"v\":0,\"value\":1}]" text   \
    "}}"
#define PIXEL(text)                                                                                          \
    "{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0,\"pixels\":[{\"u\":0,\"v\":0,\"value\":1},{" text  \
    "}]}}"
#define START(text) "{\"type\":\"session_start\",\"payload\":{" text "}}"
    enum {
        JSON = MESSAGE_INVALID_JSON,
        DATA = MESSAGE_INVALID_FRAME_DATA,
        KEY = MESSAGE_INVALID_CHECKPOINT_KEY
    };
    static const struct {
        const char *text, *says;
        int fault;
    } row[] = {
        {"", "invalid JSON", JSON},
        {"[]", "an object is expected", JSON},
        {"{\"type\":\"frame_data\"}", "payload", DATA},
        {"{\"type\":\"frame_data\",\"payload\":[]}", "no object", DATA},
        {"{\"payload\":{}}", "type", MESSAGE_UNKNOWN_TYPE},
        {"{\"type\":3,\"payload\":{}}", "type", MESSAGE_UNKNOWN_TYPE},
        {"{\"type\":\"x\",\"type\":\"x\"}", "twice", JSON},
        {"{\"type\":\"x\",\"payload\":{]}}", "invalid JSON", JSON},
        {"{\"type\":\"frame_data\",\"payload\":{}}", "frame_id", DATA},
        {"{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0}}", "pixels", DATA},
        {"{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0,\"pixels\":[]}}", "pixels", DATA},
        {"{\"type\":\"frame_data\",\"payload\":{\"frame_id\":-1,\"pixels\":[]}}", "outside", DATA},
        {"{\"type\":\"frame_data\",\"payload\":{\"frame_id\":9007199254740994,\"pixels\":[]}}", "outside",
         DATA},
        {"{\"type\":\"frame_data\",\"payload\":{\"frame_id\":9007199254740993,\"pixels\":[]}}", "outside",
         DATA},
        {FRAME("") "x", "after the value", JSON},
        {FRAME(",\"num_pixels\":2"), "num_pixels", DATA},
        {FRAME(",\"frame_id\":1"), "twice", DATA},
        {FRAME(",\"\\u0066rame_id\":1"), "twice", DATA},
        {FRAME(",\"timestamp\":NaN"), "number", JSON},
        {FRAME(",\"timestamp\":1e999"), "out of range", JSON},
        {FRAME(",\"timestamp\":1,5"), "decimal comma", JSON},
        {FRAME(",\"timestamp\":\"1\""), "no number", DATA},
        {FRAME(",\"set_id\":-1"), "set_id", DATA},
        {FRAME(",\"set_id\":1.5"), "whole", DATA},
        {FRAME(",\"resolution\":[1]"), "resolution", DATA},
        {FRAME(",\"resolution\":[1,2,3]"), "resolution", DATA},
        {FRAME(",\"resolution\":[0,2]"), "resolution", DATA},
        {FRAME(",\"resolution\":7"), "no array", DATA},
        {FRAME(",\"state_vector\":[1,\"a\"]"), "state_vector[1]", DATA},
        {FRAME(",\"state_vector\":[3.41e38]"), "state_vector[0]", DATA},
        {FRAME(",\"state_vector\":{}"), "no array", DATA},
        {FRAME(",\"full_frame_base64\":\"####\""), "base64", DATA},
        {FRAME(",\"full_frame_base64\":\"AAAA\""), "PNG", DATA},
        {FRAME(",\"full_frame_base64\":\"iVBORw0KGgoAAAANSUhEUgAAQAAAAEAACAAAAAA=\""), "pixels", DATA},
        {FRAME(",\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"), "deeply",
         JSON},
        {FRAME(",\"x\":\"\xff\""), "UTF-8", JSON},
        {PIXEL("\"u\":1.7,\"v\":0,\"value\":1"), "pixels[1].u", DATA},
        {PIXEL("\"u\":0,\"v\":-0.1,\"value\":1"), "pixels[1].v", DATA},
        {PIXEL("\"u\":0,\"v\":0,\"value\":256"), "pixels[1].value", DATA},
        {PIXEL("\"u\":0,\"v\":0"), "pixels[1]: has no value", DATA},
        {PIXEL("\"u\":0,\"u\":0,\"v\":0,\"value\":1"), "twice", DATA},
        {PIXEL("\"u\":0,5,\"v\":0,\"value\":1"), "decimal comma", JSON},
        {PIXEL("\"u\":0,\"v\":-0,5,\"value\":1"), "(pixels[1])", JSON},
        {PIXEL("\"u\":01,\"v\":0,\"value\":1"), "leading zero", JSON},
        {PIXEL("\"u\":NaN,\"v\":0,\"value\":1"), "pixels[1].u", JSON},
        {PIXEL("\"u\":\"0\",\"v\":0,\"value\":1"), "no number", DATA},
        {PIXEL("\"u\":2,\"v\":0,\"value\":1}]"), "pixels[1].u", JSON}, /* and then it ends too early */
        {"{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0,\"pixels\":[7]}}", "pixels[0]: is no object",
         DATA},
        {START("\"checkpoint_key\":\"../x\""), "checkpoint_key", KEY},
        {START("\"checkpoint_key\":\"/etc/passwd\""), "checkpoint_key", KEY},
        {START("\"checkpoint_key\":\"\""), "checkpoint_key", KEY},
        {START("\"checkpoint_key\":\".x\""), "checkpoint_key", KEY},
        {START("\"checkpoint_key\":5"), "checkpoint_key", KEY},
        {START("\"checkpoint_key\":\"0123456789012345678901234567890123456789012345678901234567890123x\""),
         "64", KEY},
        {START("\"checkpoint_key\":\"a\\u0000\""), "NUL", JSON},
        {START("\"value_range\":3"), "value_range", JSON},
        {START("\"debug\":1"), "debug", JSON},
        {START("\"coordinate_format\":\"list\""), "coordinate_format", JSON},
        {START("\"resume\":\"../x\""), "resume", JSON},
        {"{\"type\":\"heartbeat\",\"payload\":{\"timestamp\":\"now\"}}", "timestamp", JSON},
    };
    struct message m = {0};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err e = {0};
        ok(parse(&m, row[i].text, &e) == ERR_DATA && strstr(e.text, row[i].says) &&
               (int)m.fault == row[i].fault,
           "%s: %s", message_fault_name(m.fault), e.text);
    }
    struct err e;
    static const char two[] = FRAME(",\"state_vector\":[1,2]");
    ok(message_parse(&m, two, sizeof two - 1, 255, 0, 64, &e) == ERR_DATA &&
           m.fault == MESSAGE_INVALID_FRAME_DATA,
       "too many samples: %s", e.text);
    ok(message_parse(&m, two, sizeof two - 1, 255, 9, 1, &e) == ERR_DATA && m.fault == MESSAGE_STATE_TOO_LONG,
       "too long a state: %s", e.text);
    message_release(&m);
}

static void test_start(void)
{
    struct message m = {0};
    struct err e = {0};
    ok(!parse(
           &m,
           START(
               "\"checkpoint_key\":\"doom\",\"resolution\":[1920,1080],\"debug\":false,\"max_state_dim\":[],"
               "\"sample_count\":\"x\",\"client_name\":\"Unity\",\"value_range\":255,"
               "\"coordinate_format\":\"array\",\"resume\":\"a-1\",\"token\":\"s3cret\""),
           &e) &&
           m.coordinates_array == 1 && !strcmp(m.resume, "a-1") && !strcmp(m.token, "s3cret") &&
           m.width == 1920 && !m.debug && !strcmp(m.client_name, "Unity") && m.value_range == 255,
       "every field of session_start %s", e.text);
    ok(!parse(&m, START("\"coordinate_format\":\"\",\"resume\":\"\",\"token\":\"\",\"client_name\":null"),
              &e) &&
           m.coordinates_array == -1 && !*m.resume && !*m.token && !strcmp(m.checkpoint_key, "default"),
       "what C# writes for strings that were never set is as if not there %s", e.text);
    ok(!parse(&m, START("\"coordinate_format\":\"objects\""), &e) && !m.coordinates_array, "objects");
    char text[400], name[301];
    memset(name, 'a', sizeof name - 1);
    memcpy(name + 126, "\xc3\xbc", 2);
    name[300] = 0;
    snprintf(text, sizeof text, START("\"client_name\":\"%s\""), name);
    ok(!parse(&m, text, &e) && strlen(m.client_name) == 126,
       "a long name is cut, not in the middle of a character");
    message_release(&m);
}

static void test_grammar(void)
{
    static const char *const good[] = {"0",    "-0",       "1e5",
                                       "1E+5", "-1.25e-3", "[]",
                                       "{}",   "[1, 2]",   "\"\\u20ac\\n\"",
                                       "null", " true ",   "{\"a\" : {\"b\":[]}}"};
    static const char *const bad[] = {"01",   "+1",    ".5",    "1.",      "1e",  "0x1",       "Infinity",
                                      "[1,]", "[1 2]", "{a:1}", "{\"a\"}", "'a'", "\"\\x\"",   "\"\\ud800\"",
                                      "\"a",  "tru",   "nul",   "\"\t\"",  "1 2", "{\"a\":1,}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct json_scan s;
        scan_begin(&s, good[i], strlen(good[i]));
        ok(!scan_skip(&s, NULL, NULL) && !scan_end(&s), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct json_scan s;
        scan_begin(&s, bad[i], strlen(bad[i]));
        scan_skip(&s, NULL, NULL);
        ok(scan_end(&s) && s.wrong, "%s is refused: %s", bad[i], s.wrong ? s.wrong : "it is not");
    }
}

static void test_numbers(void)
{
    struct philox p;
    philox_init(&p, 1, 2);
    int wrong = 0;
    for (int i = 0; i < 40000; i++) {
        char text[64];
        double x = (philox_uniform(&p) - 0.5) * pow(10, philox_below(&p, 40) - 20.0), back;
        if (i % 4 == 3) /* as coordinates come: 16 to 19 digits in [0,1] */
            snprintf(text, sizeof text, "%.*f", 15 + (int)philox_below(&p, 4), philox_uniform(&p));
        else
            snprintf(text, sizeof text, i % 2 ? "%.*g" : "%.*f", 1 + (int)philox_below(&p, 17), x);
        struct json_scan s;
        scan_begin(&s, text, strlen(text));
        wrong += scan_number(&s, &back) || scan_end(&s) || back != strtod(text, NULL);
    }
    ok(!wrong, "40000 numbers are read as strtod does");
}

int main(void)
{
    test_frames();
    test_refused();
    test_start();
    test_grammar();
    test_numbers();
    return tap_done();
}
