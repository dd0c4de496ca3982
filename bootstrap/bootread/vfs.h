/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading files from a guest's file system, two ways behind one interface:
 * libext2fs on the raw device (ext2/3/4: no kernel code touches the guest's
 * bytes), or a directory that a read-only mount was made on (xfs, btrfs).
 * Everything read is limited in size and none of it is trusted.
 */
#pragma once

#include "../util.h"

struct vfs {
	const struct vfs_ops *ops;
	void *priv;
};

struct vfs_ops {
	/* A whole regular file; links are followed inside. 0 or -errno. */
	int (*read)(struct vfs *v, const char *path, size_t max, char **ret,
		    size_t *ret_len, uint64_t *ret_mtime);
	int (*list)(struct vfs *v, const char *dir, struct strv *ret);
	void (*close)(struct vfs *v);
};

/* fd stays the caller's; the file system begins at byte offset. */
int vfs_open_ext(int fd, uint64_t offset, struct vfs *ret);
/* The current root directory. */
int vfs_open_root(struct vfs *ret);
