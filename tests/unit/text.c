/* lib/base/text: what is put together reads back, in JSON and as numbers. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "base/text.h"
#include "tap.h"

static void test_growth(void)
{
    struct text t = {0};
    text_add(&t, "");
    ok(t.at && !t.n && !t.at[0], "an empty text is there after the first piece");
    for (int i = 0; i < 5000; i++)
        text_printf(&t, "%d,", i % 10);
    text_bytes(&t, "a\0b", 3);
    ok(t.n == 10003 && !t.failed, "pieces follow each other");
    ok(!memcmp(t.at + 9980, "0,1,2,3,4,5,6,7,8,9,a\0b", 24), "bytes with a 0, and the end");
    size_t capacity = t.capacity;
    text_clear(&t);
    ok(!t.n && t.capacity == capacity && !t.at[0], "clearing keeps the memory");
    t.n = (size_t)-2;
    text_bytes(&t, "abc", 3);
    t.n = 0;
    text_add(&t, "x");
    ok(t.failed && !t.n, "a size that overflows fails, and what comes after is dropped");
    text_release(&t);
    ok(!t.at && !t.failed, "released");
}

static void test_strings(void)
{
    static const struct {
        const char *from, *to;
    } row[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
        {"\b\f\n\r\t\x01\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u007f\""},
        {"Z\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\"Z\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\xc3", "\"\xef\xbf\xbd\""},
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    struct text t = {0};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        text_clear(&t);
        text_json_string(&t, row[i].from);
        ok(!strcmp(t.at, row[i].to), "string %zu: %s", i, t.at);
    }
    text_release(&t);
}

static float random_float(struct philox *p, int i)
{
    if (i % 3 == 0)
        return (float)philox_uniform(p);
    if (i % 3 == 1) /* the centre of a pixel */
        return ((float)philox_below(p, 224) + 0.5f) / 224;
    union {
        uint32_t u;
        float f;
    } any = {(uint32_t)philox_below(p, UINT32_MAX)};
    return any.f;
}

static void test_floats(void)
{
    static const struct {
        float x;
        const char *text;
    } row[] = {
        {0, "0"},
        {-0.0f, "-0"},
        {1, "1"},
        {-1, "-1"},
        {0.5f, "0.5"},
        {0.1f, "0.1"},
        {-999, "-999"},
        {255, "255"},
        {100, "100"},
        {0.3f, "0.3"},
        {1e-3f, "0.001"},
        {1e10f, "1e+10"},
        {16777216, "16777216"},
        {NAN, "null"},
        {-INFINITY, "null"},
        {0.00223214286f, "0.002232143"},
    };
    struct text t = {0};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        text_clear(&t);
        text_json_float(&t, row[i].x);
        ok(!strcmp(t.at, row[i].text), "%s is written %s", row[i].text, t.at);
    }
    struct philox p;
    philox_init(&p, 3, 0);
    int wrong = 0, longer = 0;
    for (int i = 0; i < 100000; i++) {
        float x = random_float(&p, i);
        if (!isfinite(x))
            continue;
        text_clear(&t);
        text_json_float(&t, x);
        float direct = strtof(t.at, NULL), twice = (float)strtod(t.at, NULL);
        wrong += memcmp(&direct, &x, sizeof x) || memcmp(&twice, &x, sizeof x);
        longer += t.n > 15;
    }
    ok(!wrong && !longer, "100000 floats read back bit by bit, by way of a double too: %d wrong, %d long",
       wrong, longer);
    wrong = 0;
    for (int i = 0; i < 20000; i++) {
        double x = (philox_uniform(&p) - 0.5) * pow(10, (double)philox_below(&p, 60) - 30);
        text_clear(&t);
        text_json_double(&t, x);
        wrong += strtod(t.at, NULL) != x;
    }
    ok(!wrong, "20000 doubles read back");
    text_clear(&t);
    text_json_double(&t, 0.1);
    text_add(&t, " ");
    text_json_double(&t, DBL_MAX);
    text_add(&t, " ");
    text_json_double(&t, NAN);
    ok(!strcmp(t.at, "0.1 1.7976931348623157e+308 null"), "%s", t.at);
    text_release(&t);
}

int main(void)
{
    test_growth();
    test_strings();
    test_floats();
    return tap_done();
}
