/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks for the kernel's blkback.
 *
 * blkback opens a device by number, so a volume is looked at with stat(2) and
 * a file gets a loop device first. The loop device clears itself when its last
 * user closes it: ours is the first, blkback's the last, and nothing has to be
 * remembered or cleaned up.
 */
#include "dev_private.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define WAIT_SECONDS 20

struct add {
	uint32_t domid;
	const struct bh_disk *disk;
	dev_t dev;      /* what blkback opens */
	struct stat st; /* of the target */
	struct bh_err *e;
};

static int make_loop(const struct bh_disk *d, int file, int *ret_fd,
		     dev_t *ret_dev, struct bh_err *e)
{
	_cleanup_close_ int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config cfg = { .fd = (uint32_t)file };

	if (ctl < 0)
		return bh_fail(e, -errno,
			       "disk %s: /dev/loop-control: %s (is the loop "
			       "module loaded?)",
			       d->target, strerror(errno));
	cfg.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO |
			    (d->readonly ? LO_FLAGS_READ_ONLY : 0);
	(void)snprintf((char *)cfg.info.lo_file_name, LO_NAME_SIZE, "%s",
		       d->target);
	for (unsigned int tries = 0; tries < 64; tries++) {
		_cleanup_close_ int fd = -1;
		struct stat st;
		char path[32];
		int n = ioctl(ctl, LOOP_CTL_GET_FREE);

		if (n < 0 ||
		    bh_snprintf(path, sizeof(path), "/dev/loop%d", n) < 0)
			break;
		fd = open(path, (d->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (fd < 0) {
			usleep(2000); /* udev has yet to make the node */
			continue;
		}
		if (ioctl(fd, LOOP_CONFIGURE, &cfg) < 0) {
			if (errno == EBUSY)
				continue; /* somebody was faster */
			if (cfg.info.lo_flags & LO_FLAGS_DIRECT_IO) {
				cfg.info.lo_flags &= ~LO_FLAGS_DIRECT_IO;
				continue;
			}
			break;
		}
		if (fstat(fd, &st) < 0)
			break;
		*ret_dev = st.st_rdev;
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	return bh_fail(e, -errno, "disk %s: no loop device: %s", d->target,
		       strerror(errno));
}

/* Each use of a file has a loop device of its own, so the file counts. */
static bool is_same(struct bh_xs *xs, const struct add *a, const char *be)
{
	_cleanup_free_ char *other = NULL;
	char want[32];
	struct stat st;

	if (S_ISREG(a->st.st_mode))
		return bh_xs_readf(xs, BH_XS_NONE, &other, "%s/params", be) >=
			       0 &&
		       stat(other, &st) == 0 && st.st_dev == a->st.st_dev &&
		       st.st_ino == a->st.st_ino;
	return bh_snprintf(want, sizeof(want), "%x:%x", major(a->dev),
			   minor(a->dev)) >= 0 &&
	       bh_xs_readf(xs, BH_XS_NONE, &other, "%s/physical-device", be) >=
		       0 &&
	       streq(other, want);
}

/* -EBUSY if a device of another guest (or of this one) excludes ours. */
static int check_other(struct bh_xs *xs, const struct add *a, const char *dom,
		       const char *devid)
{
	_cleanup_free_ char *mode = NULL, *name = NULL;
	const struct bh_disk *d = a->disk;
	uint32_t other, id;
	char be[96];

	if (bh_parse_u32(dom, &other) < 0 || bh_parse_u32(devid, &id) < 0 ||
	    bh_dev_backend(BH_DEV_VBD, other, id, be) < 0 ||
	    !is_same(xs, a, be) ||
	    bh_xs_readf(xs, BH_XS_NONE, &mode, "%s/mode", be) < 0 ||
	    (d->readonly && streq(mode, "r")))
		return 0;
	name = bh_store_domain_name(xs, other);
	return bh_fail(a->e, -EBUSY, "disk %s is already a disk of guest %s%s",
		       d->target, name ? name : dom,
		       other == a->domid ? " itself"
					 : "; shut that one down "
					   "or share it with w!");
}

/* Two guests writing one volume destroy it, so a second writer is refused. */
static int check_shared(struct bh_xs *xs, const struct add *a)
{
	static const char dir[] = "/local/domain/0/backend/vbd";
	_cleanup_free_ char **doms = NULL;
	size_t n = 0;
	int r;

	if (a->disk->force_share)
		return 0;
	r = bh_xs_directory(xs, BH_XS_NONE, dir, &doms, &n);
	if (r < 0 && r != -ENOENT)
		return bh_fail(a->e, r, "cannot read the store: %s",
			       strerror(-r));
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char **ids = NULL;
		char path[96];
		size_t m = 0;

		if (bh_snprintf(path, sizeof(path), "%s/%s", dir, doms[i]) < 0)
			continue;
		r = bh_xs_directory(xs, BH_XS_NONE, path, &ids, &m);
		if (r < 0 && r != -ENOENT)
			return bh_fail(a->e, r, "cannot read the store: %s",
				       strerror(-r));
		for (size_t j = 0; j < m; j++) {
			r = check_other(xs, a, doms[i], ids[j]);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int open_target(const struct bh_disk *d, int *ret_fd, dev_t *ret_dev,
		       struct stat *ret_st, struct bh_err *e)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = open(d->target,
		  (d->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return bh_fail(e, -errno, "disk %s: %s", d->target,
			       strerror(errno));
	if (fstat(fd, &st) < 0)
		return bh_fail(e, -errno, "disk %s: %s", d->target,
			       strerror(errno));
	*ret_st = st;
	if (S_ISBLK(st.st_mode)) {
		_cleanup_close_ int excl = -1;

		if (!d->readonly && !d->force_share) {
			excl = open(d->target, O_RDWR | O_EXCL | O_CLOEXEC);
			if (excl < 0 && errno == EBUSY)
				return bh_fail(
					e, -EBUSY,
					"disk %s is in use here (mounted, "
					"or part of a volume group); "
					"unmount it first",
					d->target);
		}
		*ret_dev = st.st_rdev;
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return bh_fail(e, -EINVAL,
			       "disk %s is neither a block device nor a file",
			       d->target);
	return make_loop(d, fd, ret_fd, ret_dev, e);
}

static int add_nodes(struct bh_xs *xs, bh_xs_tx tx, void *arg)
{
	const struct add *a = arg;
	const struct bh_disk *d = a->disk;
	char be[96], fe[96], id[16], dev[32];
	int r;

	r = bh_snprintf(id, sizeof(id), "%u", d->devid);
	if (r >= 0)
		r = bh_snprintf(dev, sizeof(dev), "%x:%x", major(a->dev),
				minor(a->dev));
	if (r < 0)
		return r;
	r = dev_make(xs, tx, BH_DEV_VBD, a->domid, d->devid, be, fe);
	const struct {
		const char *dir, *node, *value;
	} nodes[] = {
		{ fe, "virtual-device", id },
		{ fe, "device-type", "disk" },
		{ be, "removable", "0" },
		{ be, "bootable", "1" },
		{ be, "dev", d->vdev },
		{ be, "type", "phy" },
		{ be, "mode", d->readonly ? "r" : "w" },
		{ be, "device-type", "disk" },
		{ be, "discard-enable", d->discard ? "1" : "0" },
		{ be, "params", d->target },
		{ be, "physical-device-path", d->target },
		{ be, "physical-device", dev },
		{ be, "hotplug-status", "connected" },
	};
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(nodes); i++)
		r = dev_put(xs, tx, nodes[i].dir, nodes[i].node, "%s",
			    nodes[i].value);
	return r;
}

/*
 * From the look at other guests' disks until ours is among them: of two guests
 * that start at the same time one is the first. (A transaction would do, but
 * with many guests each would start over whenever another was done.)
 */
static int lock_disks(struct bh_err *e)
{
	static const char path[] = "/run/bulkhead/disks.lock";
	_cleanup_close_ int fd = -1;
	int r = bh_mkdir_p("/run/bulkhead", 0755);

	if (r == 0)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (r == 0 && (fd < 0 || flock(fd, LOCK_EX) < 0))
		r = -errno;
	return r < 0 ? bh_fail(e, r, "%s: %s", path, strerror(-r))
		     : TAKE_FD(fd);
}

int bh_vbd_add(struct bh_xs *xs, uint32_t domid, const struct bh_disk *disk,
	       int *ret_keep_fd, struct bh_err *e)
{
	_cleanup_close_ int fd = -1, lock = -1;
	struct add a = { .domid = domid, .disk = disk, .e = e };
	int r;

	r = open_target(disk, &fd, &a.dev, &a.st, e);
	if (r < 0)
		return r;
	lock = lock_disks(e);
	r = lock < 0 ? lock : check_shared(xs, &a);
	if (r < 0)
		return r;
	r = bh_xs_transaction(xs, add_nodes, &a);
	if (r < 0)
		return bh_fail(e, r, "disk %s: cannot write to the store: %s",
			       disk->target, strerror(-r));
	*ret_keep_fd = TAKE_FD(fd);
	return 0;
}

/*
 * The backend reports InitWait before it has looked at the number we gave it.
 * That it has opened the device shows only in sysfs; until then our own
 * descriptor must keep a loop device alive.
 */
static int wait_open(struct bh_xs *xs, uint32_t domid, uint32_t devid,
		     const char *state_path)
{
	uint64_t end = bh_now_us() + WAIT_SECONDS * 1000000ull;
	char path[128];
	unsigned int us = 200;
	int r;

	r = bh_snprintf(
		path, sizeof(path),
		"/sys/bus/xen-backend/devices/vbd-%u-%u/physical_device", domid,
		devid);
	if (r < 0)
		return r;
	while (access(path, F_OK) < 0) {
		uint64_t state;

		if (bh_now_us() > end)
			return -ETIMEDOUT;
		if (us > 2000 &&
		    bh_xs_read_u64(xs, BH_XS_NONE, state_path, &state) == 0 &&
		    (state == 5 || state == 6))
			return -EIO;
		usleep(us);
		us = MIN(us * 2, 20000u);
	}
	return 0;
}

int bh_vbd_wait(struct bh_xs *xs, uint32_t domid, const struct bh_disk *disk,
		struct bh_err *e)
{
	_cleanup_free_ char *why = NULL;
	unsigned int state = 0;
	char be[96], path[112];
	int r;

	r = bh_dev_backend(BH_DEV_VBD, domid, disk->devid, be);
	if (r >= 0)
		r = bh_snprintf(path, sizeof(path), "%s/state", be);
	if (r >= 0)
		r = bh_store_wait_state(xs, path,
					1u << 2 | 1u << 4 | 1u << 5 | 1u << 6,
					WAIT_SECONDS, &state);
	if (r == 0 && (state == 2 || state == 4)) {
		r = wait_open(xs, domid, disk->devid, path);
		if (r == 0)
			return 0;
		if (r == -EIO)
			r = 0; /* refused, like the states below */
	}
	if (bh_xs_readf(xs, BH_XS_NONE, &why,
			"/local/domain/0/error/backend/vbd/%u/%u/error", domid,
			disk->devid) < 0)
		why = NULL;
	return bh_fail(e, r < 0 ? r : -EIO,
		       "disk %s: the block backend %s%s (is the module "
		       "xen-blkback loaded?)",
		       disk->target, r < 0 ? "does not answer" : "refuses it: ",
		       r < 0 ? ""
		       : why ? why
			     : "no reason given");
}
