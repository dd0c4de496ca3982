/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file that lets the store be killed at any instruction.
 *
 * A file in a tmpfs, mapped shared: what is stored in it is in the page cache
 * and stays there when the process dies, so there is nothing to flush and no
 * system call to make. A batch of records counts from the moment its length is
 * stored, which happens last. The state dies with the host, as domains do.
 *
 * When the file has grown enough it is replaced by one that holds the whole
 * state as a single batch; rename() makes that atomic.
 */
#pragma once

#include "bulkhead/util.h"

struct journal;

typedef int (*journal_fn)(void *arg, const uint8_t *batch, size_t len);

/*
 * Opens dir's journal and passes every batch in it to fn, oldest first. A file
 * of an earlier boot or another version is set aside. Another process that
 * has it open: -EBUSY. *ret_found: there was a state.
 */
int journal_open(const char *dir, journal_fn fn, void *arg, bool *ret_found,
		 struct journal **ret) __must_check;
void journal_close(struct journal *j);

/* Appends a batch. -ENOSPC: no room; a journal_replace() may make some. */
int journal_append(struct journal *j, const void *batch, size_t len)
	__must_check;
/* Starts a new file with this batch as its only content. */
int journal_replace(struct journal *j, const void *batch, size_t len)
	__must_check;
/* True when replacing it is worth the trouble. */
bool journal_is_long(const struct journal *j);
