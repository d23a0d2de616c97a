/* What sgaps-clean prints of its results: --json, --dry-run. */
#ifndef SGAPS_CLEAN_SUMMARY_H
#define SGAPS_CLEAN_SUMMARY_H

#include <stdio.h>

#include "clean/clean.h"

void clean_summary_json(const struct clean *c, FILE *f);
void clean_summary_table(const struct clean *c, FILE *f);

#endif
