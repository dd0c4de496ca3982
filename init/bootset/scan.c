/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds what the next set is made of: the newest hypervisor, and the newest
 * kernel that can be dom0 (its configuration says CONFIG_XEN_DOM0=y) and has an
 * initrd. Names as Debian (initrd.img-V) and Fedora/EL (initramfs-V.img) use.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <bulkhead/util.h>

#include "bootset.h"

static void tag(char *dst, size_t size, const char *path)
{
	struct stat st;

	dst[0] = '\0';
	if (!stat(path, &st))
		snprintf(dst, size, "%lld-%lld", (long long)st.st_size,
			 (long long)st.st_mtim.tv_sec);
}

static bool can_be_dom0(const char *boot, const char *version)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t len;

	if (no_fit(path, sizeof(path), "%s/config-%s", boot, version) ||
	    bh_read_file(path, 1 << 20, &text, &len))
		return false;
	return strstr(text, "\nCONFIG_XEN_DOM0=y\n") != NULL;
}

static bool find_initrd(const char *boot, const char *version, char *path,
			size_t size)
{
	static const char *const forms[] = { "%s/initrd.img-%s",
					     "%s/initramfs-%s.img" };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		snprintf(path, size, forms[i], boot, version);
		if (!stat(path, &st))
			return true;
	}
	return false;
}

/* Our own dom0 flavour wins over a stock kernel, then the newer version. */
static bool better(const char *a, const char *b)
{
	bool oa = bh_endswith(a, "-bulkhead-dom0");
	bool ob = bh_endswith(b, "-bulkhead-dom0");

	if (!*b)
		return true;
	return oa != ob ? oa : strverscmp(a, b) > 0;
}

static void consider_hypervisor(struct candidate *c, const char *boot,
				const char *name)
{
	const char *v = bh_startswith(name, "bulkhead-");
	size_t len = v ? strlen(v) : 0;
	char version[128];

	if (!v || len < 4 || len >= sizeof(version) || !bh_endswith(v, ".gz"))
		return;
	memcpy(version, v, len - 3);
	version[len - 3] = '\0';
	if (*c->set.hypervisor && strverscmp(version, c->set.hypervisor) <= 0)
		return;
	snprintf(c->set.hypervisor, sizeof(c->set.hypervisor), "%s", version);
	snprintf(c->hv_path, sizeof(c->hv_path), "%s/%s", boot, name);
}

static void consider_kernel(struct candidate *c, const struct settings *s,
			    const char *boot, const char *name)
{
	const char *v = bh_startswith(name, "vmlinuz-");
	char initrd[256];

	if (!v || strlen(v) >= sizeof(c->set.kernel) ||
	    (*s->kernel && !streq(v, s->kernel)) || !can_be_dom0(boot, v) ||
	    !find_initrd(boot, v, initrd, sizeof(initrd)) ||
	    !better(v, c->set.kernel))
		return;
	snprintf(c->set.kernel, sizeof(c->set.kernel), "%s", v);
	snprintf(c->kernel_path, sizeof(c->kernel_path), "%s/%s", boot, name);
	memcpy(c->initrd_path, initrd, sizeof(initrd));
}

int scan_candidate(const struct settings *s, struct candidate *c)
{
	char boot[PATH_MAX];
	struct dirent *e;
	DIR *d;

	memset(c, 0, sizeof(*c));
	d = opendir(root_path(boot, 128, "/boot"));
	if (!d)
		return bh_log_errno(BH_ERR, -errno, "cannot read %s", boot);
	while ((e = readdir(d))) {
		consider_hypervisor(c, boot, e->d_name);
		consider_kernel(c, s, boot, e->d_name);
	}
	closedir(d);
	if (!*c->set.hypervisor) {
		bh_log(BH_NOTICE, "no hypervisor (/boot/bulkhead-*.gz): "
				  "install bulkhead-hypervisor");
		return -ENOENT;
	}
	if (!*c->set.kernel) {
		bh_log(BH_ERR,
		       "no kernel in /boot that can be dom0 "
		       "(CONFIG_XEN_DOM0=y, with an initrd)%s%s: "
		       "install linux-image-amd64",
		       *s->kernel ? ", wanted " : "", s->kernel);
		return -ENOENT;
	}
	tag(c->set.hv_tag, sizeof(c->set.hv_tag), c->hv_path);
	tag(c->set.kernel_tag, sizeof(c->set.kernel_tag), c->kernel_path);
	tag(c->set.initrd_tag, sizeof(c->set.initrd_tag), c->initrd_path);
	memcpy(c->set.hv_options, s->hv_options, sizeof(s->hv_options));
	memcpy(c->set.linux_options, s->linux_options,
	       sizeof(s->linux_options));
	return 0;
}
