/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running other programs: arguments as a vector, never through a shell.
 *
 * A program gets /dev/null as stdin, no descriptor of ours beside the three
 * standard ones, and default signals. What it prints and nobody asked for goes
 * to our stderr, so that it never mixes with what we print for others to read.
 */
#pragma once

#include <stdbool.h>

enum {
	BH_RUN_TIED = 1,  /* killed when we die */
	BH_RUN_KEEP = 2,  /* finishes even if we are interrupted or killed */
	BH_RUN_QUIET = 4, /* what is not captured is dropped */
};

/*
 * Runs argv[0] from PATH and waits for it. Returns its exit status, 128+n when
 * signal n ended it, 127 when it could not be started; never negative. Given
 * ret_out and ret_err receive its output (at most 16 MiB) as a string, or NULL
 * when there was no memory for it.
 */
int bh_run(const char *const argv[], unsigned int flags, char **ret_out,
	   char **ret_err);

/* Calls fn with every line of stdout and stderr as it comes. */
int bh_run_lines(const char *const argv[], unsigned int flags,
		 void (*fn)(const char *line, void *arg), void *arg);

/* Is there such a program in PATH? */
bool bh_have_program(const char *name);
