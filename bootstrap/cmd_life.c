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
	bool yes = false, wipe = conf_yes("wipe", false);
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

/*
 * Extents for a plain volume to grow by, wiped while they are still another
 * volume's: from the moment they are the guest's it can read them.
 */
static int wiped_extents(struct journal *j, const struct guest *g,
			 const char *owner, uint64_t bytes, char **ret)
{
	_cleanup_free_ char *tmp = bh_asprintf("%s-root+.grow", g->name);
	_cleanup_free_ char *dev = tmp ? lv_device(g->vg, tmp) : NULL;
	_cleanup_strv_ struct strv tags = { 0 };
	int r = dev ? guest_tags(g, "temporary", &tags) : oom();

	if (r >= 0)
		r = journal_undo(j, "lv-remove", g->vg, tmp, owner, NULL);
	if (r >= 0)
		r = lvm_create(g->vg, NULL, tmp, bytes, &tags);
	if (r >= 0)
		r = fs_wipe(dev, "wiping what is added");
	if (r >= 0)
		r = lvm_extents(g->vg, tmp, ret);
	return r < 0 ? r
		     : journal_redo(j, "lv-remove", g->vg, tmp, owner, NULL);
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
	_cleanup_free_ char *json = NULL, *extents = NULL;
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
	if (r >= 0 && !*v->pool && conf_yes("wipe-new", true))
		r = wiped_extents(j, g, owner, bytes - v->size, &extents);
	if (r >= 0)
		r = journal_redo(j, "lv-extend", g->vg, root, size, owner,
				 extents ? extents : "", NULL);
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

struct clone {
	const char *from, *to, *hostname, *vg, *pool;
	struct nic_wish wish;
	bool start, autostart, dry, wait;
	unsigned long timeout;
};

static int describe(const struct clone *c, const struct guest *src,
		    struct guest *g)
{
	uint8_t u[16];

	uuid_random(u);
	g->name = strdup(c->to);
	g->hostname = strdup(c->hostname ? c->hostname : c->to);
	g->uuid = uuid_text(u);
	g->created = time_now_text();
	g->boot = strdup(src->boot);
	g->template = src->template ? strdup(src->template) : NULL;
	g->kernel = src->kernel ? strdup(src->kernel) : NULL;
	g->ramdisk = src->ramdisk ? strdup(src->ramdisk) : NULL;
	g->extra = src->extra ? strdup(src->extra) : NULL;
	g->more = src->more ? strdup(src->more) : NULL;
	g->memory = src->memory;
	g->vcpus = src->vcpus;
	g->disk = src->disk;
	g->swap = src->swap;
	if (!g->name || !g->hostname || !g->uuid || !g->created || !g->boot)
		return oom();
	g->n_nics = src->n_nics;
	return nics_afresh(src->nics, src->n_nics, &c->wish, g->nics);
}

static int clone(const struct clone *c)
{
	struct guest src _cleanup_guest_ = { 0 }, g _cleanup_guest_ = { 0 };
	_cleanup_free_ char *lv = lv_root(c->from);
	_cleanup_free_ char *json = NULL;
	struct make_req q = { .g = &g, .kind = SRC_GUEST };
	int r = guest_load(c->from, &src);

	if (r >= 0)
		r = guest_read_cfg(&src);
	if (r < 0)
		return r;
	if (!lv)
		return oom();
	if (src.more_disks)
		note("only the disk and the swap made by vm-bootstrap are cloned: %s has others, which %s does not get",
		     c->from, c->to);
	r = describe(c, &src, &g);
	q.src_vg = src.vg;
	q.src_lv = lv;
	q.src_fstype = src.fstype ? src.fstype : "";
	q.src_bytes = src.disk;
	q.src_live = true; /* it may be started at any moment */
	q.want_vg = c->vg ? c->vg : src.vg;
	q.want_pool = c->pool;
	q.autostart = c->autostart;
	q.dry_run = c->dry;
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
	if (r < 0 || c->dry)
		return r;
	if (c->start)
		r = start_guest(&g, c->wait ? c->timeout : 0);
	json = opt_json ? guest_to_json(&g) : NULL;
	if (json)
		fputs(json, stdout);
	else if (r >= 0)
		note("guest %s is a clone of %s", c->to, c->from);
	return r;
}

static int clone_option(struct clone *c, int o, const char *v)
{
	switch (o) {
	case 'i':
		c->wish.ip = v;
		return 0;
	case 'g':
		c->wish.gateway = v;
		return 0;
	case 'b':
		c->wish.bridge = v;
		return 0;
	case 'n':
		c->hostname = v;
		return name_check_hostname(v);
	case 'v':
		c->vg = v;
		return name_check_vg(v);
	case 'p':
		c->pool = v;
		return name_check_vg(v);
	case 'w':
		c->wait = c->start = true;
		return 0;
	case 's':
		c->start = true;
		return 0;
	case 'a':
		c->autostart = true;
		return 0;
	case 'd':
		c->dry = true;
		return 0;
	case 'j':
		opt_json = opt_quiet = true;
		return 0;
	case 't':
		return opt_timeout(v, &c->timeout);
	default:
		return usage_of("clone");
	}
}

static int names_of_clone(struct clone *c, int argc, char **argv)
{
	int r;

	if (optind != argc - 2)
		return usage_of("clone");
	c->from = argv[optind];
	c->to = argv[optind + 1];
	r = name_check_guest(c->from);
	if (r >= 0)
		r = name_check_guest(c->to);
	if (r >= 0 && streq(c->from, c->to))
		r = fail(VMB_USAGE, "a guest cannot be its own clone");
	return r;
}

int cmd_clone(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "ip", 1, 0, 'i' },      { "gateway", 1, 0, 'g' },
		{ "bridge", 1, 0, 'b' },  { "hostname", 1, 0, 'n' },
		{ "vg", 1, 0, 'v' },      { "pool", 1, 0, 'p' },
		{ "start", 0, 0, 's' },   { "autostart", 0, 0, 'a' },
		{ "wait", 0, 0, 'w' },    { "timeout", 1, 0, 't' },
		{ "dry-run", 0, 0, 'd' }, { "json", 0, 0, 'j' },
		{ "help", 0, 0, 'h' },    { 0, 0, 0, 0 }
	};
	struct clone c = { .timeout = 180 };
	_cleanup_lock_ int lock_a = -1, lock_b = -1;
	int o, r;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		r = clone_option(&c, o, optarg);
		if (r < 0)
			return r;
	}
	r = names_of_clone(&c, argc, argv);
	if (r < 0)
		return r;
	lock_a = begin_guest(c.to, "clone");
	if (lock_a < 0)
		return lock_a;
	/* Several clones of one guest may be made at once. */
	lock_b = lock_share("guest", c.from, "being cloned",
			    journal_recover_all);
	if (lock_b < 0)
		return lock_b;
	if (guest_exists(c.to))
		return fail(VMB_CONFLICT,
			    "guest %s exists already; choose another name",
			    c.to);
	return clone(&c);
}
