/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images: finding the root file system among partitions, mounting it
 * read-only through a loop device, all inside ns_run()'s namespace.
 */
#pragma once

#include "util.h"

struct part {
	uint64_t off, size;
	char type[32], uuid[64];
};

struct image {
	const char *root, *boot; /* mount points; boot may be NULL */
	struct part root_part;
};

/* Room for the files of a raw image, or 0. */
uint64_t image_room(const char *file);
int image_mount(const char *file, struct image *ret);
void image_umount(struct image *img);
/* What the root's fstab mounts from other subvolumes of its partition. */
int image_copy_subvolumes(const char *file, const struct image *img,
			  const char *mnt);
/* Subvolume and mount point by turns. */
int image_subvolumes(const char *fstab, struct strv *ret);
/*
 * In the new root: boot menus that name the old root file system, in whatever
 * way, get the new one; old: its UUID, may be "".
 */
int image_fix_menus(const char *old, const char *uuid);
/* Every "root=" argument of a kernel in a text; those of GRUB are left alone. */
char *root_args_rewrite(const char *text, const char *uuid);
