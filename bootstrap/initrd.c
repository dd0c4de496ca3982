/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See initrd.h. Modules come in the order modules.dep gives, unpacked (busybox
 * insmod takes them plain); whatever the kernel has built in is simply not
 * there. Kept in the state directory per release and renewed when the modules
 * are newer.
 */
#define _GNU_SOURCE
#include "initrd.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/stat.h>

#include "fill.h"
#include "util.h"

static const char *const wanted[] = {
	"crc32c_generic", "crc32c-intel", "ext4",    "xen-blkfront",
	"xen-netfront",   "af_packet",    "autofs4", "configfs",
	"fuse",           "binfmt_misc",  "8021q",   "efi-pstore",
	"unix",           "ipv6",
};
/* For roots that are not ext4: loaded only when mounting fails without, since
 * btrfs spends a while on measuring checksum routines. */
static const char *const more[] = { "xfs", "btrfs" };

static const char init_script[] =
	"#!/bin/busybox sh\n"
	"# Finds the guest's root and hands over. Made by vm-bootstrap.\n"
	"export PATH=/bin\n"
	"/bin/busybox mkdir -p /dev /proc /sys /root /sbin /usr/bin /usr/sbin\n"
	"/bin/busybox --install -s /bin\n"
	"mount -t devtmpfs dev /dev\n"
	"mount -t proc proc /proc\n"
	"mount -t sysfs sys /sys\n"
	"while read -r m; do insmod \"/lib/$m\" 2>/dev/null; done </modules\n"
	"root=/dev/xvda init=/sbin/init mode=ro type=\n"
	"for w in $(cat /proc/cmdline); do\n"
	"\tcase $w in\n"
	"\troot=*) root=${w#root=} ;;\n"
	"\tinit=*) init=${w#init=} ;;\n"
	"\trootfstype=*) type=\"-t ${w#rootfstype=}\" ;;\n"
	"\tro|rw) mode=$w ;;\n"
	"\tesac\n"
	"done\n"
	"n=0\n"
	"while :; do\n"
	"\tcase $root in UUID=*|LABEL=*) dev=$(findfs \"$root\" 2>/dev/null) ;; *) dev=$root ;; esac\n"
	"\t[ -b \"$dev\" ] && break\n"
	"\tn=$((n + 1))\n"
	"\t[ $n -lt 100 ] || { echo \"initrd: no root device $root\"; cat /proc/partitions; exit 1; }\n"
	"\tsleep 0.1\n"
	"done\n"
	"# shellcheck disable=SC2086\n"
	"mount $type -o \"$mode\" \"$dev\" /root 2>/dev/null ||\n"
	"\twhile read -r m; do insmod \"/lib/$m\" 2>/dev/null; done </modules.more\n"
	"grep -q ' /root ' /proc/mounts || mount $type -o \"$mode\" \"$dev\" /root || { echo \"initrd: cannot mount $dev\"; exit 1; }\n"
	"for d in dev proc sys; do mount --move /$d /root/$d 2>/dev/null; done\n"
	"exec switch_root /root \"$init\"\n";

static int add(struct archive *a, const char *name, unsigned int type,
	       unsigned int perm, const char *data, size_t n)
{
	struct archive_entry *e = archive_entry_new();
	int r;

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, (__LA_MODE_T)perm);
	archive_entry_set_size(e, (la_int64_t)n);
	r = archive_write_header(a, e);
	archive_entry_free(e);
	return r != ARCHIVE_OK || (n &&
				   archive_write_data(a, data, n) != (ssize_t)n)
		       ? -EIO
		       : 0;
}

/* A module, whatever it is compressed with. */
static int read_module(const char *path, struct buf *b)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	char chunk[65536];
	la_ssize_t n = -1;

	archive_read_support_filter_all(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_filename(a, path, 1 << 16) == ARCHIVE_OK &&
	    archive_read_next_header(a, &e) == ARCHIVE_OK)
		while ((n = archive_read_data(a, chunk, sizeof(chunk))) > 0)
			if (buf_add(b, chunk, (size_t)n) < 0)
				break;
	archive_read_free(a);
	return n == 0 ? 0 : -EIO;
}

/* "kernel/fs/ext4/ext4.ko.xz" is module "ext4"; '-' and '_' are one. */
static bool is_module(const char *path, const char *name)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if ((base[i] == '-' ? '_' : base[i]) !=
		    (name[i] == '-' ? '_' : name[i]))
			return false;
	return bh_startswith(base + n, ".ko");
}

/* Dependencies first: modules.dep lists the nearest first. */
static int collect(const char *deps, const char *const *names, size_t n,
		   struct strv *order)
{
	for (size_t w = 0; w < n; w++) {
		_cleanup_free_ char *copy = strdup(deps);
		char *save = NULL;

		for (char *l = copy ? strtok_r(copy, "\n", &save) : NULL; l;
		     l = strtok_r(NULL, "\n", &save)) {
			_cleanup_strv_ struct strv need = { 0 };
			char *colon = strchr(l, ':');

			if (!colon)
				continue;
			*colon = 0;
			if (!is_module(l, names[w]))
				continue;
			if (strv_split(&need, colon + 1, " ") < 0)
				return -ENOMEM;
			for (size_t i = need.n; i-- > 0;)
				if (!strv_has(order, need.v[i]) &&
				    strv_add(order, need.v[i]) < 0)
					return -ENOMEM;
			if (!strv_has(order, l) && strv_add(order, l) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static int add_modules(struct archive *a, const char *dir)
{
	_cleanup_free_ char *depfile = bh_asprintf("%s/modules.dep", dir);
	_cleanup_free_ char *deps = NULL;
	_cleanup_strv_ struct strv order = { 0 };
	_cleanup_buf_ struct buf list = { 0 }, rest = { 0 };
	size_t n = 0;
	int r = depfile ? bh_read_file(depfile, 16u << 20, &deps, NULL)
			: -ENOMEM;

	if (r >= 0)
		r = collect(deps, wanted, ARRAY_SIZE(wanted), &order);
	n = order.n;
	if (r >= 0)
		r = collect(deps, more, ARRAY_SIZE(more), &order);
	for (size_t i = 0; r >= 0 && i < order.n; i++) {
		_cleanup_free_ char *p = bh_asprintf("%s/%s", dir, order.v[i]);
		_cleanup_free_ char *name = bh_asprintf("lib/%03zu.ko", i);
		_cleanup_buf_ struct buf b = { 0 };

		if (!p || !name)
			return -ENOMEM;
		r = read_module(p, &b);
		if (r >= 0)
			r = add(a, name, AE_IFREG, 0644, b.s, b.n);
		if (r >= 0)
			r = buf_addf(i < n ? &list : &rest, "%03zu.ko\n", i);
	}
	if (r >= 0)
		r = add(a, "modules.more", AE_IFREG, 0644, rest.s ? rest.s : "",
			rest.n);
	if (r >= 0)
		r = add(a, "modules", AE_IFREG, 0644, list.s ? list.s : "",
			list.n);
	return r;
}

static int write_initrd(const char *file, const char *dir, const char *busybox)
{
	static const char *const dirs[] = { "bin",  "lib", "dev",
					    "proc", "sys", "root" };
	struct archive *a = archive_write_new();
	_cleanup_free_ char *bb = NULL;
	size_t n;
	int r = bh_read_file(busybox, 64u << 20, &bb, &n);

	archive_write_set_format_cpio_newc(a);
	archive_write_add_filter_gzip(a);
	archive_write_set_options(a, "gzip:compression-level=1");
	if (r >= 0 && archive_write_open_filename(a, file) != ARCHIVE_OK)
		r = -EIO;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(dirs); i++)
		r = add(a, dirs[i], AE_IFDIR, 0755, NULL, 0);
	if (r >= 0)
		r = add(a, "bin/busybox", AE_IFREG, 0755, bb, n);
	if (r >= 0)
		r = add(a, "init", AE_IFREG, 0755, init_script,
			sizeof(init_script) - 1);
	if (r >= 0)
		r = add_modules(a, dir);
	if (archive_write_close(a) != ARCHIVE_OK && r >= 0)
		r = -EIO;
	archive_write_free(a);
	return r;
}

char *initrd_path(const char *release)
{
	return state_path("initrd/%s.img", release);
}

int initrd_make(const char *release)
{
	_cleanup_free_ char *dir = bh_asprintf("/lib/modules/%s", release);
	_cleanup_free_ char *file = initrd_path(release);
	_cleanup_free_ char *tmp = bh_asprintf("%s.%d", file, (int)getpid());
	_cleanup_free_ char *dep = bh_asprintf("%s/modules.dep", dir);
	_cleanup_free_ char *where = state_path("initrd");
	const char *bb = find_busybox();
	struct stat have, mods;
	int r;

	if (!dir || !file || !tmp || !dep || !where)
		return oom();
	if (stat(dep, &mods) < 0)
		return fail(VMB_MISSING, "no modules of kernel %s in %s",
			    release, dir);
	if (stat(file, &have) < 0 || have.st_mtime < mods.st_mtime) {
		if (!bb)
			return fail(
				VMB_MISSING,
				"to boot guests with the host's kernel a static busybox is needed; install busybox-static, or a Bulkhead domU kernel package");
		r = bh_mkdir_p(where, 0755);
		if (r >= 0)
			r = write_initrd(tmp, dir, bb);
		if (r >= 0 && rename(tmp, file) < 0)
			r = -errno;
		if (r < 0) {
			(void)unlink(tmp);
			return fail(VMB_FAILED, "cannot make %s: %s", file,
				    strerror(-r));
		}
		(void)bh_sync_dir_of(file);
	}
	return 0;
}
