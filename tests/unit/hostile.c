/* lib/io: thousands of damaged inputs. What matters is that each is taken or refused with a reason, nothing else
 * happens (make check SAN=1), and what is taken is within its bounds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/philox.h"
#include "io/message.h"
#include "io/stream.h"
#include "tap.h"

enum { ROOM = 4096 };

static char folder[] = "/tmp/sgaps-hostile-XXXXXX";

/* A few bytes changed, doubled or cut out. */
static size_t damage(struct philox *p, const char *seed, size_t n, char *out)
{
    static const char pieces[] = "0123456789-+.eE{}[]\",:\\ \n#WHCF\0\xff";
    memcpy(out, seed, n);
    for (uint32_t k = 1 + philox_below(p, 4); k && n > 2; k--) {
        size_t at = philox_below(p, (uint32_t)n), length = 1 + philox_below(p, 8);
        if (length > n - at)
            length = n - at;
        switch (philox_below(p, 4)) {
        case 0:
            out[at] = pieces[philox_below(p, sizeof pieces - 1)];
            break;
        case 1:
            out[at] = (char)philox_below(p, 256);
            break;
        case 2:
            memmove(out + at, out + at + length, n - at - length);
            n -= length;
            break;
        default:
            if (n + length < ROOM) {
                memmove(out + at + length, out + at, n - at);
                n += length;
            }
        }
    }
    return philox_below(p, 20) ? n : philox_below(p, (uint32_t)n);
}

static int sound(const struct message *m)
{
    int bad = 0;
    for (size_t i = 0; i < 2 * m->n; i++)
        bad += !(m->uv[i] >= 0 && m->uv[i] <= 1);
    for (size_t i = 0; i < m->state_n; i++)
        bad += !isfinite(m->state[i]);
    return !bad && isfinite(m->timestamp) && m->frame_id >= 0 && m->n <= 50 && m->state_n <= 8;
}

static void test_messages(void)
{
    static const char *const seeds[] = {
        "{\"type\":\"session_start\",\"payload\":{\"checkpoint_key\":\"doom\",\"resolution\":[640,480],"
        "\"value_range\":1,\"debug\":false,\"client_name\":\"U\\u00fcnity\"}}",
        "{\"type\":\"frame_data\",\"payload\":{\"frame_id\":7,\"timestamp\":1.5e1,\"num_pixels\":2,"
        "\"pixels\":"
        "[{\"u\":0.25,\"v\":0.5,\"value\":12},{\"u\":1,\"v\":0,\"value\":255}],\"state_vector\":[1,-999,0.5]}"
        "}",
        "{\"type\":\"frame_data_debug\",\"payload\":{\"frame_id\":1,\"pixels\":[{\"u\":0,\"v\":0,\"value\":1}"
        "],"
        "\"full_frame_base64\":\"iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGNgZGJgZgEAAB0ACw21"
        "UgYAAAAASUVORK5CYII=\"}}",
    };
    struct message m = {0};
    struct philox p;
    philox_init(&p, 11, 0);
    int wrong = 0, taken = 0, silent = 0;
    for (int i = 0; i < 30000; i++) {
        struct err e = {0};
        const char *seed = seeds[i % 3];
        char *text = malloc(ROOM); /* its own block: the sanitiser sees a read beyond the end */
        size_t n = damage(&p, seed, strlen(seed), text);
        char *exact = malloc(n + !n);
        memcpy(exact, text, n);
        int r = message_parse(&m, exact, n, 255, 50, 8, &e);
        taken += !r;
        wrong += !r && !sound(&m);
        silent += r && (r != ERR_DATA || !e.text[0]);
        free(text);
        free(exact);
    }
    message_release(&m);
    ok(!wrong && !silent && taken > 1000 && taken < 29000,
       "30000 damaged messages: %d taken, the others refused", taken);
}

static int read_film(const char *path, struct err *e)
{
    struct peek_file p;
    struct frame_input *in;
    uint32_t W, H;
    double fps;
    if (peek_open(&p, path, e) || frame_input_open(&in, &p, e))
        return e->code;
    frame_input_size(in, &W, &H, &fps);
    uint8_t *frame = calloc(W, H);
    int r = 1;
    for (int i = 0; i < 10 && r > 0; i++)
        r = frame_input_read(in, frame, e);
    free(frame);
    frame_input_close(in);
    return r < 0 ? e->code : 0;
}

static void test_films(void)
{
    static const char y4m[] =
        "YUV4MPEG2 W4 H2 F25:1 Ip A1:1 C420jpeg\nFRAME\n12345678uuvvFRAME\nabcdefghuuvv";
    static const char pgm[] = "P5\n# text\n4 2\n255\n12345678P5 4 2 255\nabcdefgh";
    static const char png[] = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\2\0\0\0\2\x08\0\0\0\0\x57\xdd\x52\xf8\0"
                              "\0\0\x0eIDAT\x78\x9c\x63\x60\x64"
                              "\x62\x60\x66\x01\0\0\x1d\0\x0b\x0d\xb5\x52\x06\0\0\0\0IEND\xae\x42\x60\x82";
    const struct {
        const char *name, *data;
        size_t n;
    } seeds[] = {{"Y4M", y4m, sizeof y4m - 1}, {"PGM", pgm, sizeof pgm - 1}, {"PNG", png, sizeof png - 1}};
    char path[64], data[ROOM];
    struct philox p;
    philox_init(&p, 12, 0);
    snprintf(path, sizeof path, "%s/film", folder);
    for (size_t s = 0; s < 3; s++) {
        int taken = 0, silent = 0;
        for (int i = 0; i < 3000; i++) {
            struct err e = {0};
            size_t n = i ? damage(&p, seeds[s].data, seeds[s].n, data) : seeds[s].n;
            FILE *f = fopen(path, "wb");
            fwrite(i ? data : seeds[s].data, 1, n, f);
            fclose(f);
            int r = read_film(path, &e);
            taken += !r;
            silent += r && ((r != ERR_DATA && r != ERR_NOINPUT) || !e.text[0]);
        }
        ok(!silent && taken > 0 && taken < 2900, "3000 damaged %s films: %d taken, the others refused",
           seeds[s].name, taken);
    }
    unlink(path);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    test_messages();
    test_films();
    rmdir(folder);
    return tap_done();
}
