/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of "key = value" lines: our settings, states, recipes, answers.
 *
 * Blank lines and lines that begin with # are skipped, white space around key
 * and value is cut off, a backslash at the end of a line continues it, and one
 * pair of double quotes around a whole value is taken away. So the same file
 * may be read by a shell (/etc/default/bulkhead).
 */
#pragma once

#include <stddef.h>

/*
 * Called for every line; value is NULL when the line has no "=". What it
 * returns below 0 ends the reading and is handed back.
 */
typedef int (*bh_pair_fn)(unsigned int line, const char *key, const char *value,
			  void *arg);

/* Changes text. */
int bh_pairs_parse(char *text, bh_pair_fn fn, void *arg);
/* The same from a file of at most 1 MiB; -errno when it cannot be read. */
int bh_pairs_read(const char *path, bh_pair_fn fn, void *arg);
