/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See make.h. Order matters: volumes first (each preceded by its undo), then
 * everything inside them, then the state file and the configuration under
 * temporary names, then the commit record, and only then the renames that
 * make the guest visible. A guest that is to be replaced stays until then: the
 * new volumes have names of their own, and change places after the commit.
 */
#define _GNU_SOURCE
#include "make.h"

#include <errno.h>

#include "bhctl.h"
#include "conf.h"
#include "fs.h"
#include "guestfs.h"
#include "journal.h"
#include "lock.h"
#include "names.h"

/* Another host's disk may be here too, with a guest of the same name. */
static bool is_of(const struct lv *v, const char *vg, const char *owner)
{
	return streq(v->vg, vg) && strv_has(&v->tags, owner);
}

/* Loads anew until nobody has one of the guest's volumes open. */
static int wait_unused(struct lvm *l, const char *vg, const char *owner,
		       unsigned int seconds)
{
	for (unsigned int i = 0;; i++) {
		const struct lv *open = NULL;
		int r;

		for (size_t k = 0; k < l->n_lv; k++)
			if (is_of(&l->lv[k], vg, owner) &&
			    lv_is_open(&l->lv[k]))
				open = &l->lv[k];
		if (!open)
			return 0;
		if (i >= seconds * 4)
			return fail(
				VMB_CONFLICT,
				"volume %s/%s is in use (mounted, or the disk of a domain?); \"lsblk /dev/%s/%s\" may say by whom",
				vg, open->name, vg, open->name);
		usleep(250000);
		lvm_done(l);
		r = lvm_load(NULL, l);
		if (r < 0)
			return r;
	}
}

struct making {
	struct make_req *q;
	struct journal *j;
	struct lvm l;
	const struct vg *vg;
	const struct lv *pool;
	char *owner, *root, *swap, *dev; /* what is being made */
	struct guest old;                /* what it replaces, if anything */
	char *filling; /* tag of the root volume while it is copied to */
	int lock;      /* on the volume group, until the volumes are made */
	bool thin_source;
};

static int refuse_taken(const struct making *m, const char *name)
{
	const char *guest = m->q->g->name;
	const struct lv *v = lvm_lv(&m->l, m->vg->name, name);
	_cleanup_free_ char *meta = guest_meta_path(guest);
	bool ours = v && strv_has(&v->tags, m->owner);

	if (!v || (ours && m->q->replace && streq(m->old.vg, v->vg) &&
		   !streq(name, m->root) && !streq(name, m->swap)))
		return 0;
	if (ours && meta && access(meta, F_OK) == 0)
		return fail(
			VMB_CONFLICT,
			"volume %s/%s is left of a guest %s; remove that (vm-bootstrap destroy %s) or choose another name",
			m->vg->name, name, guest, guest);
	return fail(
		VMB_CONFLICT,
		"volume %s/%s exists already%s; remove it by hand (lvremove %s/%s) or choose another name",
		m->vg->name, name, ours ? "" : " and is not vm-bootstrap's",
		m->vg->name, name);
}

static int refuse_strangers(const struct making *m)
{
	_cleanup_free_ char *root = lv_root(m->q->g->name);
	_cleanup_free_ char *swap = lv_swap(m->q->g->name);
	const char *names[] = { root, swap, m->root, m->swap };
	int r = root && swap ? 0 : oom();

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(names); i++)
		r = refuse_taken(m, names[i]);
	return r;
}

/* What the new volumes will take at once, not what they may grow to. */
static int space_needed(struct making *m, uint64_t *ret)
{
	const struct guest *g = m->q->g;
	_cleanup_free_ char *src = NULL;
	int r = 0;

	*ret = 16u << 20; /* identity, metadata */
	if (!m->pool)
		*ret = g->disk + g->swap;
	if (!m->pool || m->thin_source)
		return 0;
	if (m->q->kind == SRC_STREAM) {
		*ret += m->q->stream_bytes;
	} else {
		uint64_t used;

		src = lv_device(m->q->src_vg, m->q->src_lv);
		r = src ? fs_used(src, m->q->src_fstype, &used) : oom();
		/* Chunks of the pool are larger than blocks. */
		*ret += r < 0 ? 0 : used + used / 16;
	}
	/* Whoever comes while it is being written must count it, too. */
	m->filling = lvm_filling_tag(*ret);
	*ret += lvm_promised(&m->l, m->pool);
	return r < 0 || m->filling ? r : oom();
}

static int check_size(const struct making *m)
{
	const struct guest *g = m->q->g;

	if (g->disk < m->q->src_bytes)
		return fail(
			VMB_USAGE,
			"--disk %s is smaller than the %s (%s); ask for at least that",
			fmt_size(g->disk),
			m->q->kind == SRC_TEMPLATE ? "template" : "original",
			fmt_size(m->q->src_bytes));
	return 0;
}

static int new_volume(struct making *m, const char *lv, uint64_t bytes,
		      const char *role)
{
	_cleanup_strv_ struct strv tags = { 0 };
	int r = guest_tags(m->q->g, role, &tags);

	if (r >= 0 && m->filling && streq(role, "root") &&
	    strv_add(&tags, m->filling) < 0)
		r = oom();
	if (r >= 0)
		r = journal_undo(m->j, "lv-remove", m->vg->name, lv, m->owner,
				 NULL);
	return r < 0 ? r
		     : lvm_create(m->vg->name, m->pool ? m->pool->name : NULL,
				  lv, bytes, &tags);
}

static int snapshot_root(struct making *m)
{
	_cleanup_strv_ struct strv tags = { 0 };
	int r = guest_tags(m->q->g, "root", &tags);

	if (r >= 0)
		r = journal_undo(m->j, "lv-remove", m->vg->name, m->root,
				 m->owner, NULL);
	if (r >= 0)
		r = lvm_snapshot(m->vg->name, m->q->src_lv, m->root, 0, &tags);
	if (r >= 0 && m->q->g->disk > m->q->src_bytes)
		r = lvm_extend(m->vg->name, m->root, m->q->g->disk, "");
	return r;
}

static int make_volumes(struct making *m)
{
	int r;

	if (m->thin_source)
		r = snapshot_root(m);
	else
		r = new_volume(m, m->root, m->q->g->disk, "root");
	if (r >= 0 && m->q->g->swap)
		r = new_volume(m, m->swap, m->q->g->swap, "swap");
	lock_drop(m->lock);
	m->lock = -1;
	return r;
}

/* Copies from a guest that may be running: from a snapshot of that moment. */
static int copy_live(struct making *m)
{
	_cleanup_free_ char *tmp = bh_asprintf("%s-root+.copy", m->q->g->name);
	_cleanup_free_ char *src = lv_device(m->q->src_vg, tmp);
	_cleanup_strv_ struct strv tags = { 0 };
	const struct lv *origin = lvm_lv(&m->l, m->q->src_vg, m->q->src_lv);
	uint64_t cow = 0;
	int r = guest_tags(m->q->g, "temporary", &tags);

	if (!origin || !tmp || !src)
		return fail(VMB_FAILED, "volume %s/%s has vanished",
			    m->q->src_vg, m->q->src_lv);
	if (!lv_is_thin(origin))
		cow = origin->size / 5 + (64u << 20);
	if (r >= 0)
		r = journal_undo(m->j, "lv-remove", m->q->src_vg, tmp, m->owner,
				 NULL);
	if (r >= 0)
		r = lvm_snapshot(m->q->src_vg, m->q->src_lv, tmp, cow, &tags);
	if (r >= 0)
		r = fs_repair(src, m->q->src_fstype);
	if (r >= 0)
		r = fs_copy(src, m->dev, m->q->src_fstype, "copying the disk");
	if (r >= 0)
		r = lvm_remove(m->q->src_vg, tmp);
	fault_point("copied");
	return r;
}

static bool is_wiped(const struct making *m)
{
	/* A stream leaves out what is zeros. */
	return !m->pool &&
	       (m->q->kind == SRC_STREAM || !streq(conf_get("wipe-new"), "no"));
}

/*
 * A plain volume comes with what its blocks held before, and the guest can read
 * all of its disk: it gets none of that to see.
 */
static int wipe_new(const struct making *m)
{
	_cleanup_free_ char *swap = lv_device(m->vg->name, m->swap);
	int r = swap ? 0 : oom();

	if (r < 0 || !is_wiped(m))
		return r;
	r = fs_wipe(m->dev, "wiping the new volume");
	return r < 0 || !m->q->g->swap ? r : fs_wipe(swap, "wiping the swap");
}

static int fill_root(struct making *m)
{
	_cleanup_free_ char *src = NULL;
	int r = wipe_new(m);

	if (r < 0)
		return r;
	if (m->q->kind == SRC_STREAM) {
		r = m->q->stream(m->dev, m->q->stream_arg);
	} else if (m->q->src_live && !m->thin_source) {
		r = copy_live(m);
	} else if (!m->thin_source) {
		src = lv_device(m->q->src_vg, m->q->src_lv);
		r = src ? fs_copy(src, m->dev, m->q->src_fstype,
				  "copying the disk")
			: oom();
	}
	if (r >= 0 && m->filling)
		r = lvm_untag(m->vg->name, m->root, m->filling);
	fault_point("root filled");
	return r;
}

static int make_identity(struct making *m)
{
	struct make_req *q = m->q;
	_cleanup_free_ char *root_uuid = NULL, *swap_uuid = NULL, *old = NULL;
	_cleanup_free_ char *type = NULL, *swap_dev = NULL;
	struct guestfs_job job = { m->dev,
				   NULL,
				   &q->id,
				   true,
				   q->roles.n ? &q->roles : NULL,
				   q->scripts.n ? &q->scripts : NULL,
				   q->kind == SRC_TEMPLATE &&
					   (lv_reads_blank(m->pool) ||
					    is_wiped(m)) };
	uint8_t ru[16], su[16];
	int r = fs_probe(m->dev, &type, &old);

	if (r < 0)
		return r;
	r = fs_check_type(type);
	/* A template was made here; what a guest left may want repair. */
	if (r >= 0 && q->kind != SRC_TEMPLATE)
		r = guestfs_settle(m->dev, type);
	if (r < 0)
		return r;
	uuid_random(ru);
	uuid_random(su);
	root_uuid = uuid_text(ru);
	swap_uuid = uuid_text(su);
	swap_dev = lv_device(m->vg->name, m->swap);
	if (!root_uuid || !swap_uuid || !swap_dev)
		return oom();
	if (q->g->swap)
		r = fs_write_swap(swap_dev, su);
	if (r >= 0 && !q->keep_identity)
		r = fs_set_uuid(m->dev, type, root_uuid);
	fault_point("new uuid");
	free(q->g->fstype);
	q->g->fstype = strdup(type);
	job.type = type;
	q->id.root_uuid = q->keep_identity ? old : root_uuid;
	q->id.old_uuid = old;
	q->id.swap_uuid = q->g->swap ? swap_uuid : NULL;
	q->id.fstype = type;
	q->id.own_kernel =
		q->kind == SRC_TEMPLATE && !streq(q->g->boot, "host");
	/* The swap volume is a new one, and its UUID is in the guest's fstab. */
	q->id.mounts_only = q->keep_identity;
	if (q->keep_identity && !q->g->swap)
		job.id = NULL;
	if (r >= 0)
		r = guestfs_customize(&job);
	fault_point("identity");
	q->id.root_uuid = q->id.old_uuid = q->id.swap_uuid = q->id.fstype =
		NULL;
	return r;
}

static int write_aside(struct journal *j, char *path, char *text,
		       unsigned int mode)
{
	_cleanup_free_ char *p = path, *t = text;
	_cleanup_free_ char *tmp = path ? bh_asprintf("%s.new", path) : NULL;
	_cleanup_free_ char *dir = path ? strdup(path) : NULL;
	int r;

	if (!p || !t || !tmp || !dir)
		return oom();
	*strrchr(dir, '/') = 0;
	r = journal_undo(j, "unlink", tmp, NULL);
	if (r < 0)
		return r;
	r = bh_mkdir_p(dir, 0755);
	if (r >= 0)
		r = bh_fill_file(tmp, t, strlen(t), mode);
	if (r < 0)
		return fail(VMB_FAILED, "cannot write %s: %s", tmp,
			    strerror(-r));
	fault_point("written aside");
	return journal_redo(j, "rename", tmp, p, NULL);
}

/* Removes all but those of the names given. */
static int redo_volumes(struct journal *j, const struct lvm *l, const char *vg,
			const char *owner, bool wipe, const struct strv *but)
{
	/* Snapshots before what they are snapshots of. */
	static const char *const roles[] = { "temporary", "snapshot", "swap",
					     "root" };
	int r = 0;

	for (size_t k = 0; k < ARRAY_SIZE(roles); k++)
		for (size_t i = 0; r >= 0 && i < l->n_lv; i++) {
			const struct lv *v = &l->lv[i];
			_cleanup_free_ char *dev = lv_device(v->vg, v->name);

			if (!is_of(v, vg, owner) ||
			    !streq(lv_tag(v, TAG_ROLE), roles[k]) ||
			    strv_has(but, v->name))
				continue;
			if (wipe && dev && !streq(roles[k], "snapshot"))
				r = fs_wipe(dev, "wiping");
			if (r >= 0)
				r = journal_redo(j, "lv-remove", v->vg, v->name,
						 owner, NULL);
		}
	return r;
}

static int redo_swap(struct making *m, const char *new, const char *name)
{
	_cleanup_free_ char *old = bh_asprintf("%s+.old", name);
	int r = old ? 0 : oom();

	if (r >= 0)
		r = journal_redo(m->j, "lv-swap", m->vg->name, name, new, old,
				 m->owner, NULL);
	if (r >= 0)
		r = journal_redo(m->j, "lv-remove", m->vg->name, old, m->owner,
				 NULL);
	return r;
}

/*
 * The old guest's volumes go, and the new ones take their names: by swapping,
 * so that a repetition never takes the new for the old.
 */
static int redo_replace(struct making *m)
{
	const struct guest *g = m->q->g;
	_cleanup_free_ char *root = lv_root(g->name);
	_cleanup_free_ char *swap = lv_swap(g->name);
	_cleanup_strv_ struct strv but = { 0 };
	int r = root && swap ? 0 : oom();

	if (r >= 0 && streq(m->old.vg, m->vg->name) &&
	    (strv_add(&but, root) < 0 || (g->swap && strv_add(&but, swap) < 0)))
		r = oom();
	if (r >= 0)
		r = journal_redo(m->j, "stop", g->name, NULL);
	if (r >= 0)
		r = journal_redo(m->j, "disable", g->name, NULL);
	if (r >= 0)
		r = redo_volumes(m->j, &m->l, m->old.vg, m->owner, false, &but);
	if (r >= 0)
		r = redo_swap(m, m->root, root);
	if (r >= 0 && g->swap)
		r = redo_swap(m, m->swap, swap);
	if (r >= 0)
		r = journal_redo(m->j, "forget-boot", g->name, NULL);
	return r;
}

static int publish(struct making *m)
{
	struct guest *g = m->q->g;
	int r = m->q->replace ? redo_replace(m) : 0;

	/* The state file first: a .cfg without it would not be ours. */
	if (r >= 0)
		r = write_aside(m->j, guest_meta_path(g->name),
				guest_to_json(g), 0644);
	if (r >= 0)
		r = write_aside(m->j, guest_cfg_path(g->name), guest_to_cfg(g),
				0644);
	if (r >= 0 && m->q->autostart)
		r = journal_redo(m->j, "enable", g->name, NULL);
	return r < 0 ? r : journal_commit(&m->j);
}

static void print_plan(const struct making *m)
{
	const struct guest *g = m->q->g;

	printf("guest %s: %s memory, %u vcpus, boot mode %s%s%s\n", g->name,
	       fmt_size(g->memory), g->vcpus, g->boot,
	       g->kernel ? ", kernel " : "", g->kernel ? g->kernel : "");
	printf("volume %s/%s-root: %s, %s %s/%s\n", m->vg->name, g->name,
	       fmt_size(g->disk),
	       m->thin_source ? "thin snapshot of"
	       : m->pool      ? "thin volume, copy of"
			      : "plain volume, copy of",
	       m->q->src_vg ? m->q->src_vg : "file",
	       m->q->src_lv ? m->q->src_lv : "");
	if (g->swap)
		printf("volume %s/%s-swap: %s\n", m->vg->name, g->name,
		       fmt_size(g->swap));
	for (size_t i = 0; i < g->n_nics; i++)
		printf("network %zu: bridge %s, mac %s, %s%s%s\n", i,
		       g->nics[i].bridge, g->nics[i].mac,
		       g->nics[i].ip4    ? g->nics[i].ip4
		       : g->nics[i].dhcp ? "dhcp"
					 : "",
		       g->nics[i].ip6 ? " " : "",
		       g->nics[i].ip6 ? g->nics[i].ip6 : "");
	printf("config /etc/bulkhead/guests/%s.cfg%s\n", g->name,
	       m->q->autostart ? ", started at boot" : "");
}

static int choose(struct making *m)
{
	const struct make_req *q = m->q;
	const char *pool = q->want_pool;
	const struct lv *from;

	/* A copy of a guest is best made where its blocks are. */
	from = q->kind == SRC_GUEST && streq(q->want_vg, q->src_vg)
		       ? lvm_lv(&m->l, q->src_vg, q->src_lv)
		       : NULL;
	if (!pool && from && *from->pool)
		pool = from->pool;
	return lvm_choose(&m->l, q->want_vg, pool, &m->vg, &m->pool);
}

/*
 * The names to build under, and that the old guest can go when it is time. LVM
 * is asked anew: the choice is made again.
 */
static int prepare_replace(struct making *m)
{
	struct guest *g = m->q->g;
	char *root = bh_asprintf("%s+.new", m->root);
	char *swap = bh_asprintf("%s+.new", m->swap);
	int r;

	free(m->root);
	free(m->swap);
	m->root = root;
	m->swap = swap;
	if (!root || !swap)
		return oom();
	r = guest_load(g->name, &m->old);
	if (r >= 0)
		r = lvm_check_strangers(&m->l, m->old.vg, m->owner);
	if (r >= 0)
		r = wait_unused(&m->l, m->old.vg, m->owner, 3);
	return r < 0 ? r : choose(m);
}

/* What there is, seen with the lock of the volume group held: what is free now
 * is so until make_volumes() has taken it. */
static int look(struct making *m)
{
	struct make_req *q = m->q;
	const char *guess = q->want_vg ? q->want_vg : conf_get("volume-group");
	_cleanup_free_ char *vg = guess ? strdup(guess) : NULL;
	int r;

	for (;;) {
		if (vg) {
			r = name_check_vg(vg);
			if (r >= 0)
				r = m->lock = lock_take(
					"vg", vg, "taking space for a guest",
					LOCK_WAIT);
			if (r < 0)
				return r;
		}
		r = lvm_load(NULL, &m->l);
		if (r >= 0)
			r = choose(m);
		if (r < 0 || vg)
			return r;
		/* Only now it is known which: again, with its lock. */
		vg = strdup(m->vg->name);
		if (!vg)
			return oom();
		lvm_done(&m->l);
	}
}

static int prepare(struct making *m)
{
	struct make_req *q = m->q;
	uint64_t need;
	int r = look(m);

	if (r < 0)
		return r;
	m->owner = guest_owner_tag(q->g->name);
	m->root = lv_root(q->g->name);
	m->swap = lv_swap(q->g->name);
	if (!m->owner || !m->root || !m->swap)
		return oom();
	r = q->replace ? prepare_replace(m) : 0;
	if (r < 0)
		return r;
	m->dev = lv_device(m->vg->name, m->root);
	free(q->g->vg);
	q->g->vg = strdup(m->vg->name);
	if (!m->dev || !q->g->vg)
		return oom();
	if (q->src_lv) {
		const struct lv *src = lvm_lv(&m->l, q->src_vg, q->src_lv);

		if (!src)
			return fail(
				VMB_MISSING,
				"volume %s/%s, which this should be made from, is gone",
				q->src_vg, q->src_lv);
		m->thin_source = m->pool && streq(q->src_vg, m->vg->name) &&
				 streq(src->pool, m->pool->name);
	}
	q->g->thin = m->pool != NULL;
	/* LVM rounds up to extents; say so now, so that sizes agree later. */
	q->g->disk = (q->g->disk + m->vg->extent - 1) / m->vg->extent *
		     m->vg->extent;
	q->g->swap = (q->g->swap + m->vg->extent - 1) / m->vg->extent *
		     m->vg->extent;
	r = check_size(m);
	if (r >= 0)
		r = refuse_strangers(m);
	if (r >= 0)
		r = space_needed(m, &need);
	return r < 0 ? r : lvm_check_space(m->vg, m->pool, need);
}

static void making_done(struct making *m)
{
	journal_abort(&m->j);
	lvm_done(&m->l);
	lock_drop(m->lock);
	free(m->filling);
	guest_done(&m->old);
	free(m->owner);
	free(m->root);
	free(m->swap);
	free(m->dev);
}

int guest_make(struct make_req *q)
{
	struct making m
		__attribute__((cleanup(making_done))) = { .q = q, .lock = -1 };
	int r = q->dry_run ? 0 : guest_make_initrd(q->g);

	if (r >= 0)
		r = prepare(&m);
	if (r < 0)
		return r;
	if (q->dry_run && opt_json) {
		_cleanup_free_ char *json = guest_to_json(q->g);

		return fputs(json ? json : "", stdout) < 0 || !json ? oom() : 0;
	}
	if (q->dry_run) {
		print_plan(&m);
		return 0;
	}
	r = journal_begin("guest", q->g->name, "create", &m.j);
	if (r >= 0)
		r = make_volumes(&m);
	if (r >= 0)
		r = fill_root(&m);
	if (r >= 0)
		r = make_identity(&m);
	if (r >= 0)
		r = publish(&m);
	return r;
}

int guest_destroy(const struct guest *g, bool wipe)
{
	struct lvm l __attribute__((cleanup(lvm_done))) = { 0 };
	struct journal *j _cleanup_journal_ = NULL;
	_cleanup_free_ char *owner = guest_owner_tag(g->name);
	_cleanup_free_ char *cfg = guest_cfg_path(g->name);
	_cleanup_free_ char *meta = guest_meta_path(g->name);
	const struct strv none = { 0 };
	const char *name = g->name;
	bool running;
	int r = lvm_load(NULL, &l);

	if (r < 0)
		return r;
	if (!owner || !cfg || !meta)
		return oom();
	r = lvm_check_strangers(&l, g->vg, owner);
	if (r < 0)
		return r;
	if (!lvm_vg(&l, g->vg))
		note("volume group %s is not here: the volumes of %s, if any, stay",
		     g->vg, name);
	/*
	 * Before the commit it must be certain that the volumes can go; and
	 * wiping takes long, and half-wiped is gone.
	 */
	running = bhctl_is_running(name);
	r = running ? bhctl_kill(&name) : 0;
	if (r >= 0)
		r = wait_unused(&l, g->vg, owner, running ? 30 : 3);
	if (r >= 0)
		r = journal_begin("guest", name, "destroy", &j);
	if (r >= 0)
		r = journal_redo(j, "stop", name, NULL);
	if (r >= 0)
		r = journal_redo(j, "disable", name, NULL);
	if (r >= 0)
		r = journal_redo(j, "unlink", cfg, NULL);
	if (r >= 0)
		r = redo_volumes(j, &l, g->vg, owner, wipe, &none);
	if (r >= 0)
		r = journal_redo(j, "forget-boot", name, NULL);
	if (r >= 0)
		r = journal_redo(j, "unlink", meta, NULL);
	return r < 0 ? r : journal_commit(&j);
}
