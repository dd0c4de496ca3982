/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See image.h. The image is untrusted: everything is read-only, nodev, noexec. */
#define _GNU_SOURCE
#include "image.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <bulkhead/run.h>

#include "fill.h"
#include "fs.h"
#include "guestfs.h"
#include "inguest.h"

#define DIR_ROOT "/run/bulkhead/image/root"
#define DIR_BOOT "/run/bulkhead/image/boot"
#define MAX_PART 32

struct part {
	uint64_t off, size;
	char type[32], uuid[64];
};

bool import_is_qcow2(const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	char m[4];

	return fd >= 0 && pread(fd, m, 4, 0) == 4 &&
	       memcmp(m, "QFI\xfb", 4) == 0;
}

/* A header as of version 3, big endian. Offset 8: the backing file's name;
 * 72: features that must be known, of which bit 2 is an external data file. */
int import_check_qcow2(const char *file)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	static const uint8_t none[8];
	uint8_t h[104] = { 0 };

	if (fd < 0 || pread(fd, h, sizeof(h), 0) < 72)
		return fail(VMB_SOURCE, "%s: cut off", file);
	if (memcmp(h + 8, none, 8) != 0 || (h[7] >= 3 && h[79] & 4))
		return fail(
			VMB_SOURCE,
			"%s refers to another file, which is not looked at; make it one file first (qemu-img convert -O qcow2)",
			file);
	return 0;
}

static int probe_at(const char *file, uint64_t off, uint64_t size,
		    struct part *p)
{
	_cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC);
	blkid_probe pr = blkid_new_probe();
	const char *v;
	int r = -ENOENT;

	memset(p, 0, sizeof(*p));
	p->off = off;
	p->size = size;
	if (fd >= 0 && pr &&
	    blkid_probe_set_device(pr, fd, (blkid_loff_t)off,
				   (blkid_loff_t)size) == 0 &&
	    blkid_do_safeprobe(pr) == 0 &&
	    blkid_probe_lookup_value(pr, "TYPE", &v, NULL) == 0) {
		snprintf(p->type, sizeof(p->type), "%s", v);
		if (blkid_probe_lookup_value(pr, "UUID", &v, NULL) == 0)
			snprintf(p->uuid, sizeof(p->uuid), "%s", v);
		r = 0;
	}
	blkid_free_probe(pr);
	return r;
}

static int partitions(const char *file, struct part *parts, unsigned int *n)
{
	blkid_probe pr = blkid_new_probe_from_filename(file);
	blkid_partlist ls;
	struct stat st;

	*n = 0;
	if (!pr || stat(file, &st) < 0) {
		blkid_free_probe(pr);
		return fail(VMB_MISSING, "cannot open %s: %m", file);
	}
	blkid_probe_enable_partitions(pr, 1);
	ls = blkid_probe_get_partitions(pr);
	for (int i = 0; ls && i < blkid_partlist_numof_partitions(ls); i++) {
		blkid_partition p = blkid_partlist_get_partition(ls, i);

		if (*n < MAX_PART &&
		    probe_at(file, (uint64_t)blkid_partition_get_start(p) << 9,
			     (uint64_t)blkid_partition_get_size(p) << 9,
			     &parts[*n]) >= 0)
			(*n)++;
	}
	blkid_free_probe(pr);
	if (*n == 0 && probe_at(file, 0, (uint64_t)st.st_size, &parts[0]) >= 0)
		*n = 1;
	return 0;
}

bool import_is_image(const char *file)
{
	struct part parts[MAX_PART];
	unsigned int n = 0;

	if (import_is_qcow2(file))
		return true;
	(void)partitions(file, parts, &n);
	for (unsigned int i = 0; i < n; i++)
		if (fs_is_known(parts[i].type))
			return true;
	return false;
}

static int mount_part(const char *file, const struct part *p, const char *dir)
{
	_cleanup_free_ char *opts = bh_asprintf(
		"ro,nodev,nosuid,noexec,loop,offset=%llu,sizelimit=%llu%s",
		(unsigned long long)p->off, (unsigned long long)p->size,
		bh_startswith(p->type, "ext") ? ",noload"
		: streq(p->type, "xfs")       ? ",norecovery,nouuid"
					      : "");
	const char *av[] = {
		"mount", "-t", p->type, "-o", opts, file, dir, NULL
	};
	_cleanup_free_ char *err = NULL;

	if (!opts || bh_mkdir_p(dir, 0700) < 0)
		return oom();
	return bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, NULL, &err)
		       ? fail(VMB_SOURCE, "cannot mount a partition of %s: %s",
			      file, err ? bh_strip(err) : "")
		       : 0;
}

int image_mount(const char *file, struct image *ret)
{
	struct part parts[MAX_PART];
	unsigned int n, root = MAX_PART;
	int r = partitions(file, parts, &n);

	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; r >= 0 && i < n && !ret->root; i++) {
		if (!fs_is_known(parts[i].type) ||
		    mount_part(file, &parts[i], DIR_ROOT) < 0)
			continue;
		if (access(DIR_ROOT "/etc/os-release", F_OK) == 0 ||
		    access(DIR_ROOT "/usr/lib/os-release", F_OK) == 0 ||
		    access(DIR_ROOT "/etc/fstab", F_OK) == 0) {
			ret->root = DIR_ROOT;
			root = i;
			memcpy(ret->root_uuid, parts[i].uuid,
			       sizeof(ret->root_uuid));
		} else {
			(void)umount(DIR_ROOT);
		}
	}
	if (r >= 0 && !ret->root)
		return fail(VMB_SOURCE,
			    "%s: no partition holds a Linux root file system",
			    file);
	for (unsigned int i = 0; r >= 0 && i < n && !ret->boot; i++) {
		if (i == root || !fs_is_known(parts[i].type) ||
		    mount_part(file, &parts[i], DIR_BOOT) < 0)
			continue;
		if (access(DIR_BOOT "/grub", F_OK) == 0 ||
		    access(DIR_BOOT "/grub2", F_OK) == 0 ||
		    access(DIR_BOOT "/loader", F_OK) == 0)
			ret->boot = DIR_BOOT;
		else
			(void)umount(DIR_BOOT);
	}
	return r;
}

void image_umount(struct image *img)
{
	if (img->boot)
		(void)umount(DIR_BOOT);
	if (img->root)
		(void)umount(DIR_ROOT);
}

int image_fix_uuids(const char *from, const char *to)
{
	static const char *const files[] = {
		"/boot/grub/grub.cfg",
		"/boot/grub2/grub.cfg",
		"/boot/extlinux/extlinux.conf",
		"/etc/kernel/cmdline",
		"/etc/default/grub",
	};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(files); i++)
		r = inguest_replace(files[i], from, to);
	return r < 0 ? r
		     : inguest_replace_in_dir("/boot/loader/entries", ".conf",
					      from, to);
}
