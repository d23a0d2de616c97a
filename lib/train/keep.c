#include "train/keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static int is_step(const struct dirent *d)
{
    long long step;
    char end;
    return sscanf(d->d_name, "step-%lld.h%c", &step, &end) == 2 && end == '5';
}

static long long step_of(const struct dirent *d)
{
    return strtoll(d->d_name + strlen("step-"), NULL, 10);
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
    long long x = step_of(*a), y = step_of(*b);
    return x < y ? 1 : x > y ? -1 : 0;
}

int keep_step(const char *directory, int64_t step, int64_t keep, struct err *e)
{
    struct dirent **found = NULL;
    char own[64];
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return err_set(e, ERR_IO, "%s: %s", directory, strerror(errno));
    snprintf(own, sizeof own, "step-%06lld.h5", (long long)step);
    if (keep > 0) {
        unlinkat(folder, own, 0);
        /* A hard link costs nothing; last.h5 is replaced by renaming, so the link keeps this step's content. */
        if (linkat(folder, "last.h5", folder, own, 0))
            log_warning("%s/%s: not kept, the file system has no hard links: %s", directory, own,
                        strerror(errno));
    }
    int n = scandir(directory, &found, is_step, newest_first);
    int64_t kept = 0;
    for (int i = 0; i < n; i++) {
        if (step_of(found[i]) > step || kept++ >= keep)
            unlinkat(folder, found[i]->d_name, 0);
        free(found[i]);
    }
    free(found);
    close(folder);
    return 0;
}
