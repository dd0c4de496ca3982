/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See image.h. The image is untrusted: everything is read-only, nodev, noexec. */
#define _GNU_SOURCE
#include "image.h"

#include <blkid/blkid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <bulkhead/run.h>

#include "fill.h"
#include "fs.h"
#include "guestfs.h"
#include "inguest.h"

#define DIR_ROOT   "/run/bulkhead/image/root"
#define DIR_BOOT   "/run/bulkhead/image/boot"
#define DIR_SUBVOL "/run/bulkhead/image/subvol"
#define MAX_PART   32

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

uint64_t image_room(const char *file)
{
	struct part parts[MAX_PART];
	struct stat st;
	uint64_t bytes;
	unsigned int n;

	if (stat(file, &st) < 0 || partitions(file, parts, &n) < 0)
		return 0;
	bytes = (uint64_t)st.st_blocks * 512;
	/* btrfs may have packed its files. */
	for (unsigned int i = 0; i < n; i++)
		if (streq(parts[i].type, "btrfs"))
			return bytes * 5 / 2 + (256u << 20);
	return bytes * 5 / 4 + (256u << 20);
}

/* subvol: of btrfs, or NULL for what it mounts by itself. */
static int mount_part(const char *file, const struct part *p,
		      const char *subvol, const char *dir)
{
	_cleanup_free_ char *opts = bh_asprintf(
		"ro,nodev,nosuid,noexec,loop,offset=%llu,sizelimit=%llu%s%s%s",
		(unsigned long long)p->off, (unsigned long long)p->size,
		bh_startswith(p->type, "ext") ? ",noload"
		: streq(p->type, "xfs")       ? ",norecovery,nouuid"
					      : "",
		subvol ? ",subvol=" : "", subvol ? subvol : "");
	const char *av[] = {
		"mount", "-t", p->type, "-o", opts, file, dir, NULL
	};
	_cleanup_free_ char *err = NULL;

	if (!opts || bh_mkdir_p(dir, 0700) < 0)
		return oom();
	if (bh_run(av, BH_RUN_TIED | BH_RUN_QUIET, NULL, &err) == 0)
		return 0;
	/* The names of subvolumes are guesses, or the image's own. */
	return subvol ? -VMB_SOURCE
		      : fail(VMB_SOURCE, "cannot mount a partition of %s: %s",
			     file, err ? bh_strip(err) : "");
}

/* The root is in the file system itself or, with btrfs, in a subvolume:
 * Fedora's is called root, Debian's and others' @. */
static bool mount_root(const char *file, const struct part *p)
{
	static const char *const subvols[] = { NULL, "root", "@", "@rootfs" };

	for (size_t i = 0; i < ARRAY_SIZE(subvols); i++) {
		if (i && !streq(p->type, "btrfs"))
			break;
		if (mount_part(file, p, subvols[i], DIR_ROOT) < 0)
			continue;
		if (access(DIR_ROOT "/etc/os-release", F_OK) == 0 ||
		    access(DIR_ROOT "/usr/lib/os-release", F_OK) == 0 ||
		    access(DIR_ROOT "/etc/fstab", F_OK) == 0)
			return true;
		(void)umount(DIR_ROOT);
	}
	return false;
}

static bool mount_boot(const char *file, const struct part *p)
{
	if (mount_part(file, p, NULL, DIR_BOOT) < 0)
		return false;
	if (access(DIR_BOOT "/grub", F_OK) == 0 ||
	    access(DIR_BOOT "/grub2", F_OK) == 0 ||
	    access(DIR_BOOT "/loader", F_OK) == 0)
		return true;
	(void)umount(DIR_BOOT);
	return false;
}

int image_mount(const char *file, struct image *ret)
{
	struct part parts[MAX_PART];
	unsigned int n, root = 0;
	int r = partitions(file, parts, &n);

	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; r >= 0 && i < n && !ret->root; i++)
		if (fs_is_known(parts[i].type) && mount_root(file, &parts[i])) {
			ret->root = DIR_ROOT;
			ret->root_part = parts[root = i];
		}
	if (r >= 0 && !ret->root)
		return fail(VMB_SOURCE,
			    "%s: no partition holds a Linux root file system",
			    file);
	for (unsigned int i = 0; r >= 0 && i < n && !ret->boot; i++)
		if (i != root && fs_is_known(parts[i].type) &&
		    mount_boot(file, &parts[i]))
			ret->boot = DIR_BOOT;
	return r;
}

static bool plain_path(const char *s)
{
	return *s && !strstr(s, "..") &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz"
			 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@/+-") ==
		       strlen(s);
}

int image_subvolumes(const char *fstab, struct strv *ret)
{
	_cleanup_free_ char *copy = strdup(fstab);
	char *save = NULL;

	if (!copy)
		return oom();
	for (char *l = strtok_r(copy, "\n", &save); l;
	     l = strtok_r(NULL, "\n", &save)) {
		char what[128], where[128], type[32], opts[256], *sv;

		if (sscanf(l, " %127s %127s %31s %255s", what, where, type,
			   opts) != 4 ||
		    *what == '#' || !streq(type, "btrfs") ||
		    streq(where, "/") || bh_startswith(where, "/.snapshots"))
			continue;
		sv = bh_startswith(opts, "subvol=") ? opts
						    : strstr(opts, ",subvol=");
		if (!sv)
			continue;
		sv = strchr(sv, '=') + 1;
		sv[strcspn(sv, ",")] = 0;
		/* They go into mount's options and a path on the host. */
		if (*where != '/' || !plain_path(where) || !plain_path(sv))
			return fail(
				VMB_SOURCE,
				"the image's fstab mounts subvolume \"%s\" on \"%s\", which is not understood",
				sv, where);
		if (strv_add(ret, sv) < 0 || strv_add(ret, where) < 0)
			return oom();
	}
	return 0;
}

/* Fedora's /home and /var, openSUSE's dozen: all in the root's partition. */
int image_copy_subvolumes(const char *file, const struct image *img,
			  const char *mnt)
{
	static const char path[] = DIR_ROOT "/etc/fstab";
	_cleanup_free_ char *fstab = NULL;
	_cleanup_strv_ struct strv sv = { 0 };
	struct stat st;
	int r;

	/* Nothing was entered: a link would be followed on the host. */
	if (!streq(img->root_part.type, "btrfs") ||
	    lstat(DIR_ROOT "/etc", &st) < 0 || !S_ISDIR(st.st_mode) ||
	    lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
	    inguest_read(path, &fstab) < 0)
		return 0;
	r = image_subvolumes(fstab, &sv);
	for (size_t i = 0; r >= 0 && i + 1 < sv.n; i += 2) {
		_cleanup_free_ char *to = NULL;

		if (mount_part(file, &img->root_part, sv.v[i], DIR_SUBVOL) < 0)
			return fail(
				VMB_SOURCE,
				"%s: subvolume %s, which its fstab mounts on %s, cannot be mounted",
				file, sv.v[i], sv.v[i + 1]);
		r = import_dir(mnt, sv.v[i + 1], &to);
		if (r >= 0)
			r = import_copy_tree(DIR_SUBVOL, to);
		(void)umount(DIR_SUBVOL);
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

/* Is this word an argument that names the root, or says how to mount it? */
static size_t root_word(const char *text, const char *p, const char **ret)
{
	static const char *const words[] = { "root=", "rootflags=",
					     "rootfstype=" };

	/* GRUB's own variable: "set root='hd0,gpt1'" */
	if (p > text && (!strchr(" \t\n\"'=", p[-1]) ||
			 (p - text >= 4 && strncmp(p - 4, "set", 3) == 0)))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (bh_startswith(p, words[i])) {
			*ret = words[i];
			return strcspn(p, " \t\n\"'");
		}
	return 0;
}

char *root_args_rewrite(const char *text, const char *uuid)
{
	_cleanup_buf_ struct buf b = { 0 };
	const char *p = text, *word;

	if (buf_add(&b, "", 0) < 0)
		return NULL;
	while (*p) {
		size_t n = root_word(text, p, &word);

		if (!n) {
			if (buf_add(&b, p++, 1) < 0)
				return NULL;
			continue;
		}
		p += n;
		/* The old file system's flags are nothing to the new one. */
		if (!streq(word, "root="))
			p += *p == ' ';
		else if (buf_addf(&b, "root=UUID=%s", uuid) < 0)
			return NULL;
	}
	return TAKE_PTR(b.s);
}

/* An environment block is 1024 bytes, filled up with '#'. */
static int pad_env(char **text)
{
	size_t n = strlen(*text);
	_cleanup_free_ char *s = malloc(1025);

	while (n && (*text)[n - 1] == '#')
		n--;
	if (!s)
		return oom();
	if (n > 1024)
		return 0;
	memset(s, '#', 1024);
	memcpy(s, *text, n);
	s[1024] = 0;
	free(*text);
	*text = TAKE_PTR(s);
	return 0;
}

static int fix_menu(const char *path, const char *uuid)
{
	_cleanup_free_ char *old = NULL, *fresh = NULL;
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
	    inguest_read(path, &old) < 0)
		return 0;
	fresh = root_args_rewrite(old, uuid);
	if (!fresh)
		return oom();
	if (bh_endswith(path, "/grubenv") && pad_env(&fresh) < 0)
		return -VMB_FAILED;
	return streq(old, fresh)
		       ? 0
		       : inguest_write(path, fresh, st.st_mode & 0777);
}

int image_fix_menus(const char *old, const char *uuid)
{
	static const char *const files[] = {
		"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg",
		"/boot/grub/grubenv",  "/boot/grub2/grubenv",
		"/etc/kernel/cmdline", "/boot/extlinux/extlinux.conf",
		"/etc/default/grub",
	};
	static const char entries[] = "/boot/loader/entries";
	struct dirent *de;
	DIR *d;
	int r = 0;

	/* Ubuntu's: by partition, and first of all without an initrd. */
	(void)unlink("/etc/default/grub.d/40-force-partuuid.cfg");
	r = inguest_replace(files[0], "\"${initrdfail}\" = 1", "1 = 1");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(files); i++) {
		if (*old)
			r = inguest_replace(files[i], old, uuid);
		if (r >= 0)
			r = fix_menu(files[i], uuid);
	}
	d = r < 0 ? NULL : opendir(entries);
	while (r >= 0 && d && (de = readdir(d))) {
		_cleanup_free_ char *p =
			bh_asprintf("%s/%s", entries, de->d_name);

		if (p && bh_endswith(de->d_name, ".conf"))
			r = fix_menu(p, uuid);
	}
	if (d)
		closedir(d);
	return r;
}
