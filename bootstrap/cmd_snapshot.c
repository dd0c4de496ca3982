/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vm-bootstrap snapshot, snapshots and rollback.
 *
 * Thin: a snapshot is a volume of its own; rollback takes a new snapshot of
 * it and swaps that in for the root volume. Classic: a copy-on-write snapshot
 * merged back by LVM, then taken anew so that it can be rolled back to again.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <json-c/json.h>
#include <time.h>

#include "bhctl.h"
#include "cmd.h"
#include "guest.h"
#include "journal.h"
#include "lock.h"
#include "names.h"

struct snap_ctx {
	struct guest g;
	struct lvm l;
	char *root, *snap, *owner;
	const struct lv *rv, *sv;
	int lock;
};

static void ctx_done(struct snap_ctx *c)
{
	guest_done(&c->g);
	lvm_done(&c->l);
	free(c->root);
	free(c->snap);
	free(c->owner);
	lock_drop(c->lock);
}

static int ctx_open(struct snap_ctx *c, const char *guest, const char *snap,
		    const char *purpose)
{
	int r = name_check_guest(guest);

	if (r >= 0)
		r = name_check_snapshot(snap);
	if (r < 0)
		return r;
	c->lock = begin_guest(guest, purpose);
	if (c->lock < 0)
		return c->lock;
	r = guest_load(guest, &c->g);
	if (r >= 0)
		r = lvm_load(NULL, &c->l);
	if (r < 0)
		return r;
	c->root = lv_root(guest);
	c->snap = lv_snap(guest, snap);
	c->owner = guest_owner_tag(guest);
	if (!c->root || !c->snap || !c->owner)
		return oom();
	if (name_is_reserved_lv(c->snap))
		return fail(VMB_USAGE, "snapshot \"%s\": this name is reserved",
			    snap);
	c->rv = lvm_lv(&c->l, c->g.vg, c->root);
	c->sv = lvm_lv(&c->l, c->g.vg, c->snap);
	if (!c->rv || !strv_has(&c->rv->tags, c->owner))
		return fail(
			VMB_CONFLICT,
			"volume %s/%s is missing or not tagged as this guest's",
			c->g.vg, c->root);
	return 0;
}

static uint64_t cow_size(const struct snap_ctx *c)
{
	return c->rv->size / 5 + (64u << 20);
}

static int take(struct snap_ctx *c)
{
	struct journal *j _cleanup_journal_ = NULL;
	_cleanup_strv_ struct strv tags = { 0 };
	_cleanup_free_ char *when = time_now_text();
	uint64_t cow = lv_is_thin(c->rv) ? 0 : cow_size(c);
	const struct vg *vg = lvm_vg(&c->l, c->g.vg);
	int r;

	if (c->sv)
		return fail(VMB_CONFLICT, "guest %s has this snapshot already",
			    c->g.name);
	r = lvm_check_space(
		vg, cow ? NULL : lvm_lv(&c->l, c->g.vg, c->rv->pool), cow);
	if (r >= 0)
		r = guest_tags(&c->g, "snapshot", &tags);
	if (r >= 0 && strv_addf(&tags, TAG_TIME "%s", when) < 0)
		r = oom();
	if (r >= 0)
		r = journal_begin("guest", c->g.name, "snapshot", &j);
	if (r >= 0)
		r = journal_undo(j, "lv-remove", c->g.vg, c->snap, c->owner,
				 NULL);
	if (r >= 0)
		r = lvm_snapshot(c->g.vg, c->root, c->snap, cow, &tags);
	return r < 0 ? r : journal_commit(&j);
}

int cmd_snapshot(int argc, char **argv)
{
	static const struct option opts[] = { { "delete", 0, 0, 'd' },
					      { "help", 0, 0, 'h' },
					      { 0, 0, 0, 0 } };
	struct snap_ctx c __attribute__((cleanup(ctx_done))) = { .lock = -1 };
	bool del = false;
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	const char *name = stamp;
	int o, r;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o != 'd')
			return usage_of("snapshot");
		del = true;
	}
	if (argc - optind < 1 || argc - optind > 2 ||
	    (del && argc - optind != 2))
		return usage_of("snapshot");
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	if (argc - optind == 2)
		name = argv[optind + 1];
	r = ctx_open(&c, argv[optind], name, "snapshot");
	if (r < 0)
		return r;
	if (!del) {
		r = take(&c);
		if (r >= 0)
			note("snapshot %s of %s is taken", name, c.g.name);
		return r;
	}
	if (!c.sv || !strv_has(&c.sv->tags, c.owner))
		return fail(VMB_MISSING, "guest %s has no snapshot \"%s\"",
			    c.g.name, name);
	return lvm_remove(c.g.vg, c.snap);
}

/* How full: a plain snapshot of the room it has, a thin one of its size. */
static const char *used_text(const struct lv *v, char out[16])
{
	if (lv_is_overrun(v))
		return "lost";
	if (v->data_pct < 0)
		return "-";
	snprintf(out, 16, "%.0f%%", v->data_pct);
	return out;
}

int cmd_snapshots(int argc, char **argv)
{
	static const struct option opts[] = { { "json", 0, 0, 'j' },
					      { "help", 0, 0, 'h' },
					      { 0, 0, 0, 0 } };
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	json_object *arr, *top;
	char used[16];
	int o, r;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o != 'j')
			return usage_of("snapshots");
		opt_json = true;
	}
	if (argc - optind > 1)
		return usage_of("snapshots");
	(void)journal_recover_all(NULL, NULL);
	if (optind < argc && !guest_exists(argv[optind]))
		return fail(
			VMB_MISSING,
			"there is no guest \"%s\"; \"vm-bootstrap list\" shows those there are",
			argv[optind]);
	r = lvm_load(NULL, &l);
	if (r < 0)
		return r;
	arr = json_object_new_array();
	if (!opt_json)
		printf("%-24s %-24s %-22s %8s %6s\n", "GUEST", "SNAPSHOT",
		       "TAKEN", "SIZE", "USED");
	for (size_t i = 0; i < l.n_lv; i++) {
		const struct lv *v = &l.lv[i];
		const char *g = lv_tag(v, TAG_GUEST);
		const char *plus = strchr(v->name, '+');
		const char *when = lv_tag(v, TAG_TIME);
		json_object *e;

		if (!g || !plus || !streq(lv_tag(v, TAG_ROLE), "snapshot") ||
		    (optind < argc && !streq(g, argv[optind])))
			continue;
		if (!opt_json) {
			printf("%-24s %-24s %-22s %8s %6s\n", g, plus + 1,
			       when ? when : "-", fmt_size(v->size),
			       used_text(v, used));
			continue;
		}
		e = json_object_new_object();
		json_object_object_add(e, "guest", json_object_new_string(g));
		json_object_object_add(e, "snapshot",
				       json_object_new_string(plus + 1));
		json_object_object_add(
			e, "created", json_object_new_string(when ? when : ""));
		if (v->data_pct >= 0)
			json_object_object_add(
				e, "used_percent",
				json_object_new_double(v->data_pct));
		json_object_object_add(
			e, "usable",
			json_object_new_boolean(!lv_is_overrun(v)));
		json_object_array_add(arr, e);
	}
	if (opt_json) {
		top = json_object_new_object();
		json_object_object_add(top, "schema", json_object_new_int(1));
		json_object_object_add(top, "snapshots", arr);
		puts(json_object_to_json_string_ext(top,
						    JSON_C_TO_STRING_PRETTY));
		json_object_put(top);
	} else {
		json_object_put(arr);
	}
	return 0;
}

static int rollback_thin(struct snap_ctx *c, struct journal **j)
{
	_cleanup_free_ char *fresh = bh_asprintf("%s+.new", c->root);
	_cleanup_free_ char *old = bh_asprintf("%s+.old", c->root);
	_cleanup_strv_ struct strv tags = { 0 };
	int r = guest_tags(&c->g, "root", &tags);

	if (!fresh || !old)
		return oom();
	if (r >= 0)
		r = journal_undo(*j, "lv-remove", c->g.vg, fresh, c->owner,
				 NULL);
	if (r >= 0)
		r = lvm_snapshot(c->g.vg, c->snap, fresh, 0, &tags);
	/* Disks only grow: what was added since the snapshot stays. */
	if (r >= 0 && c->rv->size > c->sv->size)
		r = lvm_extend(c->g.vg, fresh, c->rv->size, "");
	if (r >= 0)
		r = journal_redo(*j, "lv-swap", c->g.vg, c->root, fresh, old,
				 c->owner, NULL);
	if (r >= 0)
		r = journal_redo(*j, "lv-remove", c->g.vg, old, c->owner, NULL);
	if (r >= 0 && c->rv->size > c->sv->size)
		r = journal_redo(*j, "fs-grow", c->g.vg, c->root, c->owner,
				 NULL);
	return r < 0 ? r : journal_commit(j);
}

static int rollback_classic(struct snap_ctx *c, struct journal **j)
{
	const char *when = lv_tag(c->sv, TAG_TIME);
	_cleanup_free_ char *ttag =
		bh_asprintf(TAG_TIME "%s", when ? when : "");
	_cleanup_free_ char *full = bh_asprintf("%s/%s", c->g.vg, c->snap);
	_cleanup_free_ char *size =
		bh_asprintf("%llu", (unsigned long long)cow_size(c));
	const char *mark[] = { "lvchange",         "-q", "-y", "--addtag",
			       "bulkhead.merge=1", full, NULL };
	int r;

	if (!ttag || !full || !size)
		return oom();
	/*
	 * The mark keeps a repeated merge from ever touching the snapshot
	 * taken anew afterwards.
	 */
	r = journal_undo(*j, "lv-untag", c->g.vg, c->snap, c->owner,
			 "bulkhead.merge=1", NULL);
	if (r >= 0)
		r = lvm_cmd(mark);
	if (r >= 0)
		r = journal_redo(*j, "lv-merge", c->g.vg, c->snap,
				 "bulkhead.merge=1", NULL);
	/* Before the snapshot taken anew: that is as large as its origin. */
	if (r >= 0 && c->rv->size > c->sv->size)
		r = journal_redo(*j, "fs-grow", c->g.vg, c->root, c->owner,
				 NULL);
	if (r >= 0)
		r = journal_redo(*j, "lv-snapshot", c->g.vg, c->root, c->snap,
				 size, c->owner, TAG_ROLE "snapshot", ttag,
				 NULL);
	return r < 0 ? r : journal_commit(j);
}

int cmd_rollback(int argc, char **argv)
{
	static const struct option opts[] = { { "yes", 0, 0, 'y' },
					      { "help", 0, 0, 'h' },
					      { 0, 0, 0, 0 } };
	struct snap_ctx c __attribute__((cleanup(ctx_done))) = { .lock = -1 };
	struct journal *j _cleanup_journal_ = NULL;
	bool yes = false;
	char answer[16];
	int o, r;

	while ((o = getopt_long(argc, argv, "yh", opts, NULL)) != -1) {
		if (o != 'y')
			return usage_of("rollback");
		yes = true;
	}
	if (argc - optind != 2)
		return usage_of("rollback");
	r = ctx_open(&c, argv[optind], argv[optind + 1], "rollback");
	if (r < 0)
		return r;
	if (!c.sv || !strv_has(&c.sv->tags, c.owner))
		return fail(
			VMB_MISSING,
			"guest %s has no snapshot \"%s\"; \"vm-bootstrap snapshots %s\" lists them",
			c.g.name, argv[optind + 1], c.g.name);
	if (lv_is_overrun(c.sv))
		return fail(
			VMB_NOSPACE,
			"snapshot %s of %s ran out of room and holds nothing any more; remove it (vm-bootstrap snapshot --delete %s %s)",
			argv[optind + 1], c.g.name, c.g.name, argv[optind + 1]);
	if (bhctl_is_running(c.g.name) || lv_is_open(c.rv))
		return fail(
			VMB_CONFLICT,
			"guest %s is running; stop it first (bhctl shutdown %s)",
			c.g.name, c.g.name);
	if (!yes && isatty(0)) {
		fprintf(stderr,
			"Everything %s wrote since is lost. Type \"yes\": ",
			c.g.name);
		yes = fgets(answer, sizeof(answer), stdin) &&
		      streq(bh_strip(answer), "yes");
	}
	if (!yes)
		return fail(
			VMB_CONFLICT,
			"guest %s is left as it is; --yes rolls back without asking",
			c.g.name);
	r = journal_begin("guest", c.g.name, "rollback", &j);
	if (r >= 0)
		r = lv_is_thin(c.rv) ? rollback_thin(&c, &j)
				     : rollback_classic(&c, &j);
	if (r >= 0)
		note("guest %s is as it was at snapshot %s", c.g.name,
		     argv[optind + 1]);
	return r;
}
