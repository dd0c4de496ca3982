/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See guestfs.h. Everything here runs, or is run, in ns_run()'s child. */
#define _GNU_SOURCE
#include "guestfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <bulkhead/run.h>

#include "fs.h"
#include "ns.h"
#include "util.h"

#define EXT4_RESIZE _IOW('f', 16, uint64_t)

static int host_root = -1;

const char *guestfs_mnt(void)
{
	return "/run/bulkhead/mnt";
}

int guestfs_mount(const char *dev, const char *type, bool ro, bool untrusted)
{
	unsigned long flags =
		MS_NOATIME | (ro ? MS_RDONLY : 0) |
		(untrusted ? MS_NODEV | MS_NOSUID | MS_NOEXEC : 0);
	const char *opts = bh_startswith(type, "ext") ? "noinit_itable" : "";

	if (streq(type, "xfs"))
		opts = ro ? "nouuid,norecovery" : "nouuid";
	if (bh_mkdir_p(guestfs_mnt(), 0700) < 0)
		return fail(VMB_FAILED, "cannot make %s: %m", guestfs_mnt());
	if (mount(dev, guestfs_mnt(), type, flags, opts) < 0)
		return fail(VMB_FAILED, "cannot mount %s (%s): %m", dev, type);
	return 0;
}

int guestfs_umount(void)
{
	/* Inner mounts of a chroot go first; the last unmount must be real. */
	static const char *const inner[] = { "dev/pts", "dev/shm", "dev",
					     "proc",    "sys",     "run" };

	for (size_t i = 0; i < ARRAY_SIZE(inner); i++) {
		_cleanup_free_ char *p =
			bh_asprintf("%s/%s", guestfs_mnt(), inner[i]);

		if (p)
			(void)umount2(p, MNT_DETACH | UMOUNT_NOFOLLOW);
	}
	for (int i = 0; umount2(guestfs_mnt(), UMOUNT_NOFOLLOW) < 0; i++) {
		if (errno != EBUSY || i >= 50)
			return fail(VMB_FAILED, "cannot unmount %s: %m",
				    guestfs_mnt());
		usleep(100000);
	}
	return 0;
}

int guestfs_enter(void)
{
	host_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (host_root < 0 || chroot(guestfs_mnt()) < 0 || chdir("/") < 0)
		return fail(VMB_FAILED, "cannot enter %s: %m", guestfs_mnt());
	return 0;
}

int guestfs_leave(void)
{
	if (fchdir(host_root) < 0 || chroot(".") < 0)
		return fail(VMB_FAILED, "cannot return from chroot: %m");
	close(host_root);
	host_root = -1;
	return 0;
}

int guestfs_shell(const char *command, void (*line)(const char *, void *),
		  void *arg)
{
	const char *av[] = { "chroot", guestfs_mnt(), "/bin/sh",
			     "-c",     command,       NULL };

	return line ? bh_run_lines(av, BH_RUN_TIED, line, arg)
		    : bh_run(av, BH_RUN_TIED, NULL, NULL);
}

/* The kernel's ext4 zeroes inode tables in the background of a mount unless
 * told not to; told so, it zeroes those of new groups at once, 16 MiB and more
 * for each GiB. So it may while growing, and may not before and after. */
static int lazy_tables(bool on)
{
	struct statvfs sv;
	unsigned long flags = MS_REMOUNT | MS_NOATIME;

	if (statvfs(guestfs_mnt(), &sv) < 0)
		return -1;
	flags |= sv.f_flag & ST_NODEV ? MS_NODEV | MS_NOSUID | MS_NOEXEC : 0;
	return mount(NULL, guestfs_mnt(), NULL, flags,
		     on ? "init_itable" : "noinit_itable");
}

static int grow_ext(const char *dev)
{
	_cleanup_close_ int fd = open(guestfs_mnt(), O_RDONLY | O_CLOEXEC);
	struct statvfs sv;
	uint64_t size, blocks, have;
	int r;

	if (fd < 0 || fstatvfs(fd, &sv) < 0)
		return fail(VMB_FAILED, "cannot open %s: %m", guestfs_mnt());
	if (fs_device_size(dev, &size) < 0 || fs_length(dev, &have) < 0)
		return -VMB_FAILED;
	blocks = size / sv.f_bsize;
	if (have >= blocks * sv.f_bsize)
		return 0;
	r = lazy_tables(true) < 0 || ioctl(fd, EXT4_RESIZE, &blocks) < 0 ||
	    lazy_tables(false) < 0;
	return r ? fail(VMB_FAILED,
			"cannot grow the file system on %s to %s: %m", dev,
			fmt_size(size))
		 : 0;
}

static int grow_mounted(const char *dev, const char *type)
{
	const char *xfs[] = { "xfs_growfs", guestfs_mnt(), NULL };
	const char *btr[] = { "btrfs", "filesystem",  "resize",
			      "max",   guestfs_mnt(), NULL };
	int rc;

	if (bh_startswith(type, "ext"))
		return grow_ext(dev);
	rc = bh_run(streq(type, "xfs") ? xfs : btr, BH_RUN_TIED | BH_RUN_QUIET,
		    NULL, NULL);
	return rc ? fail(VMB_FAILED, "cannot grow the %s file system on %s",
			 type, dev)
		  : 0;
}

static int grow_fn(void *arg)
{
	const char *dev = arg;
	_cleanup_free_ char *type = NULL;
	int r = fs_probe(dev, &type, NULL);

	if (r < 0)
		return r;
	/* The guest's own choice: the volume has grown, the rest is its own. */
	if (!fs_is_known(type))
		return 0;
	r = guestfs_mount(dev, type, false, true);
	if (r < 0)
		return r;
	r = grow_mounted(dev, type);
	return guestfs_umount() < 0 ? -VMB_FAILED : r;
}

int guestfs_grow(const char *dev)
{
	_cleanup_free_ char *type = NULL;

	if (fs_probe(dev, &type, NULL) < 0)
		return -VMB_FAILED;
	if (!fs_is_known(type))
		return 0;
	if (fs_repair(dev, type) < 0)
		return -VMB_FAILED;
	return ns_run(grow_fn, (void *)(uintptr_t)dev);
}

static int settle_fn(void *arg)
{
	const char *dev = arg;
	int r = guestfs_mount(dev, "xfs", false, true);

	return r < 0 ? r : guestfs_umount();
}

int guestfs_settle(const char *dev, const char *type)
{
	/* Its tools refuse a log with something in it; mounting replays it. */
	if (streq(type, "xfs"))
		return ns_run(settle_fn, (void *)(uintptr_t)dev);
	return fs_repair(dev, type);
}

static int run_roles(const struct strv *roles)
{
	for (size_t i = 0; roles && i < roles->n; i++) {
		const char *av[] = { roles->v[i], guestfs_mnt(), NULL };
		int rc = bh_run(av, BH_RUN_TIED, NULL, NULL);

		if (rc)
			return fail(VMB_FAILED, "role %s failed (exit code %d)",
				    roles->v[i], rc);
	}
	return 0;
}

static int run_scripts(const struct strv *scripts)
{
	int r;

	if (!scripts || !scripts->n)
		return 0;
	r = chroot_prepare(guestfs_mnt());
	for (size_t i = 0; r >= 0 && i < scripts->n; i++) {
		_cleanup_free_ char *dst =
			bh_asprintf("%s/dev/.hook", guestfs_mnt());
		_cleanup_free_ char *text = NULL;
		size_t n;
		int rc;

		if (!dst ||
		    bh_read_file(scripts->v[i], 64u << 20, &text, &n) < 0 ||
		    bh_fill_file(dst, text, n, 0700) < 0)
			return fail(VMB_FAILED, "cannot copy script %s: %m",
				    scripts->v[i]);
		rc = guestfs_shell("exec /dev/.hook", NULL, NULL);
		if (rc)
			return fail(
				VMB_FAILED,
				"script %s failed in the guest (exit code %d)",
				scripts->v[i], rc);
	}
	return r;
}

static int customize_fn(void *arg)
{
	const struct guestfs_job *job = arg;
	bool trusted = job->roles || job->scripts;
	struct hostkeys keys = { 0 };
	int r;

	r = guestfs_mount(job->dev, job->type, false, !trusted);
	if (r < 0)
		return r;
	if (job->grow)
		r = grow_mounted(job->dev, job->type);
	if (r >= 0 && job->id) {
		if (!job->id->mounts_only)
			r = hostkeys_make(&keys, guestfs_mnt());
		if (r >= 0)
			r = guestfs_enter();
		if (r >= 0) {
			r = identity_apply(job->id, &keys);
			if (guestfs_leave() < 0)
				r = -VMB_FAILED;
		}
		hostkeys_done(&keys);
	}
	if (r >= 0)
		r = run_roles(job->roles);
	if (r >= 0)
		r = run_scripts(job->scripts);
	return guestfs_umount() < 0 ? -VMB_FAILED : r;
}

int guestfs_customize(const struct guestfs_job *job)
{
	uint64_t had = 0;
	int r = 0;

	if (job->blank)
		r = fs_length(job->dev, &had);
	if (r >= 0)
		r = ns_run(customize_fn, (void *)(uintptr_t)job);
	if (r >= 0 && job->blank && bh_startswith(job->type, "ext"))
		r = fs_blank_tables(job->dev, had);
	return r;
}
