/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /etc/bulkhead/bootstrap.conf: the host's defaults, "key = value" lines. The
 * same reader serves recipes. All keys are in the table in conf.c; an unknown
 * one is an error with file and line, not silence.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Calls fn for every "key = value" line; "\" at the end continues a line. */
typedef int (*conf_fn)(const char *file, unsigned int line, const char *key,
		       const char *value, void *arg);
int conf_read(const char *path, conf_fn fn, void *arg);
int conf_parse(const char *path, char *text, conf_fn fn, void *arg);

/* Loads the host's defaults; a missing file is fine. */
int conf_load(void);
const char *conf_get(const char *key);
/* Of a key that takes yes or no. */
bool conf_yes(const char *key, bool dflt);
double conf_percent(const char *key, double dflt);
