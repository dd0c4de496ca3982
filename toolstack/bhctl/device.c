/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and interfaces of running guests: adding, taking away, listing.
 *
 * All of it is in the store, so no supervisor is asked; it finds what was
 * added here when it cleans up.
 */
#include "bhctl/bhctl.h"

static char *node(struct ctl *c, const char *be, const char *name)
{
	char *v;

	if (bh_xs_readf(c->xs, BH_XS_NONE, &v, "%s/%s", be, name) < 0)
		return strdup("");
	return v;
}

static int guest_running(struct ctl *c, uint32_t *ret_id)
{
	int r = need_guest(c, c->argv[0], ret_id);

	if (r == 0 && *ret_id == 0)
		r = fail(EX_USAGE_ERR, "Domain-0 has no such devices");
	return r;
}

/* ---- disks ------------------------------------------------------------- */

int cmd_block_attach(struct ctl *c)
{
	struct bh_err e = {};
	struct bh_disk d;
	int keep = -1, r;
	char be[96];
	uint32_t id;

	r = bh_disk_parse(c->argv[1], &d, &e);
	if (r < 0)
		return fail(EX_USAGE_ERR, "%s", bh_err_text(&e, r));
	r = guest_running(c, &id);
	if (r)
		goto out;
	r = bh_dev_backend(BH_DEV_VBD, id, d.devid, be);
	if (r >= 0 && bh_xs_exists(c->xs, BH_XS_NONE, be) == 1) {
		r = fail(EX_STATE, "guest %s already has a disk %s", c->argv[0],
			 d.vdev);
		goto out;
	}
	r = bh_vbd_add(c->xs, id, &d, &keep, &e);
	if (r == 0) {
		r = bh_vbd_wait(c->xs, id, &d, &e);
		if (r < 0)
			(void)bh_dev_remove(c->xs, BH_DEV_VBD, id, d.devid,
					    true, 0, NULL);
	}
	bh_close(keep);
	if (r < 0)
		r = fail(EX_FAIL, "%s", bh_err_text(&e, r));
out:
	bh_disk_done(&d);
	return r;
}

static int detach(struct ctl *c, enum bh_devkind k, uint32_t id, uint32_t devid)
{
	struct bh_err e = {};
	int r = bh_dev_remove(c->xs, k, id, devid, c->force,
			      c->timeout ? c->timeout : 10, &e);

	if (r == -ENODEV)
		return fail(EX_NO_GUEST, "guest %s has no %s %s", c->argv[0],
			    k == BH_DEV_VBD ? "disk" : "interface", c->argv[1]);
	if (r < 0)
		return fail(r == -ETIMEDOUT ? EX_TIMEOUT : EX_FAIL,
			    "guest %s, %s: %s", c->argv[0], c->argv[1],
			    bh_err_text(&e, r));
	return 0;
}

int cmd_block_detach(struct ctl *c)
{
	uint32_t id, devid;
	int r = guest_running(c, &id);

	if (r)
		return r;
	if (bh_vdev_parse(c->argv[1], &devid) < 0)
		return fail(EX_USAGE_ERR,
			    "'%s': expected a disk's name such as xvdb",
			    c->argv[1]);
	return detach(c, BH_DEV_VBD, id, devid);
}

int cmd_block_list(struct ctl *c)
{
	static const char *const cols[] = { "dev", "state", "mode", "params",
					    "physical-device" };
	_cleanup_free_ uint32_t *ids = NULL;
	struct json_object *doc = NULL, *arr = NULL;
	uint32_t id;
	size_t n;
	int r = guest_running(c, &id);

	if (r)
		return r;
	r = bh_dev_list(c->xs, BH_DEV_VBD, id, &ids, &n);
	if (r < 0)
		return fail(EX_FAIL, "cannot read the store: %s", strerror(-r));
	if (c->json) {
		doc = json_doc();
		arr = json_object_new_array();
		json_object_object_add(doc, "disks", arr);
	} else {
		printf("%-6s %-8s %-5s %-4s %s\n", "Vdev", "Name", "State",
		       "Mode", "Target");
	}
	for (size_t i = 0; i < n; i++) {
		char be[96], *v[ARRAY_SIZE(cols)];
		struct json_object *o;

		if (bh_dev_backend(BH_DEV_VBD, id, ids[i], be) < 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(cols); k++)
			v[k] = node(c, be, cols[k]);
		if (arr) {
			o = json_object_new_object();
			json_object_object_add(
				o, "vdev", json_object_new_int((int)ids[i]));
			for (size_t k = 0; k < ARRAY_SIZE(cols); k++)
				json_object_object_add(
					o, cols[k],
					json_object_new_string(v[k] ? v[k]
								    : ""));
			json_object_array_add(arr, o);
		} else {
			printf("%-6u %-8s %-5s %-4s %s\n", ids[i], v[0], v[1],
			       v[2], v[3]);
		}
		for (size_t k = 0; k < ARRAY_SIZE(cols); k++)
			free(v[k]);
	}
	if (doc)
		print_json(doc);
	return 0;
}

/* ---- interfaces -------------------------------------------------------- */

int cmd_network_attach(struct ctl *c)
{
	_cleanup_free_ uint32_t *ids = NULL;
	struct bh_err e = {};
	struct bh_vif v = {};
	uint32_t id, devid = 0;
	size_t n;
	int r;

	if (c->argc > 1) {
		r = bh_vif_parse(c->argv[1], &v, &e);
		if (r < 0)
			return fail(EX_USAGE_ERR, "%s", bh_err_text(&e, r));
	}
	r = guest_running(c, &id);
	if (r)
		return r;
	r = bh_dev_list(c->xs, BH_DEV_VIF, id, &ids, &n);
	if (r < 0)
		return fail(EX_FAIL, "cannot read the store: %s", strerror(-r));
	for (size_t i = 0; i < n; i++)
		devid = MAX(devid, ids[i] + 1);
	if (!v.mac_given)
		bh_vif_default_mac(c->argv[0], devid, v.mac);
	r = bh_vif_add(c->xs, id, devid, &v, &e);
	if (r == 0) {
		r = bh_vif_wait(c->xs, id, devid, &v, c->argv[0], &e);
		if (r < 0)
			(void)bh_dev_remove(c->xs, BH_DEV_VIF, id, devid, true,
					    0, NULL);
	}
	return r < 0 ? fail(EX_FAIL, "%s", bh_err_text(&e, r)) : 0;
}

int cmd_network_detach(struct ctl *c)
{
	_cleanup_free_ uint32_t *ids = NULL;
	uint32_t id, devid;
	size_t n = 0;
	int r = guest_running(c, &id);

	if (r)
		return r;
	if (bh_parse_u32(c->argv[1], &devid) == 0)
		return detach(c, BH_DEV_VIF, id, devid);
	r = bh_dev_list(c->xs, BH_DEV_VIF, id, &ids, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		_cleanup_free_ char *mac = NULL;
		char be[96];

		if (bh_dev_backend(BH_DEV_VIF, id, ids[i], be) < 0)
			continue;
		mac = node(c, be, "mac");
		if (mac && strcasecmp(mac, c->argv[1]) == 0)
			return detach(c, BH_DEV_VIF, id, ids[i]);
	}
	return fail(EX_NO_GUEST, "guest %s has no interface %s", c->argv[0],
		    c->argv[1]);
}

int cmd_network_list(struct ctl *c)
{
	static const char *const cols[] = { "mac", "state", "bridge",
					    "vifname" };
	_cleanup_free_ uint32_t *ids = NULL;
	struct json_object *doc = NULL, *arr = NULL;
	uint32_t id;
	size_t n;
	int r = guest_running(c, &id);

	if (r)
		return r;
	r = bh_dev_list(c->xs, BH_DEV_VIF, id, &ids, &n);
	if (r < 0)
		return fail(EX_FAIL, "cannot read the store: %s", strerror(-r));
	if (c->json) {
		doc = json_doc();
		arr = json_object_new_array();
		json_object_object_add(doc, "interfaces", arr);
	} else {
		printf("%-3s %-17s %-5s %-15s %s\n", "Idx", "Mac Addr.",
		       "state", "bridge", "interface");
	}
	for (size_t i = 0; i < n; i++) {
		char be[96], ifname[32], *v[ARRAY_SIZE(cols)];
		const char *dev;

		if (bh_dev_backend(BH_DEV_VIF, id, ids[i], be) < 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(cols); k++)
			v[k] = node(c, be, cols[k]);
		(void)snprintf(ifname, sizeof(ifname), "vif%u.%u", id, ids[i]);
		dev = v[3] && *v[3] ? v[3] : ifname;
		if (arr) {
			struct json_object *o = json_object_new_object();

			json_object_object_add(
				o, "index", json_object_new_int((int)ids[i]));
			json_object_object_add(o, "interface",
					       json_object_new_string(dev));
			for (size_t k = 0; k < 3; k++)
				json_object_object_add(
					o, cols[k],
					json_object_new_string(v[k] ? v[k]
								    : ""));
			json_object_array_add(arr, o);
		} else {
			printf("%-3u %-17s %-5s %-15s %s\n", ids[i], v[0], v[1],
			       v[2], dev);
		}
		for (size_t k = 0; k < ARRAY_SIZE(cols); k++)
			free(v[k]);
	}
	if (doc)
		print_json(doc);
	return 0;
}
