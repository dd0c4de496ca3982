/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the administrator made of a guest's configuration. From the moment the
 * .cfg is written it is the truth about memory, processors, interfaces and all
 * else that is not on the disk; what copies or shows a guest reads it here, with
 * the toolstack's own parser, over what the state file says. Settings that mean
 * nothing to vm-bootstrap are kept as text, for the copy's configuration.
 */
#define _GNU_SOURCE
#include <bulkhead/cfg.h>
#include <ctype.h>
#include <strings.h>

#include "guest.h"

#define ROOT_ARGS "/dev/xvda rw"

int guest_cfg_quote(struct buf *b, const char *text)
{
	int r = buf_add(b, "\"", 1);

	for (const char *p = text; r >= 0 && *p; p++)
		r = *p == '"' || *p == '\\' ? buf_addf(b, "\\%c", *p)
		    : iscntrl((unsigned char)*p)
			    ? buf_addf(b, "\\%03o", (unsigned char)*p)
			    : buf_add(b, p, 1);
	return r < 0 ? r : buf_add(b, "\"", 1);
}

/* The syntax nests a few levels deep at most, see cfg.h. */
static int add_value(struct buf *b, const struct bh_cfg_value *v)
{
	int r;

	if (v->type == BH_CFG_STRING)
		return guest_cfg_quote(b, v->str);
	if (v->type == BH_CFG_NUMBER)
		return buf_addf(b, "%s", v->str);
	r = buf_addf(b, "[ ");
	for (size_t i = 0; r >= 0 && i < v->n_items; i++) {
		r = i ? buf_addf(b, ", ") : 0;
		if (r >= 0)
			r = add_value(b, &v->items[i]);
	}
	return r < 0 ? r : buf_addf(b, " ]");
}

/* Those that a copy has its own of, or that struct guest holds. */
static bool is_ours(const struct bh_cfg_entry *e)
{
	static const char *const keys[] = { "name",      "uuid",   "memory",
					    "vcpus",     "kernel", "ramdisk",
					    "extra",     "disk",   "vif",
					    "bootloader" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (streq(e->key, keys[i]))
			return true;
	return streq(e->key, "root") && e->value.type == BH_CFG_STRING &&
	       streq(e->value.str, ROOT_ARGS);
}

static int take_rest(const struct bh_cfg_doc *d, struct guest *g)
{
	_cleanup_buf_ struct buf b = { 0 };
	int r = buf_add(&b, "", 0);

	for (size_t i = 0; r >= 0 && i < d->n_entries; i++) {
		if (is_ours(&d->entries[i]))
			continue;
		r = buf_addf(&b, "%s = ", d->entries[i].key);
		if (r >= 0)
			r = add_value(&b, &d->entries[i].value);
		if (r >= 0)
			r = buf_add(&b, "\n", 1);
	}
	if (r < 0)
		return oom();
	free(g->more);
	g->more = b.s ? TAKE_PTR(b.s) : strdup("");
	return g->more ? 0 : oom();
}

/* A setting of an interface that another one can have just the same. */
static bool is_common(const char *part)
{
	static const char *const own[] = { "mac", "bridge", "vifname", "ip" };
	size_t n = strcspn(part, "= ");

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (strlen(own[i]) == n && !strncmp(part, own[i], n))
			return false;
	return true;
}

static int take_vif(struct guest *old, const char *spec, unsigned int idx,
		    struct nic *n)
{
	_cleanup_free_ char *copy = strdup(spec);
	_cleanup_buf_ struct buf more = { 0 };
	struct bh_err e = { 0 };
	struct bh_vif v = { 0 };
	char mac[18], *save = NULL;

	if (!copy)
		return oom();
	if (bh_vif_parse(spec, &v, &e) < 0)
		return fail(VMB_FAILED, "%s", bh_err_text(&e, e.code));
	if (!v.mac_given)
		bh_vif_default_mac(old->name, idx, v.mac);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", v.mac[0],
		 v.mac[1], v.mac[2], v.mac[3], v.mac[4], v.mac[5]);
	/* What was told the guest about this one: addresses, VLAN. */
	for (size_t i = 0; i < old->n_nics; i++)
		if (old->nics[i].mac && !strcasecmp(old->nics[i].mac, mac)) {
			*n = old->nics[i];
			memset(&old->nics[i], 0, sizeof(*n));
		}
	for (char *p = strtok_r(copy, ",", &save); p;
	     p = strtok_r(NULL, ",", &save)) {
		p = bh_strip(p);
		if (is_common(p) &&
		    buf_addf(&more, "%s%s", more.n ? "," : "", p) < 0)
			return oom();
	}
	free(n->mac);
	free(n->bridge);
	free(n->more);
	n->mac = strdup(mac);
	n->bridge = *v.bridge ? strdup(v.bridge) : NULL;
	n->more = TAKE_PTR(more.s);
	return n->mac && (n->bridge || !*v.bridge) ? 0 : oom();
}

static int take_vifs(struct bh_cfg_doc *d, struct guest *g)
{
	const struct bh_cfg_value *v = bh_cfg_doc_find(d, "vif");
	struct guest old = { .name = g->name, .n_nics = g->n_nics };
	int r = 0;

	memcpy(old.nics, g->nics, sizeof(old.nics));
	memset(g->nics, 0, sizeof(g->nics));
	g->n_nics = 0;
	for (size_t i = 0; r >= 0 && v && i < v->n_items; i++) {
		if (v->items[i].type != BH_CFG_STRING)
			continue;
		if (g->n_nics == MAX_NICS)
			r = fail(VMB_FAILED,
				 "guest %s has more than %d interfaces",
				 g->name, MAX_NICS);
		else
			r = take_vif(&old, v->items[i].str, (unsigned int)i,
				     &g->nics[g->n_nics++]);
	}
	for (size_t i = 0; i < old.n_nics; i++)
		nic_done(&old.nics[i]);
	return r;
}

static int take_text(struct bh_cfg_doc *d, const char *key, char **ret)
{
	const struct bh_cfg_value *v = bh_cfg_doc_find(d, key);

	free(*ret);
	*ret = v && v->type == BH_CFG_STRING ? strdup(v->str) : NULL;
	return v && v->type == BH_CFG_STRING && !*ret ? oom() : 0;
}

static int take_boot(struct bh_cfg_doc *d, const struct bh_guest_cfg *c,
		     struct guest *g)
{
	const char *boot = c->bootloader                             ? "disk"
			   : c->kernel && strstr(c->kernel, "/grub") ? "pvgrub"
								     : "host";
	int r = 0;

	if (!streq(g->boot, boot)) {
		free(g->boot);
		g->boot = strdup(boot);
		r = g->boot ? 0 : oom();
	}
	if (r >= 0)
		r = take_text(d, "kernel", &g->kernel);
	if (r >= 0)
		r = take_text(d, "ramdisk", &g->ramdisk);
	return r < 0 ? r : take_text(d, "extra", &g->extra);
}

int guest_read_cfg(struct guest *g)
{
	_cleanup_free_ char *path = guest_cfg_path(g->name), *text = NULL;
	struct bh_guest_cfg *c = NULL;
	struct bh_cfg_doc *d = NULL;
	struct bh_err e = { 0 };
	size_t len = 0;
	int r = path ? bh_read_file(path, BH_CFG_MAX_BYTES, &text, &len)
		     : -ENOMEM;

	if (r < 0)
		return fail(VMB_FAILED, "cannot read %s: %s", path,
			    strerror(-r));
	r = bh_guest_cfg_parse(path, text, len, g->name, NULL, NULL, &c, &e);
	if (r >= 0)
		r = bh_cfg_doc_parse(path, text, len, &d, &e);
	if (r < 0) {
		r = fail(VMB_FAILED, "%s", bh_err_text(&e, r));
	} else {
		g->memory = c->memory_kib << 10;
		g->vcpus = c->vcpus;
		g->more_disks = c->n_disks > (g->swap ? 2u : 1u);
		r = take_boot(d, c, g);
		if (r >= 0)
			r = take_vifs(d, g);
		if (r >= 0)
			r = take_rest(d, g);
	}
	bh_guest_cfg_free(c);
	bh_cfg_doc_free(d);
	return r;
}
