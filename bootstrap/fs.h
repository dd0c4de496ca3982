/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File systems as things on a block device: recognise, make, copy, give a new
 * UUID, write a swap header. What happens inside a mounted one is guestfs.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* type and uuid are malloc'd; type NULL if nothing is recognised. */
int fs_probe(const char *dev, char **ret_type, char **ret_uuid);
/* ext2 to ext4, xfs, btrfs: what may be mounted here though a guest chose it. */
bool fs_is_known(const char *type);
/* Fails with the list of what is supported. */
int fs_check_type(const char *type);
int fs_make(const char *dev, const char *type, const char *uuid,
	    const char *features);
int fs_set_uuid(const char *dev, const char *type, const char *uuid);
/* Replays the journal and repairs what is safe; for copies of live disks. */
int fs_repair(const char *dev, const char *type);
int fs_device_size(const char *dev, uint64_t *ret);
/* Bytes the file system occupies at least (its own length for ext4). */
int fs_length(const char *dev, uint64_t *ret);
/* Copies only blocks in use where the file system can tell. */
/* How many bytes fs_copy would write, about: the source may be in use. */
int fs_used(const char *dev, const char *type, uint64_t *ret);
int fs_copy(const char *src, const char *dst, const char *type,
	    const char *label);
/* What is beyond the first bytes of an ext4 reads as zeros, so nobody need zero
 * the inode tables there. */
int fs_blank_tables(const char *dev, uint64_t from);
/*
 * Which blocks of a clean ext file system are in use; NULL where that cannot be
 * told. fs_map_clean() makes zeros of the others in what was read at off.
 */
struct fs_map;
struct fs_map *fs_map_open(const char *dev, const char *type);
void fs_map_clean(const struct fs_map *m, uint64_t off, char *buf, size_t n);
void fs_map_close(struct fs_map *m);
int fs_write_swap(const char *dev, const uint8_t uuid[16]);
/* Makes a volume read as zeros. */
int fs_wipe(const char *dev, const char *label);

/* Progress: one line that moves on a terminal, a line per phase otherwise. */
void progress(const char *what, unsigned int percent);
void progress_end(void);
