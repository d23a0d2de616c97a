/* lib/live/models: which checkpoint a session gets, what becomes of files that change, are damaged or lead astray. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "live/models.h"
#include "live_case.h"
#include "tap.h"

static struct err e;

static struct models *open_models(const char *dir, size_t memory, const char *variants)
{
    struct models *m;
    struct models_options o = {
        .dir = dir, .device = "cpu", .threads = 1, .memory = memory, .variants = variants};
    if (models_open(&m, &o, &e)) {
        printf("Bail out! %s\n", e.text);
        exit(1);
    }
    return m;
}

/* "key exact version-without-hash" of what a key gives. */
static const char *gets(struct models *m, const char *key)
{
    static char text[256];
    struct model *model = live_model(m, key, NULL);
    snprintf(text, sizeof text, "%s %d %s", model->key, model->exact, model->version);
    char *dash = strrchr(text, '-'), *at = strchr(text, '@');
    if (dash && at && dash > at)
        *dash = 0;
    models_release(m, model);
    return text;
}

struct listing {
    char text[1024];
};

static void list_one(void *user, const char *key, int loaded, const char *version)
{
    struct listing *l = user;
    size_t n = strlen(l->text);
    (void)version;
    snprintf(l->text + n, sizeof l->text - n, "%s=%d ", key, loaded);
}

static int loaded(struct models *m, const char *key)
{
    struct listing l = {""};
    char want[80];
    models_each(m, list_one, &l);
    snprintf(want, sizeof want, "%s=1 ", key);
    return strstr(l.text, want) != NULL;
}

#define gives(m, key, want, why)                                                                             \
    do {                                                                                                     \
        const char *got_ = gets(m, key);                                                                     \
        ok(!strcmp(got_, want), "%s: %s gets %s", why, key, got_);                                           \
    } while (0)

static void fallbacks(void)
{
    char *dir = live_folder();
    struct models *m = open_models(NULL, 0, NULL);
    int at_once;
    struct model *model = live_model(m, "any", &at_once);
    ok(at_once && !strcmp(model->version, "linear") && !model->exact && model->max_state_dim == 64 &&
           model->sentinel == -999 && !recon_model(model->recon),
       "without a folder: linear at once, a state of 64");
    models_release(m, model);
    models_close(m);

    m = open_models(dir, 0, NULL);
    gives(m, "doom", "linear 0 linear", "an empty folder");
    free(live_checkpoint(dir, "default", "cross", 3, 0));
    gives(m, "doom", "default 0 default@3", "a missing key");
    gives(m, "default", "default 1 default@3", "default by its name");
    free(live_checkpoint(dir, "doom", "cross", 4, 0));
    gives(m, "doom", "doom 1 doom@4", "a key that came since");
    model = live_model(m, "doom", &at_once);
    struct model *again = live_model(m, "doom", NULL);
    ok(at_once && again->recon == model->recon && model->max_state_dim == 12 && recon_model(model->recon),
       "the second session has it at once, and the same weights");
    models_release(m, models_hold(again));
    models_release(m, again);
    models_release(m, model);
    ok(loaded(m, "doom") && loaded(m, "default"), "both are listed");
    models_close(m);
    ok(models_open(&m, &(struct models_options){.dir = "/nowhere/at/all"}, &e) == ERR_NOINPUT,
       "no folder: %s", e.text);
    live_folder_remove(dir);
}

static void variants(void)
{
    char *dir = live_folder();
    free(live_checkpoint(dir, "a", "cross", 1, 0));
    free(live_checkpoint(dir, "b", "cross", 2, 0));
    free(live_checkpoint(dir, "doom", "cross", 3, 0));
    struct models *m = open_models(dir, 0, "{\"doom\": [\"a\", \"b\"], \"half\": [\"a\", \"gone\"]}");
    gives(m, "doom", "a 1 a@1", "in turn");
    gives(m, "doom", "b 1 b@2", "in turn");
    gives(m, "doom", "a 1 a@1", "in turn");
    gives(m, "half", "a 1 a@1", "another key has its own turns");
    gives(m, "half", "linear 0 linear", "a variant that is missing: own, default, linear");
    free(live_checkpoint(dir, "half", "cross", 9, 0));
    gives(m, "half", "a 1 a@1", "in turn");
    gives(m, "half", "half 1 half@9", "a variant that is missing: the key's own");
    models_close(m);
    static const char *const bad[] = {"[]",
                                      "{\"doom\": \"a\"}",
                                      "{\"doom\": []}",
                                      "{\"doom\": [\"../a\"]}",
                                      "{\"doom\": [7]}",
                                      "{\"a/b\": [\"a\"]}",
                                      "{"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct models_options o = {.dir = dir, .variants = bad[i]};
        ok(models_open(&m, &o, &e) == ERR_CONFIG && !m, "%s: %s", bad[i], e.text);
    }
    live_folder_remove(dir);
}

static void astray(void)
{
    char *dir = live_folder(), *outside = live_folder(), path[512], target[512];
    free(live_checkpoint(dir, "inside", "cross", 1, 0));
    free(live_checkpoint(outside, "x", "cross", 2, 0));
    snprintf(path, sizeof path, "%s/folder", dir);
    snprintf(target, sizeof target, "%s/x", outside);
    if (symlink(target, path))
        tap_diag("symlink %s", path);
    snprintf(path, sizeof path, "%s/file", dir);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/file/best.h5", dir);
    snprintf(target, sizeof target, "%s/x/best.h5", outside);
    if (symlink(target, path))
        tap_diag("symlink %s", path);
    snprintf(path, sizeof path, "%s/alias", dir);
    if (symlink("inside", path))
        tap_diag("symlink %s", path);
    /* A neighbour whose name begins as the root's does. */
    snprintf(path, sizeof path, "%s-more", dir);
    snprintf(target, sizeof target, "%s/neighbour", dir);
    free(live_checkpoint(path, "n", "cross", 3, 0));
    snprintf(path, sizeof path, "%s-more/n", dir);
    if (symlink(path, target))
        tap_diag("symlink %s", path);
    snprintf(path, sizeof path, "%s/pipe", dir);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/pipe/best.h5", dir);
    mkfifo(path, 0666);
    snprintf(path, sizeof path, "%s/drawer/best.h5", dir);
    free(live_checkpoint(path, "y", "cross", 3, 0)); /* makes best.h5 a folder */
    struct models *m = open_models(dir, 0, NULL);
    gives(m, "folder", "linear 0 linear", "a folder that links out of the root");
    gives(m, "file", "linear 0 linear", "a file that links out of the root");
    gives(m, "neighbour", "linear 0 linear", "a link to the root's neighbour");
    gives(m, "alias", "alias 1 alias@1", "a link inside the root");
    gives(m, "pipe", "linear 0 linear", "a named pipe");
    gives(m, "drawer", "linear 0 linear", "a folder called best.h5");
    models_close(m);
    snprintf(path, sizeof path, "%s-more", dir);
    live_folder_remove(strdup(path));
    live_folder_remove(dir);
    live_folder_remove(outside);
}

/* What a running session uses once its file's look is over; waits for `step` where that is not 0. */
static int renewed(struct models *m, struct model **model, int64_t step, double seconds)
{
    char want[32];
    snprintf(want, sizeof want, "@%lld-", (long long)step);
    int changed = 0;
    for (double until = clock_seconds() + seconds; clock_seconds() < until;) {
        changed |= models_renew(m, model);
        if (step && strstr((*model)->version, want))
            return changed;
        usleep(20000);
    }
    return changed;
}

/* Copies the first n bytes of a file into another in place, as cp does. */
static void overwrite(const char *path, const char *from, size_t n)
{
    static char bytes[1 << 20];
    int in = open(from, O_RDONLY), out = open(path, O_WRONLY | O_TRUNC);
    ssize_t got = read(in, bytes, n < sizeof bytes ? n : sizeof bytes);
    if (got < 0 || write(out, bytes, (size_t)got) != got)
        tap_diag("%s cannot be overwritten", path);
    close(in);
    close(out);
}

static void changes(void)
{
    char *dir = live_folder(), *other = live_folder();
    char *path = live_checkpoint(dir, "doom", "cross", 1, 0),
         *good = live_checkpoint(other, "x", "cross", 3, 0);
    struct models *m = open_models(dir, 0, NULL);
    struct model *session = live_model(m, "doom", NULL), *second = models_hold(live_model(m, "doom", NULL));
    models_release(m, second); /* one of its two */
    ok(!models_renew(m, &session), "nothing is newer");
    free(live_checkpoint(dir, "doom", "cross", 2, 0));
    int changed = renewed(m, &session, 2, 60);
    ok(changed && strstr(session->version, "doom@2"), "a file that was replaced: %s", session->version);
    ok(strstr(second->version, "doom@1") && second->recon != session->recon,
       "who did not ask has the old one");
    ok(renewed(m, &second, 2, 60) && second->recon == session->recon, "and gets the new one");
    overwrite(path, good, 20000);
    changed = renewed(m, &session, 3, 2.5);
    ok(!changed && strstr(session->version, "doom@2"), "half a file is refused: %s", session->version);
    gives(m, "doom", "doom 1 doom@2", "new sessions too have what was there");
    overwrite(path, good, (size_t)-1);
    changed = renewed(m, &session, 3, 60);
    ok(changed, "the whole of it is taken: %s", session->version);
    unlink(path);
    ok(!renewed(m, &session, 0, 2.5) && strstr(session->version, "doom@3"), "without its file it serves on");
    free(live_checkpoint(dir, "doom", "cross", 4, 7));
    ok(!renewed(m, &session, 4, 2.5) && session->max_state_dim == 12,
       "a version that takes a shorter state is not for running sessions");
    gives(m, "doom", "doom 1 doom@4", "it is for new ones");
    free(live_checkpoint(dir, "doom", "cross", 5, 0));
    models_reload(m);
    changed = renewed(m, &session, 5, 60);
    ok(changed, "reload: %s", session->version);
    /* The same file once more: nothing changes for anybody. */
    models_reload(m);
    ok(!renewed(m, &session, 0, 1.5), "a reload of the same file changes nothing");
    models_release(m, session);
    models_release(m, second);
    models_close(m);
    free(path);
    free(good);
    live_folder_remove(dir);
    live_folder_remove(other);
}

static void memory(void)
{
    char *dir = live_folder();
    free(live_checkpoint(dir, "a", "cross", 1, 0));
    free(live_checkpoint(dir, "b", "cross", 2, 0));
    free(live_checkpoint(dir, "c", "cross", 3, 0));
    struct models *m = open_models(dir, 1, NULL); /* nothing fits */
    struct model *held = live_model(m, "a", NULL);
    gives(m, "b", "b 1 b@2", "over the limit");
    gives(m, "c", "c 1 c@3", "over the limit");
    gives(m, "gone", "linear 0 linear", "over the limit");
    ok(loaded(m, "a") && !loaded(m, "b") && !loaded(m, "c"), "what is used stays, what is not goes");
    gives(m, "b", "b 1 b@2", "what went is loaded again");
    models_release(m, held);
    models_close(m);
    m = open_models(dir, 3 * 72193 * sizeof(float) - 1000, NULL); /* two fit */
    gives(m, "a", "a 1 a@1", "two fit");
    gives(m, "b", "b 1 b@2", "two fit");
    gives(m, "a", "a 1 a@1", "a is used later than b");
    gives(m, "c", "c 1 c@3", "the third");
    gives(m, "gone", "linear 0 linear", "and a look round");
    ok(loaded(m, "a") && !loaded(m, "b") && loaded(m, "c"), "the longest unused goes");
    models_close(m);
    live_folder_remove(dir);
}

static atomic_int answered;

static void count_answer(void *user, struct model *model)
{
    models_release(user, model);
    atomic_fetch_add(&answered, 1);
}

static void closing(void)
{
    char *dir = live_folder();
    free(live_checkpoint(dir, "default", "cross", 1, 0));
    struct models *m = open_models(dir, 0, NULL);
    for (int i = 0; i < 200; i++)
        models_request(m, i % 2 ? "default" : "gone", count_answer, m);
    models_close(m);
    ok(answered == 200, "at the end everybody has been answered: %d of 200", answered);
    live_folder_remove(dir);
}

/* --- many threads, files that come, go and are torn --- */

struct crowd {
    struct models *m;
    const char *dir, *good;
    atomic_int over;
    atomic_long turns;
};

static void *visitor(void *user)
{
    struct crowd *c = user;
    static const char *const keys[] = {"a", "b", "default", "gone", "doom"};
    for (unsigned i = 0; !atomic_load(&c->over); i++) {
        struct model *model = live_model(c->m, keys[i % 5], NULL), *copy = models_hold(model);
        for (int k = 0; k < 5; k++)
            models_renew(c->m, &model);
        models_release(c->m, copy);
        models_release(c->m, model);
        atomic_fetch_add(&c->turns, 1);
    }
    return NULL;
}

static void *vandal(void *user)
{
    struct crowd *c = user;
    for (int64_t i = 0; !atomic_load(&c->over); i++) {
        char *path = live_checkpoint(c->dir, i % 2 ? "a" : "b", "ragged", i, 0);
        if (i % 3 == 1)
            overwrite(path, c->good, 1000 * (size_t)(i % 100));
        if (i % 5 == 2)
            unlink(path);
        free(path);
        models_reload(c->m);
    }
    return NULL;
}

static void crowded(void)
{
    char *dir = live_folder(), *good = live_checkpoint(dir, "default", "ragged", 1, 0);
    struct crowd c = {.m = open_models(dir, 300000, "{\"doom\": [\"a\", \"b\"]}"), .dir = dir, .good = good};
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        pthread_create(&threads[i], NULL, i < 4 ? visitor : vandal, &c);
    sleep(3);
    atomic_store(&c.over, 1);
    for (int i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    ok(c.turns > 0, "four threads ask, one tears files: %ld sessions came and went", atomic_load(&c.turns));
    gives(c.m, "default", "default 1 default@1", "after that");
    models_close(c.m);
    free(good);
    live_folder_remove(dir);
}

int main(void)
{
    fallbacks();
    variants();
    astray();
    changes();
    memory();
    closing();
    crowded();
    return tap_done();
}
