/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running our own code where its mounts cannot leak: as process 1 of a new
 * mount and PID namespace. When it dies, for whatever reason, every process it
 * started and every mount it made is gone with it.
 *
 * Programs that must not be cut in half (LVM) run under bh_run()'s keeper
 * instead, which survives us, keeps our locks until the program is done, and
 * only then lets the next run recover.
 */
#pragma once

/*
 * Runs fn(arg) in a private mount and PID namespace. Its return value is
 * handed back; a message it gave to fail() has already been printed.
 */
int ns_run(int (*fn)(void *arg), void *arg);

/* Inside fn: makes /proc, /sys and /dev in dir for a chroot into it. */
int chroot_prepare(const char *dir);
