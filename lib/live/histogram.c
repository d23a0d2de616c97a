#include "live/histogram.h"

const double histogram_bound[HISTOGRAM_BOUNDS] = {
    50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

void histogram_add(struct histogram *h, double seconds)
{
    double x = seconds > 0 ? seconds : 0;
    int i = 0;
    while (i < HISTOGRAM_BOUNDS && x > histogram_bound[i])
        i++;
    h->count[i]++;
    h->n++;
    h->sum += x;
}
