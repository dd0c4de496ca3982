/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's configuration as a whole: defaults, what settings demand of each
 * other, and the kernel's command line.
 */
#include "lib/cfg_private.h"

const char *const bh_action_names[] = {
	[BH_ACT_DESTROY] = "destroy",
	[BH_ACT_RESTART] = "restart",
	[BH_ACT_PRESERVE] = "preserve",
	[BH_ACT_COREDUMP_DESTROY] = "coredump-destroy",
	[BH_ACT_COREDUMP_RESTART] = "coredump-restart",
};

int bh_cfg_nomem(struct bh_cfg_ctx *x)
{
	return bh_fail(x->e, -ENOMEM, "%s: out of memory", x->doc->path);
}

int bh_cfg_add_vif(struct bh_cfg_ctx *x, const struct bh_vif *f)
{
	struct bh_guest_cfg *c = x->c;

	if (bh_grow(&c->vifs, &c->a_vifs, c->n_vifs + 1, sizeof(*f)) < 0)
		return bh_cfg_nomem(x);
	c->vifs[c->n_vifs++] = *f;
	return 0;
}

/*
 * root=/dev/sda1 of the 2.6 days names a disk that today's kernels call
 * xvda1, whatever number the host gives it.
 */
static char *modern_root(const struct bh_guest_cfg *c, const char *root)
{
	const char *dev = bh_startswith(root, "/dev/");
	size_t len = dev ? strcspn(dev, " ") : 0;

	for (size_t i = 0; i < c->n_disks && len; i++) {
		const char *v = c->disks[i].vdev;
		size_t base = strcspn(v, "0123456789");

		if (strncmp(dev, v, base) != 0 || base > len)
			continue;
		if (bh_startswith(v, "sd") || bh_startswith(v, "hd"))
			return bh_asprintf("/dev/xvd%s", dev + 2);
	}
	return strdup(root);
}

static int make_cmdline(struct bh_cfg_ctx *x)
{
	_cleanup_free_ char *root = NULL;

	if (x->cmdline) {
		x->c->cmdline = TAKE_PTR(x->cmdline);
	} else {
		if (x->root) {
			root = modern_root(x->c, x->root);
			if (!root)
				return bh_cfg_nomem(x);
		}
		x->c->cmdline = bh_asprintf(
			"%s%s%s%s", root ? "root=" : "", root ? root : "",
			root && x->extra ? " " : "", x->extra ? x->extra : "");
	}
	if (!x->c->cmdline)
		return bh_cfg_nomem(x);
	if (strlen(x->c->cmdline) >= 1024)
		return bh_fail(x->e, -E2BIG,
			       "%s: the kernel command line has %zu bytes, at "
			       "most 1023 are possible",
			       x->doc->path, strlen(x->c->cmdline));
	return 0;
}

static int check_whole(struct bh_cfg_ctx *x, const char *default_name)
{
	struct bh_guest_cfg *c = x->c;
	const char *p = x->doc->path;

	if (!c->name && default_name) {
		c->name = strdup(default_name);
		if (!c->name)
			return bh_cfg_nomem(x);
	}
	if (!c->name)
		return bh_fail(x->e, -EINVAL, "%s: no name = \"...\"", p);
	if (!bh_name_valid(c->name))
		return bh_fail(x->e, -EINVAL,
			       "%s: '%s' cannot be a guest's name", p, c->name);
	if (!c->kernel && !c->bootloader)
		return bh_fail(x->e, -EINVAL,
			       "%s: no kernel = \"/path\" and no bootloader = "
			       "\"bootread\": nothing to boot",
			       p);
	if (c->kernel && c->bootloader) {
		free(c->kernel); /* as with xl, the boot loader decides */
		c->kernel = NULL;
	}
	if (c->bootloader && !c->n_disks)
		return bh_fail(x->e, -EINVAL,
			       "%s: bootloader needs a disk to read", p);
	if (!c->memory_kib)
		c->memory_kib = c->maxmem_kib ? c->maxmem_kib : 128u << 10;
	if (!c->maxmem_kib)
		c->maxmem_kib = c->memory_kib;
	if (c->maxmem_kib < c->memory_kib)
		return bh_fail(x->e, -EINVAL,
			       "%s: maxmem is smaller than memory", p);
	if (!c->vcpus)
		c->vcpus = 1;
	if (!c->maxvcpus)
		c->maxvcpus = c->vcpus;
	if (c->maxvcpus < c->vcpus)
		return bh_fail(x->e, -EINVAL,
			       "%s: maxvcpus is smaller than vcpus", p);
	while (c->n_vifs < x->nics) {
		int r = bh_cfg_add_vif(x, &(struct bh_vif){});

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < c->n_vifs; i++)
		if (!c->vifs[i].mac_given)
			bh_vif_default_mac(c->name, (unsigned int)i,
					   c->vifs[i].mac);
	return make_cmdline(x);
}

int bh_guest_cfg_parse(const char *path, const char *text, size_t len,
		       const char *default_name,
		       void (*warn)(void *arg, const char *text), void *arg,
		       struct bh_guest_cfg **ret, struct bh_err *e)
{
	struct bh_err local = {};
	struct bh_cfg_ctx x = { .e = e ? e : &local };
	struct bh_guest_cfg *c;
	int r;

	r = bh_cfg_doc_parse(path, text, len, &x.doc, x.e);
	if (r < 0)
		return r;
	c = x.c = calloc(1, sizeof(*c));
	if (c)
		c->path = strdup(path);
	if (!c || !c->path) {
		r = bh_cfg_nomem(&x);
		goto out;
	}
	c->on_poweroff = BH_ACT_DESTROY;
	c->on_reboot = BH_ACT_RESTART;
	c->on_crash = BH_ACT_DESTROY;
	c->on_watchdog = BH_ACT_DESTROY;
	c->max_grant_frames = -1;
	c->max_maptrack_frames = -1;
	c->max_evtchn = 1023;
	c->start_timeout = 300;
	c->stop_timeout = 60;
	c->after_timeout = 60;
	c->pin_soft.any = true;
	r = bh_cfg_apply(&x, warn, arg);
	if (r == 0)
		r = check_whole(&x, default_name);
out:
	free(x.root);
	free(x.extra);
	free(x.cmdline);
	bh_cfg_doc_free(x.doc);
	if (r < 0) {
		bh_guest_cfg_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int bh_guest_cfg_load(const char *path, const char *default_name,
		      void (*warn)(void *arg, const char *text), void *arg,
		      struct bh_guest_cfg **ret, struct bh_err *e)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = bh_read_file(path, BH_CFG_MAX_BYTES, &text, &len);
	if (r < 0)
		return bh_fail(e, r, "%s: %s", path, strerror(-r));
	return bh_guest_cfg_parse(path, text, len, default_name, warn, arg, ret,
				  e);
}

void bh_guest_cfg_free(struct bh_guest_cfg *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_disks; i++)
		bh_disk_done(&c->disks[i]);
	for (size_t i = 0; i < c->n_after; i++)
		free(c->after[i]);
	free(c->after);
	free(c->disks);
	free(c->vifs);
	free(c->pin);
	free(c->path);
	free(c->name);
	free(c->kernel);
	free(c->ramdisk);
	free(c->cmdline);
	free(c->bootloader);
	free(c);
}
