/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See pick.h. Runs inside the sandbox. */
#define _GNU_SOURCE
#include "pick.h"

#include <errno.h>

#include "unpack.h"

#define MAX_KERNEL  (512u << 20)
#define MAX_RAMDISK (1u << 30)

void pick_done(struct pick *p)
{
	free(p->kernel);
	free(p->ramdisk);
	free(p->cmdline);
	free(p->title);
	memset(p, 0, sizeof(*p));
}

/* Menus write paths from the root, from /boot, or through btrfs's "@". */
static int read_any(struct vfs *v, const char *path, size_t max, char **ret,
		    size_t *ret_len)
{
	static const char *const tops[] = { "", "/boot", "/@" };
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
		_cleanup_free_ char *p = bh_asprintf(
			"%s%s%s", tops[i], *path == '/' ? "" : "/", path);
		int e = p ? v->ops->read(v, p, max, ret, ret_len, NULL)
			  : -ENOMEM;

		if (e >= 0)
			return 0;
		if (e != -ENOENT)
			r = e;
	}
	return r;
}

static int load_initrds(struct vfs *v, const struct entry *e, struct pick *p,
			char *why, size_t n)
{
	for (size_t i = 0; i < e->initrd.n; i++) {
		_cleanup_free_ char *part = NULL;
		size_t len, pad;
		char *all;
		int r = read_any(v, e->initrd.v[i], MAX_RAMDISK, &part, &len);

		/* Microcode images are nothing to a guest. */
		if (r == -ENOENT && strstr(e->initrd.v[i], "ucode"))
			continue;
		if (r < 0 || len > MAX_RAMDISK - p->ramdisk_len) {
			snprintf(why, n, "initrd %.100s: %s", e->initrd.v[i],
				 r < 0 ? strerror(-r) : "too large");
			return r < 0 ? r : -EFBIG;
		}
		/* Archives may follow each other on 4-byte boundaries. */
		pad = (4 - p->ramdisk_len % 4) % 4;
		all = realloc(p->ramdisk, p->ramdisk_len + pad + len + 1);
		if (!all)
			return -ENOMEM;
		memset(all + p->ramdisk_len, 0, pad);
		memcpy(all + p->ramdisk_len + pad, part, len);
		p->ramdisk = all;
		p->ramdisk_len += pad + len;
	}
	return 0;
}

static bool has_console(const char *cmdline)
{
	const char *c = cmdline;

	while ((c = strstr(c, "console="))) {
		if (c == cmdline || c[-1] == ' ')
			if (bh_startswith(c, "console=hvc") ||
			    bh_startswith(c, "console=xvc"))
				return true;
		c += 8;
	}
	return false;
}

static int load_entry(struct vfs *v, const struct entry *e, struct pick *p,
		      char *why, size_t n)
{
	_cleanup_free_ char *raw = NULL;
	const char *reason = "";
	size_t len;
	int r = read_any(v, e->kernel, MAX_KERNEL, &raw, &len);

	if (r < 0) {
		snprintf(why, n, "kernel %.100s: %s", e->kernel, strerror(-r));
		return r;
	}
	r = kernel_unpack(raw, len, MAX_KERNEL, &p->kernel, &p->kernel_len,
			  &reason);
	if (r < 0) {
		snprintf(why, n, "kernel %.100s: %s", e->kernel, reason);
		return r;
	}
	r = load_initrds(v, e, p, why, n);
	if (r < 0)
		return r;
	p->cmdline = bh_asprintf(
		"%s%s", e->cmdline ? e->cmdline : "",
		e->cmdline && has_console(e->cmdline) ? "" : " console=hvc0");
	p->title = bh_asprintf("%s (%s)", e->title ? e->title : "?", e->kernel);
	return p->cmdline && p->title ? 0 : -ENOMEM;
}

int pick_from(struct vfs *v, uint64_t ignore_once, bool others,
	      struct pick *ret, char *why, size_t why_size)
{
	struct menu m;
	int r = menu_load(v, ignore_once, &m);

	if (r < 0) {
		snprintf(
			why, why_size,
			"no boot menu (grub.cfg, loader entries, extlinux.conf) found");
		return r;
	}
	memset(ret, 0, sizeof(*ret));
	r = load_entry(v, &m.e[m.chosen], ret, why, why_size);
	if (r >= 0 && m.has_once)
		ret->once = m.once;
	for (size_t i = 0; r < 0 && others && i < m.n; i++) {
		char ignored[256];

		if ((int)i == m.chosen || !m.e[i].kernel)
			continue;
		pick_done(ret);
		r = load_entry(v, &m.e[i], ret, ignored, sizeof(ignored));
	}
	if (r < 0)
		pick_done(ret);
	menu_done(&m);
	return r;
}
