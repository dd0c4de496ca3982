/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where bootread touches a guest's bytes: a process without privileges,
 * network, other files or the means to get them.
 */
#pragma once

#include <stdbool.h>

/*
 * Enters it for good. root: directory to be locked into (an empty one, or a
 * read-only mount of the guest's). read_all: keep CAP_DAC_READ_SEARCH, because
 * initrds are mode 0600. Returns 0 or -errno.
 */
int sandbox_enter(const char *root, bool read_all);
