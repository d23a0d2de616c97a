/* lib/base: numbers, memory, Philox, atomic files. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/philox.h"
#include "tap.h"

static void test_philox(void)
{
    /* Known answers published with Random123 (kat_vectors, philox4x32 10 rounds). */
    static const uint32_t in[3][6] = {
        {0, 0, 0, 0, 0, 0},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0},
    };
    static const uint32_t want[3][4] = {
        {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        philox4x32(in[i], in[i] + 4, out);
        ok(!memcmp(out, want[i], sizeof out), "philox4x32-10 known answer %d", i);
    }
    struct philox p;
    philox_init(&p, 42, 7);
    double sum = 0, normal = 0, square = 0;
    int outside = 0, n = 100000;
    for (int i = 0; i < n; i++) {
        double u = philox_uniform(&p), z = philox_normal(&p);
        sum += u;
        normal += z;
        square += z * z;
        outside += u < 0 || u >= 1 || philox_below(&p, 7) > 6;
    }
    ok(!outside, "draws stay in range");
    ok(sum / n > 0.49 && sum / n < 0.51 && normal / n > -0.02 && normal / n < 0.02 && square / n > 0.97 &&
           square / n < 1.03,
       "uniform and normal draws have their moments");
}

static void test_parse(void)
{
    struct err e;
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    uint32_t w = 0, h = 0;
    ok(!parse_i64("-12", -100, 100, "x", &i, ERR_USAGE, &e) && i == -12, "-12");
    ok(parse_i64("12a", -100, 100, "--count", &i, ERR_USAGE, &e) == ERR_USAGE && strstr(e.text, "--count"),
       "12a is refused by name");
    ok(parse_i64("", 0, 9, "x", &i, ERR_USAGE, &e), "an empty number is refused");
    ok(parse_i64("101", -100, 100, "x", &i, ERR_USAGE, &e), "101 is outside");
    ok(parse_u64("-1", 0, 100, "x", &u, ERR_USAGE, &e), "-1 is no unsigned number");
    ok(parse_u64("99999999999999999999", 0, UINT64_MAX, "x", &u, ERR_USAGE, &e), "an overflow is refused");
    ok(!parse_f64("2.5e-1", 0, 1, "x", &d, ERR_USAGE, &e) && d == 0.25, "2.5e-1");
    ok(parse_f64("nan", 0, 1, "x", &d, ERR_USAGE, &e) && parse_f64("inf", 0, 1, "x", &d, ERR_USAGE, &e) &&
           parse_f64("0x1p3", 0, 10, "x", &d, ERR_USAGE, &e),
       "nan, inf and hexadecimal are refused");
    ok(!parse_size("160x120", 4096, "--size", &w, &h, ERR_USAGE, &e) && w == 160 && h == 120, "160x120");
    ok(parse_size("160", 4096, "--size", &w, &h, ERR_USAGE, &e) &&
           parse_size("0x5", 4096, "--size", &w, &h, 64, &e),
       "half a size and an empty one are refused");
    static const char *const words[] = {"training.lr", "training.loss", "model.embed_dim"};
    ok(!strcmp(parse_nearest("trainng.lr", words, 3), "training.lr") && !parse_nearest("zzzz", words, 3),
       "the nearest word, or none");
}

static void test_memory(void)
{
    struct err e;
    void *p;
    ok(mem_alloc(&p, SIZE_MAX / 2, 3, "a table", &e) == ERR_INTERNAL && !p, "an overflowing size is refused");
    int *list = NULL;
    size_t capacity = 0;
    int bad = 0;
    for (int i = 0; i < 1000; i++) {
        bad |= mem_grow(&list, &capacity, (size_t)i + 1, sizeof *list, "list", &e);
        list[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        bad |= list[i] != i;
    ok(!bad, "a growing block keeps its content");
    free(list);
    struct arena a;
    ok(!arena_init(&a, 256, "arena", &e) && arena_take(&a, 1, 1) && arena_take(&a, 3, 64) &&
           !arena_take(&a, 1, 1),
       "an arena is used to its end and not beyond");
    arena_release(&a);
}

static void test_files(void)
{
    struct err e;
    char dir[] = "/tmp/sgaps-base-XXXXXX", path[64], part[96];
    if (!mkdtemp(dir))
        return;
    snprintf(path, sizeof path, "%s/out", dir);
    snprintf(part, sizeof part, "%s.part.%ld", path, (long)getpid());
    struct out_stream o;
    ok(!out_stream_open(&o, path, &e) && fputs("x", o.f) >= 0 && access(path, F_OK) && !access(part, F_OK),
       "an output is written beside its name");
    ok(!out_stream_close(&o, &e) && !access(path, F_OK) && access(part, F_OK), "and renamed when whole");
    out_stream_open(&o, path, &e);
    fputs("y", o.f);
    out_stream_abort(&o);
    ok(access(part, F_OK) && !access(path, F_OK), "an abandoned output leaves the old file");
    ok(!out_stream_open(&o, "/dev/full", &e) && fputs("y", o.f) >= 0 && out_stream_close(&o, &e) == ERR_IO,
       "a full disk is an error at close: %s", e.text);
    ok(out_stream_open(&o, dir, &e) == ERR_CANTCREATE, "a directory is no output");
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    test_philox();
    test_parse();
    test_memory();
    test_files();
    return tap_done();
}
