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
           m.type == MESSAGE_OTHER && !parse(&m, "{\"type\":\"heartbeat\"}", &e) &&
           m.type == MESSAGE_HEARTBEAT,
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
    static const struct {
        const char *text, *says;
    } row[] = {
        {"", "invalid JSON"},
        {"[]", "an object is expected"},
        {"{\"type\":\"frame_data\"}", "payload"},
        {"{\"payload\":{}}", "type"},
        {"{\"type\":\"frame_data\",\"payload\":{}}", "frame_id"},
        {"{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0}}", "pixels"},
        {"{\"type\":\"frame_data\",\"payload\":{\"frame_id\":0,\"pixels\":[]}}", "pixels"},
        {FRAME("") "x", "after the value"},
        {FRAME(",\"num_pixels\":2"), "num_pixels"},
        {FRAME(",\"frame_id\":1"), "twice"},
        {FRAME(",\"timestamp\":NaN"), "number"},
        {FRAME(",\"timestamp\":1e999"), "out of range"},
        {FRAME(",\"set_id\":-1"), "set_id"},
        {FRAME(",\"set_id\":1.5"), "whole"},
        {FRAME(",\"resolution\":[1]"), "resolution"},
        {FRAME(",\"resolution\":[1,2,3]"), "resolution"},
        {FRAME(",\"resolution\":[0,2]"), "resolution"},
        {FRAME(",\"state_vector\":[1,\"a\"]"), "state_vector[1]"},
        {FRAME(",\"full_frame_base64\":\"####\""), "base64"},
        {FRAME(",\"full_frame_base64\":\"AAAA\""), "PNG"},
        {FRAME(",\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"), "deeply"},
        {PIXEL("\"u\":1.7,\"v\":0,\"value\":1"), "pixels[1].u"},
        {PIXEL("\"u\":0,\"v\":-0.1,\"value\":1"), "pixels[1].v"},
        {PIXEL("\"u\":0,\"v\":0,\"value\":256"), "pixels[1].value"},
        {PIXEL("\"u\":0,\"v\":0"), "pixels[1]: has no value"},
        {PIXEL("\"u\":0,\"u\":0,\"v\":0,\"value\":1"), "twice"},
        {PIXEL("\"u\":0,5,\"v\":0,\"value\":1"), "decimal comma"},
        {PIXEL("\"u\":01,\"v\":0,\"value\":1"), "leading zero"},
        {PIXEL("\"u\":\"0\",\"v\":0,\"value\":1"), "no number"},
        {"{\"type\":\"session_start\",\"payload\":{\"checkpoint_key\":\"../x\"}}", "checkpoint_key"},
        {"{\"type\":\"session_start\",\"payload\":{\"checkpoint_key\":\"\"}}", "checkpoint_key"},
        {"{\"type\":\"session_start\",\"payload\":{\"checkpoint_key\":\"a\\u0000\"}}", "NUL"},
        {"{\"type\":\"session_start\",\"payload\":{\"value_range\":3}}", "value_range"},
    };
    struct message m = {0};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct err e = {0};
        ok(parse(&m, row[i].text, &e) == ERR_DATA && strstr(e.text, row[i].says), "%s", e.text);
    }
    struct err e;
    ok(message_parse(&m, row[8].text, strlen(row[8].text), 255, 0, 64, &e) == ERR_DATA,
       "too many samples: %s", e.text);
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
    for (int i = 0; i < 20000; i++) {
        char text[64];
        double x = (philox_uniform(&p) - 0.5) * pow(10, philox_below(&p, 40) - 20.0), back;
        snprintf(text, sizeof text, i % 2 ? "%.*g" : "%.*f", 1 + (int)philox_below(&p, 17), x);
        struct json_scan s;
        scan_begin(&s, text, strlen(text));
        wrong += scan_number(&s, &back) || scan_end(&s) || back != strtod(text, NULL);
    }
    ok(!wrong, "20000 numbers are read as strtod does");
}

int main(void)
{
    test_frames();
    test_refused();
    test_grammar();
    test_numbers();
    return tap_done();
}
