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

/* What the two kinds are called, and the nodes of them that are shown. */
static const struct devtype {
	const char *what, *list; /* one of them, and all of them in JSON */
	const char *id, *id_title;
	int id_width;
	struct {
		const char *key, *node, *title; /* no title: in JSON only */
		int width;
	} col[5];
} types[] = {
	[BH_DEV_VBD] = { .what = "disk",
			 .list = "disks",
			 .id = "vdev",
			 .id_title = "Vdev",
			 .id_width = 6,
			 .col = { { "dev", "dev", "Name", 8 },
				  { "state", "state", "State", 5 },
				  { "mode", "mode", "Mode", 4 },
				  { "params", "params", "Target", 0 },
				  { "physical-device", "physical-device", NULL,
				    0 } } },
	[BH_DEV_VIF] = { .what = "interface",
			 .list = "interfaces",
			 .id = "index",
			 .id_title = "Idx",
			 .id_width = 3,
			 .col = { { "mac", "mac", "Mac Addr.", 17 },
				  { "state", "state", "state", 5 },
				  { "bridge", "bridge", "bridge", 15 },
				  { "interface", "vifname", "interface",
				    0 } } },
};

/* What its backend does not take leaves nothing behind. */
static int attached(struct ctl *c, enum bh_devkind k, uint32_t id,
		    uint32_t devid, int r, struct bh_err *e)
{
	if (r == 0)
		return 0;
	(void)bh_dev_remove(c->xs, k, id, devid, true, 0, NULL);
	return fail(EX_FAIL, "%s", bh_err_text(e, r));
}

static int detach(struct ctl *c, enum bh_devkind k, uint32_t id, uint32_t devid)
{
	struct bh_err e = {};
	int r = bh_dev_remove(c->xs, k, id, devid, c->force,
			      c->timeout ? c->timeout : 10, &e);

	if (r == -ENODEV)
		return fail(EX_NO_GUEST, "guest %s has no %s %s", c->argv[0],
			    types[k].what, c->argv[1]);
	if (r < 0)
		return fail(r == -ETIMEDOUT ? EX_TIMEOUT : EX_FAIL,
			    "guest %s, %s: %s", c->argv[0], c->argv[1],
			    bh_err_text(&e, r));
	return 0;
}

/* One device as a line, or as an object in arr. */
static void show(struct ctl *c, enum bh_devkind k, uint32_t id, uint32_t devid,
		 struct json_object *arr)
{
	const struct devtype *t = &types[k];
	struct json_object *o = arr ? json_object_new_object() : NULL;
	char be[96], ifname[32];

	if (bh_dev_backend(k, id, devid, be) < 0)
		return;
	if (o)
		json_object_object_add(o, t->id,
				       json_object_new_int((int)devid));
	else
		printf("%-*u", t->id_width, devid);
	for (size_t i = 0; i < ARRAY_SIZE(t->col) && t->col[i].key; i++) {
		_cleanup_free_ char *v = node(c, be, t->col[i].node);
		const char *text = v ? v : "";

		if (!*text && streq(t->col[i].node, "vifname")) {
			(void)snprintf(ifname, sizeof(ifname), "vif%u.%u", id,
				       devid);
			text = ifname;
		}
		if (o)
			json_object_object_add(o, t->col[i].key,
					       json_object_new_string(text));
		else if (t->col[i].title)
			printf(" %-*s", t->col[i].width, text);
	}
	if (o)
		json_object_array_add(arr, o);
	else
		putchar('\n');
}

static int list(struct ctl *c, enum bh_devkind k)
{
	const struct devtype *t = &types[k];
	_cleanup_free_ uint32_t *ids = NULL;
	struct json_object *doc = NULL, *arr = NULL;
	uint32_t id;
	size_t n;
	int r = guest_running(c, &id);

	if (r)
		return r;
	r = bh_dev_list(c->xs, k, id, &ids, &n);
	if (r < 0)
		return fail(EX_FAIL, "cannot read the store: %s", strerror(-r));
	if (c->json) {
		doc = json_doc();
		arr = json_object_new_array();
		json_object_object_add(doc, t->list, arr);
	} else {
		printf("%-*s", t->id_width, t->id_title);
		for (size_t i = 0; i < ARRAY_SIZE(t->col) && t->col[i].title;
		     i++)
			printf(" %-*s", t->col[i].width, t->col[i].title);
		putchar('\n');
	}
	for (size_t i = 0; i < n; i++)
		show(c, k, id, ids[i], arr);
	if (doc)
		print_json(doc);
	return 0;
}

int cmd_block_list(struct ctl *c)
{
	return list(c, BH_DEV_VBD);
}

int cmd_network_list(struct ctl *c)
{
	return list(c, BH_DEV_VIF);
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
	if (r == 0)
		r = bh_vbd_wait(c->xs, id, &d, &e);
	r = attached(c, BH_DEV_VBD, id, d.devid, r, &e);
	bh_close(keep);
out:
	bh_disk_done(&d);
	return r;
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
	if (r == 0)
		r = bh_vif_wait(c->xs, id, devid, &v, c->argv[0], &e);
	return attached(c, BH_DEV_VIF, id, devid, r, &e);
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
