/* Journals as inputs like any other: their sessions into one recording; nothing is taken away. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "import.h"
#include "journal_plan.h"

enum { TOGETHER = 16 }; /* sessions whose frames' places are in memory */

static void on_row(void *user)
{
    job_count(user);
}

static int write_plan(struct job *job, struct journal_source *s, const struct journal_plan *p, struct err *e)
{
    struct session_info info = p->info;
    if (!p->rows || !job_wants(job, info.id))
        return 0;
    info.id = job->session ? job->session : info.id;
    info.checkpoint_key = job->key ? job->key : info.checkpoint_key;
    info.fps = (job->fps > 0 ? job->fps : info.fps) / (double)job->stride;
    if (job->size[0] && (info.W != job->size[0] || info.H != job->size[1])) {
        info.W = job->size[0];
        info.H = job->size[1];
        info.has_reconstruction = info.has_importance = 0; /* of the other size */
    }
    int bad = job_output(job, NULL, e);
    return bad ? bad : journal_write_session(s, p, &info, (size_t)job->stride, job->w, on_row, job, e);
}

static int import_source(struct job *job, struct journal_source *s, struct err *e)
{
    uint64_t *numbers = NULL;
    size_t n = 0;
    int bad = journal_source_sessions(s, &numbers, &n, e);
    for (size_t i = 0; i < n && !bad; i += TOGETHER) {
        struct journal_plan *plans;
        size_t count, some = n - i < TOGETHER ? n - i : TOGETHER;
        bad = journal_plans_make(s, numbers + i, some, 0, &plans, &count, e);
        for (size_t k = 0; k < count && !bad; k++)
            bad = write_plan(job, s, &plans[k], e);
        journal_plans_release(plans, count);
    }
    free(numbers);
    return bad;
}

int is_journal_directory(const char *path)
{
    struct stat st;
    char **names;
    size_t n = 0;
    if (stat(path, &st) || !S_ISDIR(st.st_mode) || journal_list(path, &names, &n, NULL))
        return 0;
    journal_list_free(names, n);
    return n > 0;
}

int import_journal(struct job *job, const char *path, struct err *e)
{
    struct journal_source one = {.path = path};
    char **names = NULL;
    size_t n = 0;
    int bad;
    if (job->state_path)
        return err_set(e, ERR_USAGE, "--state: is for films, a journal carries its own state");
    if (!is_journal_directory(path)) {
        bad = import_source(job, &one, e);
        journal_source_release(&one);
        return bad;
    }
    bad = journal_list(path, &names, &n, e);
    for (size_t i = 0; i < n && !bad; i++) {
        struct journal_source s = {.path = path, .name = names[i]};
        bad = import_source(job, &s, e);
        journal_source_release(&s);
    }
    journal_list_free(names, n);
    return bad;
}
