/* lib/view/colour: steps that look equally large, for every kind of colour vision. */
#include <math.h>
#include <string.h>

#include "tap.h"
#include "view/colour.h"

enum { STEPS = 16 };

static double linear(double x)
{
    x /= 255;
    return x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
}

static double curve(double t)
{
    return t > 216.0 / 24389 ? cbrt(t) : t * 841 / 108 + 4.0 / 29;
}

/* CIELAB under D65 of linear RGB, from the standards (IEC 61966-2-1, CIE 15). */
static void lab(const double rgb[3], double out[3])
{
    static const double m[3][3] = {{0.4124564, 0.3575761, 0.1804375},
                                   {0.2126729, 0.7151522, 0.0721750},
                                   {0.0193339, 0.1191920, 0.9503041}},
                        white[3] = {0.95047, 1, 1.08883};
    double f[3];
    for (int i = 0; i < 3; i++)
        f[i] = curve((m[i][0] * rgb[0] + m[i][1] * rgb[1] + m[i][2] * rgb[2]) / white[i]);
    out[0] = 116 * f[1] - 16;
    out[1] = 500 * (f[0] - f[1]);
    out[2] = 200 * (f[1] - f[2]);
}

/* How a colour looks, and to those who lack one kind of cone (Machado, Oliveira, Fernandes, 2009, severity 1). */
static const struct vision {
    const char *name;
    double m[3][3];
} visions[] = {
    {"usual", {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}},
    {"protanopia",
     {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}}},
    {"deuteranopia",
     {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}}},
    {"tritanopia",
     {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}}},
};

static void seen(const struct vision *v, int i, double out[3])
{
    uint8_t rgb[3];
    double in[3], as[3];
    colour_map((double)i / STEPS, rgb);
    for (int c = 0; c < 3; c++)
        in[c] = linear(rgb[c]);
    for (int c = 0; c < 3; c++)
        as[c] = fmin(1, fmax(0, v->m[c][0] * in[0] + v->m[c][1] * in[1] + v->m[c][2] * in[2]));
    lab(as, out);
}

int main(void)
{
    for (size_t k = 0; k < sizeof visions / sizeof *visions; k++) {
        double before[3], now[3], least = 1e9, most = 0, darkest, rise = 1e9;
        seen(&visions[k], 0, before);
        darkest = before[0];
        for (int i = 1; i <= STEPS; i++) {
            seen(&visions[k], i, now);
            double step = hypot(hypot(now[0] - before[0], now[1] - before[1]), now[2] - before[2]);
            least = fmin(least, step);
            most = fmax(most, step);
            rise = fmin(rise, now[0] - before[0]);
            memcpy(before, now, sizeof now);
        }
        if (!k)
            ok(most < 1.15 * least, "steps are equally large: %.2f to %.2f", least, most);
        ok(rise > 0.5 * (now[0] - darkest) / STEPS && now[0] - darkest > 80,
           "%s: every step is brighter, by %.1f at least, from %.0f to %.0f", visions[k].name, rise, darkest,
           now[0]);
    }
    uint8_t low[3], high[3], out[3];
    colour_map(0, low);
    colour_map(1, high);
    colour_map(-3, out);
    ok(!memcmp(out, low, 3), "below 0 is 0");
    colour_map(INFINITY, out);
    ok(!memcmp(out, high, 3), "above 1 is 1");
    colour_map(NAN, out);
    ok(!memcmp(out, low, 3), "NAN is 0");
    return tap_done();
}
