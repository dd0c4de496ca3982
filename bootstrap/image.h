/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images: finding the root file system among partitions, mounting it
 * read-only through a loop device, all inside ns_run()'s namespace.
 */
#pragma once

struct image {
	const char *root, *boot; /* mount points; boot may be NULL */
	char root_uuid[64];
};

int image_mount(const char *file, struct image *ret);
void image_umount(struct image *img);
/* In the new root: boot files that name the old UUID get the new one. */
int image_fix_uuids(const char *from, const char *to);
