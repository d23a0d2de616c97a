/* /metrics in Prometheus' text format 0.0.4: each family once, HELP and TYPE before its samples. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#include "live/telemetry_private.h"

enum { GPUS = 16 };

static void family(struct text *out, const char *name, const char *type, const char *help)
{
    text_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(struct text *out, double x)
{
    if (isnan(x))
        text_add(out, " NaN\n");
    else if (isinf(x))
        text_add(out, x > 0 ? " +Inf\n" : " -Inf\n");
    else if (x == floor(x) && fabs(x) < 1e15)
        text_printf(out, " %.0f\n", x);
    else
        text_printf(out, " %.9g\n", x);
}

static void one(struct text *out, const char *name, const char *type, const char *help, double x)
{
    family(out, name, type, help);
    text_add(out, name);
    put_value(out, x);
}

static void counter(struct text *out, const char *name, const char *help, uint64_t x)
{
    one(out, name, "counter", help, (double)x);
}

/* name{label="value"}, the value escaped as the format wants it; bytes that are no text become a question mark. */
static void put_label(struct text *out, const char *before, const char *label, const char *value)
{
    text_printf(out, "%s%s=\"", before, label);
    for (const char *s = value; *s; s++)
        if (*s == '\\' || *s == '"')
            text_printf(out, "\\%c", *s);
        else if (*s == '\n')
            text_add(out, "\\n");
        else
            text_bytes(out, (unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f ? "?" : s, 1);
    text_add(out, "\"");
}

static void labelled(struct text *out, const char *name, const char *label, const char *value, double x)
{
    text_add(out, name);
    put_label(out, "{", label, value);
    text_add(out, "}");
    put_value(out, x);
}

/* --- histograms --- */

static void put_histogram(struct text *out, const char *name, const char *label, const char *value,
                          const struct histogram *h)
{
    uint64_t below = 0;
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        below += h->count[i];
        text_printf(out, "%s_bucket", name);
        if (label) {
            put_label(out, "{", label, value);
            text_add(out, ",");
        } else
            text_add(out, "{");
        if (i < HISTOGRAM_BOUNDS)
            text_printf(out, "le=\"%g\"} %llu\n", histogram_bound[i], (unsigned long long)below);
        else
            text_printf(out, "le=\"+Inf\"} %llu\n", (unsigned long long)below);
    }
    for (int k = 0; k < 2; k++) {
        text_printf(out, "%s%s", name, k ? "_count" : "_sum");
        if (label) {
            put_label(out, "{", label, value);
            text_add(out, "}");
        }
        put_value(out, k ? (double)h->n : h->sum);
    }
}

static void put_latency(struct text *out, const struct telemetry_counts *c)
{
    static const char *const names[STAGES] = {"parse", "queue", "inference", "answer", "record"};
    family(out, "sgaps_stage_seconds", "histogram", "Time of a frame in each stage of the server.");
    for (int i = 0; i < STAGES; i++)
        put_histogram(out, "sgaps_stage_seconds", "stage", names[i], &c->stage[i]);
    family(out, "sgaps_latency_seconds", "histogram", "From a frame's arrival to its reconstruction.");
    put_histogram(out, "sgaps_latency_seconds", NULL, NULL, &c->latency);
}

/* --- what the parts tell --- */

static void put_models(struct text *out, const struct telemetry_counts *c)
{
    family(out, "sgaps_model_frames_total", "counter", "Frames rebuilt, by model version.");
    for (size_t i = 0; i < c->models; i++)
        labelled(out, "sgaps_model_frames_total", "model_version", c->model[i].version,
                 (double)c->model[i].frames);
    static const char *const names[2] = {"sgaps_model_heldout_psnr_decibels", "sgaps_model_psnr_decibels"};
    static const char *const helps[2] = {"PSNR at the samples withheld from the model.",
                                         "PSNR against full frames, where clients sent them."};
    for (int k = 0; k < 2; k++) {
        char sum[64], count[64];
        snprintf(sum, sizeof sum, "%s_sum", names[k]);
        snprintf(count, sizeof count, "%s_count", names[k]);
        family(out, names[k], "summary", helps[k]);
        for (size_t i = 0; i < c->models; i++) {
            const struct model_view *m = &c->model[i];
            labelled(out, sum, "model_version", m->version, k ? m->psnr_sum : m->heldout_sum);
            labelled(out, count, "model_version", m->version, (double)(k ? m->psnr_n : m->heldout_n));
        }
    }
}

static void put_engine(struct text *out, struct engine *engine)
{
    struct engine_stats s = engine_stats(engine);
    family(out, "sgaps_frames_dropped_total", "counter",
           "Frames that were received and not rebuilt: a newer one came first, too old, inference failed.");
    labelled(out, "sgaps_frames_dropped_total", "reason", "superseded", (double)s.superseded);
    labelled(out, "sgaps_frames_dropped_total", "reason", "stale", (double)s.stale);
    labelled(out, "sgaps_frames_dropped_total", "reason", "failed", (double)s.failed);
    counter(out, "sgaps_frames_inferred_total", "Frames that went through inference.", s.inferred);
    counter(out, "sgaps_batches_total", "Batches of frames that went through inference together.", s.batches);
    one(out, "sgaps_inference_queue_frames", "gauge", "Frames that wait for inference.", (double)s.waiting);
}

static void put_recorder(struct text *out, struct recorder *recorder)
{
    struct recorder_stats s = recorder_stats(recorder);
    counter(out, "sgaps_recorded_frames_total", "Frames written to the journal.", s.frames);
    counter(out, "sgaps_recording_gap_frames_total", "Frames accepted and not recorded.", s.gaps);
    counter(out, "sgaps_recorded_bytes_total", "Bytes written to the journal.", s.bytes);
    counter(out, "sgaps_recording_conversions_total", "Sessions made into HDF5 files.", s.conversions);
    counter(out, "sgaps_recording_conversions_failed_total", "Sessions whose conversion failed.",
            s.conversions_failed);
    counter(out, "sgaps_recording_write_errors_total", "Writes and syncs of the journal that failed.",
            s.write_errors);
    one(out, "sgaps_recording_write_seconds_total", "counter", "Time spent writing the journal.",
        s.write_seconds);
    one(out, "sgaps_recording_queue_bytes", "gauge", "Bytes that wait to be recorded.",
        (double)s.queue_bytes);
    one(out, "sgaps_recording_stopped", "gauge", "1 while nothing is recorded because the disk is full.",
        s.stopped);
}

static void put_net(struct text *out, struct net *net)
{
    struct net_stats s = net_stats(net);
    counter(out, "sgaps_connections_total", "Connections accepted, those of HTTP too.", s.connections);
    one(out, "sgaps_connections_open", "gauge", "WebSocket connections now.", (double)s.open);
    counter(out, "sgaps_connections_refused_total", "Connections and handshakes refused.", s.refused);
    counter(out, "sgaps_connections_too_slow_total",
            "Connections closed because they did not read or were slow.", s.too_slow);
    counter(out, "sgaps_messages_too_large_total", "Messages refused for their size.", s.too_large);
    family(out, "sgaps_messages_total", "counter", "WebSocket messages.");
    labelled(out, "sgaps_messages_total", "direction", "in", (double)s.messages_in);
    labelled(out, "sgaps_messages_total", "direction", "out", (double)s.messages_out);
    family(out, "sgaps_bytes_total", "counter", "Bytes of WebSocket messages.");
    labelled(out, "sgaps_bytes_total", "direction", "in", (double)s.bytes_in);
    labelled(out, "sgaps_bytes_total", "direction", "out", (double)s.bytes_out);
}

static void put_checkpoint(void *user, const char *key, int loaded, const char *version)
{
    struct text *out = user;
    text_add(out, "sgaps_checkpoint_loaded");
    put_label(out, "{", "checkpoint_key", key);
    put_label(out, ",", "model_version", version ? version : "");
    text_printf(out, "} %d\n", loaded != 0);
}

static void put_gpus(struct text *out, struct nvml *nvml)
{
    struct nvml_gpu gpu[GPUS];
    size_t n = nvml_read(nvml, gpu, GPUS);
    static const struct {
        const char *name, *help;
        size_t at;
    } figures[] = {
        {"sgaps_gpu_temperature_celsius", "Temperature.", offsetof(struct nvml_gpu, temperature)},
        {"sgaps_gpu_utilization_ratio", "Share of the last period with a kernel running.",
         offsetof(struct nvml_gpu, utilization)},
        {"sgaps_gpu_memory_used_bytes", "Memory in use.", offsetof(struct nvml_gpu, memory_used)},
        {"sgaps_gpu_memory_total_bytes", "Memory installed.", offsetof(struct nvml_gpu, memory_total)},
        {"sgaps_gpu_power_watts", "Power drawn.", offsetof(struct nvml_gpu, power)},
    };
    for (size_t k = 0; n && k < sizeof figures / sizeof *figures; k++) {
        family(out, figures[k].name, "gauge", figures[k].help);
        for (size_t i = 0; i < n; i++) {
            double x;
            char index[16];
            memcpy(&x, (const char *)&gpu[i] + figures[k].at, sizeof x);
            snprintf(index, sizeof index, "%u", gpu[i].index);
            text_add(out, figures[k].name);
            put_label(out, "{", "gpu", index);
            put_label(out, ",", "name", gpu[i].name);
            text_add(out, "}");
            put_value(out, x);
        }
    }
}

/* Names that every Prometheus dashboard knows. */
static void put_process(struct text *out)
{
    struct rusage u;
    if (!getrusage(RUSAGE_SELF, &u))
        one(out, "process_cpu_seconds_total", "counter", "CPU time of this process.",
            (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long size, resident;
    if (f && fscanf(f, "%lu %lu", &size, &resident) == 2)
        one(out, "process_resident_memory_bytes", "gauge", "Memory of this process.",
            (double)resident * (double)sysconf(_SC_PAGESIZE));
    if (f)
        fclose(f);
}

static void put_counts(struct telemetry *t, struct text *out)
{
    struct telemetry_counts c;
    pthread_mutex_lock(&t->lock);
    c = t->counts;
    size_t active = t->n;
    pthread_mutex_unlock(&t->lock);
    one(out, "sgaps_sessions", "gauge", "Sessions now.", (double)active);
    counter(out, "sgaps_sessions_total", "Sessions opened.", c.sessions);
    counter(out, "sgaps_frames_received_total", "Frames accepted.", c.events[EVENT_FRAME]);
    counter(out, "sgaps_frames_rejected_total", "Frames refused as invalid.", c.events[EVENT_REJECTED]);
    counter(out, "sgaps_frames_rebuilt_total", "Frames reconstructed.", c.rebuilt);
    counter(out, "sgaps_coordinates_sent_total", "Coordinate sets sent.", c.events[EVENT_COORDINATES]);
    counter(out, "sgaps_errors_sent_total", "Error messages sent.", c.events[EVENT_ERROR]);
    put_models(out, &c);
    put_latency(out, &c);
}

void prometheus_write(struct telemetry *t, const struct telemetry_sources *sources, struct text *out)
{
    family(out, "sgaps_build_info", "gauge", "Version and device; always 1.");
    text_add(out, "sgaps_build_info");
    put_label(out, "{", "version", t->version);
    put_label(out, ",", "device", t->device);
    text_add(out, "} 1\n");
    one(out, "sgaps_uptime_seconds", "gauge", "Since the server started.", telemetry_uptime(t));
    put_counts(t, out);
    if (sources->engine)
        put_engine(out, sources->engine);
    if (sources->recorder)
        put_recorder(out, sources->recorder);
    if (sources->net)
        put_net(out, sources->net);
    if (sources->models) {
        family(out, "sgaps_checkpoint_loaded", "gauge", "1 where the key's own checkpoint is loaded.");
        models_each(sources->models, put_checkpoint, out);
    }
    if (t->log) {
        struct live_log_stats s = live_log_stats(t->log);
        counter(out, "sgaps_log_lines_total", "Lines of the metrics log written.", s.lines);
        counter(out, "sgaps_log_dropped_total", "Lines of the metrics log left out.", s.dropped);
        counter(out, "sgaps_log_write_errors_total", "Writes of the metrics log that failed.",
                s.write_errors);
    }
    put_gpus(out, t->gpu);
    put_process(out);
}
