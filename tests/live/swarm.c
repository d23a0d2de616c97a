/* A client for the tests and figures of net.c: connections to a URL, each sends a message and the next when it came back.
 *
 *     swarm URL [NAME=VALUE ...]     NAME: n (connections) size (bytes) seconds rate (messages a second of each, 0: at once)
 *                                    protocol token verify (1: the certificate has to be vouched for)
 *
 * Prints one line of JSON: connections that stood, how they ended, messages, seconds, percentiles of the round trip (s). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "live/net_client.h"

enum { SAMPLES = 1 << 20 };

static struct net_client *client;
static size_t n = 1, size, stood, over, bad, last_code;
static double seconds = 1, rate, begun, *sent_at, *trip;
static size_t trips, messages;
static char *bytes;
static char last_reason[128];

static void post(size_t i)
{
    sent_at[i] = clock_seconds();
    net_client_send(client, i, 1, bytes, size);
}

static void opened(void *user, size_t i)
{
    (void)user;
    if (++stood == n || !begun)
        begun = clock_seconds();
    if (!rate)
        post(i);
}

static void message(void *user, size_t i, int binary, const void *data, size_t k)
{
    (void)user;
    messages++;
    if (trips < SAMPLES)
        trip[trips++] = clock_seconds() - sent_at[i];
    bad += !binary || k != size || memcmp(data, bytes, k);
    if (clock_seconds() - begun > seconds)
        net_client_close(client, i, 1000);
    else if (!rate)
        post(i);
}

/* With a rate: who has not sent for 1/rate sends, spread over that time from the start. */
static void pace(void)
{
    double now = clock_seconds();
    if (stood < n)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!sent_at[i])
            sent_at[i] = now - (double)i / (double)n / rate;
        else if (now - sent_at[i] >= 1 / rate)
            post(i);
    }
}

static void closed(void *user, size_t i, int code, const char *reason)
{
    (void)user;
    (void)i;
    last_code = (size_t)code;
    snprintf(last_reason, sizeof last_reason, "%s", reason);
    if (++over == n)
        net_client_stop(client);
}

/* Connects a few at a time: a backlog is finite. */
static double timer(void *user)
{
    static size_t next;
    (void)user;
    for (size_t k = 0; k < 16 && next < n; k++)
        net_client_connect(client, next++);
    if (begun && clock_seconds() - begun > seconds + 10)
        net_client_stop(client);
    if (rate)
        pace();
    return next < n ? 0.002 : rate ? 0.001 : 1;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double p)
{
    return trips ? trip[(size_t)(p * (double)(trips - 1))] : 0;
}

static int set(struct net_client_options *o, const char *option)
{
    const char *value = strchr(option, '=');
    size_t k = value ? (size_t)(value++ - option) : 0;
    if (k == 1 && option[0] == 'n')
        n = strtoul(value, NULL, 10);
    else if (k == 4 && !strncmp(option, "size", k))
        size = strtoul(value, NULL, 10);
    else if (k == 7 && !strncmp(option, "seconds", k))
        seconds = strtod(value, NULL);
    else if (k == 4 && !strncmp(option, "rate", k))
        rate = strtod(value, NULL);
    else if (k == 8 && !strncmp(option, "protocol", k))
        o->protocol = value;
    else if (k == 5 && !strncmp(option, "token", k))
        o->token = value;
    else if (k == 6 && !strncmp(option, "verify", k))
        o->insecure = value[0] == '0';
    else
        return -1;
    return 0;
}

int main(int argc, char **argv)
{
    struct err e;
    struct net_client_options o = {.url = argv[1], .insecure = 1};
    log_setup("swarm", LOG_WARNING);
    for (int i = 2; i < argc; i++)
        if (set(&o, argv[i]))
            return 64;
    if (argc < 2 || !n)
        return 64;
    sent_at = calloc(n, sizeof *sent_at);
    trip = calloc(SAMPLES, sizeof *trip);
    bytes = calloc(size + 1, 1);
    if (!sent_at || !trip || !bytes)
        return 70;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7);
    struct net_client_handlers h = {NULL, opened, message, closed, timer};
    int code = net_client_open(&client, &o, &h, &e);
    if (code) {
        fprintf(stderr, "swarm: %s\n", e.text);
        return code;
    }
    net_client_run(client, &e);
    qsort(trip, trips, sizeof *trip, by_size);
    printf("{\"stood\": %zu, \"closed\": %zu, \"code\": %zu, \"reason\": \"%s\", \"messages\": %zu, \"bad\": "
           "%zu, "
           "\"seconds\": %.3f, \"p50\": %.6f, \"p95\": %.6f, \"p99\": %.6f, \"max\": %.6f}\n",
           stood, over, last_code, last_reason, messages, bad, clock_seconds() - begun, percentile(0.5),
           percentile(0.95), percentile(0.99), percentile(1));
    net_client_release(client);
    free(bytes);
    free(trip);
    free(sent_at);
    return 0;
}
