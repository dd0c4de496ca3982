/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What disks and network interfaces have in common: their two directories in
 * the store, and taking them away again.
 */
#include "dev_private.h"

#include <stdio.h>
#include <sys/stat.h>

const char *const
	bh_devkind_names[] = { [BH_DEV_VBD] = "vbd", [BH_DEV_VIF] = "vif" };

int bh_dev_backend(enum bh_devkind k, uint32_t domid, uint32_t devid,
		   char buf[96])
{
	return bh_snprintf(buf, 96, "/local/domain/0/backend/%s/%u/%u",
			   bh_devkind_names[k], domid, devid);
}

int bh_dev_frontend(enum bh_devkind k, uint32_t domid, uint32_t devid,
		    char buf[96])
{
	return bh_snprintf(buf, 96, "/local/domain/%u/device/%s/%u", domid,
			   bh_devkind_names[k], devid);
}

int dev_put(struct bh_xs *xs, bh_xs_tx tx, const char *dir, const char *node,
	    const char *fmt, ...)
{
	_cleanup_free_ char *value = NULL;
	char path[128];
	va_list ap;
	int r = bh_snprintf(path, sizeof(path), "%s/%s", dir, node);

	if (r < 0)
		return r;
	va_start(ap, fmt);
	r = vasprintf(&value, fmt, ap);
	va_end(ap);
	if (r < 0) {
		value = NULL;
		return -ENOMEM;
	}
	return bh_xs_write(xs, tx, path, value);
}

int dev_make(struct bh_xs *xs, bh_xs_tx tx, enum bh_devkind k, uint32_t domid,
	     uint32_t devid, char be[96], char fe[96])
{
	const struct bh_xs_perm fp[] = { { domid, BH_XS_PERM_NONE },
					 { 0, BH_XS_PERM_READ } };
	const struct bh_xs_perm bp[] = { { 0, BH_XS_PERM_NONE },
					 { domid, BH_XS_PERM_READ } };
	int r;

	r = bh_dev_backend(k, domid, devid, be);
	if (r >= 0)
		r = bh_dev_frontend(k, domid, devid, fe);
	if (r < 0)
		return r;
	r = bh_xs_mkdir(xs, tx, fe);
	if (r == 0)
		r = bh_xs_set_perms(xs, tx, fe, fp, 2);
	if (r == 0)
		r = bh_xs_mkdir(xs, tx, be);
	if (r == 0)
		r = bh_xs_set_perms(xs, tx, be, bp, 2);
	if (r == 0)
		r = dev_put(xs, tx, fe, "backend", "%s", be);
	if (r == 0)
		r = dev_put(xs, tx, fe, "backend-id", "0");
	if (r == 0)
		r = dev_put(xs, tx, fe, "state", "1");
	if (r == 0)
		r = dev_put(xs, tx, be, "frontend", "%s", fe);
	if (r == 0)
		r = dev_put(xs, tx, be, "frontend-id", "%u", domid);
	if (r == 0)
		r = dev_put(xs, tx, be, "online", "1");
	if (r == 0)
		r = dev_put(xs, tx, be, "state", "1");
	return r;
}

int bh_dev_list(struct bh_xs *xs, enum bh_devkind k, uint32_t domid,
		uint32_t **ret, size_t *ret_n)
{
	_cleanup_free_ char **names = NULL;
	uint32_t *ids;
	char path[96];
	size_t n, m = 0;
	int r;

	r = bh_snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u",
			bh_devkind_names[k], domid);
	if (r < 0)
		return r;
	r = bh_xs_directory(xs, BH_XS_NONE, path, &names, &n);
	if (r == -ENOENT)
		n = 0;
	else if (r < 0)
		return r;
	ids = calloc(n + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (bh_parse_u32(names[i], &ids[m]) == 0)
			m++;
	*ret = ids;
	*ret_n = m;
	return 0;
}

/*
 * The kernel's device goes away some time after its nodes did; its link under
 * /sys/bus does before the driver has let go of it, its directory after. The
 * driver talks to the store meanwhile with the device locked: were the store
 * stopped now, as at the host's shutdown, the kernel could not power off.
 */
static void wait_gone(enum bh_devkind k, uint32_t domid, uint32_t devid)
{
	char path[128];

	if (bh_snprintf(path, sizeof(path), "/sys/devices/%s-%u-%u",
			bh_devkind_names[k], domid, devid) < 0)
		return;
	for (unsigned int us = 500, n = 0; n < 10000000; n += us) {
		struct stat st;

		if (lstat(path, &st) < 0)
			return;
		us = MIN(us * 2, 50000u);
		usleep(us);
	}
}

static void remove_nodes(struct bh_xs *xs, enum bh_devkind k, uint32_t domid,
			 uint32_t devid)
{
	char path[96];

	/* the frontend first: a backend without one has nobody to wait for */
	if (bh_dev_frontend(k, domid, devid, path) >= 0)
		(void)bh_xs_rm(xs, BH_XS_NONE, path);
	if (bh_dev_backend(k, domid, devid, path) >= 0)
		(void)bh_xs_rm(xs, BH_XS_NONE, path);
}

int bh_dev_remove(struct bh_xs *xs, enum bh_devkind k, uint32_t domid,
		  uint32_t devid, bool force, unsigned int timeout_s,
		  struct bh_err *e)
{
	char be[96], path[112];
	unsigned int state;
	int r;

	r = bh_dev_backend(k, domid, devid, be);
	if (r < 0)
		return r;
	r = bh_xs_exists(xs, BH_XS_NONE, be);
	if (r <= 0)
		return bh_fail(e, r < 0 ? r : -ENODEV, "no such device");
	if (!force) {
		r = bh_snprintf(path, sizeof(path), "%s/online", be);
		if (r >= 0)
			r = bh_xs_write(xs, BH_XS_NONE, path, "0");
		if (r >= 0)
			r = bh_snprintf(path, sizeof(path), "%s/state", be);
		if (r >= 0)
			r = bh_xs_write(xs, BH_XS_NONE, path, "5");
		if (r < 0)
			return bh_fail(e, r, "cannot write to the store: %s",
				       strerror(-r));
		r = bh_store_wait_state(xs, path, 1u << 6, timeout_s, &state);
		if (r < 0)
			return bh_fail(
				e, r,
				"the guest does not release the device "
				"(is it mounted there?); --force removes "
				"it anyway");
	}
	remove_nodes(xs, k, domid, devid);
	wait_gone(k, domid, devid);
	return 0;
}

void bh_dev_remove_all(struct bh_xs *xs, uint32_t domid)
{
	for (int k = BH_DEV_VBD; k <= BH_DEV_VIF; k++) {
		_cleanup_free_ uint32_t *ids = NULL;
		char path[96];
		size_t n = 0;

		if (bh_dev_list(xs, (enum bh_devkind)k, domid, &ids, &n) < 0)
			continue;
		for (size_t i = 0; i < n; i++)
			remove_nodes(xs, (enum bh_devkind)k, domid, ids[i]);
		for (size_t i = 0; i < n; i++)
			wait_gone((enum bh_devkind)k, domid, ids[i]);
		if (bh_snprintf(path, sizeof(path),
				"/local/domain/0/backend/%s/%u",
				bh_devkind_names[k], domid) >= 0)
			(void)bh_xs_rm(xs, BH_XS_NONE, path);
		if (bh_snprintf(path, sizeof(path),
				"/local/domain/0/error/backend/%s/%u",
				bh_devkind_names[k], domid) >= 0)
			(void)bh_xs_rm(xs, BH_XS_NONE, path);
	}
}
