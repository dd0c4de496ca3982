/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What survives the supervisor: a small file of key=value lines, and the way
 * back to a running guest from it.
 *
 * The file is a hint. The domain named in it is only taken over if the
 * hypervisor knows one with this guest's UUID; without the file, a domain with
 * that UUID which the store says was started is taken over too. A domain whose
 * building was interrupted is destroyed and built again; one whose end was
 * interrupted is ended, and only built again if somebody asks for it.
 */
#include "guest/guest.h"

#include <inttypes.h>
#include <systemd/sd-daemon.h>

int state_save(struct guest *g)
{
	_cleanup_free_ char *text = NULL;
	char path[192], uuid[37];
	int r;

	bh_uuid_format(g->cfg->uuid, uuid);
	text = bh_asprintf("version=1\nname=%s\nuuid=%s\ndomid=%u\nphase=%s\n"
			   "ready=%d\nconsole_mfn=%" PRIu64
			   "\nconsole_port=%u\nstore_mfn=%" PRIu64
			   "\nstore_port=%u\nboots=%u\nstarted_us=%" PRIu64
			   "\nlast_good=%d\nexit=%d\n",
			   g->name, uuid, g->dom.domid, phase_names[g->phase],
			   g->ready, g->dom.console_mfn, g->dom.console_port,
			   g->dom.store_mfn, g->dom.store_port, g->boots,
			   g->started_us, g->last_good_boot, g->exit_code);
	if (!text)
		return -ENOMEM;
	r = bh_snprintf(path, sizeof(path), "%s/state", g->run_dir);
	return r < 0 ? r : bh_write_file(path, text, strlen(text), 0644);
}

static uint64_t get_num(const char *text, const char *key)
{
	char pat[64];
	const char *p;

	if (bh_snprintf(pat, sizeof(pat), "\n%s=", key) < 0)
		return 0;
	p = strstr(text, pat);
	return p ? strtoull(p + strlen(pat), NULL, 10) : 0;
}

static bool is_ours(struct guest *g, uint32_t domid)
{
	struct xen_domctl_getdomaininfo info;

	return domid && bh_hv_domain_info(g->hv, domid, &info) == 0 &&
	       !(info.flags & XEN_DOMINF_dying) &&
	       !memcmp(info.handle, g->cfg->uuid, 16);
}

/* A domain with our UUID that the state file does not mention. */
static uint32_t find_by_uuid(struct guest *g)
{
	_cleanup_free_ struct xen_domctl_getdomaininfo *list = NULL;
	size_t n;

	if (bh_hv_domain_list(g->hv, &list, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (is_ours(g, list[i].domain))
			return list[i].domain;
	return 0;
}

/* Of a domain that was ours and ended while nobody looked on, nodes may be left,
 * and all of it if it was being taken apart. Numbers are not used twice soon. */
static void clear_away(struct guest *g, uint32_t domid)
{
	struct xen_domctl_getdomaininfo info;
	int r = domid ? bh_hv_domain_info(g->hv, domid, &info) : -EINVAL;

	if (r == -ESRCH || (r == 0 && !memcmp(info.handle, g->cfg->uuid, 16))) {
		g->dom.domid = domid;
		g->have_dom = true;
		guest_teardown(g);
	}
	g->dom = (struct bh_domain){};
	g->ready = false;
}

static bool was_started(struct guest *g, uint32_t domid)
{
	_cleanup_free_ char *v = NULL;

	return bh_xs_readf(g->xs, BH_XS_NONE, &v,
			   "/local/domain/%u/bulkhead/started", domid) == 0;
}

static int numbers_from_store(struct guest *g)
{
	struct bh_domain *d = &g->dom;
	char path[96];
	uint64_t v;
	int r;

	const struct {
		const char *node;
		uint64_t *u64;
		uint32_t *u32;
	} nodes[] = {
		{ "console/ring-ref", &d->console_mfn, NULL },
		{ "console/port", NULL, &d->console_port },
		{ "store/ring-ref", &d->store_mfn, NULL },
		{ "store/port", NULL, &d->store_port },
	};
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		r = bh_snprintf(path, sizeof(path), "/local/domain/%u/%s",
				d->domid, nodes[i].node);
		if (r >= 0)
			r = bh_xs_read_u64(g->xs, BH_XS_NONE, path, &v);
		if (r < 0)
			return r;
		if (nodes[i].u64)
			*nodes[i].u64 = v;
		else
			*nodes[i].u32 = (uint32_t)v;
	}
	return 0;
}

/*
 * Page and event channel are the guest's, which may have given the one back and
 * closed the other. It must not get rid of its supervisor that way.
 */
static void take_console(struct guest *g)
{
	xen_pfn_t frame = g->dom.console_mfn;
	struct bh_err e = {};
	int r;

	r = bh_hv_map(g->hv, g->dom.domid, 3 /* read, write */, &frame, 1, NULL,
		      &g->dom.console);
	if (r < 0)
		(void)bh_fail(&e, r, "cannot map its console: %s",
			      strerror(-r));
	else
		r = console_start(g, &e);
	if (r == 0)
		return;
	console_stop(g);
	bh_log(BH_WARNING, "guest %s goes on without a console: %s", g->name,
	       bh_err_text(&e, r));
}

static int take_over(struct guest *g, struct bh_err *e)
{
	int r = numbers_from_store(g);

	if (r < 0)
		return bh_fail(e, r,
			       "domain %u is this guest but the store "
			       "does not know its console",
			       g->dom.domid);
	take_console(g);
	return guest_watch(g, e);
}

int guest_adopt(struct guest *g, struct bh_err *e)
{
	_cleanup_free_ char *text = NULL;
	bool ending = false;
	char path[192];
	size_t len;
	int r;

	r = bh_snprintf(path, sizeof(path), "%s/state", g->run_dir);
	if (r < 0)
		return r;
	if (bh_read_file(path, 65536, &text, &len) == 0) {
		g->dom.domid = (uint32_t)get_num(text, "domid");
		g->ready = get_num(text, "ready") == 1;
		g->boots = (unsigned int)get_num(text, "boots");
		g->started_us = get_num(text, "started_us");
		g->last_good_boot = get_num(text, "last_good") == 1;
		ending = strstr(text, "\nphase=ending\n");
	}
	if (ending || !is_ours(g, g->dom.domid)) {
		clear_away(g, g->dom.domid);
		g->dom.domid = find_by_uuid(g);
	}
	if (ending && !g->dom.domid && unit_was_restarted(g)) {
		guest_finish(g, (int)get_num(text, "exit"),
			     "its end was interrupted and is completed");
		return 1;
	}
	if (!g->dom.domid) {
		g->dom = (struct bh_domain){};
		g->ready = false;
		return 0;
	}
	g->have_dom = true;
	if (!was_started(g, g->dom.domid)) {
		bh_log(BH_NOTICE,
		       "domain %u was never finished; building guest %s anew",
		       g->dom.domid, g->name);
		guest_teardown(g);
		g->dom = (struct bh_domain){};
		g->ready = false;
		return 0;
	}
	r = take_over(g, e);
	if (r < 0)
		return r;
	if (!g->started_us)
		g->started_us = bh_now_us();
	g->notified = false;
	guest_set_phase(g, text && strstr(text, "\nphase=preserved\n")
				   ? PHASE_PRESERVED
				   : PHASE_RUNNING);
	if (text && strstr(text, "\nphase=stopping\n"))
		guest_stop(g);
	bh_log(BH_INFO, "guest %s: took over running domain %u", g->name,
	       g->dom.domid);
	return 1;
}
