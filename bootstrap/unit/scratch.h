/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory in place of the host's for the length of a group of tests. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "util.h"

static char root[] = "/tmp/vmb-unit-XXXXXX";

static inline bool there(const char *name)
{
	_cleanup_free_ char *p = bh_asprintf("%s/%s", root, name);

	return access(p, F_OK) == 0;
}

static int enter(void **s __unused_arg)
{
	if (!mkdtemp(root))
		return -1;
	return setenv("VM_BOOTSTRAP_ROOT", root, 1);
}

static int leave(void **s __unused_arg)
{
	return rm_rf(root);
}
