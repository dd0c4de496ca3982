/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vm-bootstrap destroy, resize and clone. */
#define _GNU_SOURCE
#include <getopt.h>

#include "bhctl.h"
#include "cmd.h"
#include "conf.h"
#include "fs.h"
#include "journal.h"
#include "lock.h"
#include "make.h"
#include "names.h"
#include "options.h"

static bool confirmed(const char *what)
{
	char answer[16];

	if (!isatty(0))
		return false;
	fprintf(stderr, "%s Type \"yes\": ", what);
	return fgets(answer, sizeof(answer), stdin) &&
	       streq(bh_strip(answer), "yes");
}

static int destroy_one(const char *name, bool yes, bool wipe)
{
	_cleanup_free_ char *question = NULL;
	struct guest g _cleanup_guest_ = { 0 };
	_cleanup_lock_ int lock = -1;
	int r = name_check_guest(name);
	bool stuck;

	if (r < 0)
		return r;
	lock = lock_take("guest", name, "destroy", LOCK_TRY);
	if (lock < 0)
		return lock;
	stuck = journal_recover_all("guest", name) < 0;
	r = guest_load(name, &g);
	if (r < 0)
		return r;
	question = bh_asprintf("Remove guest %s and its disk of %s for good?%s",
			       name, fmt_size(g.disk),
			       bhctl_is_running(name) ? " It is running." : "");
	if (!yes && (!question || !confirmed(question)))
		return fail(
			VMB_CONFLICT,
			"guest %s is left alone; --yes removes it without asking",
			name);
	/* What could not be completed need not be: all of it goes now. */
	if (stuck && journal_give_up("guest", name) < 0)
		return fail(
			VMB_FAILED,
			"an interrupted operation on %s could not be undone (see above); fix the cause and run \"vm-bootstrap recover\"",
			name);
	r = guest_destroy(&g, wipe);
	if (r >= 0)
		note("guest %s is removed", name);
	return r;
}

int cmd_destroy(int argc, char **argv)
{
	static const struct option opts[] = { { "yes", 0, 0, 'y' },
					      { "wipe", 0, 0, 'w' },
					      { "help", 0, 0, 'h' },
					      { 0, 0, 0, 0 } };
	bool yes = false, wipe = streq(conf_get("wipe"), "yes");
	int o, r = 0;

	while ((o = getopt_long(argc, argv, "yh", opts, NULL)) != -1) {
		if (o == 'y')
			yes = true;
		else if (o == 'w')
			wipe = true;
		else
			return usage_of("destroy");
	}
	if (optind >= argc)
		return usage_of("destroy");
	for (int i = optind; i < argc; i++) {
		int e = destroy_one(argv[i], yes, wipe);

		if (e < 0)
			r = e;
	}
	return r;
}

static int resize(struct guest *g, uint64_t bytes, const struct lvm *l)
{
	struct journal *j _cleanup_journal_ = NULL;
	_cleanup_free_ char *root = lv_root(g->name);
	_cleanup_free_ char *owner = guest_owner_tag(g->name);
	_cleanup_free_ char *meta = guest_meta_path(g->name);
	_cleanup_free_ char *tmp = bh_asprintf("%s.new", meta);
	_cleanup_free_ char *size =
		bh_asprintf("%llu", (unsigned long long)bytes);
	_cleanup_free_ char *json = NULL;
	const struct lv *v = root ? lvm_lv(l, g->vg, root) : NULL;
	const struct vg *vg = lvm_vg(l, g->vg);
	bool running = bhctl_is_running(g->name) || (v && lv_is_open(v));
	int r;

	if (!v || !vg)
		return fail(VMB_MISSING, "volume %s/%s is gone", g->vg, root);
	if (bytes <= v->size)
		return fail(VMB_USAGE,
			    "guest %s has %s already; disks can only grow",
			    g->name, fmt_size(v->size));
	if (running && lv_is_origin(v) && !*v->pool)
		return fail(
			VMB_CONFLICT,
			"guest %s has snapshots on plain volumes: stop it to resize it (bhctl shutdown %s), or delete them (vm-bootstrap snapshots %s)",
			g->name, g->name, g->name);
	if (*v->pool)
		r = lvm_check_space(vg, lvm_lv(l, g->vg, v->pool), 0);
	else
		r = lvm_check_space(vg, NULL, bytes - v->size);
	g->disk = bytes;
	json = guest_to_json(g);
	if (!owner || !tmp || !size || !json)
		return oom();
	if (r >= 0)
		r = journal_begin("guest", g->name, "resize", &j);
	if (r >= 0)
		r = journal_undo(j, "unlink", tmp, NULL);
	if (r >= 0 && bh_fill_file(tmp, json, strlen(json), 0644) < 0)
		r = fail(VMB_FAILED, "cannot write %s: %m", tmp);
	if (r >= 0)
		r = journal_redo(j, "lv-extend", g->vg, root, size, owner,
				 NULL);
	/* While it runs, the guest grows its file system itself. */
	if (r >= 0 && !running)
		r = journal_redo(j, "fs-grow", g->vg, root, owner, NULL);
	if (r >= 0)
		r = journal_redo(j, "rename", tmp, meta, NULL);
	if (r >= 0)
		r = journal_commit(&j);
	if (r >= 0)
		note("the disk of %s has %s now%s", g->name, fmt_size(bytes),
		     running ? "; a template-made guest grows its file system by itself, others with resize2fs /dev/xvda (or xfs_growfs /)"
			     : "");
	return r;
}

int cmd_resize(int argc, char **argv)
{
	static const struct option opts[] = { { "disk", 1, 0, 'd' },
					      { "help", 0, 0, 'h' },
					      { 0, 0, 0, 0 } };
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	struct guest g _cleanup_guest_ = { 0 };
	_cleanup_lock_ int lock = -1;
	const char *size = NULL;
	uint64_t bytes;
	const struct vg *vg;
	int o, r;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o != 'd')
			return usage_of("resize");
		size = optarg;
	}
	if (optind != argc - 1 || !size)
		return usage_of("resize");
	r = name_check_guest(argv[optind]);
	if (r < 0)
		return r;
	if (parse_size(*size == '+' ? size + 1 : size, 1 << 20, &bytes) < 0)
		return fail(VMB_USAGE,
			    "--disk \"%s\": expected a size as in 16G, or +2G",
			    size);
	lock = begin_guest(argv[optind], "resize");
	if (lock < 0)
		return lock;
	r = guest_load(argv[optind], &g);
	if (r >= 0)
		r = lvm_load(NULL, &l);
	if (r < 0)
		return r;
	if (*size == '+')
		bytes += g.disk;
	vg = lvm_vg(&l, g.vg);
	if (vg)
		bytes = (bytes + vg->extent - 1) / vg->extent * vg->extent;
	return resize(&g, bytes, &l);
}

static int clone_nics(const struct guest *src, struct guest *g, const char *ip)
{
	for (size_t i = 0; i < src->n_nics; i++) {
		const struct nic *s = &src->nics[i];
		struct nic *n = &g->nics[g->n_nics++];
		int r = nic_set(n, "bridge", s->bridge);

		/* A static address cannot be in two places. */
		if (r >= 0 && i == 0 && ip)
			r = nic_set(n, "ip", ip);
		else if (r >= 0 && s->none)
			r = nic_set(n, "ip", "none");
		if (r >= 0 && i == 0 && ip && s->gw4 && n->ip4)
			r = nic_set(n, "gateway", s->gw4);
		for (size_t k = 0; r >= 0 && k < s->dns.n; k++)
			r = nic_set(n, "dns", s->dns.v[k]);
		n->vlan = s->vlan;
		if (r >= 0)
			r = nic_finish(n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int clone(const char *from, const char *to, const char *ip,
		 const char *hostname, bool start, bool autostart, bool dry)
{
	struct guest src _cleanup_guest_ = { 0 }, g _cleanup_guest_ = { 0 };
	_cleanup_free_ char *lv = lv_root(from);
	struct make_req q = { .g = &g, .kind = SRC_GUEST };
	uint8_t u[16];
	int r = guest_load(from, &src);

	if (r < 0)
		return r;
	uuid_random(u);
	g.name = strdup(to);
	g.hostname = strdup(hostname ? hostname : to);
	g.uuid = uuid_text(u);
	g.created = time_now_text();
	g.boot = strdup(src.boot);
	g.template = src.template ? strdup(src.template) : NULL;
	g.kernel = src.kernel ? strdup(src.kernel) : NULL;
	g.ramdisk = src.ramdisk ? strdup(src.ramdisk) : NULL;
	g.extra = src.extra ? strdup(src.extra) : NULL;
	g.memory = src.memory;
	g.vcpus = src.vcpus;
	g.disk = src.disk;
	g.swap = src.swap;
	if (!g.name || !g.hostname || !g.uuid || !g.created || !g.boot || !lv)
		return oom();
	r = clone_nics(&src, &g, ip);
	q.src_vg = src.vg;
	q.src_lv = lv;
	q.src_fstype = src.fstype ? src.fstype : "";
	q.src_bytes = src.disk;
	q.src_live = true; /* it may be started at any moment */
	q.want_vg = src.vg;
	q.autostart = autostart;
	q.dry_run = dry;
	q.id.hostname = g.hostname;
	q.id.keep_root = true;
	/* One whose network is its administrator's stays so. */
	q.id.net_detect =
		!src.network || netstyle_parse(src.network, &q.id.net) < 0;
	g.network = src.network ? strdup(src.network) : NULL;
	q.id.nics = g.nics;
	q.id.n_nics = g.n_nics;
	if (r >= 0)
		r = guest_make(&q);
	if (r >= 0 && start && !dry)
		r = bhctl_start(to);
	return r;
}

int cmd_clone(int argc, char **argv)
{
	static const struct option opts[] = { { "ip", 1, 0, 'i' },
					      { "hostname", 1, 0, 'n' },
					      { "start", 0, 0, 's' },
					      { "autostart", 0, 0, 'a' },
					      { "dry-run", 0, 0, 'd' },
					      { "help", 0, 0, 'h' },
					      { 0, 0, 0, 0 } };
	const char *ip = NULL, *hostname = NULL;
	bool start = false, autostart = false, dry = false;
	_cleanup_lock_ int lock_a = -1, lock_b = -1;
	const char *from, *to;
	int o, r;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 'i')
			ip = optarg;
		else if (o == 'n')
			hostname = optarg;
		else if (o == 's')
			start = true;
		else if (o == 'a')
			autostart = true;
		else if (o == 'd')
			dry = true;
		else
			return usage_of("clone");
	}
	if (optind != argc - 2)
		return usage_of("clone");
	from = argv[optind];
	to = argv[optind + 1];
	r = name_check_guest(from);
	if (r >= 0)
		r = name_check_guest(to);
	if (r >= 0 && hostname)
		r = name_check_hostname(hostname);
	if (r < 0)
		return r;
	if (streq(from, to))
		return fail(VMB_USAGE, "a guest cannot be its own clone");
	lock_a = begin_guest(to, "clone");
	if (lock_a < 0)
		return lock_a;
	lock_b = begin_guest(from, "being cloned");
	if (lock_b < 0)
		return lock_b;
	if (guest_exists(to))
		return fail(VMB_CONFLICT,
			    "guest %s exists already; choose another name", to);
	r = clone(from, to, ip, hostname, start, autostart, dry);
	if (r >= 0 && !dry)
		note("guest %s is a clone of %s", to, from);
	return r;
}
