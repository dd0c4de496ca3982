/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running programs, and running our own code where its mounts cannot leak.
 *
 * Two rules. A program that must not be cut in half (LVM: it may hold devices
 * suspended) runs under a keeper process that survives us, keeps our locks
 * until the program is done, and only then lets the next run recover. Code
 * that mounts a guest's file system runs as process 1 of a new mount and PID
 * namespace: when it dies, for whatever reason, every process it started and
 * every mount it made is gone with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;

#define RUN_KEEP  1u /* finish even if we are killed (LVM) */
#define RUN_QUIET 2u /* stderr is captured, not shown */

/*
 * Runs argv[0] from PATH, with stdin from /dev/null. Standard output goes to
 * ret_out if given. Returns the exit status (0..255), 128+n for a signal, 127
 * if it could not be started; never negative. ret_err gets stderr if given.
 */
int run(const char *const argv[], unsigned int flags, struct buf *ret_out,
	struct buf *ret_err);

/* Called with every line of the program's stderr and stdout. */
typedef void (*run_line_fn)(const char *line, void *arg);
int run_lines(const char *const argv[], run_line_fn fn, void *arg);

bool have_program(const char *name);

/*
 * Runs fn(arg) in a private mount and PID namespace. Its return value is
 * handed back; a message it gave to fail() has already been printed. If
 * ret_out is given, what fn writes to *out_fd (see ns_out) is returned there.
 */
int ns_run(int (*fn)(void *arg), void *arg, struct buf *ret_out);
/* Inside fn: appends to the parent's ret_out. */
int ns_out(const void *p, size_t n);

/* Inside ns_run: chroot into dir and run; /proc, /sys, /dev are provided. */
int chroot_prepare(const char *dir);
