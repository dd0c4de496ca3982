/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network interfaces for the kernel's netback.
 *
 * netback makes the interface vifDOMID.N when its nodes appear and carries no
 * packet before it reads hotplug-status = connected. In between the interface
 * is configured here by rtnetlink: no udev rule, no script, no race.
 */
#include "dev_private.h"

#include <inttypes.h>

#define WAIT_SECONDS 20

struct add {
	uint32_t domid, devid;
	const struct bh_vif *vif;
	const char *bridge;
};

static int bridge_of(const struct bh_vif *v, char buf[16], struct bh_err *e)
{
	int r;

	if (v->bridge[0]) {
		memcpy(buf, v->bridge, 16);
		return 0;
	}
	r = bh_default_bridge(buf);
	if (r < 0)
		return bh_fail(
			e, r,
			"vif: no bridge= given and this host has none "
			"of xenbr0, br0 or virbr0; run bulkhead-setup or "
			"name one");
	return 0;
}

static int add_nodes(struct bh_xs *xs, bh_xs_tx tx, void *arg)
{
	const struct add *a = arg;
	const struct bh_vif *v = a->vif;
	const uint8_t *m = v->mac;
	char be[96], fe[96], mac[18];
	int r;

	r = bh_snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0],
			m[1], m[2], m[3], m[4], m[5]);
	if (r < 0)
		return r;
	r = dev_make(xs, tx, BH_DEV_VIF, a->domid, a->devid, be, fe);
#define W(dir, node, ...)                                            \
	do {                                                         \
		if (r == 0)                                          \
			r = dev_put(xs, tx, dir, node, __VA_ARGS__); \
	} while (0)
	W(fe, "handle", "%u", a->devid);
	W(fe, "mac", "%s", mac);
	if (v->mtu)
		W(fe, "mtu", "%u", v->mtu);
	W(be, "script", "%s", ""); /* netback insists on the node */
	W(be, "mac", "%s", mac);
	W(be, "bridge", "%s", a->bridge);
	W(be, "handle", "%u", a->devid);
	W(be, "type", "vif");
	if (v->ifname[0])
		W(be, "vifname", "%s", v->ifname);
	if (v->ip[0])
		W(be, "ip", "%s", v->ip);
	if (v->mtu)
		W(be, "mtu", "%u", v->mtu);
	if (v->rate_bytes)
		W(be, "rate", "%" PRIu64 ",%u", v->rate_bytes, v->rate_usecs);
#undef W
	return r;
}

int bh_vif_add(struct bh_xs *xs, uint32_t domid, uint32_t devid,
	       const struct bh_vif *vif, struct bh_err *e)
{
	struct add a = { domid, devid, vif, NULL };
	char bridge[16];
	int r = bridge_of(vif, bridge, e);

	if (r < 0)
		return r;
	a.bridge = bridge;
	r = bh_xs_transaction(xs, add_nodes, &a);
	if (r < 0)
		return bh_fail(e, r, "vif %u: cannot write to the store: %s",
			       devid, strerror(-r));
	return 0;
}

int bh_vif_wait(struct bh_xs *xs, uint32_t domid, uint32_t devid,
		const struct bh_vif *vif, const char *guest, struct bh_err *e)
{
	char be[96], path[112], ifname[16], bridge[16], alias[128];
	struct bh_link l = { .ifname = ifname,
			     .bridge = bridge,
			     .alias = alias,
			     .set_backend_mac = true,
			     .up = true };
	unsigned int state = 0;
	int r;

	r = bridge_of(vif, bridge, e);
	if (r < 0)
		return r;
	r = bh_dev_backend(BH_DEV_VIF, domid, devid, be);
	if (r >= 0)
		r = bh_snprintf(path, sizeof(path), "%s/state", be);
	if (r >= 0)
		r = bh_snprintf(ifname, sizeof(ifname), "vif%u.%u", domid,
				devid);
	if (r >= 0)
		r = bh_snprintf(alias, sizeof(alias), "guest %s, vif %u", guest,
				devid);
	if (r >= 0)
		r = bh_store_wait_state(xs, path,
					1u << 2 | 1u << 4 | 1u << 5 | 1u << 6,
					WAIT_SECONDS, &state);
	if (r < 0 || (state != 2 && state != 4))
		return bh_fail(e, r < 0 ? r : -EIO,
			       "vif %u: the network backend %s (is the module "
			       "xen-netback loaded?)",
			       devid, r < 0 ? "does not answer" : "refuses it");
	if (vif->ifname[0])
		l.rename = vif->ifname;
	l.mtu = vif->mtu;
	r = bh_link_configure(&l, e);
	if (r < 0)
		return r;
	if (vif->csum_off) {
		r = bh_link_checksum_off(l.rename ? l.rename : ifname);
		if (r < 0)
			return bh_fail(e, r,
				       "%s: cannot switch checksum offload "
				       "off: %s",
				       ifname, strerror(-r));
	}
	r = dev_put(xs, BH_XS_NONE, be, "hotplug-status", "connected");
	if (r < 0)
		return bh_fail(e, r, "vif %u: cannot write to the store: %s",
			       devid, strerror(-r));
	return 0;
}
