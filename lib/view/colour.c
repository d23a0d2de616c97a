#include "view/colour.h"

const uint8_t colour_mark[3] = {64, 224, 255};

/* A spiral through OKLab (Ottosson, 2020): lightness 0.16 to 0.965, hue 300 to 465 degrees, chroma up to 0.19; the stops
 * divide its length in CIELAB evenly. */
enum { STEPS = 16 };
static const uint8_t stops[STEPS + 1][3] = {
    {18, 6, 34},    {39, 12, 52},   {73, 18, 72},    {109, 21, 82},   {141, 24, 83},  {167, 31, 79},
    {189, 42, 71},  {207, 56, 60},  {222, 73, 46},   {234, 91, 29},   {243, 114, 1},  {250, 143, 8},
    {252, 168, 49}, {251, 190, 83}, {249, 210, 117}, {248, 229, 153}, {250, 247, 192}};

void colour_map(double x, uint8_t rgb[3])
{
    double at = x > 0 ? (x < 1 ? x : 1) * STEPS : 0;
    int i = at < STEPS - 1 ? (int)at : STEPS - 1;
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(stops[i][c] + (at - i) * (stops[i + 1][c] - stops[i][c]) + 0.5);
}
