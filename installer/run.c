/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running other programs: a dry run prints, a failure is reported. */
#include <stdio.h>

#include <bulkhead/run.h>
#include <bulkhead/util.h>

#include "setup.h"

/* 0, or a negative errno; only a missing program is reported. */
static int result(const char *const argv[], int rc)
{
	if (rc == 127) {
		report(R_BAD, "%s is not installed", argv[0]);
		return -ENOENT;
	}
	return rc ? -EIO : 0;
}

int run(const char *const argv[])
{
	int r;

	if (opt_dry_run) {
		printf("  would run:");
		for (int i = 0; argv[i]; i++)
			printf(" %s", argv[i]);
		printf("\n");
		return 0;
	}
	r = result(argv, bh_run(argv, 0, NULL, NULL));
	if (r == -EIO)
		report(R_BAD, "%s %s failed", argv[0], argv[1] ? argv[1] : "");
	return r;
}

int run_output(const char *const argv[], char **ret)
{
	_cleanup_free_ char *text = NULL;
	int r = result(argv, bh_run(argv, 0, &text, NULL));

	if (!r && !text)
		r = -ENOMEM;
	if (!r)
		*ret = TAKE_PTR(text);
	return r;
}
