/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work inside a guest's root file system.
 *
 * It is mounted only in the private namespace of ns_run() and every file is
 * reached after chroot(2) into it, so neither a crash nor a symbolic link a
 * guest has planted leads anywhere else. Nothing of the guest's is executed
 * unless the administrator asked for it (--run, template builds).
 */
#pragma once

#include <stdbool.h>

#include "identity.h"

struct guestfs_job {
	const char *dev, *type;
	const struct identity *id; /* applied if not NULL */
	bool grow;
	struct strv *roles;   /* host programs, called with the mount point */
	struct strv *scripts; /* run inside, as root */
	bool blank; /* behind the file system the volume reads as zeros */
};

int guestfs_customize(const struct guestfs_job *job);
int guestfs_grow(const char *dev);
/* Clears what a machine that was not shut down has left in the journal. */
int guestfs_settle(const char *dev, const char *type);

/* For ns_run callees: mount (and grow) at the private place; unmount. */
const char *guestfs_mnt(void);
int guestfs_mount(const char *dev, const char *type, bool ro, bool untrusted);
int guestfs_umount(void);
/* chroot into it and back. */
int guestfs_enter(void);
int guestfs_leave(void);
/* Runs "sh -c command" inside; to be called between mount and umount. */
int guestfs_shell(const char *command, void (*line)(const char *, void *),
		  void *arg);
