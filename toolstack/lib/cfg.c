/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each setting of a guest's configuration means.
 *
 * A table maps each key to the function that checks it. Three kinds of keys
 * are known but not settings of ours: those that only concern emulated
 * hardware (silently fine, as with xl for a PV guest), those that ask for
 * something this host cannot give (refused by name: a guest without the
 * passed-through card it was promised is worse than no guest), and all others
 * (a warning, since it is probably a spelling mistake).
 */
#include <ctype.h>
#include <limits.h>

#include "lib/cfg_private.h"

struct key {
	const char *name;
	int (*set)(struct bh_cfg_ctx *x, const char *key,
		   struct bh_cfg_value *v);
};

static int get_str(struct bh_cfg_ctx *x, const char *key,
		   struct bh_cfg_value *v, const char **ret)
{
	if (v->type != BH_CFG_STRING)
		return ERR(x, v, -EINVAL, "%s: expected a string in quotes",
			   key);
	*ret = v->str;
	return 0;
}

/* xl also takes numbers in quotes. */
static int get_num(struct bh_cfg_ctx *x, const char *key,
		   struct bh_cfg_value *v, int64_t min, int64_t max,
		   int64_t *ret)
{
	int64_t n = v->num;

	if (v->type == BH_CFG_STRING) {
		char *end;

		errno = 0;
		n = strtoll(v->str, &end, 0);
		if (errno || end == v->str || *end)
			return ERR(x, v, -EINVAL, "%s: '%s' is not a number",
				   key, v->str);
	} else if (v->type != BH_CFG_NUMBER) {
		return ERR(x, v, -EINVAL, "%s: expected a number", key);
	}
	if (n < min || n > max)
		return ERR(x, v, -ERANGE,
			   "%s: %lld is out of range, expected %lld to %lld",
			   key, (long long)n, (long long)min, (long long)max);
	*ret = n;
	return 0;
}

static int dup_str(struct bh_cfg_ctx *x, const char *key,
		   struct bh_cfg_value *v, char **to)
{
	const char *s = NULL;
	int r = get_str(x, key, v, &s);

	if (r < 0)
		return r;
	free(*to);
	*to = strdup(s);
	return *to ? 0 : bh_cfg_nomem(x);
}

static int set_name(struct bh_cfg_ctx *x, const char *key,
		    struct bh_cfg_value *v)
{
	int r = dup_str(x, key, v, &x->c->name);

	if (r < 0)
		return r;
	if (!bh_name_valid(x->c->name))
		return ERR(x, v, -EINVAL,
			   "name '%s': expected 1 to %d letters, digits and "
			   "-_. beginning with a letter or digit, not a "
			   "number",
			   x->c->name, BH_NAME_MAX - 1);
	return 0;
}

static int set_uuid(struct bh_cfg_ctx *x, const char *key,
		    struct bh_cfg_value *v)
{
	const char *s = NULL;
	int r = get_str(x, key, v, &s);

	if (r < 0)
		return r;
	if (bh_uuid_parse(s, x->c->uuid) < 0)
		return ERR(x, v, -EINVAL,
			   "uuid '%s': expected the form "
			   "01234567-89ab-cdef-0123-456789abcdef",
			   s);
	x->c->uuid_given = true;
	return 0;
}

static int set_memory(struct bh_cfg_ctx *x, const char *key,
		      struct bh_cfg_value *v)
{
	int64_t mib = 0;
	int r = get_num(x, key, v, 4, 1 << 24, &mib);

	if (r < 0)
		return r;
	if (streq(key, "memory"))
		x->c->memory_kib = (uint64_t)mib << 10;
	else
		x->c->maxmem_kib = (uint64_t)mib << 10;
	return 0;
}

static int set_vcpus(struct bh_cfg_ctx *x, const char *key,
		     struct bh_cfg_value *v)
{
	int64_t n = 0;
	int r = get_num(x, key, v, 1, 512, &n);

	if (r < 0)
		return r;
	if (streq(key, "vcpus"))
		x->c->vcpus = (uint32_t)n;
	else
		x->c->maxvcpus = (uint32_t)n;
	return 0;
}

static int set_path(struct bh_cfg_ctx *x, const char *key,
		    struct bh_cfg_value *v)
{
	char **to = streq(key, "kernel") ? &x->c->kernel : &x->c->ramdisk;
	int r = dup_str(x, key, v, to);

	if (r < 0)
		return r;
	if (**to == '\0') {
		free(*to);
		*to = NULL;
	} else if (**to != '/') {
		return ERR(x, v, -EINVAL, "%s '%s': expected an absolute path",
			   key, *to);
	}
	return 0;
}

static int set_root(struct bh_cfg_ctx *x, const char *key,
		    struct bh_cfg_value *v)
{
	return dup_str(x, key, v, &x->root);
}

static int set_extra(struct bh_cfg_ctx *x, const char *key,
		     struct bh_cfg_value *v)
{
	if (v->type == BH_CFG_NUMBER) {
		free(x->extra);
		x->extra = strdup(v->str);
		return x->extra ? 0 : bh_cfg_nomem(x);
	}
	return dup_str(x, key, v, &x->extra);
}

static int set_cmdline(struct bh_cfg_ctx *x, const char *key,
		       struct bh_cfg_value *v)
{
	return dup_str(x, key, v, &x->cmdline);
}

static int set_bootloader(struct bh_cfg_ctx *x, const char *key,
			  struct bh_cfg_value *v)
{
	const char *base;
	int r = dup_str(x, key, v, &x->c->bootloader);

	if (r < 0)
		return r;
	base = strrchr(x->c->bootloader, '/');
	base = base ? base + 1 : x->c->bootloader;
	/* A pygrub line means: boot what the guest's own disk says. */
	if (!streq(base, "bootread") && !streq(base, "pygrub"))
		return ERR(x, v, -EOPNOTSUPP,
			   "bootloader '%s' is not supported, expected "
			   "\"bootread\" (or \"pygrub\", which means the same "
			   "here)",
			   x->c->bootloader);
	return 0;
}

static int set_action(struct bh_cfg_ctx *x, const char *key,
		      struct bh_cfg_value *v)
{
	struct bh_guest_cfg *c = x->c;
	enum bh_action *to = &c->on_poweroff;
	const char *s = NULL;
	int r = get_str(x, key, v, &s);

	if (r < 0)
		return r;
	if (streq(key, "on_reboot"))
		to = &c->on_reboot;
	else if (streq(key, "on_crash"))
		to = &c->on_crash;
	else if (streq(key, "on_watchdog"))
		to = &c->on_watchdog;
	if (bh_action_parse(s, to == &c->on_crash, to) < 0)
		return ERR(x, v, -EINVAL,
			   "%s '%s': expected destroy, restart, preserve%s",
			   key, s,
			   to == &c->on_crash
				   ? ", coredump-destroy or coredump-restart"
				   : "");
	return 0;
}

static int set_disk(struct bh_cfg_ctx *x, const char *key,
		    struct bh_cfg_value *v)
{
	struct bh_guest_cfg *c = x->c;

	if (v->type != BH_CFG_LIST)
		return ERR(x, v, -EINVAL,
			   "%s: expected a list such as "
			   "[ 'phy:/dev/vg0/web1,xvda,w' ]",
			   key);
	for (size_t i = 0; i < v->n_items; i++) {
		struct bh_cfg_value *it = &v->items[i];
		struct bh_err sub = {};
		struct bh_disk d;
		const char *s = NULL;
		int r = get_str(x, key, it, &s);

		if (r < 0)
			return r;
		r = bh_disk_parse(s, &d, &sub);
		if (r < 0)
			return ERR(x, it, r, "%s", bh_err_text(&sub, r));
		for (size_t k = 0; k < c->n_disks; k++)
			if (c->disks[k].devid == d.devid) {
				bh_disk_done(&d);
				return ERR(x, it, -EEXIST,
					   "disk '%s': %s is already taken by "
					   "%s",
					   s, c->disks[k].vdev,
					   c->disks[k].target);
			}
		r = bh_grow(&c->disks, &c->a_disks, c->n_disks + 1, sizeof(d));
		if (r < 0) {
			bh_disk_done(&d);
			return bh_cfg_nomem(x);
		}
		c->disks[c->n_disks++] = d;
	}
	return 0;
}

static int set_vif(struct bh_cfg_ctx *x, const char *key,
		   struct bh_cfg_value *v)
{
	if (v->type != BH_CFG_LIST)
		return ERR(x, v, -EINVAL,
			   "%s: expected a list such as [ 'bridge=xenbr0' ]",
			   key);
	if (v->n_items > 32)
		return ERR(x, v, -E2BIG, "%s: more than 32 interfaces", key);
	for (size_t i = 0; i < v->n_items; i++) {
		struct bh_cfg_value *it = &v->items[i];
		struct bh_err sub = {};
		struct bh_vif f;
		const char *s = NULL;
		int r = get_str(x, key, it, &s);

		if (r < 0)
			return r;
		r = bh_vif_parse(s, &f, &sub);
		if (r < 0)
			return ERR(x, it, r, "%s", bh_err_text(&sub, r));
		r = bh_cfg_add_vif(x, &f);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_nics(struct bh_cfg_ctx *x, const char *key,
		    struct bh_cfg_value *v)
{
	int64_t n = 0;
	int r = get_num(x, key, v, 0, 32, &n);

	if (r == 0)
		x->nics = (uint32_t)n;
	return r;
}

/* cpus = "0-3,^2", or a list with one entry for each vCPU. */
static int set_cpus(struct bh_cfg_ctx *x, const char *key,
		    struct bh_cfg_value *v)
{
	struct bh_guest_cfg *c = x->c;
	bool soft = streq(key, "cpus_soft");
	size_t n = v->type == BH_CFG_LIST ? v->n_items : 1;
	struct bh_cpumap *maps;

	if (n == 0 || (soft && v->type == BH_CFG_LIST))
		return ERR(x, v, -EINVAL,
			   "%s: expected a string such as \"0-3,^2\"", key);
	maps = calloc(n, sizeof(*maps));
	if (!maps)
		return bh_cfg_nomem(x);
	for (size_t i = 0; i < n; i++) {
		struct bh_cfg_value *it =
			v->type == BH_CFG_LIST ? &v->items[i] : v;

		if (it->type == BH_CFG_LIST ||
		    bh_cpumap_parse(it->str, &maps[i]) < 0) {
			free(maps);
			return ERR(x, it, -EINVAL,
				   "%s '%s': expected processors such as "
				   "\"0-3,^2\" or \"all\"",
				   key, it->str ? it->str : "[...]");
		}
	}
	if (soft) {
		c->pin_soft = maps[0];
		free(maps);
	} else {
		free(c->pin);
		c->pin = maps;
		c->n_pin = n;
	}
	return 0;
}

static int set_u32(struct bh_cfg_ctx *x, const char *key,
		   struct bh_cfg_value *v)
{
	static const struct {
		const char *key;
		size_t off;
		int64_t min, max;
	} tab[] = {
#define F(k, f, lo, hi) { k, offsetof(struct bh_guest_cfg, f), lo, hi }
		F("cpu_weight", weight, 1, 65535),
		F("cap", cap, 0, 65535),
		F("max_grant_frames", max_grant_frames, 1, 65535),
		F("max_maptrack_frames", max_maptrack_frames, 0, 65535),
		F("max_event_channels", max_evtchn, 127, 131071),
		F("rtc_timeoffset", rtc_offset, -86400 * 366, 86400 * 366),
		F("bulkhead_start_timeout", start_timeout, 1, 86400),
		F("bulkhead_stop_timeout", stop_timeout, 1, 86400),
		F("bulkhead_after_timeout", after_timeout, 1, 86400),
#undef F
	};

	for (size_t i = 0; i < ARRAY_SIZE(tab); i++)
		if (streq(tab[i].key, key)) {
			int64_t n = 0;
			int32_t n32;
			int r = get_num(x, key, v, tab[i].min, tab[i].max, &n);

			if (r < 0)
				return r;
			n32 = (int32_t)n;
			memcpy((char *)x->c + tab[i].off, &n32, sizeof(n32));
			return 0;
		}
	return -EINVAL;
}

static int set_after(struct bh_cfg_ctx *x, const char *key,
		     struct bh_cfg_value *v)
{
	struct bh_guest_cfg *c = x->c;
	size_t n = v->type == BH_CFG_LIST ? v->n_items : 1;

	for (size_t i = 0; i < n; i++) {
		struct bh_cfg_value *it =
			v->type == BH_CFG_LIST ? &v->items[i] : v;
		const char *s = NULL;
		int r = get_str(x, key, it, &s);

		if (r < 0)
			return r;
		if (!bh_name_valid(s))
			return ERR(x, it, -EINVAL,
				   "%s '%s': expected a guest's name", key, s);
		if (bh_grow(&c->after, &c->a_after, c->n_after + 1,
			    sizeof(char *)) < 0)
			return bh_cfg_nomem(x);
		c->after[c->n_after] = strdup(s);
		if (!c->after[c->n_after])
			return bh_cfg_nomem(x);
		c->n_after++;
	}
	return 0;
}

static int set_ready(struct bh_cfg_ctx *x, const char *key,
		     struct bh_cfg_value *v)
{
	const char *s = NULL;
	int r = get_str(x, key, v, &s);

	if (r < 0)
		return r;
	if (!streq(s, "started") && !streq(s, "ready"))
		return ERR(x, v, -EINVAL, "%s '%s': expected started or ready",
			   key, s);
	x->c->notify_ready = streq(s, "ready");
	return 0;
}

/* type="pv", builder="linux": the only kind there is so far. */
static int set_type(struct bh_cfg_ctx *x, const char *key,
		    struct bh_cfg_value *v)
{
	const char *s = NULL;
	int r = get_str(x, key, v, &s);

	if (r < 0)
		return r;
	if (streq(s, "pv") || streq(s, "linux") || streq(s, "generic"))
		return 0;
	return ERR(x, v, -EOPNOTSUPP,
		   "%s '%s' is not supported, expected \"pv\"", key, s);
}

static int ignore(struct bh_cfg_ctx *x, const char *key, struct bh_cfg_value *v)
{
	(void)x;
	(void)key;
	(void)v;
	return 0;
}

/* Empty lists and zeros ask for nothing. */
static int refuse(struct bh_cfg_ctx *x, const char *key, struct bh_cfg_value *v)
{
	if ((v->type == BH_CFG_LIST && v->n_items == 0) ||
	    (v->type == BH_CFG_NUMBER && v->num == 0) ||
	    (v->type == BH_CFG_STRING && !*v->str))
		return 0;
	return ERR(x, v, -EOPNOTSUPP,
		   "%s is not supported by this version; remove the line to "
		   "start the guest without it",
		   key);
}

static const struct key keys[] = {
	{ "name", set_name },
	{ "uuid", set_uuid },
	{ "memory", set_memory },
	{ "maxmem", set_memory },
	{ "vcpus", set_vcpus },
	{ "maxvcpus", set_vcpus },
	{ "kernel", set_path },
	{ "ramdisk", set_path },
	{ "root", set_root },
	{ "extra", set_extra },
	{ "cmdline", set_cmdline },
	{ "bootloader", set_bootloader },
	{ "on_poweroff", set_action },
	{ "on_shutdown", set_action },
	{ "on_reboot", set_action },
	{ "on_crash", set_action },
	{ "on_watchdog", set_action },
	{ "disk", set_disk },
	{ "vif", set_vif },
	{ "nics", set_nics },
	{ "cpus", set_cpus },
	{ "cpu", set_cpus },
	{ "cpus_soft", set_cpus },
	{ "cpu_weight", set_u32 },
	{ "cap", set_u32 },
	{ "max_grant_frames", set_u32 },
	{ "max_maptrack_frames", set_u32 },
	{ "max_event_channels", set_u32 },
	{ "rtc_timeoffset", set_u32 },
	{ "bulkhead_after", set_after },
	{ "bulkhead_after_timeout", set_u32 },
	{ "bulkhead_start_timeout", set_u32 },
	{ "bulkhead_stop_timeout", set_u32 },
	{ "bulkhead_ready", set_ready },
	{ "type", set_type },
	{ "builder", set_type },
	/* unsupported: an error, not silence */
	{ "vfb", refuse },
	{ "pci", refuse },
	{ "vtpm", refuse },
	{ "p9", refuse },
	{ "pvcalls", refuse },
	{ "vsnd", refuse },
	{ "vkb", refuse },
	{ "vdispl", refuse },
	{ "channel", refuse },
	{ "usbctrl", refuse },
	{ "usbdev", refuse },
	{ "iomem", refuse },
	{ "ioports", refuse },
	{ "irqs", refuse },
	{ "vnuma", refuse },
	{ "pool", refuse },
	{ "seclabel", refuse },
	{ "init_seclabel", refuse },
	{ "tsc_mode", refuse },
	{ "bootloader_args", refuse },
	{ "dhcp", refuse },
	{ "nfs_server", refuse },
	{ "ip", refuse },
	/* of emulated machines only, or with nothing to choose here */
	{ "acpi", ignore },
	{ "apic", ignore },
	{ "pae", ignore },
	{ "hap", ignore },
	{ "viridian", ignore },
	{ "boot", ignore },
	{ "vnc", ignore },
	{ "sdl", ignore },
	{ "stdvga", ignore },
	{ "serial", ignore },
	{ "usb", ignore },
	{ "usbdevice", ignore },
	{ "keymap", ignore },
	{ "localtime", ignore },
	{ "device_model_version", ignore },
	{ "e820_host", ignore },
	{ "claim_mode", ignore },
	{ "driver_domain", ignore },
	{ "nomigrate", ignore },
	{ "localtime", ignore },
	{ "restart", ignore },
	{ "shadow_memory", ignore },
	{ "max_grant_version", ignore },
	{ "suspend_cancel", ignore },
};

int bh_cfg_apply(struct bh_cfg_ctx *x,
		 void (*warn)(void *arg, const char *text), void *arg)
{
	for (size_t i = 0; i < x->doc->n_entries; i++) {
		struct bh_cfg_entry *en = &x->doc->entries[i];
		size_t k;
		int r;

		for (k = 0; k < ARRAY_SIZE(keys); k++)
			if (streq(keys[k].name, en->key))
				break;
		if (k < ARRAY_SIZE(keys)) {
			r = keys[k].set(x, en->key, &en->value);
			if (r < 0)
				return r;
		} else if (bh_startswith(en->key, "bulkhead_")) {
			return ERR(x, en, -EINVAL,
				   "unknown setting '%s', see "
				   "bulkhead.cfg(5)",
				   en->key);
		} else if (warn) {
			char text[256];

			(void)snprintf(text, sizeof(text),
				       "%s:%u: unknown setting '%s' is "
				       "ignored",
				       x->doc->path, en->line, en->key);
			warn(arg, text);
		}
	}
	return 0;
}
