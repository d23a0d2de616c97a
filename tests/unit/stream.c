/* lib/io: Y4M, PGM and PNG in and out. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/stream.h"
#include "tap.h"

static char folder[] = "/tmp/sgaps-stream-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *put(const char *name, const void *data, size_t n)
{
    const char *path = in_folder(name);
    FILE *f = fopen(path, "wb");
    fwrite(data, 1, n, f);
    fclose(f);
    return path;
}

/* Reads all frames of a file to out; the number, or -1 with the reason in e. */
static int read_all(const char *path, uint8_t *out, size_t room, uint32_t *W, uint32_t *H, double *fps,
                    struct err *e)
{
    struct peek_file p;
    struct frame_input *in;
    if (peek_open(&p, path, e) || frame_input_open(&in, &p, e))
        return -1;
    frame_input_size(in, W, H, fps);
    int n = 0, r = 1;
    while ((size_t)(n + 1) * *W * *H <= room && (r = frame_input_read(in, out + (size_t)n * *W * *H, e)) > 0)
        n++;
    frame_input_close(in);
    return r < 0 ? -1 : n;
}

static void test_round_trip(enum stream_format format, const char *name, const char *what)
{
    uint8_t frames[3 * 35], back[4 * 35];
    uint32_t W = 0, H = 0;
    double fps = 0;
    struct err e = {0};
    struct frame_output *o;
    for (size_t i = 0; i < sizeof frames; i++)
        frames[i] = (uint8_t)(i * 37);
    int bad = frame_output_open(&o, format, in_folder(name), 7, 5, 29.97, &e);
    for (int i = 0; i < 3 && !bad; i++)
        bad = frame_output_write(o, frames + 35 * i, &e);
    bad = bad ? bad : frame_output_close(o, &e);
    ok(!bad, "%s: three frames are written %s", what, e.text);
    ok(read_all(in_folder(name), back, sizeof back, &W, &H, &fps, &e) == 3 && W == 7 && H == 5 &&
           !memcmp(frames, back, sizeof frames),
       "%s: and come back %s", what, e.text);
    if (format == STREAM_Y4M)
        ok(fps > 29.97002 && fps < 29.97003, "29.97 frames a second are 30000/1001");
}

static void test_y4m(void)
{
    uint8_t out[64];
    uint32_t W, H;
    double fps;
    struct err e;
    static const char colour[] =
        "YUV4MPEG2 W3 H3 F25:1 C420jpeg Xhello\nFRAME\n123456789uuuuvvvvFRAME Ip\nabcdefghiuuuuvvvv";
    ok(read_all(put("c.y4m", colour, sizeof colour - 1), out, sizeof out, &W, &H, &fps, &e) == 2 &&
           !memcmp(out, "123456789abcdefghi", 18) && fps == 25,
       "of C420 the luma is taken");
    ok(read_all(put("c.y4m", colour, sizeof colour - 2), out, sizeof out, &W, &H, &fps, &e) == -1 &&
           e.code == ERR_DATA && strstr(e.text, "frame 1: is truncated"),
       "%s", e.text);
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"YUV4MPEG2 W3 H3 C420p10\nFRAME\n", "C420p10"},
        {"YUV4MPEG2 W0 H3\n", "W"},
        {"YUV4MPEG2 W99999 H3\n", "W"},
        {"YUV4MPEG2 H3\n", "0x3"},
        {"YUV4MPEG2 W3 H3 F5\n", "F"},
        {"YUV4MPEG2 W3 H3", "cut"},
        {"YUV4MPEG2 W1 H1 Cmono\nFRAMES\nx", "FRAME"},
        {"BM something else", "neither"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(read_all(put("bad", bad[i].text, strlen(bad[i].text)), out, sizeof out, &W, &H, &fps, &e) == -1 &&
               e.code == ERR_DATA && strstr(e.text, bad[i].says),
           "%s", e.text);
}

static void test_pgm(void)
{
    uint8_t out[64];
    uint32_t W, H;
    double fps;
    struct err e;
    static const char deep[] = "P5 # a comment\n2 # another\n1\n65535\n\x80\x00\xff\xff";
    ok(read_all(put("d.pgm", deep, sizeof deep - 1), out, sizeof out, &W, &H, &fps, &e) == 1 &&
           out[0] == 128 && out[1] == 255 && fps == 0,
       "16 bits become 8");
    static const char shallow[] = "P5 2 1 3\n\x01\x03";
    ok(read_all(put("s.pgm", shallow, sizeof shallow - 1), out, sizeof out, &W, &H, &fps, &e) == 1 &&
           out[0] == 85 && out[1] == 255,
       "two bits become 8");
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"P5 2 2 255\nabc", "truncated"},       {"P5 2 1 255\nabP5 1 2 255\nab", "1x2"},
        {"P5 2 1 70000\nab", "header"},         {"P5 2\n", "header"},
        {"P5 99999999999 1 255\nab", "header"}, {"P5 2 1 255\nabP6 2 1 255\nab", "header"},
        {"P5 99999 1 255\nab", "99999x1"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(read_all(put("bad", bad[i].text, strlen(bad[i].text)), out, sizeof out, &W, &H, &fps, &e) == -1 &&
               e.code == ERR_DATA && strstr(e.text, bad[i].says),
           "%s", e.text);
}

/* As ffmpeg's image2pipe writes them. */
static void test_png_stream(void)
{
    uint8_t frames[3 * 35], back[4 * 35], other[4] = {1, 2, 3, 4}, data[4000];
    uint32_t W = 0, H = 0;
    double fps = 0;
    struct err e = {0};
    size_t n = 0, cut;
    for (size_t i = 0; i < sizeof frames; i++)
        frames[i] = (uint8_t)(i * 41);
    for (int i = 0; i < 4; i++) {
        cut = n;
        int bad = i < 3 ? png_write(in_folder("one.png"), frames + 35 * i, 7, 5, 1, &e)
                        : png_write(in_folder("one.png"), other, 2, 2, 1, &e);
        FILE *f = bad ? NULL : fopen(in_folder("one.png"), "rb");
        if (f) {
            n += fread(data + n, 1, sizeof data - n, f);
            fclose(f);
        }
    }
    ok(read_all(put("three.png", data, cut), back, sizeof back, &W, &H, &fps, &e) == 3 && W == 7 && H == 5 &&
           !memcmp(frames, back, sizeof frames),
       "three pictures in one stream %s", e.text);
    ok(read_all(put("cut.png", data, cut - 5), back, sizeof back, &W, &H, &fps, &e) == -1 &&
           e.code == ERR_DATA,
       "%s", e.text);
    ok(read_all(put("other.png", data, n), back, sizeof back, &W, &H, &fps, &e) == -1 &&
           strstr(e.text, "frame 3: is 2x2, the first is 7x5"),
       "%s", e.text);
}

static void test_png(void)
{
    uint8_t rgb[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 10, 10}, *back = NULL;
    uint32_t W, H;
    struct err e = {0};
    ok(!png_write(in_folder("rgb.png"), rgb, 2, 2, 3, &e) &&
           !png_read(in_folder("rgb.png"), &back, &W, &H, &e) && W == 2 && H == 2,
       "a colour PNG is read %s", e.text);
    ok(back && back[0] == 76 && back[1] == 150 && back[2] == 29 && back[3] == 10, "its luma is Rec. 601's");
    free(back);
    char data[512];
    FILE *f = fopen(in_folder("rgb.png"), "rb");
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    ok(png_read(put("cut.png", data, n / 2), &back, &W, &H, &e) == ERR_DATA, "%s", e.text);
    data[20] = 'x'; /* a width of about two milliards */
    data[16] = 0x7f;
    ok(png_read(put("huge.png", data, n), &back, &W, &H, &e) == ERR_DATA, "%s", e.text);
    struct frame_output *o;
    uint8_t frame[4] = {1, 2, 3, 4};
    int bad = frame_output_open(&o, STREAM_PNG, in_folder("n%03d.png"), 2, 2, 0, &e);
    for (int i = 0; i < 2 && !bad; i++)
        bad = frame_output_write(o, frame, &e);
    frame_output_close(o, &e);
    ok(!bad && !access(in_folder("n000.png"), F_OK) && !access(in_folder("n001.png"), F_OK),
       "numbered PNG files");
    static const char *const patterns[] = {"a%s.png", "a%d%d.png",   "a%n.png",
                                           "a%",      "a%9999d.png", "a%-3d.png"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        ok(frame_output_open(&o, STREAM_PNG, patterns[i], 2, 2, 0, &e) == ERR_USAGE, "%s", e.text);
    ok(!frame_output_open(&o, STREAM_PNG, in_folder("one.png"), 2, 2, 0, &e) &&
           !frame_output_write(o, frame, &e) && frame_output_write(o, frame, &e) == ERR_USAGE,
       "a second frame to one PNG: %s", e.text);
    frame_output_abandon(o);
}

static void test_formats(void)
{
    static const struct {
        const char *text;
        enum stream_format format;
    } row[] = {{"YUV4MPEG2 W", STREAM_Y4M},
               {"P5\n1", STREAM_PGM},
               {"P6\n1", STREAM_UNKNOWN},
               {" {\"a\"", STREAM_NDJSON},
               {"\x89PNG\r\n\x1a\n", STREAM_PNG},
               {"\x89HDF\r\n\x1a\n", STREAM_HDF5},
               {"x", STREAM_UNKNOWN}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct peek_file p;
        struct err e;
        char all[32] = "";
        peek_open(&p, put("what", row[i].text, strlen(row[i].text)), &e);
        int same = peek_format(&p) == row[i].format;
        same &= peek_read(&p, all, sizeof all) == strlen(row[i].text) && !strcmp(all, row[i].text);
        peek_close(&p);
        ok(same, "format %zu is known by its first bytes, which stay", i);
    }
    struct err e;
    struct peek_file p;
    ok(peek_open(&p, put("empty", "", 0), &e) == ERR_DATA && peek_open(&p, folder, &e) == ERR_NOINPUT &&
           peek_open(&p, "/no/such", &e) == ERR_NOINPUT,
       "an empty file, a folder, nothing");
    struct frame_output *o;
    uint8_t pixel = 1;
    int bad = frame_output_open(&o, STREAM_PGM, "/dev/full", 1, 1, 0, &e);
    for (int i = 0; i < 3 && !bad; i++)
        bad = frame_output_write(o, &pixel, &e);
    ok(bad || frame_output_close(o, &e) == ERR_IO, "a full disk: %s", e.text);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    test_round_trip(STREAM_Y4M, "a.y4m", "Y4M");
    test_round_trip(STREAM_PGM, "a.pgm", "PGM");
    test_y4m();
    test_pgm();
    test_png_stream();
    test_png();
    test_formats();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command))
        tap_diag("%s stays", folder);
    return tap_done();
}
