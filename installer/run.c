/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running other programs. Every command that changes something is printed before
 * it runs: some take a minute, and the administrator sees what was done. Such a
 * command is finished even if the terminal goes away, which happens when it is
 * the network below an SSH session that changes.
 */
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

	printf(opt_dry_run ? "    would run:" : "    #");
	for (int i = 0; argv[i]; i++)
		printf(" %s", argv[i]);
	printf("\n");
	if (opt_dry_run)
		return 0;
	r = result(argv, bh_run(argv, BH_RUN_KEEP, NULL, NULL));
	if (r == -EIO)
		report(R_BAD, "%s %s failed", argv[0], argv[1] ? argv[1] : "");
	return r;
}

int run_output(const char *const argv[], char **ret)
{
	_cleanup_free_ char *text = NULL;
	int r = result(argv, bh_run(argv, BH_RUN_QUIET, &text, NULL));

	if (!r && !text)
		r = -ENOMEM;
	if (!r)
		*ret = TAKE_PTR(text);
	return r;
}
