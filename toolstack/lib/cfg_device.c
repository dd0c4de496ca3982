/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device strings of a guest's configuration: disks and network interfaces.
 *
 * Disks follow xl-disk-configuration(5): positional target, format, vdev and
 * access, or key=value, and the older "phy:" and "file:" prefixes. In those
 * the format is already said, so the vdev follows at once; a second field
 * that is no known format is therefore taken as the vdev. What this host
 * cannot do (qcow2, driver domains, hotplug scripts, emulated CD-ROMs) is
 * refused by name. Virtual device numbers are those of Xen's public
 * documentation (xen-vbd-interface).
 */
#include <ctype.h>

#include "bulkhead/cfg.h"

/* ---- virtual device names ---------------------------------------------- */

static int disk_letters(const char **p, uint32_t *ret)
{
	uint32_t v = 0;
	unsigned int n = 0;

	while (**p >= 'a' && **p <= 'z') {
		if (++n > 3)
			return -EINVAL;
		v = v * 26 + (uint32_t)(**p - 'a') + 1;
		(*p)++;
	}
	if (n == 0)
		return -EINVAL;
	*ret = v - 1;
	return 0;
}

int bh_vdev_parse(const char *vdev, uint32_t *ret_devid)
{
	uint32_t disk, part = 0, id;
	const char *p, *kind;
	int r;

	if (isdigit((unsigned char)*vdev)) {
		uint64_t n;

		r = bh_parse_u64(vdev, 0, 0x1fffffff, &n);
		if (r < 0)
			return r;
		*ret_devid = (uint32_t)n;
		return 0;
	}
	kind = "xvd";
	p = bh_startswith(vdev, "xvd");
	if (!p) {
		kind = "sd";
		p = bh_startswith(vdev, "sd");
	}
	if (!p) {
		kind = "hd";
		p = bh_startswith(vdev, "hd");
	}
	if (!p)
		return -EINVAL;
	r = disk_letters(&p, &disk);
	if (r < 0)
		return r;
	if (*p) {
		if (*p == '0')
			return -EINVAL;
		r = bh_parse_u32(p, &part);
		if (r < 0 || part > 255)
			return -EINVAL;
	}
	if (streq(kind, "xvd") && disk < 16 && part < 16)
		id = 202u << 8 | disk << 4 | part;
	else if (streq(kind, "xvd") && disk < (1u << 20))
		id = 1u << 28 | disk << 8 | part;
	else if (streq(kind, "sd") && disk < 16 && part < 16)
		id = 8u << 8 | disk << 4 | part;
	else if (streq(kind, "hd") && disk < 2 && part < 64)
		id = 3u << 8 | disk << 6 | part;
	else if (streq(kind, "hd") && disk < 4 && part < 64)
		id = 22u << 8 | (disk - 2) << 6 | part;
	else
		return -EINVAL;
	*ret_devid = id;
	return 0;
}

int bh_vdev_format(uint32_t id, char *buf, size_t size)
{
	uint32_t disk, part, n = 0;
	const char *kind = "xvd";
	char letters[8];

	if (id & (1u << 28)) {
		disk = (id >> 8) & 0xfffff;
		part = id & 255;
	} else if (id >> 8 == 202 || id >> 8 == 8) {
		kind = id >> 8 == 8 ? "sd" : "xvd";
		disk = (id >> 4) & 15;
		part = id & 15;
	} else if (id >> 8 == 3 || id >> 8 == 22) {
		kind = "hd";
		disk = ((id >> 6) & 3) + (id >> 8 == 22 ? 2 : 0);
		part = id & 63;
	} else {
		return bh_snprintf(buf, size, "%u", id);
	}
	for (uint32_t v = disk + 1; v; v = (v - 1) / 26)
		letters[n++] = (char)('a' + (v - 1) % 26);
	for (uint32_t i = 0; i < n / 2; i++) {
		char c = letters[i];

		letters[i] = letters[n - 1 - i];
		letters[n - 1 - i] = c;
	}
	letters[n] = '\0';
	if (part)
		return bh_snprintf(buf, size, "%s%s%u", kind, letters, part);
	return bh_snprintf(buf, size, "%s%s", kind, letters);
}

/* ---- disks ------------------------------------------------------------- */

void bh_disk_done(struct bh_disk *d)
{
	free(d->target);
	*d = (struct bh_disk){};
}

static bool is_format(const char *s)
{
	return !*s || streq(s, "raw") || streq(s, "qcow") ||
	       streq(s, "qcow2") || streq(s, "vhd") || streq(s, "qed");
}

static int set_format(const char *s, struct bh_err *e)
{
	if (!*s || streq(s, "raw"))
		return 0;
	return bh_fail(e, -EOPNOTSUPP,
		       "disk format '%s' is not supported, expected raw "
		       "(convert the image with qemu-img convert -O raw)",
		       s);
}

static int set_access(struct bh_disk *d, const char *s, struct bh_err *e)
{
	if (streq(s, "r") || streq(s, "ro"))
		d->readonly = true;
	else if (streq(s, "w") || streq(s, "rw"))
		d->readonly = false;
	else if (streq(s, "w!") || streq(s, "rw!"))
		d->force_share = true;
	else
		return bh_fail(e, -EINVAL, "disk access '%s': expected r or w",
			       s);
	return 0;
}

static int set_vdev(struct bh_disk *d, const char *s, struct bh_err *e)
{
	const char *colon = strchr(s, ':');

	if (colon)
		return bh_fail(e, -EOPNOTSUPP,
			       "disk '%s': emulated CD-ROMs are not supported, "
			       "expected a name such as xvda",
			       s);
	if (strlen(s) >= BH_VDEV_MAX || bh_vdev_parse(s, &d->devid) < 0)
		return bh_fail(e, -EINVAL,
			       "disk name '%s': expected a name such as xvda, "
			       "xvdb2 or sda1",
			       s);
	memcpy(d->vdev, s, strlen(s) + 1);
	return 0;
}

static int set_target(struct bh_disk *d, const char *s, struct bh_err *e)
{
	if (!*s)
		return bh_fail(e, -EINVAL,
			       "disk without a target: expected a device or "
			       "a file");
	free(d->target);
	d->target =
		*s == '/' ? strdup(s)
			  : bh_asprintf("%s%s", d->is_file ? "/" : "/dev/", s);
	return d->target ? 0 : bh_fail(e, -ENOMEM, "out of memory");
}

static int disk_keyword(struct bh_disk *d, const char *key, const char *val,
			struct bh_err *e)
{
	if (streq(key, "target"))
		return set_target(d, val, e);
	if (streq(key, "format"))
		return set_format(val, e);
	if (streq(key, "vdev"))
		return set_vdev(d, val, e);
	if (streq(key, "access"))
		return set_access(d, val, e);
	if (streq(key, "backendtype")) {
		if (streq(val, "phy"))
			return 0;
		return bh_fail(e, -EOPNOTSUPP,
			       "disk backendtype '%s' is not supported, "
			       "expected phy",
			       val);
	}
	if (streq(key, "devtype") && streq(val, "disk"))
		return 0;
	return bh_fail(e, -EOPNOTSUPP,
		       "disk setting '%s=%s' is not supported, expected "
		       "target=, format=, vdev=, access= or discard",
		       key, val);
}

/* Strips the old prefixes; returns the target behind them. */
static int strip_prefix(struct bh_disk *d, const char **s, bool *had,
			struct bh_err *e)
{
	static const char *const refused[] = {
		"tap:",   "tap2:",   "aio:",   "vhd:", "qcow:",
		"qcow2:", "script:", "iscsi:", "nbd:", "drbd:"
	};
	const char *p;

	*had = true;
	p = bh_startswith(*s, "phy:");
	if (p) {
		*s = p;
		return 0;
	}
	p = bh_startswith(*s, "file:");
	if (p) {
		d->is_file = true;
		*s = p;
		return 0;
	}
	p = bh_startswith(*s, "raw:");
	if (p) {
		*s = p;
		return 0;
	}
	*had = false;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (bh_startswith(*s, refused[i]))
			return bh_fail(e, -EOPNOTSUPP,
				       "disk '%s': expected phy:DEVICE or "
				       "file:FILE; '%s' is not supported",
				       *s, refused[i]);
	return 0;
}

static int disk_positional(struct bh_disk *d, unsigned int *pos, char *f,
			   struct bh_err *e)
{
	const char *t = f;
	bool prefixed;
	int r;

	switch ((*pos)++) {
	case 0:
		r = strip_prefix(d, &t, &prefixed, e);
		if (r < 0)
			return r;
		if (prefixed)
			(*pos)++; /* the format is said */
		return *t ? set_target(d, t, e) : 0;
	case 1:
		if (is_format(f))
			return set_format(f, e);
		(*pos)++;
		return set_vdev(d, f, e);
	case 2:
		return *f ? set_vdev(d, f, e) : 0;
	case 3:
		return *f ? set_access(d, f, e) : 0;
	default:
		return bh_fail(e, -EINVAL,
			       "disk: unexpected '%s' after the access mode",
			       f);
	}
}

int bh_disk_parse(const char *spec, struct bh_disk *ret, struct bh_err *e)
{
	_cleanup_free_ char *text = strdup(spec);
	struct bh_disk d = {};
	unsigned int pos = 0;
	char *rest = text, *f;
	int r = 0;

	if (!text)
		return bh_fail(e, -ENOMEM, "out of memory");
	while (r == 0 && (f = strsep(&rest, ",")) != NULL) {
		char *eq;

		f = bh_strip(f);
		eq = strchr(f, '=');
		if (eq && f[0] != '/' && !strchr(f, ':')) {
			*eq = '\0';
			/* target= takes all that is left, as documented */
			if (streq(f, "target") && rest) {
				rest[-1] = ',';
				rest = NULL;
			}
			r = disk_keyword(&d, bh_strip(f), bh_strip(eq + 1), e);
		} else if (streq(f, "discard") || streq(f, "no-discard")) {
			d.discard = f[0] == 'd';
		} else if (streq(f, "cdrom")) {
			r = bh_fail(e, -EOPNOTSUPP,
				    "disk '%s': CD-ROMs are not supported",
				    spec);
		} else {
			r = disk_positional(&d, &pos, f, e);
		}
	}
	if (r == 0 && (!d.target || !*d.target))
		r = bh_fail(e, -EINVAL,
			    "disk '%s': no target, expected e.g. "
			    "phy:/dev/vg0/web1,xvda,w",
			    spec);
	if (r == 0 && !d.vdev[0])
		r = bh_fail(e, -EINVAL,
			    "disk '%s': no device name, expected e.g. "
			    "phy:/dev/vg0/web1,xvda,w",
			    spec);
	if (r < 0) {
		bh_disk_done(&d);
		return r;
	}
	*ret = d;
	return 0;
}

/* ---- network interfaces ------------------------------------------------ */

void bh_vif_default_mac(const char *guest, unsigned int idx, uint8_t mac[6])
{
	uint64_t h = 0xcbf29ce484222325u;

	/* FNV-1a: stable over restarts, different for each guest and index */
	for (const char *p = guest; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3u;
	h = (h ^ (idx + 1)) * 0x100000001b3u;
	h ^= h >> 32;
	mac[0] = 0x00;
	mac[1] = 0x16;
	mac[2] = 0x3e;
	mac[3] = (uint8_t)(h >> 16) & 0x7f;
	mac[4] = (uint8_t)(h >> 8);
	mac[5] = (uint8_t)h;
}

static int parse_mac(const char *s, uint8_t mac[6])
{
	unsigned int b[6];
	int n = 0;

	if (strlen(s) != 17 ||
	    sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3],
		   &b[4], &b[5], &n) != 6 ||
	    n != 17 || (b[0] & 1))
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	return 0;
}

/* "10Mb/s", "500KB/s@20ms": bytes an interval and its length. */
static int parse_rate(const char *s, struct bh_vif *v)
{
	unsigned long long n, us = 50000;
	double bytes;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || n == 0 || n > (1ull << 40))
		return -EINVAL;
	bytes = (double)n;
	if (*end == 'G')
		bytes *= 1e9;
	else if (*end == 'M')
		bytes *= 1e6;
	else if (*end == 'K' || *end == 'k')
		bytes *= 1e3;
	if (isalpha((unsigned char)*end) && *end != 'b' && *end != 'B')
		end++;
	if (*end == 'b')
		bytes /= 8;
	else if (*end != 'B')
		return -EINVAL;
	end++;
	if (end[0] == '/' && end[1] == 's')
		end += 2;
	else if (end[0] == 'p' && end[1] == 's')
		end += 2;
	else
		return -EINVAL;
	if (*end == '@') {
		us = strtoull(end + 1, &end, 10);
		if (us == 0 || us > 10000000)
			return -EINVAL;
		if (streq(end, "ms"))
			us *= 1000;
		else if (streq(end, "s"))
			us *= 1000000;
		else if (!streq(end, "us"))
			return -EINVAL;
		if (us > 10000000)
			return -EINVAL;
	} else if (*end) {
		return -EINVAL;
	}
	bytes = bytes * (double)us / 1e6;
	if (bytes < 1 || bytes > 4294967295.0)
		return -EINVAL;
	v->rate_bytes = (uint64_t)bytes;
	v->rate_usecs = (uint32_t)us;
	return 0;
}

static bool ifname_valid(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > 15 || streq(s, ".") || streq(s, ".."))
		return false;
	for (; *s; s++)
		if (!isgraph((unsigned char)*s) || *s == '/' || *s == ':')
			return false;
	return true;
}

static int set_ifname(char to[16], const char *what, const char *val,
		      struct bh_err *e)
{
	if (!ifname_valid(val))
		return bh_fail(e, -EINVAL,
			       "vif %s '%s': expected an interface name of at "
			       "most 15 characters",
			       what, val);
	memcpy(to, val, strlen(val) + 1);
	return 0;
}

static int vif_keyword(struct bh_vif *v, const char *key, const char *val,
		       struct bh_err *e)
{
	uint32_t n;

	if (streq(key, "mac")) {
		if (parse_mac(val, v->mac) < 0)
			return bh_fail(e, -EINVAL,
				       "vif mac '%s': expected six unicast "
				       "bytes such as 00:16:3e:01:02:03",
				       val);
		v->mac_given = true;
		return 0;
	}
	if (streq(key, "bridge"))
		return set_ifname(v->bridge, key, val, e);
	if (streq(key, "vifname"))
		return set_ifname(v->ifname, key, val, e);
	if (streq(key, "ip")) {
		if (strlen(val) >= sizeof(v->ip))
			return bh_fail(e, -EINVAL, "vif ip is too long");
		memcpy(v->ip, val, strlen(val) + 1);
		return 0;
	}
	if (streq(key, "rate")) {
		if (parse_rate(val, v) < 0)
			return bh_fail(e, -EINVAL,
				       "vif rate '%s': expected e.g. 10Mb/s "
				       "or 1MB/s@20ms",
				       val);
		return 0;
	}
	if (streq(key, "mtu")) {
		if (bh_parse_u32(val, &n) < 0 || n < 68 || n > 65521)
			return bh_fail(e, -EINVAL,
				       "vif mtu '%s': expected 68 to 65521",
				       val);
		v->mtu = n;
		return 0;
	}
	if (streq(key, "csum")) {
		if (!streq(val, "on") && !streq(val, "off"))
			return bh_fail(e, -EINVAL,
				       "vif csum '%s': expected on or off",
				       val);
		v->csum_off = streq(val, "off");
		return 0;
	}
	if (streq(key, "type") && (streq(val, "vif") || streq(val, "netfront")))
		return 0;
	if (streq(key, "script") &&
	    (bh_endswith(val, "vif-bridge") || streq(val, "")))
		return 0;
	if (streq(key, "model") || streq(key, "devid"))
		return 0; /* of emulated cards only */
	return bh_fail(e, -EOPNOTSUPP,
		       "vif setting '%s=%s' is not supported, expected mac=, "
		       "bridge=, vifname=, ip=, rate=, mtu= or csum=",
		       key, val);
}

int bh_vif_parse(const char *spec, struct bh_vif *ret, struct bh_err *e)
{
	_cleanup_free_ char *text = strdup(spec);
	struct bh_vif v = {};
	char *rest = text, *f;

	if (!text)
		return bh_fail(e, -ENOMEM, "out of memory");
	while ((f = strsep(&rest, ",")) != NULL) {
		char *eq;
		int r;

		f = bh_strip(f);
		if (!*f)
			continue;
		eq = strchr(f, '=');
		if (!eq)
			return bh_fail(e, -EINVAL,
				       "vif '%s': expected key=value, such as "
				       "bridge=xenbr0",
				       f);
		*eq = '\0';
		r = vif_keyword(&v, bh_strip(f), bh_strip(eq + 1), e);
		if (r < 0)
			return r;
	}
	*ret = v;
	return 0;
}
